//! What runtime-tools' `validation`, youki's `contest` and runc's own tests taught, each as a test of our own.

use crate::bundle::Bundle;
use minke_kernel::cgroup::{Cgroup, Layout};
use minke_model::runtime_spec::{
    Capabilities, ExecCpuAffinity, Hook, Hooks, Namespace, NamespaceType, NetDevice,
};
use std::{
    fs,
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Stdio},
};

fn shell(script: &str, env: &[&str]) -> Hook {
    Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: env.iter().map(|entry| (*entry).to_owned()).collect(),
        timeout: None,
    }
}

fn namespace_of(pid: i32, kind: NamespaceType) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{}", kind.proc_name())).unwrap().display().to_string()
}

fn mounts_below(path: &Path) -> usize {
    let path = path.display().to_string();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(&path))).count()
}

/// The specification: a kind of namespace that isn't listed is inherited, mounts too.
#[test]
fn without_namespaces_the_container_has_the_runtimes_and_leaves_no_mount() {
    let mut bundle = Bundle::new("true");
    bundle.linux().namespaces.clear();
    bundle.spec.mounts.retain(|mount| mount.destination != "/sys");
    bundle.start_sleeping();
    let own = std::process::id() as i32;
    for kind in NamespaceType::ALL {
        assert_eq!(namespace_of(bundle.pid(), kind), namespace_of(own, kind), "{kind}");
    }
    assert!(mounts_below(&bundle.rootfs()) > 1);
    // A process that is added sees the container's root and not the host's.
    let seen = bundle.exec("ls -d /bin/busybox /rootfs; cat /proc/mounts | grep -c ' /proc '").stdout;
    assert!(seen.starts_with("/bin/busybox\n"), "{seen}");
    assert!(bundle.exec("test -e /usr").code != Some(0));
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    bundle.left_nothing();
}

#[test]
fn a_creation_without_namespaces_that_fails_takes_its_mounts_back() {
    let mut bundle = Bundle::new("true");
    bundle.linux().namespaces.clear();
    bundle.process().args = vec!["/no/such/program".into()];
    bundle.create().failed_with(1, &["/no/such/program"]);
    bundle.left_nothing();
    bundle.linux().masked_paths = vec!["/proc/keys".into()];
    bundle.create().failed_with(1, &["linux.namespaces", "maskedPaths"]);
}

#[test]
fn a_mount_namespace_that_exists_gets_the_containers_root() {
    let mut holder = Command::new("unshare").args(["--mount", "sleep", "1000"]).spawn().unwrap();
    let pid = holder.id() as i32;
    let own = namespace_of(std::process::id() as i32, NamespaceType::Mount);
    crate::bundle::wait_until("namespace", || {
        fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|link| link.display().to_string() != own)
    });
    let mut bundle = Bundle::new("true");
    bundle.namespace(NamespaceType::Mount, Some(Some(format!("/proc/{pid}/ns/mnt"))));
    bundle.start_sleeping();
    let joined = namespace_of(bundle.pid(), NamespaceType::Mount);
    let outside = namespace_of(pid, NamespaceType::Mount);
    let root = bundle.exec("test ! -e /usr && echo container").stdout;
    bundle.call(&["delete", "--force", &bundle.id]).succeeded();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(joined, outside);
    assert_eq!(root, "container\n");
    bundle.left_nothing();
}

/// pivot_root(2) refuses a root whose parent is shared, as `/` is on most hosts.
#[test]
fn a_shared_root_works_on_a_host_whose_mounts_are_shared() {
    let mut bundle = Bundle::new("grep -c ' / / .* shared:' /proc/self/mountinfo; true");
    bundle.linux().rootfs_propagation = Some("shared".into());
    bundle.write_config();
    let runtime = bundle.command(&[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "shared"]).arg(runtime.get_program()).args(runtime.get_args());
    command.args(["run", "--bundle"]).arg(bundle.path()).arg(&bundle.id).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    bundle.left_nothing();
}

