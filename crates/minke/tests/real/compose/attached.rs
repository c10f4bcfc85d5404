//! `up` in the foreground.

use minke_testkit::Host;
use rustix::process::Signal;

use super::Application;
use crate::pty::Terminal;

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

#[test]
fn an_interrupt_stops_all_in_order_and_is_told_by_the_code() {
    let host = Host::with_busybox();
    let file = r#"
name: polite
services:
  db: {image: busybox, command: [sh, -c, "trap 'echo last; exit 0' TERM; while :; do sleep 0.05; done"], network_mode: none}
  web:
    image: busybox
    command: [sh, -c, "trap 'echo first; exit 0' TERM; echo ready; while :; do sleep 0.05; done"]
    network_mode: none
    depends_on: [db]
"#;
    let application = Application::new(&host, "polite", file);
    let terminal = application.on_terminal("up");
    terminal.expect("ready");
    terminal.signal(Signal::INT);
    terminal.expect("Gracefully stopping...");
    assert_eq!(terminal.end().code(), Some(130));
    let ended = |name: &str| {
        let state = application.inspect(name)["State"].take();
        assert_eq!((&state["Running"], &state["ExitCode"]), (&false.into(), &0.into()), "{state}");
        state["FinishedAt"].as_str().unwrap().to_owned()
    };
    assert!(ended("polite-web-1") <= ended("polite-db-1"));
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_second_interrupt_kills_what_does_not_stop() {
    let host = Host::with_busybox();
    let file = r#"
name: stubborn
services:
  app:
    image: busybox
    command: [sh, -c, "trap 'echo not yet' TERM; echo ready; while :; do sleep 0.05; done"]
    network_mode: none
    stop_grace_period: 5m
"#;
    let application = Application::new(&host, "stubborn", file);
    let terminal = application.on_terminal("up");
    terminal.expect("ready");
    terminal.signal(Signal::INT);
    terminal.expect("not yet");
    terminal.signal(Signal::INT);
    assert_eq!(terminal.end().code(), Some(130));
    host.until("it is killed", || application.inspect("stubborn-app-1")["State"]["ExitCode"] == 137);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn keys_leave_the_containers_running() {
    let host = Host::with_busybox();
    let file = "name: left\nservices: {app: {image: busybox, command: [sh, -c, 'echo ready; exec sleep infinity'], init: true, \
                network_mode: none}}\n";
    let application = Application::new(&host, "left", file);
    let terminal = application.on_terminal("up");
    terminal.expect("ready");
    terminal.expect("w Enable Watch   d Detach");
    assert!(!terminal.echoes());
    terminal.type_in("w");
    terminal.expect("Watch is not configured");
    terminal.type_in("d");
    terminal.until("what is typed is shown again", Terminal::echoes);
    assert_eq!(terminal.end().code(), Some(0));
    assert_eq!(application.compose("ps --services").ok(), "app");
    let terminal = application.on_terminal("up --menu=false");
    terminal.expect("Attaching to app-1");
    terminal.signal(Signal::INT);
    assert!(!terminal.expect("Gracefully stopping...").contains("Detach"));
    assert_eq!(terminal.end().code(), Some(130));
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_key_begins_and_ends_the_watch_of_files() {
    let host = Host::with_busybox();
    let application = Application::example(&host, "develop");
    let page = || application.compose("exec -T site cat /site/index.html").stdout;
    let terminal = application.on_terminal("up");
    terminal.expect("w Enable Watch   d Detach");
    host.until("the site runs", || application.compose("exec -T site test -d /site").code == Some(0));
    terminal.type_in("w");
    terminal.expect("Watch enabled");
    terminal.expect("w Disable Watch");
    host.until("the first page is there", || page() == "first draft\n");
    terminal.type_in("w");
    terminal.expect("w Enable Watch");
    terminal.type_in("d");
    assert_eq!(terminal.end().code(), Some(0));
    drop(application);
    host.expect_nothing_left();
}
