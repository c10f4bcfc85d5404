//! Containers that run to their end before a service's own start (`pre_start`).

use minke_testkit::Host;

use super::Application;

const FILE: &str = r#"
name: before
services:
  app:
    image: busybox
    command: [sh, -c, "cat /data/made && exec sleep infinity"]
    init: true
    volumes: ["data:/data"]
    environment: {A: one}
    pre_start:
      - {command: [sh, -c, "echo making; echo $$A $$B > /data/made"], environment: {B: two}}
      - {command: [sh, -c, "hostname >> /data/made"], per_replica: true}
volumes: {data: {}}
"#;

#[test]
fn what_comes_before_runs_once_with_the_services_volumes_and_variables() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "before", FILE);
    let _ = application.compose("up -d").expect_code(0).expect_stderr("making");
    let made = || application.compose("exec -T app cat /data/made").ok();
    let first = made();
    assert!(first.starts_with("one two\n") && first.lines().count() == 2, "{first}");
    assert_eq!(application.containers().len(), 1, "they are gone");
    let again = application.compose("up -d").expect_code(0).stderr;
    assert!(again.trim().ends_with("Running"), "{again}");
    assert_eq!(made(), first, "what runs is left alone");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn one_that_fails_is_kept_and_its_service_does_not_start() {
    let host = Host::with_busybox();
    let application =
        Application::new(&host, "before", &FILE.replace("echo making;", "echo no way; exit 3;"));
    let failed = application.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("pre_start[0] of service app exited with code 3"), "{failed}");
    assert!(failed.contains("no way"), "{failed}");
    assert_eq!(application.compose("ps -a --format {{.State}} app").ok(), "created");
    let kept = host.minke(["logs", "before-app-1_pre_start_0"]).ok();
    assert_eq!(kept, "no way");
    application.write("compose.yaml", FILE);
    let _ = application.compose("up -d").expect_code(0);
    assert_eq!(host.minke(["ps", "-aq"]).ok().lines().count(), 1, "the one that was kept is gone");
    application.write("compose.yaml", &FILE.replace("echo making;", "exit 4;"));
    let _ = application.compose("up -d --force-recreate").expect_code(1);
    let _ = application.compose("down -v -t 1").expect_code(0);
    assert_eq!(host.minke(["ps", "-aq"]).ok(), "", "down removes it, too");
    drop(application);
    host.expect_nothing_left();
}
