//! Limits of a container, and how it sees its cgroups. What each limit writes is tested in the kernel crate.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{DeviceRule, Memory, NamespaceType, Pids, Resources};
use std::fs;

fn limited() -> Bundle {
    let mut bundle = Bundle::new("");
    bundle.linux().resources = Some(Resources {
        memory: Some(Memory { limit: Some(64 << 20), ..Memory::default() }),
        pids: Some(Pids { limit: Some(20) }),
        devices: vec![DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() }],
        ..Resources::default()
    });
    bundle
}

fn limit(bundle: &Bundle, v1: &str, v2: &str) -> String {
    let groups = bundle.cgroups();
    let found = groups.iter().find_map(|group| {
        fs::read_to_string(group.join(v1)).or_else(|_| fs::read_to_string(group.join(v2))).ok()
    });
    found.expect("the limit's file exists").trim().to_owned()
}

#[test]
fn limits_are_set_updated_and_gone_with_the_container() {
    let mut bundle = limited();
    bundle.start_sleeping();
    assert_eq!(limit(&bundle, "memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    bundle.call(&["update", "--memory", "134217728", "--pids-limit", "30", &bundle.id]).succeeded();
    assert_eq!(limit(&bundle, "memory.limit_in_bytes", "memory.max"), (128 << 20).to_string());
    assert_eq!(limit(&bundle, "pids.max", "pids.max"), "30");
    bundle.call(&["delete", "-f", &bundle.id]).succeeded();
    bundle.left_nothing();
}

/// What makes the container is not charged to it, or next to nothing.
#[test]
fn a_mebibyte_is_enough_to_start_with() {
    let mut bundle = limited();
    let resources = bundle.linux().resources.as_mut().unwrap();
    resources.memory = Some(Memory { limit: Some(1 << 20), swap: Some(1 << 20), ..Memory::default() });
    bundle.script("true");
    bundle.run().succeeded();
    bundle.left_nothing();
}

#[test]
fn devices_that_are_not_allowed_cannot_be_opened() {
    let mut bundle = limited();
    bundle.script("echo x >/dev/null && echo null; mknod /tmp/fuse c 10 229; cat /tmp/fuse 2>&1");
    let outcome = bundle.run();
    assert_eq!(outcome.lines()[0], "null");
    assert!(outcome.lines()[1].contains("Operation not permitted"), "{outcome:?}");
}

#[test]
fn the_container_sees_its_own_groups_with_and_without_a_namespace() {
    let mut bundle = limited();
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]);
    bundle.script("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; touch /sys/fs/cgroup/x 2>&1");
    for namespace in [Some(None), None] {
        bundle.namespace(NamespaceType::Cgroup, namespace);
        let outcome = bundle.run();
        assert_eq!(outcome.lines()[0], (64 << 20).to_string(), "{outcome:?}");
        assert!(outcome.lines()[1].contains("Read-only file system"), "{outcome:?}");
    }
}

#[test]
fn a_limit_that_the_kernel_refuses_is_named_and_leaves_nothing() {
    let mut bundle = limited();
    bundle.linux().resources.as_mut().unwrap().memory.as_mut().unwrap().swappiness = Some(1000);
    let outcome = bundle.run();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("swappiness"), "{outcome:?}");
    bundle.left_nothing();
}

#[test]
fn a_container_killed_for_memory_exits_with_its_signal() {
    let mut bundle = limited();
    bundle.linux().resources.as_mut().unwrap().memory.as_mut().unwrap().limit = Some(8 << 20);
    bundle.script("x=aaaaaaaa; while :; do x=$x$x; done");
    assert_eq!(bundle.run().code, Some(137));
    bundle.left_nothing();
}
