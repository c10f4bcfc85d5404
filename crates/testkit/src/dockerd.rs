//! Debian's dockerd, in a machine of its own.

use std::{fs, process::Child};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Machine, Run, docker_cli};

/// A dockerd that runs until it is dropped.
#[derive(Debug)]
pub struct Dockerd {
    machine: Machine,
    daemon: Child,
}

impl Dockerd {
    /// Starts one with further flags and waits until it answers.
    ///
    /// # Panics
    /// When it doesn't.
    #[track_caller]
    pub fn start(flags: &[String]) -> Self {
        let machine = Machine::new();
        fs::write(machine.path("daemon.json"), "{}").expect("the machine's folder can be written");
        let own = [
            "--config-file".to_owned(),
            machine.show("daemon.json"),
            "--data-root".to_owned(),
            machine.show("data"),
            "--exec-root".to_owned(),
            machine.show("exec"),
            "--pidfile".to_owned(),
            machine.show("docker.pid"),
            "--host".to_owned(),
            format!("unix://{}", machine.show("docker.sock")),
            format!("--cgroup-parent=/{}", machine.cgroup()),
            "--exec-opt=native.cgroupdriver=cgroupfs".to_owned(),
            // No rules: the machine's network is its own.
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
            "--storage-driver=vfs".to_owned(),
        ];
        let args: Vec<String> = own.into_iter().chain(flags.iter().cloned()).collect();
        let daemon = machine.start("dockerd", &args);
        let dockerd = Self { machine, daemon };
        let docker = |words: &[&str]| dockerd.aimed(Run::new(docker_cli(), words)).run();
        dockerd.machine.until("dockerd answers", || docker(&["version"]).code == Some(0));
        dockerd
    }

    /// Where it runs.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Its socket, as DOCKER_HOST names it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.machine.show("docker.sock"))
    }

    /// A client of Docker's, aimed at it.
    pub fn aimed(&self, client: Run) -> Run {
        client
            .env("DOCKER_HOST", self.endpoint())
            .env("DOCKER_CONFIG", self.machine.path("docker-config"))
            .env_remove("DOCKER_CONTEXT")
    }

    /// Stops it; its containers have to be removed before, and may have left no cgroup.
    ///
    /// # Panics
    /// When they have.
    #[track_caller]
    pub fn end(mut self) {
        self.machine.expect_no_cgroups();
        self.stop();
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Only a test that failed comes here with a daemon that runs.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