#[test]
fn of_several_values_for_a_variable_the_last_counts() {
    let mut bundle = Bundle::new("env");
    bundle.process().env.extend(["A=spec", "HOME=", "A=later"].map(str::to_owned));
    let outcome = bundle.run().succeeded();
    assert_eq!(
        outcome.lines().iter().filter(|line| line.starts_with("A=")).collect::<Vec<_>>(),
        [&"A=later"]
    );
    assert!(outcome.lines().contains(&"HOME=/root"), "{outcome:?}");
    bundle.start_sleeping();
    let outcome = bundle.call(&["exec", "--env", "A=flag", &bundle.id, "env"]).succeeded();
    assert_eq!(outcome.lines().iter().filter(|line| line.starts_with("A=")).collect::<Vec<_>>(), [&"A=flag"]);
}

#[test]
fn a_hook_without_an_environment_inherits_one() {
    let mut bundle = Bundle::new("true");
    let log = bundle.path().join("log").display().to_string();
    fs::write(bundle.rootfs().join("log"), "").unwrap();
    bundle.process().env.push("OF=program".into());
    bundle.spec.hooks = Some(Hooks {
        create_runtime: vec![
            shell(&format!("echo \"$OF-$HOST\" >>{log}"), &[]),
            shell(&format!("echo \"$OF-$HOST\" >>{log}"), &["OF=hook"]),
        ],
        start_container: vec![shell("echo \"$OF-$HOST\" >>/log", &[])],
        ..Hooks::default()
    });
    bundle.write_config();
    let directory = bundle.path().display().to_string();
    let mut command = bundle.command(&["run", "--bundle", &directory, &bundle.id]);
    let output = command.env("HOST", "runtime").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "-runtime\nhook-\n");
    // What the host's caller has in its environment is none of the container's business.
    assert_eq!(fs::read_to_string(bundle.rootfs().join("log")).unwrap(), "program-\n");
}

/// The specification, "Lifecycle": a poststop hook that fails is a warning; the others run, and the deletion succeeds.
#[test]
fn a_poststop_hook_that_fails_is_a_warning() {
    let mut bundle = Bundle::new("true");
    let log = bundle.path().join("log").display().to_string();
    let poststop = vec![shell("echo no luck; exit 3", &[]), shell(&format!("echo second >>{log}"), &[])];
    bundle.spec.hooks = Some(Hooks { poststop, ..Hooks::default() });
    let outcome = bundle.run().succeeded();
    assert!(outcome.stderr.contains("level=warning"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("hooks.poststop[0]") && outcome.stderr.contains("no luck"),
        "{outcome:?}"
    );
    assert_eq!(fs::read_to_string(&log).unwrap(), "second\n");
    bundle.left_nothing();
}

/// The specification, "Lifecycle": after a hook that fails, the container is destroyed and poststop hooks run.
#[test]
fn poststop_hooks_run_after_a_creation_that_failed() {
    let mut bundle = Bundle::new("true");
    let log = bundle.path().join("log").display().to_string();
    bundle.spec.hooks = Some(Hooks {
        create_runtime: vec![shell("exit 3", &[])],
        poststop: vec![shell(&format!("sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/' >{log}"), &[])],
        ..Hooks::default()
    });
    bundle.create().failed_with(1, &["hooks.createRuntime[0]"]);
    assert_eq!(fs::read_to_string(&log).unwrap().trim_end(), "stopped");
    bundle.left_nothing();
}

#[test]
fn a_link_where_a_kernel_file_system_goes_is_refused_in_words_that_programs_know() {
    for name in ["proc", "sys"] {
        let bundle = Bundle::new("true");
        fs::remove_dir(bundle.rootfs().join(name)).unwrap();
        std::os::unix::fs::symlink("tmp", bundle.rootfs().join(name)).unwrap();
        bundle.run().failed_with(1, &["must be mounted on ordinary directory"]);
        bundle.left_nothing();
    }
}

#[test]
fn read_only_and_masked_paths_start_at_the_root_however_they_are_written() {
    let mut bundle = Bundle::new("touch /etc/x 2>/dev/null || echo read-only; cat /etc/passwd | wc -c");
    bundle.linux().readonly_paths = vec!["etc".into(), "no/such".into()];
    bundle.linux().masked_paths = vec!["etc/passwd".into()];
    assert_eq!(bundle.run().succeeded().lines(), ["read-only", "0"]);
}

#[test]
fn what_the_bounding_set_lacks_cannot_be_inherited_and_creation_says_so() {
    let mut bundle = Bundle::new("true");
    let some = vec!["CAP_CHOWN".to_owned()];
    bundle.process().capabilities =
        Some(Capabilities { inheritable: some.clone(), ..Capabilities::default() });
    bundle.create().failed_with(1, &["process.capabilities.inheritable", "operation not permitted"]);
    bundle.process().capabilities =
        Some(Capabilities { inheritable: some.clone(), bounding: some, ..Capabilities::default() });
    bundle.run().succeeded();
    bundle.left_nothing();
}

#[test]
fn an_unknown_capability_is_a_warning_in_runcs_words() {
    let mut bundle = Bundle::new("true");
    bundle.process().capabilities.get_or_insert_default().bounding.push("CAP_FLY".into());
    let outcome = bundle.run().succeeded();
    assert!(
        outcome.stderr.contains("ignoring unknown or unavailable capabilities: [CAP_FLY]"),
        "{outcome:?}"
    );
}

/// Whoever makes a container with a listener waits for the descriptor before it starts it.
#[test]
fn the_seccomp_listener_is_told_while_the_container_is_created() {
    let mut bundle = Bundle::new("true");
    let socket = bundle.path().join("listener");
    let listener = UnixListener::bind(&socket).unwrap();
    bundle.linux().seccomp = Some(
        serde_json::from_value(serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": socket,
            "listenerMetadata": "of the test",
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}],
        }))
        .unwrap(),
    );
    bundle.create().succeeded();
    listener.set_nonblocking(true).unwrap();
    let (connection, _) = listener.accept().unwrap();
    let message = minke_kernel::socket::receive(&connection).unwrap().unwrap();
    assert_eq!(message.descriptors.len(), 1);
    let told: serde_json::Value = serde_json::from_slice(&message.bytes).unwrap();
    assert_eq!(told["metadata"], "of the test");
    assert_eq!(told["pid"], bundle.pid());
    assert_eq!(told["state"]["id"], bundle.id);
    bundle.on("start").succeeded();
    bundle.wait_for("stopped");
}

