//! An engine that says what a test has written down, for what would need a registry, and notes what it is asked.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_URL_SAFE};
use minke_testkit::{Cli, Run, docker_cli, program};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With its query, without the version.
    pub(crate) target: String,
    /// What `X-Registry-Auth` says.
    pub(crate) auth: Option<Value>,
    /// What `X-Team` says, a header that only users send.
    pub(crate) team: Option<String>,
    pub(crate) body: Value,
}

/// An answer: its status and body.
pub(crate) type Answer = (u16, String);

/// An engine of one test, with a configuration folder for its clients.
pub(crate) struct Scripted {
    dir: TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    /// An engine of this version of the API; `answer` is asked for all but pings.
    pub(crate) fn start(version: &str, answer: impl Fn(&Asked) -> Answer + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, version) = (Arc::clone(&asked), version.to_owned());
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                // A client that leaves early is no concern of the engine's.
                let _ = serve(&connection.unwrap(), &version, &noted, &answer);
            }
        });
        Self { dir, asked }
    }

    /// One of the two command lines, aimed at this engine.
    pub(crate) fn cli_run<const N: usize>(&self, cli: Cli, args: [&str; N]) -> Run {
        let program = match cli {
            Cli::Docker => docker_cli(),
            Cli::Minke => program("minke"),
        };
        let run = Run::new(program, args).env("DOCKER_HOST", self.host()).env_remove("DOCKER_CONTEXT");
        run.env("DOCKER_CONFIG", self.dir.path().join("config")).env_remove("DOCKER_DEFAULT_PLATFORM")
    }

    /// minke's command line, aimed at this engine.
    pub(crate) fn minke<const N: usize>(&self, args: [&str; N]) -> Run {
        self.cli_run(Cli::Minke, args)
    }

    /// Where it listens, as DOCKER_HOST names it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("engine.sock").display())
    }

    /// The clients' `config.json`.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.path().join("config/config.json")
    }

    /// What the clients' `config.json` says.
    pub(crate) fn config(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.config_file()).unwrap()).unwrap()
    }

    /// Writes the clients' `config.json`.
    pub(crate) fn configure(&self, config: &Value) {
        std::fs::create_dir_all(self.dir.path().join("config")).unwrap();
        std::fs::write(self.config_file(), config.to_string()).unwrap();
    }

    /// A path in this engine's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// All it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// An error in Docker's form.
pub(crate) fn refused(status: u16, message: &str) -> Answer {
    (status, json!({ "message": message }).to_string())
}

/// A stream of messages.
pub(crate) fn stream(messages: &[Value]) -> Answer {
    (200, messages.iter().map(|message| format!("{message}\r\n")).collect())
}

fn serve(
    connection: &UnixStream,
    version: &str,
    noted: &Mutex<Vec<Asked>>,
    answer: &impl Fn(&Asked) -> Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let asked = read(&mut reader)?;
    let (status, body) = match asked.target.as_str() {
        "/_ping" => (200, "OK".to_owned()),
        _ => {
            let answered = answer(&asked);
            noted.lock().unwrap().push(asked.clone());
            answered
        }
    };
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {status} x\r\nApi-Version: {version}\r\nOstype: linux\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if asked.method == "HEAD" { Ok(()) } else { connection.write_all(body.as_bytes()) }
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let without_version = target.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
    let (method, target) = (method.to_owned(), without_version.unwrap_or(target).to_owned());
    let (mut length, mut auth, mut team) = (0, None, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "x-registry-auth" => auth = BASE64_URL_SAFE.decode(value).ok(),
            "x-team" => team = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    Ok(Asked { method, target, auth: auth.map(|auth| json(&auth)), team, body: json(&body) })
}
