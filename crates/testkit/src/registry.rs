//! A registry of a test's own, in its host's network.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Host, program};

/// Whose registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryKind {
    /// Debian's docker-registry.
    Debian,
    /// `minke registry serve`.
    Minke,
}

/// A registry that serves plain HTTP on the loopback of a host's network namespace.
pub struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up within 10 seconds.
    pub fn start(host: &Host, kind: RegistryKind) -> Self {
        Self::start_with(host, kind, 5000, &[])
    }

    /// The same on a port of choice, with further flags for `minke registry serve`, or further lines for docker-registry's
    /// configuration.
    ///
    /// # Panics
    /// When it does not come up within 10 seconds.
    pub fn start_with(host: &Host, kind: RegistryKind, port: u16, settings: &[&str]) -> Self {
        let root = host.path(format!("registry-{port}"));
        let log = std::fs::File::create(host.path(format!("registry-{port}.log"))).expect("a log file");
        let mut command = match kind {
            RegistryKind::Minke => {
                let mut command = Command::new(program("minke"));
                command.args(["registry", "serve", "--listen", &format!("127.0.0.1:{port}"), "--root"]);
                command.arg(root).args(settings);
                command
            }
            RegistryKind::Debian => {
                let config = host.path(format!("registry-{port}.yml"));
                let text = format!(
                    "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
                     http:\n  addr: 127.0.0.1:{port}\n{}\n",
                    root.display(),
                    settings.join("\n")
                );
                std::fs::write(&config, text).expect("a configuration can be written");
                let mut command = Command::new(docker_registry());
                command.arg("serve").arg(config);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("dup")).stderr(log);
        let mut child = host.netns().enter(move || command.spawn()).expect("the registry starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !host.netns().enter(|| answers(port)) {
            let ended = child.try_wait().expect("the child can be waited for");
            assert!(ended.is_none() && Instant::now() < deadline, "the registry does not answer ({ended:?})");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, port }
    }

    /// The full name of a repository here.
    pub fn name(&self, repository: &str) -> String {
        format!("127.0.0.1:{}/{repository}", self.port)
    }
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let asked = stream.write_all(b"GET /v2/ HTTP/1.0\r\nHost: x\r\n\r\n");
    let mut answer = [0; 12];
    asked.is_ok() && stream.read_exact(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.")
}

/// Debian's docker-registry.
///
/// # Panics
/// When `scripts/setup test` has not fetched it.
fn docker_registry() -> PathBuf {
    let home = std::env::home_dir().unwrap_or_default();
    let path = home.join(".cache/minke/tools/registry/usr/bin/docker-registry");
    assert!(path.is_file(), "docker-registry is missing: run scripts/setup test");
    path
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
