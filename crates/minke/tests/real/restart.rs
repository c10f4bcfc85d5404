//! Restart policies and `--rm`.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn on_failure_restarts_so_often_and_no_more(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "--name",
                "failing",
                "--restart",
                "on-failure:2",
                "busybox",
                "sh",
                "-c",
                "echo try; exit 5",
            ],
        )
        .ok();
    let state = || {
        host.cli(cli, ["inspect", "-f", "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}", "failing"])
            .ok()
    };
    host.until("two restarts", || state() == "exited 2 5");
    assert_eq!(host.cli(cli, ["logs", "failing"]).ok(), "try\ntry\ntry");
    host.expect_nothing_left();
}

#[rstest]
fn always_comes_back_until_it_is_stopped(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(cli, ["run", "-d", "--name", "phoenix", "--restart", "always", "busybox", "sleep", "600"])
        .ok();
    let pid = || host.cli(cli, ["inspect", "-f", "{{.State.Pid}}", "phoenix"]).ok();
    let first = pid();
    let killed = rustix::process::Pid::from_raw(first.parse().unwrap()).unwrap();
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
    host.until("a new process", || !["0", first.as_str()].contains(&pid().as_str()));
    let _ = host.cli(cli, ["stop", "-t", "0", "phoenix"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.State.Status}}", "phoenix"]).ok(), "exited");
    host.expect_nothing_left();
}
