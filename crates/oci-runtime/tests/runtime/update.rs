//! `update`: each limit of a running container, by flag and as JSON, and what is remembered.

use crate::bundle::{Bundle, Outcome};
use minke_model::runtime_spec::{Memory, Resources};
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// The group's file: the first that exists of v1's and v2's.
fn file(bundle: &Bundle, names: &[&str]) -> Option<PathBuf> {
    let pid = bundle.pid();
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // The mount point of each hierarchy with the group's path below it.
    let groups = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let options = controllers.split(',').next()?;
        let mount = mounts.lines().find(|mount| match controllers {
            "" => mount.contains(" - cgroup2 "),
            _ => mount.contains(" - cgroup ") && mount.rsplit([' ', ',']).any(|option| option == options),
        })?;
        Some(PathBuf::from(mount.split(' ').nth(4)?).join(path.trim_start_matches('/')))
    });
    groups.flat_map(|group| names.iter().map(move |name| group.join(name))).find(|path| path.exists())
}

#[track_caller]
fn assert_limit(bundle: &Bundle, names: &[&str], wanted: &[&str]) {
    let path = file(bundle, names).unwrap_or_else(|| panic!("none of {names:?}"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(wanted.contains(&text.trim()), "{}: {text:?}, want one of {wanted:?}", path.display());
}

fn update(bundle: &Bundle, flags: &[&str]) -> Outcome {
    bundle.call(&[&["update"], flags, &[&bundle.id]].concat())
}

#[test]
fn each_flag_changes_its_limit() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    update(&bundle, &["--memory", "64m", "--memory-reservation", "32M"]).succeeded();
    assert_limit(&bundle, &["memory.limit_in_bytes", "memory.max"], &["67108864"]);
    assert_limit(&bundle, &["memory.soft_limit_in_bytes", "memory.low"], &["33554432"]);
    update(&bundle, &["--memory-swap", "128MiB"]).succeeded();
    assert_limit(&bundle, &["memory.memsw.limit_in_bytes", "memory.swap.max"], &["134217728", "67108864"]);
    update(&bundle, &["--memory", "-1"]).succeeded();
    assert_limit(&bundle, &["memory.limit_in_bytes", "memory.max"], &["9223372036854771712", "max"]);
    update(&bundle, &["--cpu-period", "50000", "--cpu-quota", "20000"]).succeeded();
    assert_limit(&bundle, &["cpu.cfs_quota_us", "cpu.max"], &["20000", "20000 50000"]);
    update(&bundle, &["--cpu-quota", "30000"]).succeeded();
    assert_limit(&bundle, &["cpu.cfs_quota_us", "cpu.max"], &["30000", "30000 50000"]);
    update(&bundle, &["--cpu-burst", "10000"]).succeeded();
    assert_limit(&bundle, &["cpu.cfs_burst_us", "cpu.max.burst"], &["10000"]);
    update(&bundle, &["--cpu-share", "2048"]).succeeded();
    assert_limit(&bundle, &["cpu.shares", "cpu.weight"], &["2048", "174"]);
    update(&bundle, &["--cpu-idle", "1"]).succeeded();
    assert_limit(&bundle, &["cpu.idle"], &["1"]);
    update(&bundle, &["--cpuset-cpus", "0", "--cpuset-mems", "0"]).succeeded();
    assert_limit(&bundle, &["cpuset.cpus"], &["0"]);
    update(&bundle, &["--pids-limit", "77"]).succeeded();
    assert_limit(&bundle, &["pids.max"], &["77"]);
    update(&bundle, &["--pids-limit", "-1"]).succeeded();
    assert_limit(&bundle, &["pids.max"], &["max"]);
}

#[test]
fn limits_come_as_json_from_a_file_or_standard_input_and_devices_are_left_alone() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    let json = r#"{"pids":{"limit":33},"devices":[{"allow":false,"access":"rwm"}],"cpu":{"shares":512}}"#;
    let path = bundle.path().join("resources.json");
    fs::write(&path, json).unwrap();
    update(&bundle, &["--resources", path.to_str().unwrap()]).succeeded();
    assert_limit(&bundle, &["pids.max"], &["33"]);
    assert_eq!(bundle.exec("echo x >/dev/null && echo null").succeeded().stdout, "null\n");
    let mut child: Command = bundle.command(&["update", "-r", "-", &bundle.id]);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"pids":{"limit":44}}"#).unwrap();
    assert!(child.wait().unwrap().success());
    assert_limit(&bundle, &["pids.max"], &["44"]);
    fs::write(&path, r#"{"pids":{"limit":"many"}}"#).unwrap();
    update(&bundle, &["-r", path.to_str().unwrap()]).failed_with(1, &["resources.json", "pids.limit"]);
}

#[test]
fn an_update_of_memory_builds_on_the_configuration_and_on_earlier_updates() {
    let mut bundle = Bundle::new("");
    let memory = Memory { limit: Some(64 << 20), swap: Some(128 << 20), ..Memory::default() };
    bundle.linux().resources = Some(Resources { memory: Some(memory), ..Resources::default() });
    bundle.start_sleeping();
    let swap = ["memory.memsw.limit_in_bytes", "memory.swap.max"];
    // Memory and swap together stay what they are: on v2 the file is about swap alone.
    update(&bundle, &["--memory", "96m"]).succeeded();
    assert_limit(&bundle, &swap, &["134217728", "33554432"]);
    update(&bundle, &["--memory-swap", "192m"]).succeeded();
    assert_limit(&bundle, &swap, &["201326592", "100663296"]);
    let outcome = update(&bundle, &["--memory", "256m"]);
    outcome.failed_with(1, &["linux.resources.memory.swap"]);
    assert_limit(&bundle, &["memory.limit_in_bytes", "memory.max"], &["100663296"]);
}

#[test]
fn an_update_that_is_refused_leaves_all_as_it_was() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    update(&bundle, &["--memory", "64m", "--cpu-share", "512", "--pids-limit", "33"]).succeeded();
    let shares = (["cpu.shares", "cpu.weight"], ["512", "59"]);
    assert_limit(&bundle, &shares.0, &shares.1);
    // No machine has that many processors.
    let flags = ["--memory", "96m", "--cpu-share", "2048", "--pids-limit", "44", "--cpuset-cpus", "0-4000"];
    update(&bundle, &flags).failed_with(1, &["linux.resources.cpu.cpus", "0-4000"]);
    assert_limit(&bundle, &["pids.max"], &["33"]);
    assert_limit(&bundle, &shares.0, &shares.1);
    assert_limit(&bundle, &["memory.limit_in_bytes", "memory.max"], &["67108864"]);
}

#[test]
fn wrong_values_and_wrong_states_are_named() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    update(&bundle, &["--memory", "lots"]).failed_with(1, &["invalid value for memory", "lots"]);
    update(&bundle, &["--cpu-quota", "1.5"]).failed_with(1, &["invalid value for cpu-quota"]);
    update(&bundle, &["--l3-cache-schema", "x"]).failed_with(1, &["Intel RDT/CAT"]);
    update(&bundle, &["--mem-bw-schema", "x"]).failed_with(1, &["Intel RDT/MBA"]);
    let outcome = update(&bundle, &["--kernel-memory", "1m"]).succeeded();
    assert!(outcome.stderr.contains("ignored"), "{outcome:?}");
    bundle.call(&["kill", &bundle.id, "KILL"]).succeeded();
    bundle.wait_for("stopped");
    update(&bundle, &["--memory", "64m"]).failed_with(1, &["container not running"]);
}
