//! New and joined namespaces, id mappings, clocks, names.

use crate::bundle::Bundle;
use minke_model::runtime_spec::{IdMapping, NamespaceType, TimeOffset};
use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

fn host_namespace(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string()
}

/// Gives the container a user namespace of its own, whose root owns the root file system.
pub(crate) fn map(bundle: &mut Bundle) {
    let range = vec![IdMapping { container_id: 0, host_id: 200_000, size: 65536 }];
    bundle.namespace(NamespaceType::User, Some(None));
    bundle.linux().uid_mappings = range.clone();
    bundle.linux().gid_mappings = range;
    // What maps to the container's root must own the root.
    for entry in walk(bundle.rootfs()) {
        std::os::unix::fs::lchown(entry, Some(200_000), Some(200_000)).unwrap();
    }
    // The mapped root has to get there.
    std::os::unix::fs::chown(bundle.path(), Some(200_000), None).unwrap();
}

fn walk(dir: PathBuf) -> Vec<PathBuf> {
    let mut found = vec![dir.clone()];
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(walk(entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

const NAMES: [&str; 8] = ["pid", "net", "mnt", "ipc", "uts", "user", "cgroup", "time"];

#[test]
fn all_eight_namespaces_can_be_new() {
    let mut bundle =
        Bundle::new("for n in pid net mnt ipc uts user cgroup time; do readlink /proc/self/ns/$n; done");
    bundle.namespace(NamespaceType::Time, Some(None));
    map(&mut bundle);
    let outcome = bundle.run().succeeded();
    for (name, link) in NAMES.iter().zip(outcome.lines()) {
        assert_ne!(link, host_namespace(name));
    }
}

#[test]
fn namespaces_that_are_not_named_are_the_hosts() {
    let mut bundle = Bundle::new("for n in pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done");
    for kind in NamespaceType::ALL {
        bundle.namespace(kind, (kind == NamespaceType::Mount).then_some(None));
    }
    // Only the owner of the network namespace may mount a sysfs: the host's root is.
    let outcome = bundle.run().succeeded();
    for (name, link) in ["pid", "net", "ipc", "uts", "cgroup"].iter().zip(outcome.lines()) {
        assert_eq!(link, host_namespace(name));
    }
}

#[test]
fn a_user_namespace_maps_ids_and_gets_devices_and_limits() {
    let mut bundle = Bundle::new(
        "id -u; cat /proc/self/uid_map | tr -s ' '; touch /tmp/made; echo x >/dev/null && stat -c %t:%T /dev/null; \
         cat /proc/self/oom_score_adj; ulimit -n; mount | grep -c ' /dev/null '",
    );
    bundle.process().oom_score_adj = Some(500);
    bundle.process().rlimits =
        vec![minke_model::runtime_spec::Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 77, hard: 88 }];
    map(&mut bundle);
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines(), ["0", " 0 200000 65536", "1:3", "500", "77", "1"]);
    assert_eq!(fs::metadata(bundle.rootfs().join("tmp/made")).unwrap().uid(), 200_000);
}

#[test]
fn a_container_joins_the_namespaces_of_another() {
    let mut first = Bundle::new("");
    first.spec.hostname = Some("first".into());
    first.start_sleeping();
    let pid = first.pid();
    let mut second = Bundle::new(
        "hostname; for n in net ipc uts pid; do readlink /proc/self/ns/$n; done; ps | grep -c 'sleep 1000'",
    );
    for kind in [NamespaceType::Network, NamespaceType::Ipc, NamespaceType::Uts, NamespaceType::Pid] {
        second.namespace(kind, Some(Some(format!("/proc/{pid}/ns/{}", kind.proc_name()))));
    }
    let outcome = second.run().succeeded();
    let link = |name| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string();
    assert_eq!(outcome.lines()[..5], ["first", &link("net"), &link("ipc"), &link("uts"), &link("pid")]);
    assert_ne!(outcome.lines()[5], "0");
}

#[test]
fn a_container_joins_a_user_namespace_that_owns_its_new_ones() {
    let mut first = Bundle::new("");
    map(&mut first);
    first.start_sleeping();
    let pid = first.pid();
    let user = fs::read_link(format!("/proc/{pid}/ns/user")).unwrap().display().to_string();
    // Its ids may be told again, as podman does for pods, but not differently.
    for maps_again in [false, true] {
        let mut second =
            Bundle::new("readlink /proc/self/ns/user; id -u; hostname; cat /proc/self/oom_score_adj");
        map(&mut second);
        if !maps_again {
            second.linux().uid_mappings.clear();
            second.linux().gid_mappings.clear();
        }
        second.spec.hostname = Some("second".into());
        second.process().oom_score_adj = Some(500);
        second.namespace(NamespaceType::User, Some(Some(format!("/proc/{pid}/ns/user"))));
        let outcome = second.run().succeeded();
        assert_eq!(outcome.lines(), [&user, "0", "second", "500"]);
        if maps_again {
            second.linux().gid_mappings[0].size = 1;
            second.run().failed_with(1, &["linux.gidMappings: the user namespace that is joined has others"]);
        }
    }
}

#[test]
fn a_network_namespace_may_be_an_inherited_descriptor() {
    let mut first = Bundle::new("");
    first.start_sleeping();
    let mut second = Bundle::new("readlink /proc/self/ns/net");
    second.namespace(NamespaceType::Network, Some(Some("/proc/self/fd/7".into())));
    second.write_config();
    let line = format!(
        "exec 7</proc/{}/ns/net; exec {} --root {} run --bundle {} {}",
        first.pid(),
        minke_testkit::runtime(),
        second.state_root().display(),
        second.path().display(),
        second.id
    );
    let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    let net = fs::read_link(format!("/proc/{}/ns/net", first.pid())).unwrap().display().to_string();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        net,
        "{:?}",
        String::from_utf8(output.stderr)
    );
}

#[test]
fn a_namespace_of_the_wrong_kind_is_refused() {
    let mut bundle = Bundle::new("true");
    bundle.namespace(NamespaceType::Network, Some(Some("/proc/self/ns/uts".into())));
    bundle.run().failed_with(1, &["linux.namespaces[5].path", "namespace of another kind"]);
    bundle.namespace(NamespaceType::Network, Some(Some("/no/such".into())));
    bundle.run().failed_with(1, &["linux.namespaces[5].path: /no/such", "no such file"]);
    bundle.left_nothing();
}

#[test]
fn clocks_of_a_time_namespace_are_offset() {
    let mut bundle =
        Bundle::new("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets | tr -s ' ' | grep boottime");
    bundle.namespace(NamespaceType::Time, Some(None));
    let offset = TimeOffset { secs: 1_000_000, nanosecs: 0 };
    bundle.linux().time_offsets.insert("boottime".into(), offset);
    let outcome = bundle.run().succeeded();
    assert!(outcome.lines()[0].parse::<u64>().unwrap() > 1_000_000);
    assert_eq!(outcome.lines()[1], "boottime 1000000 0");
}

#[test]
fn names_parameters_and_the_loopback_interface_are_set() {
    let mut bundle = Bundle::new(
        "hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni; \
         cat /sys/class/net/lo/flags",
    );
    bundle.spec.hostname = Some("inside".into());
    bundle.spec.domainname = Some("example.net".into());
    bundle.linux().sysctl.insert("net.ipv4.ip_forward".into(), "1".into());
    bundle.linux().sysctl.insert("kernel.shmmni".into(), "123".into());
    let outcome = bundle.run().succeeded();
    assert_eq!(outcome.lines(), ["inside", "example.net", "1", "123", "0x9"]);
}
