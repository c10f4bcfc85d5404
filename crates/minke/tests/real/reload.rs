//! The engine's configuration file: what it says at the start, and what SIGHUP changes of it.

use std::fs;

use minke_testkit::{Host, Rootfs, Run, docker_cli, program};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// An engine with this configuration file.
fn with_file(text: &str) -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("daemon.json");
    fs::write(&path, text).expect("a file");
    let host = Host::start_with(&["--config-file", &path.display().to_string()]);
    (dir, host)
}

/// Sends SIGHUP.
pub(crate) fn hang_up(host: &Host) {
    let pid = Pid::from_raw(i32::try_from(host.daemon_pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::HUP).expect("the engine is there");
}

fn info(host: &Host) -> Value {
    host.docker(["info", "--format", "{{json .}}"]).expect_code(0).json()
}

#[test]
fn a_hangup_brings_the_new_settings_and_an_event() {
    let (dir, host) = with_file(r#"{"labels": ["site=old"], "max-concurrent-downloads": 2}"#);
    let before = info(&host);
    assert_eq!((&before["Labels"], &before["Debug"]), (&json!(["site=old"]), &json!(false)));
    let text = r#"{"labels": ["site=new", "a=b"], "debug": true, "registry-mirrors": ["https://mirror.example/"],
        "insecure-registries": ["10.9.0.0/16"], "default-runtime": "other", "max-concurrent-uploads": 1, "bip": "10.77.0.1/24",
        "runtimes": {"other": {"path": "/usr/bin/other", "runtimeArgs": ["--x"]}}}"#;
    fs::write(dir.path().join("daemon.json"), text).expect("a file");
    hang_up(&host);
    host.until("the new labels", || info(&host)["Labels"] == json!(["site=new", "a=b"]));
    let after = info(&host);
    assert_eq!((&after["Debug"], &after["DefaultRuntime"]), (&json!(true), &json!("other")));
    assert_eq!(after["Runtimes"]["other"]["path"], "/usr/bin/other");
    assert_eq!(after["RegistryConfig"]["Mirrors"], json!(["https://mirror.example/"]));
    let networks = after["RegistryConfig"]["InsecureRegistryCIDRs"].as_array().expect("a list");
    assert!(networks.contains(&json!("10.9.0.0/16")), "{networks:?}");
    host.until("a word about what waits", || host.daemon_log().contains("until the engine is restarted"));

    // The docker CLI cuts times to seconds: until the end of the next one.
    let events = ["events", "--since", "2020-01-01", "--until=-1s", "--filter", "type=daemon"];
    let events = host.docker_run(events).run().expect_code(0).stdout;
    let event = events.lines().last().expect("an event");
    for part in [
        "daemon reload",
        "labels=[\"site=new\",\"a=b\"]",
        "debug=true",
        "default-runtime=other",
        "max-concurrent-uploads=1",
        "name=",
    ] {
        assert!(event.contains(part), "{part}: {event}");
    }

    // What is gone from the file has its default again.
    fs::write(dir.path().join("daemon.json"), "").expect("a file");
    hang_up(&host);
    host.until("no labels", || info(&host)["Labels"] == json!([]));
    assert_eq!(info(&host)["DefaultRuntime"], "minke-oci");
    host.expect_nothing_left();
}

#[test]
fn containers_that_say_nothing_are_as_the_file_has_them() {
    let (dir, host) = with_file(
        r#"{"log-driver": "local", "log-opts": {"max-size": "1m"}, "default-shm-size": "8M", "init": true,
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 100, "Hard": 200}}, "no-new-privileges": true,
            "default-ipc-mode": "private", "features": {"buildkit": true}, "storage-driver": "overlay2"}"#,
    );
    host.import("box", Rootfs::busybox());
    assert_eq!(info(&host)["LoggingDriver"], "local");
    assert!(info(&host)["SecurityOptions"].to_string().contains("no-new-privileges"));
    let seen = "ulimit -n; ulimit -Hn; grep -c NoNewPrivs:.1 /proc/self/status; df -k /dev/shm | tail -1 | awk '{print $2}'; head -c 12 /proc/1/cmdline | tr '\\0' ' '";
    let words = ["run", "--name", "first", "box", "sh", "-c", seen];
    assert_eq!(host.docker(words).ok(), "100\n200\n1\n8192\n/sbin/docker");
    let shown = |format: &str| host.docker(["inspect", "-f", format, "first"]).ok();
    assert_eq!(shown("{{json .HostConfig.LogConfig}}"), r#"{"Type":"local","Config":{"max-size":"1m"}}"#);
    // A container's own words count.
    let own = [
        "run",
        "--rm",
        "--init=false",
        "--ulimit",
        "nofile=50",
        "--security-opt",
        "no-new-privileges=false",
        "--log-driver",
        "json-file",
    ];
    let seen = [
        "box",
        "sh",
        "-c",
        "ulimit -n; grep -c NoNewPrivs:.0 /proc/self/status; tr '\\0' ' ' </proc/1/cmdline | head -c 2",
    ];
    let own = host.client_words(docker_cli(), &[&own[..], &seen].concat());
    assert_eq!(own.ok(), "50\n1\nsh");
    // The file's next words are for the next container.
    fs::write(dir.path().join("daemon.json"), "{}").expect("a file");
    hang_up(&host);
    host.until("the default driver", || info(&host)["LoggingDriver"] == "json-file");
    assert_eq!(
        host.docker(["run", "--rm", "box", "sh", "-c", "grep -c NoNewPrivs:.0 /proc/self/status"]).ok(),
        "1"
    );
    let _ = host.docker(["restart", "-t", "0", "first"]).expect_code(0);
    assert_eq!(shown("{{.HostConfig.LogConfig.Type}} {{.HostConfig.Init}}"), "local true");
    let _ = host.docker(["rm", "-f", "first"]).expect_code(0);
    host.expect_nothing_left();
}

