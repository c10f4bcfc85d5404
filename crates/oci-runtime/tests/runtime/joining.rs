//! What a container can see of a process that `exec` is just bringing in: nothing that has more than the program may.
//!
//! A listener to the filter's notifications holds the runtime at a system call, so that the container has all the time it
//! wants to look.

use crate::bundle::{Bundle, wait_until};
use minke_model::runtime_spec::{Process, Rlimit, Scheduler, Seccomp, SeccompAction, SeccompSyscall};
use std::{
    fs,
    os::{fd::AsFd, fd::OwnedFd, unix::net::UnixListener},
    path::Path,
    process::{Child, Stdio},
};

/// Looks at every process of the runtime's that it can name, and says when it has looked at all.
const PROBE: &str = r#"while :; do
    for p in /proc/[0-9]*; do
        read name <$p/comm && [ "$name" = minke-oci ] || continue
        echo "seen $p $(grep CapPrm $p/status)"
        for fd in $p/fd/*; do echo "has ${fd##*/} $(readlink $fd)"; done
        echo "told $(tr '\0' ' ' <$p/environ)"
    done 2>/dev/null
    echo round
done"#;

/// The template's capabilities and CAP_SYS_PTRACE.
const CAPABILITIES: &str = "00000000080800e1";
const CALLERS_SECRET: &str = "minke_test_secret=hush";

fn rule(names: &[&str], action: SeccompAction) -> SeccompSyscall {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    SeccompSyscall { names, action, errno_ret: None, args: vec![] }
}

fn profile(syscalls: Vec<SeccompSyscall>) -> Seccomp {
    Seccomp {
        default_action: SeccompAction::Allow,
        default_errno_ret: None,
        architectures: vec![],
        flags: vec![],
        listener_path: None,
        listener_metadata: None,
        syscalls,
    }
}

/// A container that may trace and looks around all the time.
fn curious() -> Bundle {
    let mut bundle = Bundle::new(PROBE);
    let sets = bundle.process().capabilities.as_mut().unwrap();
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.push("CAP_SYS_PTRACE".into());
    }
    bundle
}

/// A process of `exec` that is held at a system call.
pub(crate) struct Held {
    command: Child,
    pid: i64,
    _listener: OwnedFd,
}

impl Held {
    /// Has `exec` run a program under a filter that asks about `call`, and never answers.
    pub(crate) fn at(bundle: &mut Bundle, call: &str) -> Self {
        let path = bundle.path().join("listener");
        let socket = UnixListener::bind(&path).unwrap();
        let mut asking = profile(vec![rule(&[call], SeccompAction::Notify)]);
        asking.listener_path = Some(path.display().to_string());
        // The container itself has no filter: it is read anew for each process.
        bundle.linux().seccomp = Some(asking);
        bundle.write_config();
        let (name, value) = CALLERS_SECRET.split_once('=').unwrap();
        let mut command = bundle.command(&["exec", &bundle.id, "true"]);
        let command = command.env(name, value).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (connection, _) = socket.accept().unwrap();
        let mut message = minke_kernel::socket::receive(connection.as_fd()).unwrap().unwrap();
        let state: serde_json::Value = serde_json::from_slice(&message.bytes).unwrap();
        let pid = state["pid"].as_i64().unwrap();
        wait_until("process held at its call", || {
            let state = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
            state.contains("seccomp")
        });
        Self { command, pid, _listener: message.descriptors.remove(0) }
    }

