//! Hooks: order, namespaces, state, failure.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{Hook, Hooks};
use std::fs;

fn hook(script: &str) -> Vec<Hook> {
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    vec![Hook { path: "/bin/sh".into(), args, env: vec!["PATH=/bin:/usr/bin".into()], timeout: Some(10) }]
}

#[test]
fn hooks_run_in_order_with_the_state_they_are_promised() {
    let mut bundle = Bundle::new("true");
    let log = bundle.path().join("log").display().to_string();
    fs::write(bundle.rootfs().join("log"), "").unwrap();
    // Each notes its name, the status it was given, and whether it sees the host's files.
    let note = |name: &str, log: &str| {
        let status = "sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/'";
        hook(&format!("echo {name} $({status}) $([ -e {log} ] && echo host) >>{log}"))
    };
    bundle.spec.hooks = Some(Hooks {
        prestart: note("prestart", &log),
        create_runtime: note("createRuntime", &log),
        create_container: note("createContainer", &log),
        start_container: note("startContainer", "/log"),
        poststart: note("poststart", &log),
        poststop: note("poststop", &log),
    });
    fs::write(&log, "").unwrap();
    bundle.run().succeeded();
    let expected = "prestart creating host\ncreateRuntime creating host\ncreateContainer creating host\n\
                    poststart running host\npoststop stopped host\n";
    assert_eq!(fs::read_to_string(&log).unwrap(), expected);
    assert_eq!(fs::read_to_string(bundle.rootfs().join("log")).unwrap(), "startContainer created host\n");
}

#[test]
fn hooks_of_the_runtime_are_outside_and_those_of_the_container_inside_its_namespaces() {
    let mut bundle = Bundle::new("true");
    let log = bundle.path().join("log").display().to_string();
    let note = |log: &str| hook(&format!("readlink /proc/self/ns/uts >>{log}"));
    bundle.spec.hooks =
        Some(Hooks { create_runtime: note(&log), create_container: note(&log), ..Hooks::default() });
    bundle.run().succeeded();
    let text = fs::read_to_string(&log).unwrap();
    let own = fs::read_link("/proc/self/ns/uts").unwrap().display().to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], own);
    assert_ne!(lines[1], own);
}

#[test]
fn a_hook_that_fails_undoes_the_container_and_is_quoted() {
    for stage in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        let mut bundle = Bundle::new("sleep 1000");
        let failing = hook("echo no luck >&2; exit 4");
        let mut hooks = Hooks::default();
        match stage {
            "prestart" => hooks.prestart = failing,
            "createRuntime" => hooks.create_runtime = failing,
            "createContainer" => hooks.create_container = failing,
            "startContainer" => hooks.start_container = failing,
            _ => hooks.poststart = failing,
        }
        bundle.spec.hooks = Some(hooks);
        bundle.run().failed_with(1, &[&format!("hooks.{stage}[0]"), "no luck"]);
        bundle.left_nothing();
    }
}

/// The hook's program is the image's: it must not run with the rights that the runtime still has.
#[test]
fn a_hook_in_the_container_is_as_restricted_as_its_program() {
    let mut bundle = Bundle::new("grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status");
    let process = bundle.process();
    process.no_new_privileges = true;
    process.capabilities = Some(minke_model::runtime_spec::Capabilities::default());
    let linux = bundle.spec.linux.as_mut().unwrap();
    linux.seccomp = Some(
        serde_json::from_str(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["acct"],"action":"SCMP_ACT_ERRNO"}]}"#,
        )
        .unwrap(),
    );
    let script = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status >&2; exit 1";
    let own = bundle.run().stdout;
    assert!(own.contains("NoNewPrivs:\t1\n") && own.contains("Seccomp:\t2\n"), "{own}");
    bundle.spec.hooks = Some(Hooks { start_container: hook(script), ..Hooks::default() });
    bundle.run().failed_with(1, &[own.trim().replace('\n', "; ").replace('\t', "\\t").as_str()]);
}

#[test]
fn a_hook_finds_the_containers_network_namespace_by_its_pid() {
    let mut bundle = Bundle::new("ls /sys/class/net | sort");
    let script = "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); [ $(readlink /proc/$pid/ns/net) != $(readlink /proc/self/ns/net) ]";
    bundle.spec.hooks = Some(Hooks { create_runtime: hook(script), ..Hooks::default() });
    bundle.run().succeeded();
}

/// Specification, "Lifecycle", steps 9, 12 and 13.
#[test]
fn a_poststart_hook_that_fails_at_start_ends_and_removes_the_container() {
    let mut bundle = Bundle::new("sleep 1000");
    let log = bundle.path().join("log").display().to_string();
    bundle.spec.hooks = Some(Hooks {
        poststart: hook("echo no luck >&2; exit 4"),
        poststop: hook(&format!("cat >{log}")),
        ..Hooks::default()
    });
    bundle.create().succeeded();
    bundle.on("start").failed_with(1, &["hooks.poststart[0]", "no luck"]);
    assert!(fs::read_to_string(&log).unwrap().contains("\"status\":\"stopped\""), "poststop hooks are run");
    bundle.on("state").failed_with(1, &["container does not exist"]);
    bundle.left_nothing();
}
