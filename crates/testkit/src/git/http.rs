//! Repositories by HTTP: servers of several kinds.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crate::{Host, NetworkNamespace};

/// `git http-backend` behind a small HTTP server: every repository of the host at `http://127.0.0.1:PORT/NAME`.
pub struct GitHttp {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    is_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    network: NetworkNamespace,
}

/// How a [`GitHttp`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitHttpKind {
    /// As usual servers do; a header `Authorization` with this value is asked for, if it isn't empty.
    Smart(&'static str),
    /// Files alone, as any web server.
    Dumb,
    /// Never.
    Silent,
}

impl GitHttp {
    /// Starts it.
    ///
    /// # Panics
    /// When it can't listen.
    pub fn start(host: &Host, kind: GitHttpKind) -> Self {
        let root = host.path("repositories");
        let listener = host.netns().enter(|| TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let (heard, is_ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (h, ended) = (Arc::clone(&heard), Arc::clone(&is_ended));
        let thread = std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                if kind == GitHttpKind::Silent {
                    h.lock().expect("no test panics here").push("a connection".to_owned());
                    silent.push(stream);
                    continue;
                }
                let (root, heard) = (root.clone(), Arc::clone(&h));
                std::thread::spawn(move || drop(answer(stream, &root, kind, &heard)));
            }
        });
        Self { port, heard, is_ended, thread: Some(thread), network: host.netns().clone() }
    }

    /// The URL of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}/.git", self.port)
    }

    /// The first lines of all requests so far.
    ///
    /// # Panics
    /// When the server has.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("the server has not panicked").clone()
    }
}

impl Drop for GitHttp {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
        let port = self.port;
        drop(self.network.enter(move || TcpStream::connect(("127.0.0.1", port))));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one request and closes.
fn answer(stream: TcpStream, root: &Path, kind: GitHttpKind, heard: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut to = stream;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    heard.lock().expect("no thread panics here").push(line.trim_end().to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let value = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    if let GitHttpKind::Smart(wanted) = kind
        && value("authorization") != wanted
    {
        return to.write_all(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if kind == GitHttpKind::Dumb {
        return match fs::read(root.join(path.trim_start_matches('/'))) {
            Ok(bytes) => {
                write!(
                    to,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    bytes.len()
                )?;
                to.write_all(&bytes)
            }
            Err(_) => {
                to.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            }
        };
    }
    if !value("expect").is_empty() {
        to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut command = Command::new("git");
    command.arg("http-backend").env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1").env("REQUEST_METHOD", method);
    command.env("PATH_INFO", path).env("QUERY_STRING", query).env("CONTENT_TYPE", value("content-type"));
    command
        .env("HTTP_CONTENT_ENCODING", value("content-encoding"))
        .env("GIT_PROTOCOL", value("git-protocol"));
    command.env("CONTENT_LENGTH", value("content-length"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let length = value("content-length").parse().unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(&body);
    }
    let answer = child.wait_with_output()?.stdout;
    let status = answer.strip_prefix(b"Status: ").and_then(|rest| rest.split(|byte| *byte == b'\r').next());
    let status = status.map_or("200 OK".into(), String::from_utf8_lossy);
    write!(to, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    to.write_all(&answer)
}
