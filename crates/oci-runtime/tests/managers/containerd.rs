//! Under containerd and its shim, driven by `ctr`.

use std::{fs, process::Child};

use minke_testkit::{Machine, Ran, Run};
use rustix::process::{Pid, Signal, kill_process};

use crate::runtime;

struct Containerd {
    machine: Machine,
    daemon: Child,
}

impl Containerd {
    fn start() -> Self {
        let machine = Machine::new();
        let path = |name: &str| format!("{:?}", machine.show(name));
        let (root, state, socket) = (path("root"), path("state"), path("c.sock"));
        let config = format!(
            "version = 2\nroot = {root}\nstate = {state}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {socket}\n"
        );
        fs::write(machine.path("config.toml"), config).unwrap();
        let daemon = machine.start("containerd", &["--config".to_owned(), machine.show("config.toml")]);
        let containerd = Self { machine, daemon };
        let answers = || containerd.ctr(&["version"]).run().code == Some(0);
        containerd.machine.until("containerd answers", answers);
        containerd
    }

    fn ctr(&self, args: &[&str]) -> Run {
        let socket = self.machine.show("c.sock");
        self.machine.run("ctr", &[&["--address", &socket], args].concat())
    }

    fn ctr_on_terminal(&self, args: &[&str]) -> Run {
        let socket = self.machine.show("c.sock");
        self.machine.run_on_terminal("ctr", &[&["--address", &socket], args].concat())
    }

    /// The words of `ctr run` for a container of this name.
    fn words(&self, flags: &[&str], name: &str, program: &[&str]) -> Vec<String> {
        let (binary, root) = (runtime(), self.machine.show("runc"));
        let cgroup = format!("/{}/{name}", self.machine.cgroup());
        let rootfs = self.machine.rootfs();
        let own = ["run", "--runc-binary", &binary, "--runc-root", &root, "--cgroup", &cgroup, "--rootfs"];
        [&own, flags, &[&rootfs, name], program].concat().iter().map(|&word| word.to_owned()).collect()
    }

    fn run(&self, flags: &[&str], name: &str, program: &[&str]) -> Ran {
        let words = self.words(flags, name, program);
        self.ctr(&words.iter().map(String::as_str).collect::<Vec<_>>()).run()
    }

    fn status(&self, name: &str) -> String {
        let listed = self.ctr(&["tasks", "list"]).ok();
        let line = listed.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.split_whitespace().last()).unwrap_or_default().to_owned()
    }

    fn end(mut self) {
        self.machine.expect_no_cgroups();
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// `ctr` may miss the last words of a process that has ended, so what matters is told by exit codes.
#[test]
fn containers_run_and_end_as_containerd_expects() {
    let containerd = Containerd::start();
    let run =
        |flags: &[&str], program: &[&str]| containerd.run(&[&["--rm"], flags].concat(), "once", program);
    let sh = |flags: &[&str], script: &str| run(flags, &["/bin/sh", "-c", script]);
    let _ = sh(&[], "echo out; sleep 0.3; exit 42").expect_code(42).expect_exact("out\n");
    let missing = run(&[], &["/bin/nosuch"]).expect_code(1);
    let _ = missing.expect_stderr("minke-oci create failed").expect_stderr("no such file or directory");
    let _ = run(&[], &["/etc/passwd"]).expect_stderr("permission denied");
    let _ = sh(&["--read-only"], "touch /x || exit 9").expect_code(9);
    let _ = sh(&["--seccomp"], "grep -q 'Seccomp:.2' /proc/self/status && exit 9").expect_code(9);
    let words = containerd.words(&["--rm", "--tty"], "once", &["/bin/sh", "-c", "tty -s && exit 9"]);
    let terminal = containerd.ctr_on_terminal(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let _ = terminal.run().expect_code(9);
    containerd.end();
}

#[test]
fn a_task_is_entered_measured_paused_killed_and_deleted() {
    let containerd = Containerd::start();
    let tasks = |args: &[&str]| containerd.ctr(&[&["tasks"], args].concat()).run();
    let limits = ["--detach", "--memory-limit", "67108864", "--cpus", "0.5"];
    let _ = containerd.run(&limits, "web", &["/bin/sleep", "1000"]).expect_code(0);
    assert_eq!(containerd.status("web"), "RUNNING");
    let exec = |args: &[&str]| tasks(&[&["exec", "--exec-id", "e1"], args].concat());
    let sh = |flags: &[&str], script: &str| exec(&[flags, &["web", "/bin/sh", "-c", script]].concat());
    let _ = sh(&[], "echo hi; sleep 0.3; exit 7").expect_code(7).expect_exact("hi\n");
    let _ = exec(&["web", "/bin/nosuch"]).expect_stderr("no such file or directory");
    let user = ["--user", "33:44", "--cwd", "/tmp"];
    let _ = sh(&user, "test $(id -u):$(id -g):$PWD = 33:44:/tmp && exit 9").expect_code(9);
    let terminal = ["tasks", "exec", "--tty", "--exec-id", "e2", "web", "/bin/sh", "-c", "tty -s && exit 9"];
    let _ = containerd.ctr_on_terminal(&terminal).run().expect_code(9);
    let _ = tasks(&["metrics", "web"]).expect_stdout("67108864");
    let _ = tasks(&["ps", "web"]).expect_code(0).expect_stdout("PID");
    let _ = tasks(&["pause", "web"]).expect_code(0);
    assert_eq!(containerd.status("web"), "PAUSED");
    let _ = tasks(&["resume", "web"]).expect_code(0);
    assert_eq!(containerd.status("web"), "RUNNING");
    let _ = tasks(&["kill", "--signal", "KILL", "web"]).expect_code(0);
    containerd.machine.until("web is stopped", || containerd.status("web") == "STOPPED");
    let _ = tasks(&["delete", "web"]).expect_stderr("exit with non-zero exit code 137");
    let _ = containerd.ctr(&["containers", "delete", "web"]).run().expect_code(0);
    containerd.end();
}
