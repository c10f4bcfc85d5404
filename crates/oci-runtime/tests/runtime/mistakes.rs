//! Bad input: one line that names the field, runc's exit code, nothing left behind.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{
    Cpu, Device, DeviceType, Hook, Hooks, HugepageLimit, IdMapping, Memory, NamespaceType, Resources, Rlimit,
};
use std::fs;

/// What is wrong with a configuration, and words of the one line that says so.
type Mistake<'a> = (&'a dyn Fn(&mut Bundle), &'a [&'a str]);

/// Each mistake alone is refused by `run` and by `create`, and leaves nothing.
#[track_caller]
fn refused(mistakes: &[Mistake<'_>]) {
    for (make, words) in mistakes {
        let mut bundle = Bundle::new("true");
        make(&mut bundle);
        bundle.run().failed_with(1, words);
        bundle.left_nothing();
        bundle.create().failed_with(1, words);
        bundle.left_nothing();
    }
}

fn resources(resources: Resources) -> impl Fn(&mut Bundle) {
    move |bundle| bundle.linux().resources = Some(resources.clone())
}

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
    let outcome = bundle.run().failed_with(255, &["exec /bin/script: no such file or directory"]);
    // As from the program itself: no line of the log.
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    assert!(outcome.stderr.starts_with("exec "), "{outcome:?}");
    bundle.process().args = vec!["garbage".into()];
    let _ = bundle.run().failed_with(255, &["exec /bin/garbage: exec format error"]);
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

#[test]
fn a_wrong_type_is_reported_with_its_field_and_its_place() {
    let bundle = Bundle::new("true");
    let path = bundle.path().display().to_string();
    let config = bundle.path().join("config.json");
    for (text, parts) in [
        ("{\n \"process\": {\n  \"args\": \"sh\"\n }\n}", ["process.args: ", "line 3 column 14"]),
        ("{\"mounts\": [{\"destination\": \"/a\"}, 7]}", ["mounts[1]: ", "line 1 column"]),
        (
            "{\"linux\": {\"resources\": {\"memory\": {\"limit\": \"1G\"}}}}",
            ["linux.resources.memory.limit: ", "line 1"],
        ),
        ("{\"root\": 7}", ["root: ", "line 1"]),
        ("{\n\"root\": [\"rootfs\"]}", ["root: invalid type: sequence", "line 2 column 8"]),
    ] {
        fs::write(&config, text).unwrap();
        for command in ["run", "create"] {
            let outcome = bundle.call(&[command, "--bundle", &path, &bundle.id]);
            outcome.failed_with(1, &[&[config.to_str().unwrap()], &parts[..]].concat());
        }
        bundle.left_nothing();
    }
}

#[test]
fn a_namespace_path_of_the_wrong_kind_is_refused() {
    let path = |kind: NamespaceType, path: &str| {
        let path = path.to_owned();
        move |bundle: &mut Bundle| bundle.namespace(kind, Some(Some(path.clone())))
    };
    refused(&[
        (
            &path(NamespaceType::Uts, "/proc/self/ns/net"),
            &["linux.namespaces[5].path: /proc/self/ns/net", "another kind"],
        ),
        (
            &path(NamespaceType::Network, "/etc/passwd"),
            &["linux.namespaces[5].path: /etc/passwd", "not a namespace"],
        ),
        (&path(NamespaceType::Ipc, "/no/such"), &["linux.namespaces[5].path: /no/such", "no such file"]),
        (&path(NamespaceType::Pid, "/proc/self/ns/mnt"), &["linux.namespaces[5].path", "another kind"]),
    ]);
}

#[test]
fn limits_that_the_kernel_refuses_are_named() {
    let memory = Memory { swappiness: Some(5000), ..Memory::default() };
    let cpus = Cpu { cpus: Some("4000".into()), ..Cpu::default() };
    let huge = HugepageLimit { page_size: "3MB".into(), limit: 1 };
    let limit = |kind: &str, soft, hard| {
        let limit = Rlimit { kind: kind.into(), soft, hard };
        move |bundle: &mut Bundle| bundle.process().rlimits = vec![limit.clone()]
    };
    refused(&[
        (
            &resources(Resources { cpu: Some(cpus), ..Resources::default() }),
            &["linux.resources.cpu.cpus", "4000"],
        ),
        (
            &resources(Resources { memory: Some(memory), ..Resources::default() }),
            &["linux.resources.memory.swappiness"],
        ),
        (
            &resources(Resources { hugepage_limits: vec![huge], ..Resources::default() }),
            &["linux.resources.hugepageLimits"],
        ),
        (&limit("RLIMIT_NOFILE", 20, 10), &["process.rlimits[0]", "RLIMIT_NOFILE"]),
        (&limit("RLIMIT_NONSENSE", 1, 1), &["process.rlimits[0].type", "RLIMIT_NONSENSE"]),
        (&|bundle| bundle.process().oom_score_adj = Some(5000), &["process.oomScoreAdj", "5000"]),
    ]);
}

#[test]
fn what_only_the_kernel_can_refuse_is_named_and_leaves_nothing() {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| {
        let words = [destination, kind, source].map(str::to_owned);
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        move |bundle: &mut Bundle| {
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            bundle.mount(&words[0], &words[1], &words[2], &options);
        }
    };
    let device = |bundle: &mut Bundle| {
        let kind = DeviceType::Character;
        let device = Device { kind, path: "/dev/x".into(), major: -1, minor: 0, ..Device::default() };
        bundle.linux().devices = vec![device];
    };
    let sysctl = |bundle: &mut Bundle| {
        bundle.linux().sysctl.insert("net.ipv4.no_such_parameter".into(), "1".into());
    };
    let mapping = |bundle: &mut Bundle| {
        bundle.namespace(NamespaceType::User, Some(None));
        let map = IdMapping { container_id: 0, host_id: u32::MAX, size: 5 };
        (bundle.linux().uid_mappings, bundle.linux().gid_mappings) = (vec![map], vec![map]);
    };
    let hook = |bundle: &mut Bundle| {
        let hook = Hook { path: "/no/such/hook".into(), ..Hook::default() };
        bundle.spec.hooks = Some(Hooks { create_runtime: vec![hook], ..Hooks::default() });
    };
    refused(&[
        (&mount("/x", "no-such-fs", "none", &[]), &["mounts[4] (/x)", "no-such-fs"]),
        (
            &mount("/x", "bind", "/no/such/source", &["bind"]),
            &["mounts[4]", "source", "/no/such/source", "no such file"],
        ),
        (&mount("/x", "tmpfs", "tmpfs", &["size=nonsense"]), &["mounts[4] (/x)", "size"]),
        (&device, &["linux.devices[0]", "/dev/x"]),
        (&sysctl, &["linux.sysctl[", "net.ipv4.no_such_parameter", "no such file"]),
        (&mapping, &["linux.uidMappings"]),
        (&hook, &["hooks.createRuntime[0]", "/no/such/hook"]),
        (&|bundle| bundle.spec.hostname = Some("x".repeat(65)), &["hostname"]),
        (&|bundle| bundle.process().cwd = "/etc/passwd".into(), &["process.cwd", "/etc/passwd"]),
        (&|bundle| bundle.process().user.uid = u32::MAX, &["process.user.uid"]),
        (
            &|bundle| bundle.linux().sysctl = [("net/../kernel/hostname".into(), "x".into())].into(),
            &["linux.sysctl", "is not the name"],
        ),
        (&|bundle| fs::remove_dir_all(bundle.rootfs()).unwrap(), &["root.path", "no such file"]),
        (
            &|bundle| bundle.spec.root.as_mut().unwrap().path = "config.json".into(),
            &["root.path", "not a directory"],
        ),
        (&|bundle| bundle.process().args = vec!["/nope".into()], &["stat /nope: no such file or directory"]),
    ]);
}
