//! Control groups as a way out: the release agent, and hierarchies that are writable.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{IdMapping, NamespaceType};
use std::path::Path;

/// CVE-2022-0492: release_agent needs a writable v1 hierarchy and CAP_SYS_ADMIN.
#[test]
fn a_release_agent_cannot_be_set() {
    let mut bundle = Bundle::new(
        "mkdir /tmp/c; mount -t cgroup -o memory c /tmp/c 2>&1; echo /x 2>&1 >/sys/fs/cgroup/memory/release_agent",
    );
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    let outcome = bundle.run();
    assert_ne!(outcome.code, Some(0));
    assert!(
        outcome.stdout.contains("permission denied") || outcome.stdout.contains("not permitted"),
        "{outcome:?}"
    );
}

/// CVE-2022-0492 again: not in namespaces that the container makes for itself either. The control has the right to.
#[test]
fn a_release_agent_cannot_be_set_from_new_namespaces() {
    let hierarchy = format!("minke-test-{}", std::process::id());
    let set = format!(
        "mkdir -p /tmp/c && mount -t cgroup -o none,name={hierarchy} c /tmp/c && \
         echo /evil >/tmp/c/release_agent && cat /tmp/c/release_agent"
    );
    let mut bundle = Bundle::new("");
    bundle.script(&format!("busybox unshare -r -m -C sh -c '{set}' 2>&1; echo done"));
    let outcome = bundle.run().succeeded();
    assert!(outcome.stdout.ends_with("done\n") && !outcome.stdout.contains("/evil"), "{outcome:?}");
    if !Path::new("/sys/fs/cgroup/memory").exists() {
        return; // the kernel may have no v1 at all
    }
    super::all_capabilities(&mut bundle);
    bundle.namespace(NamespaceType::Cgroup, None);
    bundle.script(&set);
    assert_eq!(bundle.run().succeeded().stdout, "/evil\n");
}

/// CVE-2023-25809: root of a user namespace, without a cgroup namespace, with the host's /sys bound read-only. The ids are
/// the host's, so that only the mounts stand between it and all groups.
#[test]
fn groups_of_the_host_are_not_writable_below_a_bound_sys() {
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/escape 2>/dev/null && echo $d && \
                  busybox rmdir $d/escape; done; echo done";
    let mut bundle = Bundle::new(script);
    bundle.namespace(NamespaceType::User, Some(None));
    bundle.namespace(NamespaceType::Cgroup, None);
    let map = IdMapping { container_id: 0, host_id: 0, size: 65536 };
    (bundle.linux().uid_mappings, bundle.linux().gid_mappings) = (vec![map], vec![map]);
    bundle.spec.mounts.retain(|mount| mount.destination != "/sys");
    bundle.mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]);
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]);
    assert_eq!(bundle.run().succeeded().stdout, "done\n");
    // The control: writable, it shows that the script does write, though only in the container's own group.
    bundle.spec.mounts.pop();
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime"]);
    let outcome = bundle.run().succeeded();
    assert!(outcome.lines().len() > 1, "{outcome:?}");
    bundle.left_nothing();
}
