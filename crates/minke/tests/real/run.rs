//! `run`: what the process sees, what the user sees, and the exit code.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn output_reaches_the_user_and_nothing_is_left_behind(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let script = "echo to the user; echo to the log >&2";
    let ran = host.cli(cli, ["run", "--rm", "busybox", "sh", "-c", script]).expect_code(0);
    let ran = ran.expect_exact("to the user\n");
    assert_eq!(ran.stderr, "to the log\n");
    assert_eq!(host.docker(["ps", "-aq"]).ok(), "");
    host.expect_nothing_left();
}

#[rstest]
fn the_exit_code_is_the_containers(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "--rm", "busybox", "sh", "-c", "exit 42"]).expect_code(42);
    let _ = host
        .cli(cli, ["run", "--rm", "busybox", "sh", "-c", "sleep 9 & kill -TERM $!; wait $!"])
        .expect_code(143);
    host.expect_nothing_left();
}

#[rstest]
fn what_cannot_start_ends_with_125_126_or_127_and_says_why(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(cli, ["run", "--rm", "busybox", "no-such-program"])
        .expect_code(127)
        .expect_stderr("no-such-program");
    let _ = host
        .cli(cli, ["run", "--rm", "busybox", "/etc/passwd"])
        .expect_code(126)
        .expect_stderr("permission denied");
    let _ = host
        .cli(cli, ["run", "--rm", "--network", "no-such-network", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("no-such-network");
    let _ = host
        .cli(cli, ["run", "--rm", "no-such-image", "true"])
        .expect_code(125)
        .expect_stderr("no-such-image");
    assert_eq!(host.docker(["ps", "-aq"]).ok(), "");
    host.expect_nothing_left();
}

#[rstest]
fn environment_directory_user_and_names_are_as_asked(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let script = "echo $GREETING $(pwd) $(id -un):$(id -gn) $(hostname)";
    let ran = host.cli(
        cli,
        [
            "run",
            "--rm",
            "-e",
            "GREETING=hello",
            "-w",
            "/var/www",
            "-u",
            "alice",
            "--hostname",
            "whale",
            "busybox",
            "sh",
            "-c",
            script,
        ],
    );
    let _ = ran.expect_code(0).expect_exact("hello /var/www alice:alice whale\n");
    let ran = host.cli(cli, ["run", "--rm", "--entrypoint", "echo", "busybox", "only", "arguments"]);
    let _ = ran.expect_code(0).expect_exact("only arguments\n");
    let groups =
        host.cli(cli, ["run", "--rm", "-u", "1000", "--group-add", "77", "busybox", "id", "-G"]).ok();
    assert_eq!(groups, "1000 29 77");
    host.expect_nothing_left();
}

#[rstest]
fn standard_input_travels_to_its_end(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let text = "line of input\n".repeat(50_000);
    let ran = host.cli_run(cli, ["run", "--rm", "-i", "busybox", "wc", "-l"]).input(text).run();
    let _ = ran.expect_code(0).expect_exact("50000\n");
    host.expect_nothing_left();
}

#[rstest]
fn a_megabyte_of_output_arrives_whole(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let ran = host.cli(cli, ["run", "--rm", "busybox", "seq", "200000"]).expect_code(0);
    let wanted: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(ran.stdout == wanted, "{} of {} bytes arrived", ran.stdout.len(), wanted.len());
    host.expect_nothing_left();
}

#[rstest]
fn a_detached_container_runs_on_under_its_name(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let id = host.cli(cli, ["run", "-d", "--name", "sleeper", "busybox", "sleep", "600"]).ok();
    assert_eq!(id.len(), 64);
    assert_eq!(
        host.cli(cli, ["inspect", "--format", "{{.Id}} {{.State.Running}}", "sleeper"]).ok(),
        format!("{id} true")
    );
    let _ = host
        .cli(cli, ["run", "--name", "sleeper", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("already in use");
    host.expect_nothing_left();
}

#[rstest]
fn a_terminal_is_a_terminal(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    // -t without -i needs no terminal on the user's side.
    let ran = host
        .cli(cli, ["run", "--rm", "-t", "busybox", "sh", "-c", "tty; test -t 1 && echo yes"])
        .expect_code(0);
    assert_eq!(ran.stdout, "/dev/pts/0\r\nyes\r\n");
    host.expect_nothing_left();
}