#[test]
fn the_first_cpus_of_an_added_process_are_in_the_debug_log() {
    let mut bundle = Bundle::new("true");
    let affinity = ExecCpuAffinity { initial: Some("0".into()), last: Some("0".into()) };
    bundle.process().exec_cpu_affinity = Some(affinity);
    bundle.start_sleeping();
    let outcome =
        bundle.call(&["--debug", "exec", &bundle.id, "grep", "Cpus_allowed_list", "/proc/self/status"]);
    assert!(outcome.stderr.contains("level=debug msg=\"initial CPU affinity: 0x1\""), "{outcome:?}");
    assert_eq!(outcome.succeeded().stdout.trim_end(), "Cpus_allowed_list:\t0");
}

/// A network namespace with one end of a veth pair that moves, and its other end that stays.
struct Outside(std::process::Child);

impl Outside {
    fn new() -> Self {
        let script = "ip link set lo up && ip link add moves type veth peer name stays && ip link set stays up \
             && ip address add 192.0.2.7/24 dev moves && ip address add 2001:db8::7/64 dev moves nodad && echo made \
             && exec sleep 1000";
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", script]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
        assert_eq!(line, "made\n");
        Self(child)
    }

    /// A command in it.
    fn command(&self, program: &Command) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).arg(program.get_program());
        command.args(program.get_args()).stdin(Stdio::null());
        command
    }

    /// Runs a command in it to its end.
    fn run(&self, program: &Command, args: &[&str]) -> std::process::Output {
        self.command(program).args(args).output().unwrap()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn addresses_of(pid: i32) -> String {
    let mut command = Command::new("nsenter");
    command.args([&format!("--net=/proc/{pid}/ns/net"), "ip", "-oneline", "address"]);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_network_device_moves_in_with_its_lasting_addresses_and_is_up() {
    let outside = Outside::new();
    let mut bundle = Bundle::new("true");
    bundle.process().args = ["sleep", "1000"].map(str::to_owned).to_vec();
    bundle.linux().net_devices.insert("moves".into(), NetDevice { name: Some("inside".into()) });
    bundle.write_config();
    let directory = bundle.path().display().to_string();
    // `create`, whose output is the container's: a pipe would only close with it.
    let mut create = outside.command(&bundle.command(&[]));
    create.args(["create", "--bundle", &directory, &bundle.id]).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(create.status().unwrap().success());
    bundle.on("start").succeeded();
    let addresses = addresses_of(bundle.pid());
    assert!(addresses.contains("inside    inet 192.0.2.7/24"), "{addresses}");
    assert!(addresses.contains("inside    inet6 2001:db8::7/64"), "{addresses}");
    let up = bundle.exec("cat /sys/class/net/inside/operstate; cat /sys/class/net/inside/flags").stdout;
    assert!(up.starts_with("up\n"), "{up}");
    let left = outside.run(&Command::new("ip"), &["-oneline", "link"]);
    assert!(!String::from_utf8_lossy(&left.stdout).contains("moves"), "{left:?}");
}

#[test]
fn a_device_gets_a_number_where_asked_and_a_name_that_is_taken_is_refused() {
    let outside = Outside::new();
    let mut bundle = Bundle::new("ls /sys/class/net");
    let directory = bundle.path().display().to_string();
    let run = |bundle: &Bundle| {
        bundle.write_config();
        outside.run(&bundle.command(&[]), &["run", "--bundle", &directory, &bundle.id])
    };
    bundle.linux().net_devices.insert("moves".into(), NetDevice { name: Some("lo".into()) });
    let refused = String::from_utf8(run(&bundle).stderr).unwrap();
    assert!(refused.contains("linux.netDevices[\\\"moves\\\"]") && refused.contains("exists"), "{refused}");
    bundle.linux().net_devices.insert("moves".into(), NetDevice { name: Some("not a name".into()) });
    assert!(
        String::from_utf8(run(&bundle).stderr).unwrap().contains("can't be the name of a network device")
    );
    bundle.linux().net_devices.insert("moves".into(), NetDevice { name: Some("ctr%d".into()) });
    let output = run(&bundle);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ctr0\nlo\n", "{output:?}");
    bundle.linux().net_devices.insert("missing".into(), NetDevice::default());
    bundle.run().failed_with(1, &["linux.netDevices", "missing", "o such device"]);
    let kind = NamespaceType::Network;
    bundle.linux().namespaces.retain(|namespace: &Namespace| namespace.kind != kind);
    bundle.run().failed_with(1, &["linux.netDevices", "network namespace"]);
    bundle.left_nothing();
}

/// Images have dangling links where files are bound: `/etc/resolv.conf` into a `/run` that is empty.
#[test]
fn a_file_is_bound_where_a_dangling_link_leads() {
    let mut bundle = Bundle::new("cat /etc/resolv.conf; cat /run/made/conf; ls -d /jump/deep");
    std::os::unix::fs::symlink("../run/made/conf", bundle.rootfs().join("etc/resolv.conf")).unwrap();
    std::os::unix::fs::symlink("/var/not/there", bundle.rootfs().join("jump")).unwrap();
    fs::write(bundle.path().join("conf"), "nameserver\n").unwrap();
    bundle.mount("/etc/resolv.conf", "bind", "conf", &["bind"]);
    bundle.mount("/jump/deep", "tmpfs", "tmpfs", &[]);
    assert_eq!(bundle.run().succeeded().lines(), ["nameserver", "nameserver", "/jump/deep"]);
    assert!(bundle.rootfs().join("var/not/there/deep").is_dir());
    bundle.left_nothing();
}

#[test]
fn a_path_that_is_masked_twice_is_covered_once() {
    let mut bundle = Bundle::new("grep -c ' /etc ' /proc/mounts");
    bundle.linux().masked_paths = vec!["/etc".into(), "/etc".into()];
    assert_eq!(bundle.run().succeeded().stdout, "1\n");
}

#[test]
fn a_memory_policy_holds_for_added_processes_and_needs_a_mode() {
    let mut bundle = Bundle::new("true");
    let policy = |mode: &str| minke_model::runtime_spec::MemoryPolicy {
        mode: mode.into(),
        nodes: "0".into(),
        flags: Vec::new(),
    };
    bundle.linux().memory_policy = Some(policy(""));
    bundle.create().failed_with(1, &["linux.memoryPolicy", "invalid memory policy mode"]);
    bundle.linux().memory_policy = Some(policy("MPOL_BIND"));
    bundle.start_sleeping();
    let seen = bundle.exec("head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2").succeeded();
    assert_eq!(seen.stdout, "bind:0\n");
}

/// What the runtime itself opens until the start must not fail for the program's limit.
#[test]
fn a_low_limit_of_files_in_a_user_namespace_binds_the_program_only() {
    let mut bundle = Bundle::new("ulimit -n");
    let map = vec![minke_model::runtime_spec::IdMapping { container_id: 0, host_id: 0, size: 65536 }];
    bundle.namespace(NamespaceType::User, Some(None));
    bundle.linux().uid_mappings = map.clone();
    bundle.linux().gid_mappings = map;
    bundle.process().rlimits.push(minke_model::runtime_spec::Rlimit {
        kind: "RLIMIT_NOFILE".into(),
        soft: 16,
        hard: 16,
    });
    assert_eq!(bundle.run().succeeded().stdout, "16\n");
}

/// Descriptors of whoever makes a container are not the waiting process's, with or without close-on-exec.
#[test]
fn a_created_container_has_no_descriptor_of_its_creators() {
    let bundle = Bundle::new("true");
    bundle.write_config();
    let secret = bundle.path().join("secret");
    let directory = bundle.path().display().to_string();
    let script = format!("exec 7>{} \"$@\" >/dev/null 2>&1", secret.display());
    let mut command = Command::new("sh");
    let runtime = bundle.command(&["create", "--bundle", &directory, &bundle.id]);
    command.args(["-c", &script, "sh"]).arg(runtime.get_program()).args(runtime.get_args());
    assert!(command.stdin(Stdio::null()).status().unwrap().success());
    let pid = bundle.pid();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let open: Vec<_> = open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let plain =
        |path: &Path| path.starts_with("/dev/null") || path == Path::new("/proc") || path == Path::new("/");
    let others: Vec<_> = open.iter().filter(|path| path.is_absolute() && !plain(path)).collect();
    assert!(others.is_empty(), "{open:?}");
}

#[test]
fn signal_0_asks_whether_the_container_runs() {
    let mut bundle = Bundle::new("true");
    bundle.start_sleeping();
    bundle.call(&["kill", &bundle.id, "0"]).succeeded();
    bundle.call(&["kill", &bundle.id, "KILL"]).succeeded();
    bundle.wait_for("stopped");
    bundle.call(&["kill", &bundle.id, "0"]).failed_with(1, &["container not running"]);
}

#[test]
fn a_container_runs_on_all_its_cpus_whatever_its_creator_is_tied_to() {
    let mut bundle = Bundle::new("grep Cpus_allowed_list /proc/self/status");
    let allowed = |text: &str| text.trim().rsplit('\t').next().unwrap_or_default().to_owned();
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = allowed(own.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap());
    let tied = |bundle: &Bundle, args: &[&str]| {
        let runtime = bundle.command(args);
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(runtime.get_program()).args(runtime.get_args()).stdin(Stdio::null());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    bundle.write_config();
    let directory = bundle.path().display().to_string();
    assert_eq!(allowed(&tied(&bundle, &["run", "--bundle", &directory, &bundle.id])), own);
    bundle.start_sleeping();
    let script = "grep Cpus_allowed_list /proc/self/status";
    assert_eq!(allowed(&tied(&bundle, &["exec", &bundle.id, "sh", "-c", script])), own);
}

#[test]
fn a_cgroup_with_processes_is_not_shared() {
    let mut first = Bundle::new("true");
    first.start_sleeping();
    let mut second = Bundle::new("true");
    second.linux().cgroups_path = Some(format!("/{}", first.id));
    second.run().failed_with(1, &["linux.cgroupsPath", "cgroup is not empty: 1 process"]);
    assert_eq!(first.status(), "running");
    second.left_nothing();
}

#[test]
fn a_frozen_cgroup_is_refused_and_left() {
    let bundle = Bundle::new("true");
    let layout = Layout::detect().unwrap();
    let group = Cgroup::create_in(&layout, &format!("/{}", bundle.id)).unwrap();
    group.freeze().unwrap();
    bundle.run().failed_with(1, &["linux.cgroupsPath", "cgroup unexpectedly frozen"]);
    assert!(group.is_frozen().unwrap(), "it is somebody else's");
    Cgroup::remove_paths(group.paths().values()).unwrap();
    bundle.left_nothing();
}

#[test]
fn a_create_container_hook_starts_in_the_containers_root() {
    let mut bundle = Bundle::new("cat /made");
    let hooks = Hooks { create_container: vec![shell("echo by the hook >made", &[])], ..Hooks::default() };
    bundle.spec.hooks = Some(hooks);
    assert_eq!(bundle.run().succeeded().stdout, "by the hook\n");
}

/// Without a pid namespace of their own, processes outlive the first one.
#[test]
fn kill_reaches_processes_whose_first_one_has_ended() {
    let mut bundle = Bundle::new("sleep 1000 & sleep 1000 & echo $!; exit 0");
    bundle.namespace(NamespaceType::Pid, None);
    bundle.create().succeeded();
    bundle.on("start").succeeded();
    bundle.wait_for("stopped");
    let left: i32 = bundle.output().trim().parse().unwrap();
    bundle.call(&["kill", &bundle.id, "KILL"]).succeeded();
    let dead = || minke_kernel::process::stat(left).unwrap().is_none_or(|stat| stat.is_dead());
    crate::bundle::wait_until("end", dead);
}

#[test]
fn a_slave_root_takes_the_hosts_later_mounts_in() {
    let mut bundle = Bundle::new(
        "grep ' / / ' /proc/self/mountinfo; grep -E '^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ / ' /proc/self/mountinfo",
    );
    bundle.linux().rootfs_propagation = Some("slave".into());
    bundle.write_config();
    let runtime = bundle.command(&["run", "--bundle"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "shared"]).arg(runtime.get_program()).args(runtime.get_args());
    let output = command.arg(bundle.path()).arg(&bundle.id).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(" master:"), "{text} {}", String::from_utf8_lossy(&output.stderr));
    bundle.left_nothing();
}

#[test]
fn a_container_that_was_never_started_ends_by_the_signals_that_end_programs() {
    for signal in ["TERM", "HUP"] {
        let bundle = Bundle::new("true");
        bundle.create().succeeded();
        bundle.call(&["kill", &bundle.id, signal]).succeeded();
        bundle.wait_for("stopped");
    }
    // What the program makes of them is its own affair.
    let bundle = Bundle::new("trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done");
    bundle.create().succeeded();
    bundle.on("start").succeeded();
    crate::bundle::wait_until("output", || bundle.output() == "ready\n");
    bundle.call(&["kill", &bundle.id, "TERM"]).succeeded();
    bundle.wait_for("stopped");
}

/// The namespaces of a container can be joined all at once, the user's and the time's among them.
#[test]
fn a_second_container_joins_all_namespaces_of_a_first_one() {
    let map = vec![minke_model::runtime_spec::IdMapping { container_id: 0, host_id: 0, size: 65536 }];
    let mut first = Bundle::new("true");
    first.namespace(NamespaceType::User, Some(None));
    first.namespace(NamespaceType::Time, Some(None));
    first.linux().uid_mappings = map.clone();
    first.linux().gid_mappings = map;
    let offset = minke_model::runtime_spec::TimeOffset { secs: 7881, nanosecs: 0 };
    first.linux().time_offsets.insert("boottime".into(), offset);
    first.start_sleeping();
    let pid = first.pid();
    let mut second = Bundle::new("true");
    let kinds = first.linux().namespaces.clone();
    second.linux().namespaces = kinds
        .into_iter()
        .map(|namespace| Namespace {
            path: (namespace.kind != NamespaceType::Mount)
                .then(|| format!("/proc/{pid}/ns/{}", namespace.kind.proc_name())),
            ..namespace
        })
        .collect();
    second.start_sleeping();
    for kind in NamespaceType::ALL.into_iter().filter(|kind| *kind != NamespaceType::Mount) {
        assert_eq!(namespace_of(second.pid(), kind), namespace_of(pid, kind), "{kind}");
    }
}

/// A network namespace that the host's user owns can be that of a container in a user namespace.
#[test]
fn a_container_with_ids_of_its_own_joins_a_namespace_of_the_hosts() {
    let outside = Outside::new();
    let pid = outside.0.id() as i32;
    let map = vec![minke_model::runtime_spec::IdMapping { container_id: 0, host_id: 0, size: 65536 }];
    let mut bundle = Bundle::new("true");
    bundle.namespace(NamespaceType::User, Some(None));
    bundle.namespace(NamespaceType::Network, Some(Some(format!("/proc/{pid}/ns/net"))));
    bundle.linux().uid_mappings = map.clone();
    bundle.linux().gid_mappings = map;
    // sysfs shows a network namespace, so it is its owner's to mount.
    bundle.spec.mounts.retain(|mount| mount.destination != "/sys");
    bundle.start_sleeping();
    assert_eq!(namespace_of(bundle.pid(), NamespaceType::Network), namespace_of(pid, NamespaceType::Network));
}

#[test]
fn a_null_device_that_was_opened_for_reading_can_be_written_to() {
    let bundle = Bundle::new("echo x && echo y >&2 && touch /tmp/wrote");
    bundle.write_config();
    // What containerd's clients without streams hand over.
    let null = || std::process::Stdio::from(std::fs::File::open("/dev/null").unwrap());
    let mut command = bundle.command(&["run", "--bundle", bundle.path().to_str().unwrap(), &bundle.id]);
    let status = command.stdin(null()).stdout(null()).stderr(null()).status().unwrap();
    assert!(status.success());
    assert!(bundle.rootfs().join("tmp/wrote").exists());
}

/// It would ask for the connection of whoever starts it for ever.
#[test]
fn a_limit_of_files_that_the_runtime_itself_needs_more_of_binds_the_program_only() {
    for (files, wanted) in [(4, "4\n"), (3, "3\n")] {
        let mut bundle = Bundle::new("ulimit -n");
        let limit =
            minke_model::runtime_spec::Rlimit { kind: "RLIMIT_NOFILE".into(), soft: files, hard: files };
        bundle.process().rlimits = vec![limit];
        bundle.create().succeeded();
        bundle.on("start").succeeded();
        bundle.wait_for("stopped");
        assert_eq!(bundle.output(), wanted);
        bundle.on("delete").succeeded();
        bundle.left_nothing();
    }
}

/// Not even its own end is allowed to it.
#[test]
fn a_filter_that_allows_nothing_ends_the_container() {
    let mut bundle = Bundle::new("true");
    bundle.linux().seccomp =
        Some(serde_json::from_str(r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}"#).unwrap());
    bundle.create().succeeded();
    let _ = bundle.on("start");
    bundle.wait_for("stopped");
    bundle.on("delete").succeeded();
    bundle.left_nothing();
}

/// Whether the configuration says nothing of devices, or denies one.
#[test]
fn a_device_that_nobody_allows_is_denied() {
    let one = r#"[{"allow": false, "type": "c", "major": 1, "minor": 8, "access": "rwm"}]"#;
    for rules in ["[]", one] {
        let mut bundle =
            Bundle::new("mknod /k c 10 229; head -c 0 /k; mknod /n c 1 3; head -c 0 /n && echo null");
        let resources = bundle.linux().resources.get_or_insert_default();
        resources.devices = serde_json::from_str(rules).unwrap();
        let run = bundle.run();
        assert_eq!(run.stdout, "null\n", "{rules}: {run:?}");
        assert!(run.stderr.contains("Operation not permitted"), "{rules}: {run:?}");
    }
}

#[test]
fn of_two_devices_at_one_place_the_first_is_made() {
    let mut bundle = Bundle::new("stat -c %t:%T /dev/x");
    let device = |minor: i64| minke_model::runtime_spec::Device {
        kind: minke_model::runtime_spec::DeviceType::Character,
        path: "/dev/x".into(),
        major: 1,
        minor,
        ..Default::default()
    };
    bundle.linux().devices = vec![device(3), device(5)];
    assert_eq!(bundle.run().succeeded().stdout, "1:3\n");
}