#[test]
fn steps_are_privileged_where_the_engines_file_and_the_client_say_so() {
    let (_dir, host) =
        with_file(r#"{"builder": {"entitlements": {"security-insecure": true, "network-host": false}}}"#);
    crate::buildx::link(&host);
    host.import("base", Rootfs::busybox());
    let text = "FROM base\nRUN --security=insecure mount -t tmpfs none /tmp && echo yes >/done\n";
    let context = crate::buildx::files(&host, "context", &[("Dockerfile", text)]);
    let build = |flag: &str| crate::buildx::build(&host, ["buildx", "build", "-t", "made", flag, &context]);
    let _ = build("--pull=false").expect_code(1).expect_stderr("security.insecure is not allowed");
    let _ = build("--allow=network.host")
        .expect_code(1)
        .expect_stderr("granting entitlement network.host is not allowed");
    let _ = build("--allow=security.insecure").expect_code(0);
    assert_eq!(host.docker(["run", "--rm", "made", "cat", "/done"]).ok(), "yes");
    host.expect_nothing_left();
}

#[test]
fn a_file_that_makes_no_sense_changes_nothing() {
    let (dir, host) = with_file(r#"{"labels": ["site=old"]}"#);
    for (text, problem) in [
        ("{\"labels\": [", "EOF"),
        (r#"{"labels": ["site=new"], "lables": []}"#, "unknown field `lables`"),
        (r#"{"labels": ["site=new"], "default-runtime": "kata"}"#, "unknown or invalid runtime name: kata"),
        (r#"{"labels": ["site=new"], "registry-mirrors": ["mirror"]}"#, "no registry mirror"),
        (r#"{"labels": ["site=new"], "live-restore": false}"#, "containers always outlive the engine"),
    ] {
        fs::write(dir.path().join("daemon.json"), text).expect("a file");
        hang_up(&host);
        host.until(problem, || {
            host.daemon_log().lines().any(|line| line.contains("stays as it was") && line.contains(problem))
        });
        assert_eq!(info(&host)["Labels"], json!(["site=old"]));
    }
    host.expect_nothing_left();
}

#[test]
fn an_engine_does_not_start_with_a_file_that_it_does_not_understand() {
    let host = Host::without_engine();
    let path = host.path("daemon.json");
    let file = path.display().to_string();
    let validate = |flags: &[&str]| {
        let all = [&["daemon", "--validate", "--config-file", &file], flags].concat();
        Run::new(program("minke"), all).run()
    };
    fs::write(&path, "{\n  \"storage-drive\": \"zfs\"\n}").expect("a file");
    let _ = validate(&[]).expect_code(1).expect_stderr("storage-drive").expect_stderr("line 2");
    for (text, problem) in [
        (r#"{"storage-driver": "zfs"}"#, "storage-driver \"zfs\""),
        (r#"{"log-driver": "paper"}"#, "no log driver named 'paper'"),
        (r#"{"log-opts": {"max-sise": "1m"}}"#, "unknown log opt 'max-sise'"),
        (r#"{"default-ulimits": {"files": {"Name": "files", "Hard": 1, "Soft": 1}}}"#, "files"),
        (r#"{"seccomp-profile": "/nonexistent.json"}"#, "/nonexistent.json"),
        (r#"{"userns-remap": "default"}"#, "userns-remap"),
    ] {
        fs::write(&path, text).expect("a file");
        let _ = validate(&[]).expect_code(1).expect_stderr(problem);
    }
    fs::write(&path, r#"{"debug": true, "labels": ["a=b"]}"#).expect("a file");
    let _ = validate(&[]).expect_code(0).expect_exact("configuration OK\n");
    let _ =
        validate(&["-D", "--label", "c=d"]).expect_code(1).expect_stderr("debug, labels set both as a flag");
    fs::remove_file(&path).expect("a file");
    let _ = validate(&[]).expect_code(1).expect_stderr(&file);
}
