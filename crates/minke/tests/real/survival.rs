//! The engine is killed while containers run: nothing is lost, and the next engine takes over.

use std::fs;

use minke_testkit::{Cli, Host, Rootfs};
use rstest::rstest;

#[rstest]
fn containers_outlive_the_engine(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let mut host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "--name",
                "server",
                "-p",
                "127.0.0.1:8080:80",
                "busybox",
                "sh",
                "-c",
                "echo page > /var/www/index.html; echo serving; exec httpd -f -h /var/www -p 80",
            ],
        )
        .ok();
    let _ = host
        .cli(cli, ["run", "-d", "--name", "worker", "busybox", "sh", "-c", "sleep 1; echo worked; exit 21"])
        .ok();
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    host.kill_daemon();
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"), "it serves without an engine");
    host.start_daemon();
    let _ = host.cli(cli, ["ps", "--format", "{{.Names}}"]).expect_code(0).expect_stdout("server");
    assert_eq!(host.cli(cli, ["wait", "worker"]).ok(), "21");
    assert_eq!(host.cli(cli, ["logs", "worker"]).ok(), "worked");
    assert_eq!(host.cli(cli, ["logs", "server"]).ok(), "serving");
    assert_eq!(host.cli(cli, ["exec", "server", "cat", "/var/www/index.html"]).ok(), "page");
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    let _ = host.cli(cli, ["stop", "-t", "1", "server"]).ok();
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.State.Running}}", "server"]).ok(), "false");
    host.expect_nothing_left();
}

#[rstest]
fn an_exit_while_no_engine_runs_is_known_afterwards(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let mut host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            ["run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 0.4; echo last words; exit 17"],
        )
        .ok();
    let _ = host.cli(cli, ["run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "0.4"]).ok();
    host.kill_daemon();
    std::thread::sleep(std::time::Duration::from_millis(900));
    host.start_daemon();
    assert_eq!(host.cli(cli, ["wait", "brief"]).ok(), "17");
    assert_eq!(host.cli(cli, ["logs", "brief"]).ok(), "last words");
    host.until("--rm is kept", || host.cli(cli, ["ps", "-aq", "-f", "name=gone"]).ok().is_empty());
    host.expect_nothing_left();
}

#[rstest]
fn what_was_created_and_named_is_there_after_a_kill(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let mut host = Host::with_busybox();
    let id = host
        .cli(
            cli,
            ["create", "--name", "kept", "-e", "A=b", "-v", "data:/data", "busybox", "sh", "-c", "echo $A"],
        )
        .ok();
    let _ = host.cli(cli, ["tag", "busybox", "also:kept"]).ok();
    host.kill_daemon();
    host.start_daemon();
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.Id}}", "kept"]).ok(), id);
    assert_eq!(host.cli(cli, ["volume", "ls", "-q"]).ok(), "data");
    let _ = host.cli(cli, ["image", "inspect", "also:kept"]).ok();
    let _ = host.cli(cli, ["start", "-a", "kept"]).expect_code(0).expect_exact("b\n");
    host.expect_nothing_left();
}

#[rstest]
fn a_stopped_service_leaves_its_containers_running(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let mut host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "on", "busybox", "sleep", "600"]).ok();
    let pid = host.cli(cli, ["inspect", "-f", "{{.State.Pid}}", "on"]).ok();
    host.stop_daemon();
    assert!(std::path::Path::new("/proc").join(&pid).exists());
    host.start_daemon();
    assert_eq!(
        host.cli(cli, ["inspect", "-f", "{{.State.Pid}} {{.State.Running}}", "on"]).ok(),
        format!("{pid} true")
    );
    host.expect_nothing_left();
}

#[test]
fn containers_outlive_an_upgrade_of_both_programs() {
    let mut host = Host::without_engine();
    host.install();
    host.start_daemon();
    host.import("busybox", Rootfs::busybox());
    let count = "i=0; while :; do echo $i; i=$((i+1)); usleep 10000; done";
    let _ = host
        .docker(["run", "-d", "--name", "old", "-p", "127.0.0.1:8080:80", "busybox", "sh", "-c", count])
        .ok();
    let pid = host.docker(["inspect", "-f", "{{.State.Pid}}", "old"]).ok();
    host.install();
    // The engine that still runs starts the new minke-oci.
    assert_eq!(host.docker(["exec", "old", "echo", "by both"]).ok(), "by both");
    assert_eq!(host.docker(["run", "--rm", "busybox", "echo", "by both"]).ok(), "by both");
    let _ = host.docker(["run", "-d", "--name", "between", "busybox", "sleep", "600"]).ok();
    host.stop_daemon();
    host.start_daemon();
    let program = std::fs::read_link(format!("/proc/{}/exe", host.daemon_pid())).unwrap();
    assert_eq!(program, host.path("bin/minke"), "the new one serves");
    for name in ["old", "between"] {
        assert_eq!(host.docker(["exec", name, "echo", "by the new"]).ok(), "by the new");
        assert_eq!(
            host.docker(["inspect", "-f", "{{.State.Running}} {{.RestartCount}}", name]).ok(),
            "true 0"
        );
    }
    assert_eq!(host.docker(["inspect", "-f", "{{.State.Pid}}", "old"]).ok(), pid);
    let lines = || host.docker(["logs", "old"]).ok().lines().count();
    let before = lines();
    host.until("it counts on", || lines() > before);
    for (number, line) in host.docker(["logs", "old"]).ok().lines().enumerate() {
        assert_eq!(line, number.to_string(), "nothing is missing");
    }
    let _ = host.docker(["restart", "-t", "0", "old"]).ok();
    assert_eq!(host.docker(["exec", "old", "echo", "again"]).ok(), "again");
    host.expect_nothing_left();
}

#[test]
fn a_second_engine_on_the_same_root_is_refused() {
    let host = Host::start();
    let path = |name: &str| host.path(name).display().to_string();
    let socket = format!("unix://{}", path("other.sock"));
    let ran = host.minke([
        "daemon",
        "--root",
        &path("root"),
        "--state",
        &path("other"),
        "--host",
        &socket,
        "--name-prefix",
        "other",
    ]);
    assert_ne!(ran.code, Some(0), "{ran}");
    let _ = ran.expect_stderr("root");
    host.expect_nothing_left();
}

/// A supervisor is killed by somebody, or by the kernel for want of memory: its container goes with it, and can be started again.
#[test]
fn a_container_whose_supervisor_was_killed_has_ended_and_starts_again() {
    let mut host = Host::with_busybox();
    let sleepers = "sleep 600 & exec sleep 600";
    let _ = host.docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", sleepers]).ok();
    for engine_is_away in [false, true] {
        let pid = host.docker(["inspect", "-f", "{{.State.Pid}}", "box"]).ok();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let supervisor = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
        if engine_is_away {
            host.kill_daemon();
        }
        let supervisor = rustix::process::Pid::from_raw(supervisor.parse().unwrap()).unwrap();
        rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
        if engine_is_away {
            host.start_daemon();
        }
        let _ = host.docker(["wait", "box"]).expect_exact("137\n");
        let left = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(left.is_empty() || left.contains(") Z "), "its processes have ended: {left}");
        let _ = host.docker(["start", "box"]).ok();
        let _ = host.docker(["exec", "box", "true"]).ok();
    }
    let _ = host.docker(["rm", "-f", "box"]).ok();
    host.expect_nothing_left();
}
