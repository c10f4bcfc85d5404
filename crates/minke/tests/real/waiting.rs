//! Waits and events around starts that fail, stops between two runs, and the order of what is told.

use std::{process::Child, time::Duration};

use minke_testkit::{Cli, Host};
use rstest::rstest;

fn output(mut child: Child) -> (Option<i32>, String, String) {
    use std::io::Read;
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
    child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
    (child.wait().expect("a child can be waited for").code(), out, err)
}

#[rstest]
fn a_start_that_fails_says_so_once(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    for args in [&["--rm"][..], &["--name", "kept"], &["-d", "--rm"]] {
        let mut all = vec!["run"];
        all.extend(args);
        all.extend(["busybox", "no-such-program"]);
        let program = match cli {
            Cli::Docker => minke_testkit::docker_cli(),
            Cli::Minke => minke_testkit::program("minke"),
        };
        let ran = minke_testkit::Run::new(program, &all)
            .env("DOCKER_HOST", host.endpoint())
            .within(host.netns())
            .run()
            .expect_code(127)
            .expect_stderr("OCI runtime create failed")
            .expect_stderr("executable file not found in $PATH");
        assert!(!ran.stderr.contains("Error waiting"), "{ran}");
    }
    host.expect_nothing_left();
}

#[test]
fn a_failed_start_is_no_end_but_a_removal_is() {
    let host = Host::with_busybox();
    let _ = host.docker(["create", "--name", "box", "busybox", "/nosuch"]).ok();
    let wait = host.docker_run(["wait", "box"]).spawn();
    // The command line waits for not-running, which is true at once.
    assert_eq!(output(wait).1, "0\n");
    let mut asking = minke_testkit::Run::new(
        "curl",
        ["-sS", "--unix-socket"]
            .into_iter()
            .map(str::to_owned)
            .chain([host.path("docker.sock").display().to_string()])
            .chain(["-X", "POST", "http://d/containers/box/wait?condition=next-exit"].map(str::to_owned)),
    )
    .spawn();
    std::thread::sleep(Duration::from_millis(200));
    let _ = host.docker(["start", "box"]).expect_code(1);
    std::thread::sleep(Duration::from_millis(200));
    assert!(asking.try_wait().expect("a child can be asked").is_none(), "nothing has ended yet");
    let _ = host.docker(["rm", "box"]).ok();
    assert_eq!(output(asking).1.trim(), r#"{"StatusCode":127}"#);
    host.expect_nothing_left();
}

#[rstest]
fn a_stop_between_two_runs_ends_a_wait(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--restart", "always", "--name", "box", "busybox", "false"]).ok();
    // Long pauses come after some runs.
    host.until("a pause", || {
        host.cli(cli, ["inspect", "-f", "{{.RestartCount}} {{.State.Restarting}}", "box"]).ok() == "4 true"
    });
    let waiting = host.cli_run(cli, ["wait", "box"]).spawn();
    std::thread::sleep(Duration::from_millis(150));
    let _ = host.cli(cli, ["stop", "box"]).ok();
    assert_eq!(output(waiting).1, "1\n");
    host.expect_nothing_left();
}

#[test]
fn an_end_is_told_after_what_the_container_had_is_released() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "--rm", "-v", "/data", "--name", "box", "busybox", "true"]).ok();
    // The client asks for whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    let events =
        host.docker(["events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}}"]).ok();
    let of = |what: &str| {
        events.lines().position(|line| line == what).unwrap_or_else(|| panic!("{what}:\n{events}"))
    };
    let order = [
        "container create",
        "container attach",
        "volume mount",
        "network connect",
        "container start",
        "network disconnect",
        "volume unmount",
        "container die",
        "container destroy",
    ];
    assert!(order.map(of).is_sorted(), "{events}");
    host.expect_nothing_left();
}
