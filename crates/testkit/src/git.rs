//! Repositories of a test's own, and servers of them in its host's network.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Host, Run};

/// A repository of this host, with a branch `main`.
pub struct Repository(PathBuf);

impl Repository {
    /// An empty one at `repositories/NAME` of the host's own directory.
    ///
    /// # Panics
    /// When `git` can't make it.
    pub fn new(host: &Host, name: &str) -> Self {
        let path = host.path("repositories").join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        let repository = Self(path);
        let _ = repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Its working tree.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Runs `git` in it; gives what it printed.
    ///
    /// # Panics
    /// When that fails.
    pub fn git(&self, words: &[&str]) -> String {
        let own =
            ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "protocol.file.allow=always"];
        let run = Run::new("git", own.iter().chain(words)).current_dir(&self.0);
        run.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").ok()
    }

    /// Writes files and commits everything; gives the commit's name.
    ///
    /// # Panics
    /// When they can't be written or committed.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, content) in files {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder can be made");
            fs::write(path, content).expect("a file can be written");
        }
        let _ = self.git(&["add", "--all"]);
        let _ = self.git(&["commit", "--quiet", "--allow-empty", "--message", "a commit"]);
        self.git(&["rev-parse", "HEAD"])
    }
}

/// A program that serves until this is dropped, with all that it has started.
pub struct Serving(Child);

impl Serving {
    /// Starts it in the host's network and waits until the port answers.
    ///
    /// # Panics
    /// When it does not within 10 seconds.
    pub fn start(host: &Host, mut command: Command, port: u16) -> Self {
        use std::os::unix::process::CommandExt;
        let log = fs::File::create(host.path(format!("serving-{port}.log"))).expect("a log file");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("dup")).stderr(log).process_group(0);
        let child = host.netns().enter(move || command.spawn()).expect("a server starts");
        let serving = Self(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while host.netns().enter(|| TcpStream::connect(("127.0.0.1", port))).is_err() {
            assert!(Instant::now() < deadline, "nothing answers at port {port}");
            std::thread::sleep(Duration::from_millis(10));
        }
        serving
    }

    /// `git daemon`: every repository of the host at `git://127.0.0.1/NAME`.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn git_daemon(host: &Host) -> Self {
        let mut command = Command::new("git");
        command.args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]);
        command.arg(format!("--base-path={}", host.path("repositories").display()));
        Self::start(host, command, 9418)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// An `sshd` of the host's at port 2222, and an agent with the one key that it lets in.
pub struct Ssh {
    _server: Serving,
    agent: Child,
    socket: PathBuf,
}

impl Ssh {
    /// Starts both.
    ///
    /// # Panics
    /// When they don't come up, or `scripts/setup test` has not fetched `sshd`.
    pub fn start(host: &Host) -> Self {
        let folder = host.path("ssh");
        fs::create_dir(&folder).expect("a folder can be made");
        for name in ["host_key", "key"] {
            let path = folder.join(name).display().to_string();
            let _ =
                Run::new("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", &path]).run().expect_code(0);
        }
        let server = Self::serve(host, &folder);
        let socket = folder.join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
        let agent = command.spawn().expect("ssh-agent starts");
        host.until("the agent listens", || socket.exists());
        let add = Run::new("ssh-add", ["-q"]).arg(&folder.join("key").display().to_string());
        let _ = add.env("SSH_AUTH_SOCK", &socket).run().expect_code(0);
        Self { _server: server, agent, socket }
    }

    /// `sshd` wants a user of its own and a folder below `/run`: it gets them in a mount namespace.
    fn serve(host: &Host, folder: &Path) -> Serving {
        let home = std::env::home_dir().unwrap_or_default();
        let tools = home.join(".cache/minke/tools/sshd/usr");
        let program = tools.join("sbin/sshd");
        assert!(program.is_file(), "{} is missing: run scripts/setup test", program.display());
        let libraries = fs::read_dir(tools.join("lib")).into_iter().flatten().flatten();
        let libraries = libraries
            .map(|entry| entry.path())
            .find(|path| path.ends_with("x86_64-linux-gnu") || path.ends_with("aarch64-linux-gnu"));
        let path = std::env::var("PATH").unwrap_or_default();
        let shown = folder.display();
        let config = format!(
            "Port 2222\nListenAddress 127.0.0.1\nHostKey {shown}/host_key\nAuthorizedKeysFile {shown}/key.pub\nStrictModes no\nUsePAM no\n\
             PidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv PATH={path}\n"
        );
        fs::write(folder.join("sshd_config"), config).expect("a file can be written");
        let users = "root:*:0:0:root:/root:/bin/sh\nsshd:*:74:74:sshd:/run/sshd:/bin/false\n";
        fs::write(folder.join("passwd"), users).expect("a file can be written");
        let script = format!(
            "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && mount --bind {shown}/passwd /etc/passwd && exec {} -D -e -f {shown}/sshd_config",
            program.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).envs(libraries.map(|path| ("LD_LIBRARY_PATH", path)));
        Serving::start(host, command, 2222)
    }

    /// Where the agent listens.
    pub fn agent(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// `git http-backend` behind a small HTTP server: every repository of the host at `http://127.0.0.1:PORT/NAME`.
pub struct GitHttp {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    is_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    host: crate::NetworkNamespace,
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
        Self { port, heard, is_ended, thread: Some(thread), host: host.netns().clone() }
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
        drop(self.host.enter(move || TcpStream::connect(("127.0.0.1", port))));
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
    let mut headers = std::collections::HashMap::new();
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
