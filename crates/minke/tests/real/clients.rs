//! Clients of the Docker API that others wrote, as their users use them. Each has its tests in its own language in
//! `tests/clients`; they pass on Docker's own engine too.

use std::time::Duration;

use minke_testkit::{Host, Registry, RegistryKind, Run, api_clients, on_path};

mod bollard_client;

/// Runs the tests in a folder of `tests/clients` beside an engine with a registry.
fn run_tests(folder: &str, command: impl FnOnce(&Host) -> Run) {
    let host = Host::with_busybox();
    let registry = Registry::start(&host, RegistryKind::Minke);
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(folder);
    let ran = command(&host)
        .current_dir(&tests)
        .env("TEST_REGISTRY", registry.name("").trim_end_matches('/'))
        .env("TMPDIR", host.path(""))
        .limit(Duration::from_secs(180))
        .run();
    assert_eq!(ran.code, Some(0), "{ran}\nthe engine said:\n{}", host.daemon_log());
    drop(registry);
    host.expect_nothing_left();
}

fn python(host: &Host) -> Run {
    host.client_run(on_path("python3"), ["-B", "-W", "ignore::ResourceWarning", "-m", "unittest"])
        .env("PYTHONPATH", api_clients("python"))
}

#[test]
fn the_docker_sdk_for_python() {
    run_tests("docker_py", python);
}

#[test]
fn testcontainers_for_python() {
    // Its helper is an image from a registry that no test asks.
    run_tests("testcontainers", |host| python(host).env("TESTCONTAINERS_RYUK_DISABLED", "true"));
}

#[test]
fn dockerode() {
    run_tests("dockerode", |host| {
        let modules = api_clients("node").join("node_modules");
        host.client_run(on_path("node"), ["--test", "--test-reporter=tap"]).env("NODE_PATH", modules)
    });
}
