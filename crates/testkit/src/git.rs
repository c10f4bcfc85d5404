//! Repositories of a test's own, and servers of them in its host's network.

mod http;
mod ssh;

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Host, Run};

pub use http::{GitHttp, GitHttpKind};
pub use ssh::Ssh;

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
