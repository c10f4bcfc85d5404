//! Readiness of systemd services (`NOTIFY_SOCKET`), sockets that are passed on (`LISTEN_FDS`), the systemd
//! driver on a host without systemd, and cgroups below the container's for `exec`.

use crate::bundle::{Bundle, wait_until};
use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

struct Host {
    socket: UnixDatagram,
    path: String,
}

fn host(bundle: &Bundle) -> Host {
    let path = bundle.path().join("host.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Host { socket, path: path.display().to_string() }
}

impl Host {
    fn hears(&self) -> String {
        let mut buffer = [0; 512];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
    }
}

fn say(bundle: &Bundle, text: &str) {
    let path = bundle.state_root().join(&bundle.id).join("notify/notify.sock");
    wait_until("the socket", || path.exists());
    let socket = UnixDatagram::unbound().unwrap();
    socket.send_to(text.as_bytes(), &path).unwrap();
}

fn spawn(bundle: &Bundle, host: &Host, args: &[&str]) -> Child {
    let mut command = bundle.command(args);
    command.env("NOTIFY_SOCKET", &host.path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn readiness_is_passed_on_and_nothing_else() {
    let bundle = Bundle::new(
        "echo $NOTIFY_SOCKET >/tmp/said; test -S /run/notify/notify.sock || echo none >>/tmp/said; sleep 1000",
    );
    let host = host(&bundle);
    bundle.write_config();
    let path = bundle.path().display().to_string();
    assert!(spawn(&bundle, &host, &["create", "--bundle", &path, &bundle.id]).wait().unwrap().success());
    let mut start = spawn(&bundle, &host, &["start", &bundle.id]);
    say(&bundle, "MAINPID=1\nSTATUS=busy");
    say(&bundle, "STATUS=up\nREADY=1");
    assert_eq!(host.hears(), "READY=1");
    assert_eq!(host.hears(), format!("MAINPID={}", bundle.pid()));
    assert_eq!(host.hears(), "BARRIER=1");
    assert!(start.wait().unwrap().success());
    let said = fs::read_to_string(bundle.rootfs().join("tmp/said")).unwrap();
    assert_eq!(said, "/run/notify/notify.sock\n");
}

#[test]
fn a_program_that_ends_without_being_ready_ends_the_wait() {
    let bundle = Bundle::new("exit 0");
    let host = host(&bundle);
    bundle.write_config();
    let path = bundle.path().display().to_string();
    assert!(
        spawn(&bundle, &host, &["run", "--detach", "--bundle", &path, &bundle.id]).wait().unwrap().success()
    );
    host.socket.set_nonblocking(true).unwrap();
    assert!(host.socket.recv(&mut [0; 8]).is_err());
}

#[test]
fn in_the_foreground_the_runtime_is_the_main_process() {
    let bundle = Bundle::new("sleep 1000");
    let host = host(&bundle);
    bundle.write_config();
    let path = bundle.path().display().to_string();
    let mut run = spawn(&bundle, &host, &["run", "--bundle", &path, &bundle.id]);
    say(&bundle, "READY=1");
    assert_eq!(host.hears(), "READY=1");
    assert_eq!(host.hears(), format!("MAINPID={}", run.id()));
    bundle.call(&["kill", &bundle.id, "KILL"]).succeeded();
    assert_eq!(run.wait().unwrap().code(), Some(137));
}

#[test]
fn sockets_of_another_process_are_not_passed_on() {
    let mut bundle = Bundle::new("echo ${LISTEN_FDS:-none} ${LISTEN_PID:-none}");
    bundle.process().terminal = false;
    bundle.write_config();
    let path = bundle.path().display().to_string();
    let run = |pid: &str| {
        let script = format!("exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID={pid} exec \"$@\"");
        let program = bundle.command(&["run", "--bundle", &path, &bundle.id]);
        let args = program.get_args().map(ToOwned::to_owned);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script, "sh"]).arg(program.get_program()).args(args).stdin(Stdio::null());
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    };
    assert_eq!(run("$$"), "1 1\n");
    assert_eq!(run("1"), "none none\n");
}

#[test]
fn without_systemd_its_driver_is_one_clear_error() {
    if Path::new("/run/systemd/system").exists() {
        return;
    }
    let bundle = Bundle::new("true");
    bundle.write_config();
    let path = bundle.path().display().to_string();
    let outcome = bundle.call(&["--systemd-cgroup", "run", "--bundle", &path, &bundle.id]);
    outcome.failed_with(1, &["--systemd-cgroup: systemd is not running on this host"]);
    bundle.left_nothing();
}

#[test]
fn exec_goes_into_a_cgroup_below_the_containers_own() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    let groups = bundle.cgroups();
    let legacy = groups.iter().any(|group| group.starts_with("/sys/fs/cgroup/pids"));
    let made: Vec<_> = groups.iter().map(|group| group.join("below")).collect();
    made.iter().for_each(|group| fs::create_dir(group).unwrap());
    let flag = if legacy { "--cgroup=pids,freezer:/below" } else { "--cgroup=/below" };
    let text = bundle.call(&["exec", flag, &bundle.id, "cat", "/proc/self/cgroup"]).succeeded().stdout;
    // The container's cgroup namespace begins at its own group.
    let line = text.lines().find(|line| line.contains(":pids:") || line.starts_with("0::/below")).unwrap();
    assert!(line.ends_with(":/below"), "{text}");
    for (flag, reason) in [("--cgroup=nope:x", "no cgroup of nope"), ("--cgroup=../x", "'..'")] {
        bundle.call(&["exec", flag, &bundle.id, "true"]).failed_with(255, &[reason]);
    }
}
