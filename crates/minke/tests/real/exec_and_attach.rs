//! exec, attach, top: joining a container that runs.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn exec_runs_inside_and_returns_the_exit_code(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            ["run", "-d", "--name", "box", "--hostname", "inside", "-e", "A=1", "busybox", "sleep", "600"],
        )
        .ok();
    let _ = host
        .cli(cli, ["exec", "box", "sh", "-c", "echo $(hostname) $A; echo oops >&2; exit 6"])
        .expect_code(6)
        .expect_exact("inside 1\n")
        .expect_stderr("oops");
    let ran = host.cli(
        cli,
        [
            "exec",
            "-e",
            "B=2",
            "-w",
            "/tmp",
            "-u",
            "1000:33",
            "box",
            "sh",
            "-c",
            "echo $B $(pwd) $(id -u):$(id -g)",
        ],
    );
    let _ = ran.expect_code(0).expect_exact("2 /tmp 1000:33\n");
    let _ = host
        .cli_run(cli, ["exec", "-i", "box", "cat"])
        .input("through and back")
        .run()
        .expect_code(0)
        .expect_exact("through and back");
    let _ = host.cli(cli, ["exec", "box", "no-such-program"]).expect_code(127);
    let _ = host.cli(cli, ["exec", "box", "/etc/passwd"]).expect_code(126);
    let _ = host
        .cli(cli, ["exec", "-t", "box", "sh", "-c", "test -t 0 && echo terminal"])
        .expect_code(0)
        .expect_exact("terminal\r\n");
    host.expect_nothing_left();
}

#[rstest]
fn input_is_data_whatever_bytes_are_in_it(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    // The keys that a user leaves a terminal with: ctrl-p, ctrl-q.
    let data = "leave\x10\x11not".repeat(100_000);
    let _ = host
        .cli_run(cli, ["run", "--rm", "-i", "--network", "none", "busybox", "cat"])
        .input(data.as_str())
        .run()
        .expect_code(0)
        .expect_exact(&data);
    let _ = host.cli(cli, ["create", "-i", "--name", "box", "busybox", "wc", "-c"]).ok();
    let started = host.cli_run(cli, ["start", "-a", "-i", "box"]).input(data.as_str()).run();
    let _ = started.expect_code(0).expect_exact("1000000\n");
    host.expect_nothing_left();
}

#[rstest]
fn a_detached_exec_runs_on(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let _ = host.cli(cli, ["exec", "-d", "box", "sh", "-c", "echo done > /tmp/mark"]).ok();
    host.until("the mark", || host.cli(cli, ["exec", "box", "cat", "/tmp/mark"]).stdout == "done\n");
    host.expect_nothing_left();
}

#[rstest]
fn exec_in_a_container_that_does_not_run_is_refused(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let id = host.cli(cli, ["create", "--name", "idle", "busybox"]).ok();
    let _ = host
        .cli(cli, ["exec", "idle", "true"])
        .expect_code(1)
        .expect_stderr(&id)
        .expect_stderr("is not running");
    host.expect_nothing_left();
}

#[rstest]
fn attach_joins_the_first_process(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "-i",
                "--name",
                "reader",
                "busybox",
                "sh",
                "-c",
                "read line; echo got $line; exit 8",
            ],
        )
        .ok();
    let ran = host.cli_run(cli, ["attach", "reader"]).input("a line\n").run();
    let _ = ran.expect_code(8).expect_exact("got a line\n");
    host.expect_nothing_left();
}

#[rstest]
fn start_attached_shows_output_and_returns_the_code(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["create", "--name", "later", "busybox", "sh", "-c", "echo now; exit 3"]).ok();
    let _ = host.cli(cli, ["start", "-a", "later"]).expect_code(3).expect_exact("now\n");
    host.expect_nothing_left();
}

#[rstest]
fn top_lists_the_processes(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ =
        host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sh", "-c", "sleep 601 & sleep 602"]).ok();
    host.until("both processes", || {
        let shown = host.cli(cli, ["top", "box"]).ok();
        shown.starts_with("UID") && shown.contains("sleep 601") && shown.contains("sleep 602")
    });
    host.expect_nothing_left();
}
