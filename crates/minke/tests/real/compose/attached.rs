//! `up` in the foreground.

use minke_testkit::Host;

use super::Application;

const TALKERS: &str = r#"
name: talk
services:
  one: {image: busybox, command: [sh, -c, "echo first; echo problem >&2"], network_mode: none}
  second: {image: busybox, command: [sh, -c, "echo hello"], network_mode: none, depends_on: [one]}
"#;

#[test]
fn output_has_its_containers_name_and_the_end_of_all_is_the_end() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "talk", TALKERS);
    let ran = application.compose("up").expect_code(0);
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "Attaching to one-1, second-1");
    for line in
        ["one-1     | first", "second-1  | hello", "one-1 exited with code 0", "second-1 exited with code 0"]
    {
        assert!(lines.contains(&line), "{line}: {ran}");
    }
    assert!(ran.stderr.contains("one-1     | problem"), "{ran}");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn the_code_of_one_service_is_the_programs_and_the_others_are_stopped() {
    let host = Host::with_busybox();
    let file = r#"
name: exits
services:
  server: {image: busybox, command: [sleep, infinity], init: true, network_mode: none}
  test: {image: busybox, command: [sh, -c, "echo testing; exit 5"], network_mode: none, depends_on: [server]}
"#;
    let application = Application::new(&host, "exits", file);
    let ran = application.compose("up --exit-code-from test -t 1");
    assert_eq!(ran.code, Some(5), "{ran}");
    assert!(ran.stdout.contains("test-1    | testing"), "{ran}");
    assert_eq!(application.compose("ps -q").ok(), "");
    let aborted = application.compose("up --abort-on-container-failure -t 1");
    assert_eq!(aborted.code, Some(5), "{aborted}");
    drop(application);
    host.expect_nothing_left();
}