    fn status(&self, field: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

/// What the probe said after it has looked at everything at least once more.
fn after_another_look(bundle: &Bundle) -> String {
    let rounds = || bundle.output().matches("round\n").count();
    let before = rounds();
    wait_until("look around", || rounds() > before + 1);
    bundle.output()
}

#[test]
fn who_has_the_hosts_rights_is_not_in_the_containers_pid_namespace() {
    let mut bundle = curious();
    bundle.create().succeeded();
    bundle.on("start").succeeded();
    let held = Held::at(&mut bundle, "capset");
    assert_eq!(held.status("NSpid"), held.pid.to_string(), "it is in no namespace but the host's");
    assert_ne!(held.status("CapPrm"), CAPABILITIES, "it has rights that the container hasn't");
    let seen = after_another_look(&bundle);
    assert!(!seen.contains("seen"), "{seen}");
}

/// The control: where the container shares the host's pid namespace, the same probe does see the same process.
#[test]
fn a_container_in_the_hosts_pid_namespace_sees_it() {
    let mut bundle = curious();
    bundle.namespace(minke_model::runtime_spec::NamespaceType::Pid, None);
    bundle.create().succeeded();
    bundle.on("start").succeeded();
    let held = Held::at(&mut bundle, "capset");
    let place = format!("seen /proc/{} CapPrm:", held.pid);
    wait_until("sight of the runtime", || bundle.output().contains(&place));
    let seen = bundle.output();
    let line = seen.lines().find(|line| line.starts_with(&place)).unwrap();
    assert!(!line.ends_with(CAPABILITIES), "{line}");
}

#[test]
fn before_its_execve_a_process_has_no_more_than_its_program_will() {
    let mut bundle = curious();
    bundle.create().succeeded();
    bundle.on("start").succeeded();
    let held = Held::at(&mut bundle, "execve");
    assert_eq!(held.status("NSpid").split(' ').count(), 2, "it is the one in the container");
    let seen = after_another_look(&bundle);
    let seen_lines: Vec<&str> = seen.lines().filter(|line| line.starts_with("seen")).collect();
    assert!(!seen_lines.is_empty(), "the probe sees it: {seen}");
    assert!(seen_lines.iter().all(|line| line.ends_with(CAPABILITIES)), "{seen_lines:?}");
    let round = seen.rsplit("round\n").find(|round| round.contains("told")).unwrap();
    let mut has: Vec<&str> = round.lines().filter(|line| line.starts_with("has")).collect();
    has.sort_by_key(|line| line.contains("socket:"));
    // The standard streams, and the channel on which it says that it couldn't.
    assert_eq!(has.len(), 4, "{round}");
    assert!(has[..3].iter().all(|line| line.ends_with("/dev/null")), "{round}");
    assert!(has[3].contains("socket:"), "{round}");
    let own = fs::read(format!("/proc/{}/environ", held.command.id())).unwrap();
    let contains = |text: &str| text.contains(CALLERS_SECRET);
    assert!(contains(&String::from_utf8_lossy(&own)), "the caller was told the secret");
    assert!(!contains(&seen), "{round}");
}

/// The runtime makes a process from behind the process's own filter, which may deny all that takes.
#[test]
fn a_filter_against_forking_sessions_and_terminals_is_no_obstacle() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    let denied = ["clone", "clone3", "fork", "vfork", "setsid", "ioctl"];
    bundle.linux().seccomp = Some(profile(vec![rule(&denied, SeccompAction::Errno)]));
    for no_new_privileges in [false, true] {
        bundle.process().no_new_privileges = no_new_privileges;
        bundle.write_config();
        assert_eq!(bundle.exec("echo here").succeeded().stdout, "here\n");
        let tty = bundle.call(&["exec", "-t", &bundle.id, "sh", "-c", "echo here"]).succeeded();
        assert!(tty.stdout.contains("here"), "{tty:?}");
        // It opens nothing to the program.
        let outcome = bundle.exec("true; (echo forked); echo after");
        assert!(outcome.stderr.contains("can't fork") && !outcome.stdout.contains("forked"), "{outcome:?}");
    }
}

fn exec_described(bundle: &Bundle, process: &Process) -> crate::bundle::Outcome {
    let file = bundle.path().join("process.json");
    fs::write(&file, serde_json::to_vec(process).unwrap()).unwrap();
    bundle.call(&["exec", "-p", Path::new(&file).to_str().unwrap(), &bundle.id])
}

#[test]
fn limits_and_schedulers_that_a_fork_would_break_arrive_whole() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    let mut process = bundle.spec.process.clone().unwrap();
    process.args = ["sh", "-c", "ulimit -u; ulimit -Hu"].map(str::to_owned).to_vec();
    // A user of whom nobody else has processes: one is all it may have.
    process.user.uid = 1_234_567;
    process.rlimits = vec![Rlimit { kind: "RLIMIT_NPROC".into(), soft: 1, hard: 1 }];
    assert_eq!(exec_described(&bundle, &process).succeeded().stdout, "1\n1\n");
    process.rlimits.clear();
    process.args = ["cat", "/proc/self/stat"].map(str::to_owned).to_vec();
    let flags = vec!["SCHED_FLAG_RESET_ON_FORK".to_owned()];
    process.scheduler = Some(Scheduler { policy: "SCHED_BATCH".into(), flags, ..Scheduler::default() });
    let stat = exec_described(&bundle, &process).succeeded().stdout;
    let policy = stat.rsplit(") ").next().unwrap().split(' ').nth(38);
    assert_eq!(policy, Some("3"), "SCHED_BATCH in field 41 of {stat}");
}

