//! The examples do what they say.

use minke_testkit::Host;

use super::Application;

#[test]
fn a_queue_is_worked_off_by_five() {
    let host = Host::with_busybox();
    let application = Application::example(&host, "queue");
    let up = application.run("up -d --scale worker=5").env("JOBS", "40").run();
    assert_eq!(up.code, Some(0), "{up}");
    assert_eq!(application.compose("ps -q worker").ok().lines().count(), 5);
    let done = || application.compose("exec -T worker ls /queue/done").ok().lines().count();
    host.until("all jobs are done", || done() == 40);
    let names = application.run("exec -T worker sh -c").arg("sort -u /queue/done/* | wc -l").run().ok();
    assert!(names.trim().parse::<usize>().unwrap() >= 1, "{names}");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn profiles_add_what_only_some_want() {
    let host = Host::with_busybox();
    let application = Application::example(&host, "profiles");
    let _ = application.compose("up -d").expect_code(0);
    assert_eq!(application.compose("ps --services").ok(), "app");
    let _ = application.compose("--profile debug up -d").expect_code(0);
    assert_eq!(application.compose("--profile debug ps --services").ok(), "app\ndebug");
    let same = application.compose("--profile debug exec -T debug wget -q -O - http://127.0.0.1:8000/").ok();
    assert_eq!(same, "hello");
    let ran = application.compose("run --rm -T migrate").expect_code(0);
    assert_eq!(ran.stdout, "hello\nmigrated\n");
    let _ = application.compose("--profile debug down -t 1").expect_code(0);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn secrets_and_configs_come_from_everywhere() {
    let host = Host::with_busybox();
    let application = Application::example(&host, "secrets");
    let ran = application.run("up").env("TOKEN", "of-the-day").env("COLOUR", "red").run();
    assert_eq!(ran.code, Some(0), "{ran}");
    for line in [
        "app-1  | password: an example's password, and no secret",
        "app-1  | token: of-the-day, 400 1000:1000",
        "app-1  | greeting: Good morning",
        "app-1  | settings: colour=red",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {ran}");
    }
    // Down wants the variable no more.
    let _ = application.run("down").env("TOKEN", "x").run().expect_code(0);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_watched_folder_is_copied_as_it_changes() {
    let host = Host::with_busybox();
    let application = Application::example(&host, "develop");
    let mut watch = application.run("watch").spawn();
    let page = || application.compose("exec -T site cat /site/index.html").stdout;
    host.until("the first page is there", || page() == "first draft\n");
    application.write("src/index.html", "second draft\n");
    application.write("src/notes.draft", "not for the site\n");
    host.until("the second page is there", || page() == "second draft\n");
    assert!(!application.compose("exec -T site ls /site").ok().contains("notes"));
    let started = || application.inspect("develop-site-1")["State"]["StartedAt"].clone();
    let before = started();
    application.write("httpd.conf", "*.htm:text/html\n");
    host.until("the settings restart it", || started() != before);
    std::fs::remove_file(application.folder.join("src/index.html")).unwrap();
    host.until("what is removed goes", || application.compose("exec -T site ls /site").stdout.is_empty());
    rustix::process::kill_process(rustix::process::Pid::from_child(&watch), rustix::process::Signal::TERM)
        .unwrap();
    let _ = watch.wait().unwrap();
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_change_of_what_is_built_makes_the_container_anew() {
    let host = Host::with_busybox();
    let file = r#"
name: rebuilt
services:
  app:
    build: .
    init: true
    network_mode: none
    develop: {watch: [{path: ./version, action: rebuild}]}
"#;
    let application = Application::new(&host, "rebuilt", file);
    application.write("Dockerfile", "FROM busybox\nCOPY version /version\nCMD [\"sleep\", \"infinity\"]\n");
    application.write("version", "one\n");
    let mut watch = application.run("watch").spawn();
    let version = || application.compose("exec -T app cat /version").stdout;
    host.until("the first image runs", || version() == "one\n");
    let before = application.containers();
    application.write("version", "two\n");
    host.until("the second image runs", || version() == "two\n");
    assert_ne!(application.containers(), before);
    rustix::process::kill_process(rustix::process::Pid::from_child(&watch), rustix::process::Signal::TERM)
        .unwrap();
    let _ = watch.wait().unwrap();
    drop(application);
    host.expect_nothing_left();
}
