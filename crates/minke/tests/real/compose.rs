//! `minke compose` on minke's own engine: projects as people write them, from their files to `down`.

mod attached;
mod before;
mod builds;
mod examples;
mod faults;
mod like_docker;
mod providers;
mod pulls;
mod verbs;

use std::path::{Path, PathBuf};

use minke_testkit::{Cli, Host, Ran, Run};

use crate::pty::Terminal;

/// A project in a folder of its own.
struct Application<'a> {
    host: &'a Host,
    folder: PathBuf,
}

impl<'a> Application<'a> {
    /// With this file.
    fn new(host: &'a Host, name: &str, file: &str) -> Self {
        let folder = host.path(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let application = Self { host, folder };
        application.write("compose.yaml", file);
        application
    }

    /// One of the examples, which may write below its folder.
    fn example(host: &'a Host, name: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        let folder = host.path(name);
        copy(&source, &folder);
        Self { host, folder }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).expect("a file");
    }

    /// `minke compose …`
    fn run(&self, words: &str) -> Run {
        let words: Vec<_> = ["compose"].into_iter().chain(words.split_whitespace()).collect();
        self.host.minke_words(&words).current_dir(&self.folder)
    }

    /// `minke compose …`, run to its end.
    fn compose(&self, words: &str) -> Ran {
        self.run(words).run()
    }

    /// `minke compose …` on a terminal.
    fn on_terminal(&self, words: &str) -> Terminal {
        let file = self.folder.join("compose.yaml");
        let words = ["compose", "-f", file.to_str().expect("a path of UTF-8")]
            .into_iter()
            .chain(words.split_whitespace());
        Terminal::start(self.host, Cli::Minke, words)
    }

    /// Docker's own `docker compose …`.
    fn docker_compose(&self, words: &str) -> Ran {
        let words: Vec<_> = words.split_whitespace().collect();
        self.host.client_words(minke_testkit::docker_compose(), &words).current_dir(&self.folder).run()
    }

    /// What the engine says of a container.
    fn inspect(&self, container: &str) -> serde_json::Value {
        self.host.minke(["inspect", container]).json()[0].take()
    }

    /// The names of the project's containers with their ids, stopped ones too.
    fn containers(&self) -> Vec<String> {
        let listed = self.compose("ps -a --format {{.Name}}={{.ID}}").expect_code(0).ok();
        listed.lines().map(str::to_owned).collect()
    }
}

impl Drop for Application<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.compose("down -v --remove-orphans -t 1").expect_code(0);
        }
    }
}

fn copy(source: &Path, target: &Path) {
    std::fs::create_dir_all(target).expect("a folder");
    for entry in std::fs::read_dir(source).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = target.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

/// Two services in a network, one after the other is healthy, with a volume.
const PAIR: &str = r#"
name: pair
services:
  db:
    image: busybox
    command: [sh, -c, "touch /data/up && exec sleep infinity"]
    init: true
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, test, -e, /data/up], interval: 1s, start_period: 10s, start_interval: 100ms}
  web:
    image: busybox
    command: [sh, -c, "echo serving && mkdir -p /www && echo hello > /www/index.html && exec httpd -f -p 8000 -h /www"]
    init: true
    depends_on: {db: {condition: service_healthy}}
volumes: {data: {}}
"#;

#[test]
fn an_application_comes_up_in_order_and_goes_without_a_trace() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let said = application.compose("up -d").expect_code(0).stderr;
    let place = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text}: {said}"));
    assert!(place("Network pair_default  Created") < place("Container pair-db-1  Created"));
    assert!(place("Container pair-db-1  Healthy") < place("Container pair-web-1  Starting"));
    let ps = application.compose("ps").expect_code(0).ok();
    assert!(ps.starts_with("NAME") && ps.contains("pair-web-1") && ps.contains("(healthy)"), "{ps}");
    let page = application.compose("exec -T web wget -q -O - http://web:8000/").expect_code(0).ok();
    assert_eq!(page, "hello");
    assert!(application.compose("logs web").ok().contains("web-1  | serving"));
    let _ = application.compose("down -v -t 1").expect_code(0);
    assert_eq!(host.minke(["ps", "-aq"]).ok(), "");
    assert_eq!(host.minke(["volume", "ls", "-q"]).ok(), "");
    drop(application);
    host.expect_nothing_left();
}

#[test]
fn up_again_changes_nothing_and_only_what_differs_is_made_anew() {
    let host = Host::with_busybox();
    let application = Application::new(&host, "pair", PAIR);
    let _ = application.compose("up -d").expect_code(0);
    let first = application.containers();
    let again = application.compose("up -d").expect_code(0);
    assert_eq!(again.stderr, " Container pair-db-1  Running\n Container pair-web-1  Running\n");
    assert_eq!(application.containers(), first);
    application.write("compose.yaml", &PAIR.replace("echo serving", "echo changed"));
    assert_eq!(
        application.compose("--dry-run up -d").ok().lines().next(),
        Some(
            "DRY-RUN MODE -  create container ".to_owned()
                + &short(&first, "pair-web-1")
                + "_pair-web-1 (configuration changed)"
        )
        .as_deref()
    );
    let _ = application.compose("up -d").expect_code(0);
    let second = application.containers();
    let of = |all: &[String], name: &str| short(all, name);
    assert_eq!(of(&first, "pair-db-1"), of(&second, "pair-db-1"));
    assert_ne!(of(&first, "pair-web-1"), of(&second, "pair-web-1"));
    assert!(application.compose("logs web").ok().contains("changed"));
    drop(application);
    host.expect_nothing_left();
}

fn short(containers: &[String], name: &str) -> String {
    let line = containers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{name}: {containers:?}")).to_owned()
}

#[test]
fn services_are_scaled_up_and_down() {
    let host = Host::with_busybox();
    let file = "name: many\nservices: {w: {image: busybox, command: [sleep, infinity], init: true, network_mode: none}}\n";
    let application = Application::new(&host, "many", file);
    let count = || application.containers().len();
    let _ = application.compose("up -d --scale w=4").expect_code(0);
    assert_eq!(count(), 4);
    let _ = application.compose("scale w=2").expect_code(0);
    assert_eq!(application.containers().iter().filter(|name| name.starts_with("many-w-")).count(), 2);
    let _ = application.compose("up -d").expect_code(0);
    assert_eq!(count(), 1);
    drop(application);
    host.expect_nothing_left();
}