/// What is in a session keyring is its holders' alone: a process of `exec` holds the container's, not the caller's.
#[test]
fn a_process_of_exec_is_in_the_containers_session_keyring() {
    let mut bundle = Bundle::new("");
    bundle.start_sleeping();
    let uses = || -> u32 {
        let keys = fs::read_to_string("/proc/keys").unwrap();
        let name = format!("_ses.{}:", bundle.id);
        let line = keys.lines().find(|line| line.contains(&name)).unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    // What has just ended may hold it a moment longer, so several begin.
    let before = uses();
    for _ in 0..8 {
        let mut command = bundle.command(&["exec", "-d", &bundle.id, "sleep", "1000"]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success());
    }
    assert!(uses() > before, "the new processes hold it");
}

/// A bundle that shares the pid namespace of a running container.
fn guest_of(host: &Bundle, script: &str) -> Bundle {
    let mut guest = Bundle::new(script);
    let path = format!("/proc/{}/ns/pid", host.pid());
    guest.namespace(minke_model::runtime_spec::NamespaceType::Pid, Some(Some(path)));
    guest
}

/// A container that is made in the pid namespace of another: what builds it isn't visible there, and what waits for its start
/// has no more than its program will.
#[test]
fn a_container_that_joins_a_pid_namespace_brings_no_rights_of_the_hosts() {
    let host = curious();
    host.create().succeeded();
    host.on("start").succeeded();
    let mut guest = guest_of(&host, "sleep 1000");
    let (hooked, go) = (guest.path().join("hooked"), guest.path().join("go"));
    let wait = format!(
        "touch {}; n=0; while [ ! -e {} ] && [ $n -lt 1000 ]; do sleep 0.01; n=$((n+1)); done",
        hooked.display(),
        go.display()
    );
    let hook = minke_model::runtime_spec::Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", &wait].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin:/usr/bin".into()],
        timeout: None,
    };
    guest.spec.hooks =
        Some(minke_model::runtime_spec::Hooks { create_container: vec![hook], ..Default::default() });
    guest.write_config();
    let bundle = guest.path().display().to_string();
    let mut create = guest.command(&["create", "--bundle", &bundle, &guest.id]);
    let mut create = create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("half-made container", || hooked.exists());
    let seen = after_another_look(&host);
    assert!(!seen.contains("seen"), "{seen}");
    fs::write(&go, "").unwrap();
    assert!(create.wait().unwrap().success());
    let seen = after_another_look(&host);
    let capabilities: Vec<&str> = seen.lines().filter(|line| line.starts_with("seen")).collect();
    assert!(!capabilities.is_empty(), "the probe sees what waits: {seen}");
    assert!(capabilities.iter().all(|line| line.ends_with("00000000080000e1")), "{capabilities:?}");
    let round = seen.rsplit("round\n").find(|round| round.contains("told")).unwrap();
    let has: Vec<&str> = round.lines().filter(|line| line.starts_with("has")).collect();
    // Its output is the caller's /dev/null; the socket is the one on which it is started.
    let is_own = |line: &&str| {
        ["/dev/null", "anon_inode:[signalfd]"].iter().any(|end| line.ends_with(end))
            || line.contains(" socket:")
    };
    assert!((4..=5).contains(&has.len()) && has.iter().all(is_own), "{round}");
    guest.on("start").succeeded();
    wait_until("program", || {
        fs::read_to_string(format!("/proc/{}/comm", guest.pid()))
            .is_ok_and(|name| name == "sh\n" || name == "sleep\n")
    });
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
    assert_eq!(namespace(guest.pid()), namespace(host.pid()));
    guest.call(&["delete", "--force", &guest.id]).succeeded();
    guest.left_nothing();
    assert_eq!(host.status(), "running");
}

#[test]
fn a_container_in_another_ones_pid_namespace_is_like_any_other() {
    let mut host = Bundle::new("");
    host.start_sleeping();
    let mut guest = guest_of(&host, "id -u; ulimit -u; cat /proc/1/comm; exit 7");
    guest.process().user.uid = 1_234_568;
    guest.process().rlimits = vec![Rlimit { kind: "RLIMIT_NPROC".into(), soft: 3, hard: 3 }];
    let outcome = guest.run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(7), "1234568\n3\nsleep\n"), "{outcome:?}");
    guest.process().terminal = true;
    guest.process().user.uid = 0;
    guest.script("tty; exit 8");
    let outcome = guest.run();
    assert_eq!((outcome.code, outcome.stdout.trim()), (Some(8), "/dev/pts/0"), "{outcome:?}");
    guest.process().terminal = false;
    guest.process().args = vec!["no-such-program".into()];
    guest.run().failed_with(1, &["executable file not found in $PATH"]);
    guest.left_nothing();
    assert_eq!(host.status(), "running");
}
