//! `logs`: what was said, when, and what is being said now.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn both_streams_are_kept_apart(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(cli, ["run", "--name", "talk", "busybox", "sh", "-c", "echo out; echo err >&2"])
        .expect_code(0);
    let ran = host.cli(cli, ["logs", "talk"]).expect_code(0).expect_exact("out\n");
    assert_eq!(ran.stderr, "err\n");
    host.expect_nothing_left();
}

#[rstest]
fn the_tail_is_as_long_as_asked_and_times_are_rfc3339(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "--name", "count", "busybox", "seq", "1000"]).expect_code(0);
    assert_eq!(host.cli(cli, ["logs", "--tail", "3", "count"]).ok(), "998\n999\n1000");
    assert_eq!(host.cli(cli, ["logs", "--tail", "0", "count"]).ok(), "");
    assert_eq!(host.cli(cli, ["logs", "count"]).ok().lines().count(), 1000);
    let line = host.cli(cli, ["logs", "-t", "--tail", "1", "count"]).ok();
    let (time, text) = line.split_once(' ').expect("a time and the text");
    assert!(
        time.ends_with('Z') && time.contains('T') && time.len() == "2026-01-01T00:00:00.000000000Z".len(),
        "{line}"
    );
    assert_eq!(text, "1000");
    host.expect_nothing_left();
}

#[rstest]
fn since_leaves_out_what_was_said_before(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(cli, ["run", "--name", "slow", "busybox", "sh", "-c", "echo early; sleep 1.2; echo late"])
        .expect_code(0);
    let stamped = host.cli(cli, ["logs", "-t", "slow"]).ok();
    let late =
        stamped.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a second line").to_owned();
    assert_eq!(host.cli(cli, ["logs", "--since", &late, "slow"]).ok(), "late");
    assert_eq!(host.cli(cli, ["logs", "--until", &late, "--tail", "1", "slow"]).ok().lines().count(), 1);
    host.expect_nothing_left();
}

#[rstest]
fn follow_shows_new_lines_and_ends_with_the_container(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "--name",
                "ticker",
                "busybox",
                "sh",
                "-c",
                "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done",
            ],
        )
        .ok();
    let ran = host.cli(cli, ["logs", "-f", "ticker"]).expect_code(0);
    let _ = ran.expect_exact("1\n2\n3\n4\n5\n");
    host.expect_nothing_left();
}

#[rstest]
fn a_container_without_a_log_says_so(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(cli, ["run", "--name", "silent", "--log-driver", "none", "busybox", "echo", "hi"])
        .expect_code(0)
        .expect_exact("hi\n");
    let _ = host.cli(cli, ["logs", "silent"]).expect_code(1).expect_stderr("does not support reading");
    host.expect_nothing_left();
}
