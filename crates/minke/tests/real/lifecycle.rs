//! create, start, stop, kill, restart, pause, rename, wait, rm, ps: a container's life.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[test]
fn a_supervisor_waits_for_a_start_that_follows_and_for_no_other() {
    let host = Host::with_busybox();
    let supervisors = || host.holdings().supervisors;
    let _ = host.docker(["create", "--name", "one", "busybox", "sleep", "60"]).ok();
    host.until("one waits", || supervisors() == 1);
    let _ = host.docker(["start", "one"]).ok();
    assert_eq!(supervisors(), 1, "the one that waited is the container's");
    let _ = host.docker(["create", "--name", "two", "busybox", "true"]).ok();
    host.until("another waits", || supervisors() == 2);
    let _ = host.docker(["rm", "two"]).ok();
    host.until("it went with its container", || supervisors() == 1);
    let _ = host.docker(["create", "--name", "three", "busybox", "true"]).ok();
    host.until("a third waits", || supervisors() == 2);
    host.until("nobody waits for long", || supervisors() == 1);
    assert_eq!(host.docker(["start", "-a", "three"]).ok(), "");
    let _ = host.docker(["rm", "-f", "one", "three"]).ok();
    host.expect_nothing_left();
}

#[rstest]
fn a_container_goes_through_every_state(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let status = || host.cli(cli, ["inspect", "-f", "{{.State.Status}}", "life"]).ok();
    let _ = host
        .cli(
            cli,
            [
                "create",
                "--name",
                "life",
                "--init=false",
                "busybox",
                "sh",
                "-c",
                "trap 'exit 7' TERM; while :; do sleep 0.05; done",
            ],
        )
        .ok();
    assert_eq!(status(), "created");
    let _ = host.cli(cli, ["start", "life"]).ok();
    assert_eq!(status(), "running");
    let _ = host.cli(cli, ["pause", "life"]).ok();
    assert_eq!(status(), "paused");
    let _ = host.cli(cli, ["unpause", "life"]).ok();
    assert_eq!(status(), "running");
    let _ = host.cli(cli, ["stop", "life"]).ok();
    assert_eq!(
        host.cli(cli, ["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "life"]).ok(),
        "exited 7"
    );
    let _ = host.cli(cli, ["restart", "life"]).ok();
    assert_eq!(status(), "running");
    let _ = host.cli(cli, ["kill", "life"]).ok();
    assert_eq!(host.cli(cli, ["wait", "life"]).ok(), "137");
    let _ = host.cli(cli, ["rm", "life"]).ok();
    let _ = host.cli(cli, ["inspect", "life"]).expect_code(1).expect_stderr("life");
    host.expect_nothing_left();
}

#[rstest]
fn stop_kills_what_does_not_listen_after_its_timeout(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            ["run", "-d", "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
        )
        .ok();
    let ran = host.cli(cli, ["stop", "-t", "1", "deaf"]).expect_code(0);
    assert!(ran.took.as_secs_f64() >= 1.0, "took {:?}", ran.took);
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.State.ExitCode}}", "deaf"]).ok(), "137");
    host.expect_nothing_left();
}

#[rstest]
fn wait_answers_with_each_exit_code(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "three", "busybox", "sh", "-c", "sleep 0.3; exit 3"]).ok();
    let _ = host.cli(cli, ["run", "-d", "--name", "four", "busybox", "sh", "-c", "exit 4"]).ok();
    assert_eq!(host.cli(cli, ["wait", "three", "four"]).ok(), "3\n4");
    host.expect_nothing_left();
}

#[rstest]
fn rename_moves_the_name(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["create", "--name", "before", "busybox"]).ok();
    let _ = host.cli(cli, ["create", "--name", "taken", "busybox"]).ok();
    let _ = host.cli(cli, ["rename", "before", "taken"]).expect_code(1).expect_stderr("already in use");
    let _ = host.cli(cli, ["rename", "before", "after"]).ok();
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.Name}}", "after"]).ok(), "/after");
    host.expect_nothing_left();
}

#[rstest]
fn rm_refuses_what_runs_unless_forced(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "busy", "busybox", "sleep", "600"]).ok();
    let _ = host.cli(cli, ["rm", "busy"]).expect_code(1).expect_stderr("running");
    let _ = host.cli(cli, ["rm", "-f", "busy"]).ok();
    assert_eq!(host.cli(cli, ["ps", "-aq"]).ok(), "");
    host.expect_nothing_left();
}

#[rstest]
fn ps_filters_and_formats(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ =
        host.cli(cli, ["run", "-d", "--name", "one", "--label", "tier=web", "busybox", "sleep", "600"]).ok();
    let _ = host.cli(cli, ["create", "--name", "two", "--label", "tier=db", "busybox", "true"]).ok();
    let _ = host.cli(cli, ["run", "--name", "three", "busybox", "sh", "-c", "exit 9"]).expect_code(9);
    let names = |args: &[&str]| {
        let mut all = vec!["ps", "--format", "{{.Names}}"];
        all.extend(args);
        match all[..] {
            [a, b, c] => host.cli(cli, [a, b, c]).ok(),
            [a, b, c, d] => host.cli(cli, [a, b, c, d]).ok(),
            [a, b, c, d, e] => host.cli(cli, [a, b, c, d, e]).ok(),
            [a, b, c, d, e, f] => host.cli(cli, [a, b, c, d, e, f]).ok(),
            _ => unreachable!("at most three more"),
        }
    };
    assert_eq!(names(&[]), "one");
    assert_eq!(names(&["-a"]), "three\ntwo\none");
    assert_eq!(names(&["-a", "-f", "label=tier=db"]), "two");
    assert_eq!(names(&["-a", "-f", "status=exited"]), "three");
    assert_eq!(names(&["-a", "-f", "exited=9"]), "three");
    assert_eq!(names(&["-a", "-f", "name=^t"]), "three\ntwo");
    assert_eq!(names(&["-a", "-f", "ancestor=busybox"]).lines().count(), 3);
    let line = host
        .cli(cli, ["ps", "-a", "-f", "name=three", "--format", "{{.Image}}|{{.Command}}|{{.Status}}"])
        .ok();
    assert!(line.starts_with("busybox|\"sh -c 'exit 9'\"|Exited (9) "), "{line}");
    host.expect_nothing_left();
}
