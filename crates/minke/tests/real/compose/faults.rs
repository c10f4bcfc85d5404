//! What goes wrong is told clearly and leaves a state that `up` and `down` handle.

use std::time::Duration;

use minke_testkit::Host;

use super::{Application, PAIR};

#[test]
fn an_up_that_the_engines_death_interrupts_goes_on_where_it_was() {
    let mut host = Host::with_busybox();
    let services: String = (0..12)
        .map(|number| format!("  s{number}: {{image: busybox, command: [sleep, infinity], init: true, network_mode: none}}\n"))
        .collect();
    let file = format!("name: cut\nservices:\n{services}");
    let folder = {
        let application = Application::new(&host, "cut", &file);
        let up = application.run("up -d").spawn();
        std::thread::sleep(Duration::from_millis(150));
        let folder = application.folder.clone();
        std::mem::forget(application);
        drop(up);
        folder
    };
    host.kill_daemon();
    host.start_daemon();
    let application = Application { host: &host, folder };
    let _ = application.compose("up -d").expect_code(0);
    assert_eq!(application.containers().len(), 12);
    let again = application.compose("up -d").expect_code(0).stderr;
    assert!(again.lines().all(|line| line.ends_with("  Running")), "{again}");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_health_check_that_never_passes_stops_those_that_wait_for_it() {
    let host = Host::with_busybox();
    let file = PAIR.replace("start_period: 10s", "retries: 2").replace("test, -e, /data/up", "\"false\"");
    let application = Application::new(&host, "pair", &file);
    let failed = application.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("dependency failed to start: container pair-db-1 is unhealthy"), "{failed}");
    assert_eq!(application.compose("ps -a --format {{.State}} web").ok(), "created");
    application.write("compose.yaml", PAIR);
    let _ = application.compose("up -d").expect_code(0);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_task_that_fails_is_told_with_its_code() {
    let host = Host::with_busybox();
    let file = r#"
name: task
services:
  migrate: {image: busybox, command: [sh, -c, "exit 4"], network_mode: none}
  app:
    image: busybox
    command: [sleep, infinity]
    network_mode: none
    depends_on: {migrate: {condition: service_completed_successfully}}
"#;
    let application = Application::new(&host, "task", file);
    let failed = application.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("service \"migrate\" didn't complete successfully: exit 4"), "{failed}");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_missing_image_is_named_and_nothing_is_made() {
    let host = Host::with_busybox();
    let file = "name: missing\nservices: {app: {image: nowhere.invalid/none, pull_policy: never, network_mode: none}}\n";
    let application = Application::new(&host, "missing", file);
    let failed = application.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("No such image: nowhere.invalid/none"), "{failed}");
    assert!(application.containers().is_empty());
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_port_that_is_taken_fails_one_container_and_up_mends_it() {
    let host = Host::with_busybox();
    let _ = host
        .minke(["run", "-d", "--name", "taker", "-p", "127.0.0.1:8080:80", "busybox", "sleep", "infinity"])
        .expect_code(0);
    let file = "name: taken\nservices: {web: {image: busybox, command: [sleep, infinity], ports: ['127.0.0.1:8080:80']}}\n";
    let application = Application::new(&host, "taken", file);
    let failed = application.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("8080"), "{failed}");
    let _ = host.minke(["rm", "-f", "taker"]).expect_code(0);
    let _ = application.compose("up -d").expect_code(0);
    assert_eq!(application.compose("port web 80").ok(), "127.0.0.1:8080");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_dependency_cycle_is_an_error_before_anything_is_made() {
    let host = Host::with_busybox();
    let file = "name: round\nservices:\n  a: {image: busybox, depends_on: [b]}\n  b: {image: busybox, depends_on: [a]}\n";
    let application = Application::new(&host, "round", file);
    let failed = application.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("cycle"), "{failed}");
    assert_eq!(host.minke(["ps", "-aq"]).ok(), "");
    application.write("compose.yaml", "name: round\nservices: {a: {image: busybox}}\n");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn what_never_becomes_healthy_ends_a_wait_with_an_error() {
    let host = Host::with_busybox();
    let check = "healthcheck: {test: [CMD, 'false'], interval: 100ms, retries: 2}";
    let file = format!(
        "name: sick\nservices: {{app: {{image: busybox, command: [sleep, infinity], init: true, network_mode: none, {check}}}}}\n"
    );
    let application = Application::new(&host, "sick", &file);
    let failed = application.compose("up -d --wait").expect_code(1).stderr;
    assert!(failed.contains("container sick-app-1 is unhealthy"), "{failed}");
    application.write("compose.yaml", &file.replace("retries: 2", "retries: 1000"));
    let failed = application.compose("up -d --wait --wait-timeout 1").expect_code(1).stderr;
    assert!(failed.contains("application not healthy after 1s"), "{failed}");
    application.write("compose.yaml", &file.replace("'false'", "'true'"));
    let _ = application.compose("up -d --wait").expect_code(0);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_hostile_file_is_refused_and_leaves_what_runs_alone() {
    let host = Host::with_busybox();
    let good = "name: hostile\nservices: {app: {image: busybox, command: [sleep, infinity], init: true, network_mode: none}}\n";
    let application = Application::new(&host, "hostile", good);
    let _ = application.compose("up -d").expect_code(0);
    let before = application.containers();
    let mut bomb = String::from("x-0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let all = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb += &format!("x-{level}: &a{level} [{all}]\n");
    }
    let large = format!("x-large: {}\n", "x".repeat(10 << 20));
    for (hostile, problem) in [(bomb, "with aliases expanded"), (large, "larger than 4 MiB")] {
        application.write("compose.yaml", &format!("{good}{hostile}"));
        for verb in ["up -d", "down"] {
            let refused = application.compose(verb).expect_code(1).stderr;
            assert!(refused.contains(problem) && refused.contains("compose.yaml"), "{refused}");
        }
    }
    application.write("compose.yaml", good);
    assert_eq!(application.containers(), before);
    drop(application);
    host.expect_nothing_left();
}
