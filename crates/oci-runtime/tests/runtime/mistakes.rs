//! Bad input: one line that names the field, runc's exit code, nothing left behind.

use crate::bundle::Bundle;
use std::fs;

#[test]
fn bundles_with_mistakes_are_refused_with_the_field() {
    let bundle = Bundle::new("true");
    let path = bundle.path().display().to_string();
    let run = || bundle.call(&["run", "--bundle", &path, &bundle.id]);
    run().failed_with(1, &["config.json not found"]);
    let config = bundle.path().join("config.json");
    for (text, part) in [
        ("{", "EOF while parsing"),
        (r#"{"ociVersion":1}"#, "ociVersion: invalid type"),
        (r#"{"ociVersion":"1.3.0","process":{"user":{"uid":-1}}}"#, "process.user.uid"),
        (
            r#"{"ociVersion":"1.3.0","linux":{"namespaces":[{"type":"nonsense"}]}}"#,
            "linux.namespaces[0].type",
        ),
        (r#"{"ociVersion":"3.0.0"}"#, "ociVersion"),
        (r#"{"ociVersion":"1.3.0"}"#, "root: missing"),
    ] {
        fs::write(&config, text).unwrap();
        run().failed_with(1, &[part]);
    }
    bundle.left_nothing();
}

#[test]
fn a_missing_root_and_a_missing_program_are_refused() {
    let mut bundle = Bundle::new("true");
    bundle.process().args = vec!["no-such-program".into()];
    bundle.run().failed_with(1, &["exec: ", "executable file not found in $PATH"]);
    bundle.create().failed_with(1, &["executable file not found in $PATH"]);
    bundle.process().args = vec!["/etc/passwd".into()];
    bundle.run().failed_with(1, &["permission denied"]);
    fs::write(bundle.rootfs().join("bin/script"), "#!/no/such/interpreter\n").unwrap();
    fs::write(bundle.rootfs().join("bin/garbage"), "garbage").unwrap();
    for file in ["script", "garbage"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bundle.rootfs().join("bin").join(file), mode).unwrap();
    }
    bundle.process().args = vec!["script".into()];
    bundle.run().failed_with(1, &["exec /bin/script: no such file or directory"]);
    bundle.process().args = vec!["garbage".into()];
    bundle.run().failed_with(1, &["exec /bin/garbage: exec format error"]);
    bundle.spec.root.as_mut().unwrap().path = "nowhere".into();
    bundle.run().failed_with(1, &["root.path", "nowhere"]);
    bundle.left_nothing();
}

#[test]
fn an_id_in_use_and_ids_that_are_none_are_refused() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    bundle.run().failed_with(1, &["container with given ID already exists"]);
    assert_eq!(bundle.status(), "running");
    let path = bundle.path().display().to_string();
    for id in ["../x", "a b", "a/b"] {
        bundle.call(&["run", "--bundle", &path, id]).failed_with(1, &["container id"]);
        bundle.call(&["delete", "--force", id]).failed_with(1, &["container id"]);
    }
}

#[test]
fn a_failed_start_of_a_created_container_says_why_and_stops_it() {
    let bundle = Bundle::new("true");
    bundle.create().succeeded();
    fs::remove_file(bundle.rootfs().join("bin/busybox")).unwrap();
    bundle.on("start").failed_with(1, &["exec", "no such file"]);
    bundle.wait_for("stopped");
    bundle.on("delete").succeeded();
    bundle.left_nothing();
}

#[test]
fn wrong_command_lines_are_refused() {
    let bundle = Bundle::new("true");
    bundle.call(&["nope"]).failed_with(3, &["unknown command"]);
    bundle.call(&["create"]).failed_with(1, &["requires exactly 1 argument"]);
    bundle.call(&["create", "--nope", "x"]).failed_with(1, &["--nope"]);
    bundle.call(&["--systemd-cgroup", "list"]).failed_with(1, &["systemd"]);
    bundle.call(&["--log-format", "xml", "list"]).failed_with(1, &["log-format"]);
}

#[test]
fn a_creator_that_is_killed_leaves_a_container_that_can_be_deleted() {
    let mut bundle = Bundle::new("true");
    let args = ["sh", "-c", "kill -9 $PPID; sleep 1"].map(str::to_owned).to_vec();
    let hook = minke_model::runtime_spec::Hook {
        path: "/bin/sh".into(),
        args,
        env: vec!["PATH=/bin:/usr/bin".into()],
        timeout: None,
    };
    let hooks = minke_model::runtime_spec::Hooks { create_runtime: vec![hook], ..Default::default() };
    bundle.spec.hooks = Some(hooks);
    assert_eq!(bundle.create().code, None);
    bundle.wait_for("stopped");
    bundle.on("delete").succeeded();
    bundle.left_nothing();
}
