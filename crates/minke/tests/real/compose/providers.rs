//! Services that a program provides, and language models: programs that do what the protocol says.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use minke_testkit::{Host, Ran};

use super::Application;

/// A cloud that notes what it is called for in `calls` beside it.
const CLOUD: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$*" in
  "compose metadata")
    echo '{"description": "a cloud", "up": {"parameters": [{"name": "size", "required": true}]}, "down": {}, "stop": {}}' ;;
  *" up "*)
    echo '{"type": "info", "message": "building a database"}'
    echo '{"type": "debug", "message": "of size 2"}'
    echo '{"type": "setenv", "message": "URL=cloud://made"}'
    echo '{"type": "rawsetenv", "message": "REGION=north"}' ;;
esac
"#;

const FILE: &str = r#"
name: clouded
services:
  app:
    image: busybox
    command: [sh, -c, "echo at $$DB_URL in $$REGION; exec sleep infinity"]
    init: true
    network_mode: none
    depends_on: [db]
  db: {provider: {type: cloud, options: {size: 2, unknown: x}}}
"#;

fn program(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// An application with a cloud on its `PATH`.
struct Clouded<'a> {
    application: Application<'a>,
    bin: PathBuf,
}

impl<'a> Clouded<'a> {
    fn new(host: &'a Host) -> Self {
        let application = Application::new(host, "clouded", FILE);
        let bin = application.folder.join("bin");
        program(&bin.join("cloud"), CLOUD);
        Self { application, bin }
    }

    fn compose(&self, words: &str) -> Ran {
        let path = format!("{}:{}", self.bin.display(), std::env::var("PATH").expect("a PATH"));
        self.application.run(words).env("PATH", path).run()
    }

    /// What the cloud was called for since the last time, without what it says of itself.
    fn calls(&self) -> Vec<String> {
        let file = self.bin.join("calls");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(file);
        text.lines().filter(|line| !line.ends_with(" metadata")).map(str::to_owned).collect()
    }

    fn end(self) {
        // Its end needs the cloud on the PATH.
        let _ = self.compose("down -t 1").expect_code(0);
        self.application.write("compose.yaml", "name: clouded\nservices: {app: {image: busybox}}\n");
    }
}

#[test]
fn a_provider_tells_those_who_depend_on_it_where_it_is() {
    let host = Host::with_busybox();
    let clouded = Clouded::new(&host);
    let up = clouded.compose("up -d").expect_code(0).stderr;
    assert!(up.contains("db  building a database") && up.contains("db  Created"), "{up}");
    assert_eq!(clouded.calls(), ["compose --project-name=clouded up --size=2 db"]);
    let log = || clouded.compose("logs --no-log-prefix app").ok();
    host.until("the service says where it is", || log() == "at cloud://made in north");
    let again = clouded.compose("up -d").expect_code(0).stderr;
    assert!(again.contains("Container clouded-app-1  Running"), "{again}");
    program(&clouded.bin.join("cloud"), &CLOUD.replace("north", "south"));
    let moved = clouded.compose("up -d").expect_code(0).stderr;
    assert!(moved.contains("Recreated"), "{moved}");
    host.until("it knows of the move", || log() == "at cloud://made in south");
    let _ = clouded.calls();
    let _ = clouded.compose("stop -t 1").expect_code(0);
    assert_eq!(clouded.calls(), ["compose --project-name=clouded stop db"]);
    let _ = clouded.compose("down -t 1").expect_code(0);
    assert_eq!(clouded.calls(), ["compose --project-name=clouded down db"]);
    clouded.end();
    host.expect_nothing_left();
}

#[test]
fn a_provider_that_fails_or_is_not_there_ends_an_up_before_containers() {
    let host = Host::with_busybox();
    let clouded = Clouded::new(&host);
    let cloud = clouded.bin.join("cloud");
    for (script, problem) in [
        ("#!/bin/sh\necho '{\"type\": \"error\", \"message\": \"no money\"}'\n", "no money"),
        ("#!/bin/sh\necho 'hello'\n", "which is no message for Compose"),
        ("#!/bin/sh\necho 'out of clouds' >&2\nexit 9\n", "exit status: 9: out of clouds"),
    ] {
        program(&cloud, script);
        let failed = clouded.compose("up -d").expect_code(1).stderr;
        assert!(failed.contains("the provider of service db") && failed.contains(problem), "{failed}");
    }
    program(&cloud, &CLOUD.replace("\"size\"", "\"colour\""));
    let failed = clouded.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("provider.options.colour"), "{failed}");
    std::fs::remove_file(&cloud).unwrap();
    let failed = clouded.compose("up -d").expect_code(1).stderr;
    assert!(failed.contains("neither docker's plugin docker-cloud nor a program \"cloud\""), "{failed}");
    assert_eq!(host.minke(["ps", "-aq"]).ok(), "");
    program(&cloud, CLOUD);
    clouded.end();
    host.expect_nothing_left();
}

/// What docker's plugin `model` answers.
const MODEL: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$*" in
  "status --json") echo '{"endpoint": "http://models.internal/v1"}' ;;
  "ls --json") echo '[{"id": "sha256:1", "tags": ["ai/there:latest"]}]' ;;
esac
"#;

#[test]
fn language_models_come_from_dockers_plugin() {
    let host = Host::with_busybox();
    let file = r#"
name: talking
services:
  app:
    image: busybox
    command: [sh, -c, "echo $$BIG_MODEL at $$BIG_URL, $$SMALL"]
    network_mode: none
    models: {big: {}, small-one: {model_var: SMALL}}
models:
  big: {model: ai/away, context_size: 4096}
  small-one: {model: ai/there}
"#;
    let application = Application::new(&host, "talking", file);
    let plugin = host.path("docker-config/cli-plugins/docker-model");
    let compose = |words: &str| application.run(words).env("DOCKER_CONFIG", host.path("docker-config")).run();
    let missing = compose("up -d").expect_code(1).stderr;
    assert!(missing.contains("docker's plugin docker-model is not installed"), "{missing}");
    program(&plugin, MODEL);
    let up = compose("up");
    assert!(up.stdout.contains("ai/away at http://models.internal/v1, ai/there"), "{up}");
    let calls = std::fs::read_to_string(plugin.with_file_name("calls")).unwrap();
    assert!(calls.contains("pull ai/away\n") && !calls.contains("pull ai/there"), "{calls}");
    assert!(calls.contains("configure --context-size 4096 ai/away\n"), "{calls}");
    assert_eq!(application.compose("config --models").ok(), "ai/away\nai/there");
    drop(application);
    host.expect_nothing_left();
}
