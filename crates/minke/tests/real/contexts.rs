//! Docker contexts: what one of the two command lines makes, the other uses.

use std::fs;

use minke_testkit::{Cli, Host};
use rstest::rstest;
use serde_json::Value;

use crate::certificates::{ADDRESS, Authority, Validity, bare, tls_flags};

fn other(cli: Cli) -> Cli {
    match cli {
        Cli::Docker => Cli::Minke,
        Cli::Minke => Cli::Docker,
    }
}

#[rstest]
fn a_context_that_one_program_made_is_used_by_the_other(#[values(Cli::Docker, Cli::Minke)] maker: Cli) {
    let dir = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours");
    let server = ours.folder(dir.path().join("server"), &ours, Validity::Valid);
    let client = ours.folder(dir.path().join("client"), &ours, Validity::Valid);
    let flags = tls_flags(&server);
    let host = Host::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let by = |cli: Cli, args: &[&str]| bare(&host, cli, args);
    let user = other(maker);
    let file = |name: &str| client.join(name).display().to_string();
    let engine =
        format!("host={ADDRESS},ca={},cert={},key={}", file("ca.pem"), file("cert.pem"), file("key.pem"));

    let made =
        by(maker, &["context", "create", "far", "--description", "far away", "--docker", &engine]).run();
    let _ = made.expect_code(0).expect_exact("far\n").expect_stderr("Successfully created context \"far\"");
    let _ = by(user, &["--context", "far", "ps"]).run().expect_code(0);
    let _ = by(user, &["ps"]).env("DOCKER_CONTEXT", "far").run().expect_code(0);
    let _ = by(maker, &["context", "use", "far"]).run().expect_code(0).expect_exact("far\n");
    assert_eq!(by(user, &["context", "show"]).ok(), "far");
    let _ = by(user, &["ps"]).run().expect_code(0).expect_stdout("CONTAINER ID");
    assert_eq!(by(user, &["version", "--format", "{{.Client.Context}}"]).ok(), "far");
    assert_eq!(by(user, &["info", "--format", "{{.ClientInfo.Context}}"]).ok(), "far");
    let names = by(user, &["context", "ls", "--format", "{{.Name}} {{.Current}} {{.DockerEndpoint}}"]).ok();
    assert!(names.lines().any(|line| line == format!("far true {ADDRESS}")), "{names}");

    // A copy has the certificates too; led elsewhere, it has them no more.
    let _ = by(user, &["context", "create", "copy", "--from", "far"]).run().expect_code(0);
    let _ = by(maker, &["-c", "copy", "ps"]).run().expect_code(0);
    let socket = format!("host={}", host.endpoint());
    let _ = by(user, &["context", "update", "copy", "--docker", &socket, "--description", "near"])
        .run()
        .expect_code(0);
    let shown = by(maker, &["context", "inspect", "copy"]).run().expect_code(0).json();
    assert_eq!(shown[0]["TLSMaterial"], serde_json::json!({}));
    assert_eq!(shown[0]["Metadata"]["Description"], "near");
    let _ = by(maker, &["-c", "copy", "ps"]).run().expect_code(0);

    let exported = host.path("far.tar").display().to_string();
    let _ = by(maker, &["context", "export", "far", &exported]).run().expect_code(0);
    let _ = by(user, &["context", "import", "again", &exported]).run().expect_code(0).expect_exact("again\n");
    let _ = by(maker, &["-c", "again", "ps"]).run().expect_code(0);
    let piped = by(maker, &["context", "export", "far", "-"]).run().expect_code(0).stdout;
    let _ = by(user, &["context", "import", "piped", "-"]).input(piped).run().expect_code(0);

    let _ =
        by(user, &["context", "rm", "far"]).run().expect_code(1).expect_stderr("context \"far\" is in use");
    let _ = by(user, &["context", "rm", "-f", "far", "copy", "again", "piped"]).run().expect_code(0);
    assert_eq!(by(maker, &["context", "show"]).ok(), "default");
    assert_eq!(by(maker, &["context", "ls", "-q"]).ok(), "default");
    let left = fs::read_dir(host.path("client/contexts/tls")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "keys are left");
    host.expect_nothing_left();
}

/// Expects that both say the same to the same words.
fn same(host: &Host, args: &[&str]) {
    let both = [Cli::Docker, Cli::Minke].map(|cli| {
        // The two differ in where an engine is when nobody says it.
        let listing = args[..2] == ["context", "ls"];
        let run = bare(host, cli, args);
        let ran = if listing { run.env("DOCKER_HOST", "unix:///here.sock") } else { run }.run();
        format!("{:?}\n{}{}", ran.code, ran.stdout, ran.stderr)
    });
    assert_eq!(both[0], both[1], "{args:?}");
}

#[test]
fn both_programs_say_the_same_about_contexts() {
    let host = Host::without_engine();
    let _ = bare(
        &host,
        Cli::Docker,
        &["context", "create", "one", "--description", "first", "--docker", "host=tcp://10.0.0.1:2376"],
    )
    .ok();
    let _ = bare(&host, Cli::Minke, &["context", "create", "two", "--docker", "host=unix:///two.sock"]).ok();
    same(&host, &["context", "ls"]);
    same(&host, &["context", "ls", "-q"]);
    same(
        &host,
        &[
            "context",
            "ls",
            "--format",
            "{{.Name}}|{{.Description}}|{{.DockerEndpoint}}|{{.Current}}|{{.Error}}",
        ],
    );
    same(&host, &["context", "inspect", "one", "two"]);
    same(&host, &["context", "inspect", "-f", "{{.Name}} {{.Endpoints.docker.Host}}", "two"]);
    same(&host, &["context", "inspect", "nope"]);
    same(&host, &["context", "use", "nope"]);
    same(&host, &["context", "use", "two"]);
    same(&host, &["context", "show"]);
    same(&host, &["context", "rm", "two"]);
    same(&host, &["context", "rm", "nope"]);
    same(&host, &["context", "create", "one"]);
    same(&host, &["context", "create", "a"]);
    same(&host, &["context", "create", "default"]);
    same(&host, &["context", "update", "nope", "--description", "x"]);
    same(&host, &["context", "use", "default"]);
    let text = fs::read(host.path("client/config.json")).expect("a configuration");
    let config: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(config.get("currentContext"), None);
    let _ = bare(&host, Cli::Minke, &["context", "create", "bad", "--docker", "host=gopher://x"])
        .run()
        .expect_code(1)
        .expect_stderr("unknown scheme \"gopher\"");
    let _ = bare(&host, Cli::Minke, &["-c", "nope", "ps"])
        .run()
        .expect_code(1)
        .expect_stderr("context \"nope\": context not found");
}
