//! Every verb once, on one application.

use minke_testkit::Host;

use super::{Application, PAIR};

#[test]
fn the_verbs_of_one_containers_life() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let _ = application.compose("create").expect_code(0);
    let state = |service: &str| application.compose(&format!("ps -a --format {{{{.State}}}} {service}")).ok();
    assert_eq!(state("web"), "created");
    let _ = application.compose("start").expect_code(0);
    assert_eq!(state("web"), "running");
    let _ = application.compose("pause web").expect_code(0);
    assert_eq!(state("web"), "paused");
    let _ = application.compose("unpause web").expect_code(0);
    let before = application.inspect("pair-web-1")["State"]["StartedAt"].clone();
    let _ = application.compose("restart -t 1 web").expect_code(0);
    assert_ne!(application.inspect("pair-web-1")["State"]["StartedAt"], before);
    let _ = application.compose("kill -s TERM web").expect_code(0);
    host.until("web ends", || state("web") == "exited");
    let _ = application.compose("stop -t 1").expect_code(0);
    assert_eq!(state("db"), "exited");
    let _ = application.compose("rm -f web").expect_code(0);
    assert_eq!(application.containers().len(), 1);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn listings_have_docker_composes_columns() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let _ = application.compose("up -d").expect_code(0);
    let header = |words: &str| {
        let text = application.compose(words).expect_code(0).ok();
        text.lines()
            .next()
            .unwrap_or_default()
            .split("  ")
            .filter(|cell| !cell.is_empty())
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(header("ps"), ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]);
    assert_eq!(header("ls"), ["NAME", "STATUS", "CONFIG FILES"]);
    assert_eq!(
        header("images"),
        ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"]
    );
    assert_eq!(header("volumes"), ["DRIVER", "VOLUME NAME"]);
    assert_eq!(header("top")[..2], ["SERVICE", "#"]);
    assert!(application.compose("ls").ok().contains("running(2)"));
    let listed: serde_json::Value = application.compose("ls --format json").json();
    assert_eq!(listed[0]["Name"], "pair");
    assert_eq!(application.compose("ps --services").ok(), "db\nweb");
    assert_eq!(application.compose("ps -q").ok().lines().map(str::len).collect::<Vec<_>>(), [64, 64]);
    let rows: Vec<serde_json::Value> = application
        .compose("ps --format json")
        .ok()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&rows[0]["Service"], &rows[0]["Health"], &rows[0]["ExitCode"]),
        (&"db".into(), &"healthy".into(), &0.into())
    );
    assert!(application.compose("stats --no-stream web").ok().contains("pair-web-1"));
    assert!(application.compose("version --short").ok().trim().split('.').count() == 3);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_task_runs_in_a_container_of_its_own_and_its_code_is_the_programs() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let ran = application.run("run --rm -T -e GREETING=hi web sh -c").arg("echo $GREETING; exit 3").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "hi\n"), "{ran}");
    // What it depends on is there, the service itself is not.
    assert_eq!(application.compose("ps --services").ok(), "db");
    let id = application.compose("run -d --name task web sleep infinity").expect_code(0).ok();
    let labels = &application.inspect(id.trim())["Config"]["Labels"];
    assert_eq!(labels["com.docker.compose.oneoff"], "True");
    let _ = host.minke(["rm", "-f", "task"]).expect_code(0);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn files_go_in_and_out_of_services() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let _ = application.compose("up -d").expect_code(0);
    application.write("note", "hello\n");
    let _ = application.compose("cp note web:/tmp/note").expect_code(0);
    assert_eq!(application.compose("exec -T web cat /tmp/note").ok(), "hello");
    let _ = application.compose("cp web:/tmp/note back").expect_code(0);
    assert_eq!(std::fs::read_to_string(application.folder.join("back")).unwrap(), "hello\n");
    let _ = application.compose("export -o web.tar web").expect_code(0);
    assert!(std::fs::metadata(application.folder.join("web.tar")).unwrap().len() > 10_000);
    let _ = application.compose("commit web kept:1").expect_code(0);
    let _ = host.minke(["image", "inspect", "kept:1"]).expect_code(0);
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_project_is_known_by_its_name_alone() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let _ = application.compose("up -d").expect_code(0);
    let elsewhere = |words: &str| {
        let words: Vec<_> = ["compose", "-p", "pair"].into_iter().chain(words.split_whitespace()).collect();
        host.minke_words(&words).current_dir("/").run()
    };
    assert!(elsewhere("ps").ok().contains("pair-db-1"));
    let said = elsewhere("down -t 1").expect_code(0).stderr;
    assert!(
        said.find("Container pair-web-1  Removed") < said.find("Container pair-db-1  Stopping"),
        "{said}"
    );
    assert!(said.contains("Network pair_default  Removed"), "{said}");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_picture_of_the_application() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let outline = application.compose("graph").ok();
    assert!(outline.contains("after db is healthy") && outline.contains("volume pair_data"), "{outline}");
    assert!(application.compose("graph --format mermaid").ok().contains("-->|is healthy| s_web"));
    let _ = application.compose("graph -o picture.svg").expect_code(0);
    let picture = std::fs::read_to_string(application.folder.join("picture.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn a_service_may_talk_to_the_engine() {
    let host = Host::with_busybox();
    let file = r#"
name: talks
services:
  ci:
    image: busybox
    command: [sh, -c, "test -S /var/run/docker.sock && cat $$DOCKER_CONFIG/config.json"]
    network_mode: none
    use_api_socket: true
"#;
    let application = Application::new(&host, "talks", file);
    let login = r#"{"auths": {"registry.internal": {"auth": "bWU6c2VjcmV0"}}}"#;
    std::fs::create_dir_all(host.path("docker-config")).unwrap();
    std::fs::write(host.path("docker-config/config.json"), login).unwrap();
    let up = application.run("up").env("DOCKER_CONFIG", host.path("docker-config")).run().expect_code(0);
    assert!(up.stdout.contains("registry.internal") && up.stdout.contains("secret"), "{up}");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn hooks_run_after_the_start_and_before_the_stop() {
    let host = Host::with_busybox();
    let file = r#"
name: hooks
services:
  app:
    image: busybox
    command: [sleep, infinity]
    init: true
    network_mode: none
    volumes: ["told:/told"]
    post_start: [{command: [sh, -c, "echo started >> /told/hooks"]}]
    pre_stop: [{command: [sh, -c, "echo stopping >> /told/hooks"]}]
volumes: {told: {}}
"#;
    let application = Application::new(&host, "hooks", file);
    let _ = application.compose("up -d").expect_code(0);
    let _ = application.compose("stop -t 1").expect_code(0);
    let told = application.compose("run --rm -T app cat /told/hooks").expect_code(0);
    assert_eq!(told.stdout, "started\nstopping\n");
    application.write("compose.yaml", &file.replace("echo started", "false; exit 7;"));
    let failed = application.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("the post_start hook of hooks-app-1 exited with code 7"), "{failed}");
    drop(application);
    host.expect_nothing_left();
}
