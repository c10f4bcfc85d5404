//! A host of a test's own: an engine with its own directories, socket, names and network.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Dockerd, NetworkNamespace, Ran, Rootfs, Run, docker_cli, leftovers, program, runtime};

/// A network namespace with an engine in it, reached by `docker` and `minke`.
pub struct Host {
    dir: TempDir,
    prefix: String,
    netns: NetworkNamespace,
    daemon: Option<Child>,
    flags: Vec<String>,
    /// Where `minke` and `minke-oci` are, if not where they were built.
    programs: Option<PathBuf>,
    /// Another's engine in the place of minke's.
    dockerd: Option<Dockerd>,
}

/// Which command line a test drives: the two must not differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cli {
    /// Debian's docker.
    Docker,
    /// minke's own.
    Minke,
}

/// What an engine sees as /etc/resolv.conf, in a mount namespace of its own, where it is there.
const RESOLV_CONF: &str = "resolv.conf";

static HOSTS: AtomicU32 = AtomicU32::new(0);

impl Host {
    /// A host whose engine runs and holds the image `busybox`.
    ///
    /// # Panics
    /// When the engine does not come up.
    pub fn with_busybox() -> Self {
        let host = Self::start();
        host.import("busybox", Rootfs::busybox());
        host
    }

    /// A host whose engine is Debian's dockerd, without a default bridge, and holds the image `busybox`.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn with_dockerd() -> Self {
        let mut host = Self::without_engine();
        host.dockerd = Some(Dockerd::start(&["--bridge=none".to_owned()]));
        host.import("busybox", Rootfs::busybox());
        host
    }

    /// A host whose engine runs and holds no image.
    ///
    /// # Panics
    /// When the engine does not come up.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further flags for `minke daemon`.
    ///
    /// # Panics
    /// When the engine does not come up.
    pub fn start_with(flags: &[&str]) -> Self {
        let mut host = Self::without_engine();
        host.set_flags(flags);
        host.start_daemon();
        host
    }

    /// The directories and the network only.
    ///
    /// # Panics
    /// When they can't be made.
    pub fn without_engine() -> Self {
        let dir = tempfile::Builder::new().prefix("mk").tempdir().expect("a temporary directory");
        let prefix = format!("mk{}x{}", std::process::id(), HOSTS.fetch_add(1, Ordering::Relaxed));
        let netns = NetworkNamespace::new();
        Self { dir, prefix, netns, daemon: None, flags: Vec::new(), programs: None, dockerd: None }
    }

    /// Gives the engine further flags from its next start on.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
    }

    /// Starts the engine, at first or again, and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer within 10 seconds.
    pub fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "the engine runs already");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .expect("a log file");
        let installed = self.programs.as_ref().map(|folder| folder.join("minke"));
        let minke = installed.unwrap_or_else(|| program("minke"));
        let mut command = match self.path(RESOLV_CONF).exists() {
            true => with_resolv_conf(&self.path(RESOLV_CONF), &minke),
            false => Command::new(minke),
        };
        command.arg("daemon").args(self.daemon_flags()).args(&self.flags);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("dup")).stderr(log);
        let mut child = self.netns.enter(move || command.spawn()).expect("minke daemon starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.answers() {
            let ended = child.try_wait().expect("the child can be waited for");
            if ended.is_some() || Instant::now() > deadline {
                panic!("the engine does not answer ({ended:?}); it said:\n{}", self.daemon_log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.daemon = Some(child);
    }

    /// Puts both programs into a folder of this host's own, as an installation or an upgrade does: beside what is there, then
    /// in its place. The next engine is started from there.
    ///
    /// # Panics
    /// When they can't be copied.
    pub fn install(&mut self) {
        let folder = self.path("bin");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        for (name, built) in [("minke", program("minke")), ("minke-oci", runtime().into())] {
            let new = folder.join(format!("{name}.new"));
            std::fs::copy(built, &new).expect("a program can be copied");
            std::fs::rename(&new, folder.join(name)).expect("a program can be replaced");
        }
        self.programs = Some(folder);
    }

    /// Has the engine see a resolv.conf of its own from its next start on; a running one that does sees the change.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn set_resolv_conf(&self, text: &str) {
        std::fs::write(self.path(RESOLV_CONF), text).expect("a file can be written");
    }

    fn daemon_flags(&self) -> Vec<String> {
        let path = |name: &str| self.path(name).display().to_string();
        let mut flags = vec!["--root".to_owned(), path("root"), "--state".to_owned(), path("state")];
        flags.extend(["--host".to_owned(), self.endpoint(), "--name-prefix".to_owned(), self.prefix.clone()]);
        if self.programs.is_none() {
            flags.extend(["--runtime".to_owned(), runtime().to_owned()]);
        }
        flags
    }

    /// Whether something answers on the socket.
    pub fn answers(&self) -> bool {
        let Ok(mut socket) = std::os::unix::net::UnixStream::connect(self.path("docker.sock")) else {
            return false;
        };
        let asked = socket.write_all(b"GET /_ping HTTP/1.1\r\nHost: minke\r\nConnection: close\r\n\r\n");
        let mut line = String::new();
        asked.is_ok() && BufReader::new(socket).read_line(&mut line).is_ok() && line.contains("200")
    }

    /// Ends the engine as a crash would.
    ///
    /// # Panics
    /// When none runs.
    pub fn kill_daemon(&mut self) {
        self.end_daemon(Signal::KILL);
    }

    /// Ends the engine as a service manager would, and expects that it leaves with success.
    ///
    /// # Panics
    /// When none runs, or when it fails.
    pub fn stop_daemon(&mut self) {
        let status = self.end_daemon(Signal::TERM);
        assert!(status.success(), "the engine ended with {status}; it said:\n{}", self.daemon_log());
    }

    fn end_daemon(&mut self, signal: Signal) -> std::process::ExitStatus {
        let mut child = self.daemon.take().expect("an engine runs");
        kill_process(Pid::from_child(&child), signal).expect("the engine is there");
        child.wait().expect("the engine can be waited for")
    }

    /// The engine's pid.
    ///
    /// # Panics
    /// When none runs.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("an engine runs").id()
    }

    /// What the engine has printed.
    pub fn daemon_log(&self) -> String {
        std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// Its socket, as DOCKER_HOST names it.
    pub fn endpoint(&self) -> String {
        match &self.dockerd {
            Some(dockerd) => dockerd.endpoint(),
            None => format!("unix://{}", self.path("docker.sock").display()),
        }
    }

    /// Its `--name-prefix`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A path in this host's own directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its network.
    pub fn netns(&self) -> &NetworkNamespace {
        &self.netns
    }

    /// The docker command line, aimed at this host.
    pub fn docker_run<const N: usize>(&self, args: [&str; N]) -> Run {
        self.client_run(docker_cli(), args)
    }

    /// The docker command line, aimed at this host and run to its end.
    pub fn docker<const N: usize>(&self, args: [&str; N]) -> Ran {
        self.docker_run(args).run()
    }

    /// minke's own command line, aimed at this host.
    pub fn minke_run<const N: usize>(&self, args: [&str; N]) -> Run {
        self.aimed(program("minke"), &args)
    }

    /// minke's own command line, aimed at this host and run to its end.
    pub fn minke<const N: usize>(&self, args: [&str; N]) -> Ran {
        self.minke_run(args).run()
    }

    /// minke's own command line with any number of words, aimed at this host.
    pub fn minke_words(&self, words: &[&str]) -> Run {
        self.aimed(crate::program("minke"), words)
    }

    /// A client of another's with any number of words, aimed at this host.
    pub fn client_words(&self, program: PathBuf, words: &[&str]) -> Run {
        self.aimed(program, words).env("DOCKER_CONFIG", self.path("docker-config"))
    }

    /// One of the two command lines, aimed at this host.
    pub fn cli_run<const N: usize>(&self, cli: Cli, args: [&str; N]) -> Run {
        match cli {
            Cli::Docker => self.docker_run(args),
            Cli::Minke => self.minke_run(args),
        }
    }

    /// One of the two command lines, aimed at this host and run to its end.
    pub fn cli<const N: usize>(&self, cli: Cli, args: [&str; N]) -> Ran {
        self.cli_run(cli, args).run()
    }

    /// One of the two command lines with however many words, aimed at this host and run to its end.
    pub fn cli_args(&self, cli: Cli, args: &[&str]) -> Ran {
        let run = match cli {
            Cli::Docker => self.aimed(docker_cli(), args).env("DOCKER_CONFIG", self.path("docker-config")),
            Cli::Minke => self.aimed(program("minke"), args),
        };
        run.run()
    }

    /// A client of another's, aimed at this host.
    pub fn client_run<const N: usize>(&self, program: PathBuf, args: [&str; N]) -> Run {
        self.aimed(program, &args).env("DOCKER_CONFIG", self.path("docker-config"))
    }

    fn aimed(&self, program: PathBuf, args: &[&str]) -> Run {
        Run::new(program, args)
            .env("DOCKER_HOST", self.endpoint())
            .env_remove("DOCKER_CONTEXT")
            .within(&self.netns)
    }

    /// Makes an image of a root file system.
    ///
    /// # Panics
    /// When the engine refuses it.
    pub fn import(&self, name: &str, rootfs: Rootfs) {
        let _ = self
            .docker_run(["import", "--change", "CMD [\"sh\"]", "-", name])
            .input(rootfs.tar())
            .run()
            .expect_code(0);
    }

    /// What an HTTP server answers to `GET /` at this address, status line and all; waits up to 10 s for it to listen.
    ///
    /// # Panics
    /// When nothing answers.
    pub fn fetch(&self, address: &str) -> String {
        let address: SocketAddr = address.parse().expect("an address and a port");
        self.netns.enter(move || {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                match fetch_once(address) {
                    Ok(answer) if !answer.is_empty() => return answer,
                    outcome if Instant::now() > deadline => panic!("{address} does not answer: {outcome:?}"),
                    _ => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        })
    }

    /// Waits up to 10 s until `done`.
    ///
    /// # Panics
    /// When it never is.
    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(
                Instant::now() < deadline,
                "{what}: not within 10 s; the engine said:\n{}",
                self.daemon_log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Removes every container, stops the engine and expects that nothing is left: no process, mount, link or cgroup.
    ///
    /// # Panics
    /// With the list of what is left.
    pub fn expect_nothing_left(mut self) {
        self.remove_containers();
        match self.dockerd.take() {
            Some(dockerd) => dockerd.end(),
            None => self.stop_daemon(),
        }
        let left = self.leftovers();
        assert!(
            left.is_empty(),
            "left behind:\n{}\nthe engine said:\n{}",
            left.join("\n"),
            self.daemon_log()
        );
    }

    fn remove_containers(&self) {
        let all = self.docker(["ps", "-aq"]);
        for id in all.stdout.lines() {
            let _ = self.docker(["rm", "-f", "-v", id]);
        }
    }

    fn leftovers(&self) -> Vec<String> {
        let mark = self.dir.path().display().to_string();
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let mut left = leftovers::processes(&mark);
            left.extend(leftovers::mounts(&mark));
            left.extend(leftovers::cgroups(&self.prefix));
            left.extend(leftovers::links(&self.netns));
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A command that runs a program with this file as /etc/resolv.conf.
fn with_resolv_conf(file: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
    command.arg(file).arg(program);
    command
}

fn fetch_once(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("GET / HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

impl Drop for Host {
    /// Cleans up after a test that failed half-way, too: containers first, then whatever still names this host.
    fn drop(&mut self) {
        if self.daemon.is_some() {
            if self.answers() {
                self.remove_containers();
            }
            self.end_daemon(Signal::TERM);
        }
        let mark = self.dir.path().display().to_string();
        for line in leftovers::processes(&mark) {
            let pid = line.split([' ', ':']).nth(1).and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
