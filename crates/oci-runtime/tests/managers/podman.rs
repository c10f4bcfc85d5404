//! Under podman and its conmon, as root and as an ordinary user.

use std::{fs, os::unix::fs::chown};

use minke_testkit::{Machine, Ran, Rootfs, Run, SUBORDINATE, USER};

use crate::runtime;

struct Podman {
    machine: Machine,
    rootless: bool,
}

impl Podman {
    /// podman with the image `bb`.
    fn new() -> Self {
        Self::of(Machine::new(), false)
    }

    /// The same for an ordinary user with subordinate ids.
    fn rootless() -> Self {
        Self::of(Machine::new(), true)
    }

    fn of(machine: Machine, rootless: bool) -> Self {
        let own = |name: &str| machine.show(name);
        for folder in ["home", "runtime", "podman"] {
            fs::create_dir(machine.path(folder)).unwrap();
            chown(machine.path(folder), Some(USER), Some(USER)).unwrap();
        }
        // The usual limits are above what a host without CAP_SYS_RESOURCE may set.
        let limits = r#"default_ulimits=["nofile=20000:20000","nproc=4096:4096"]"#;
        let engine = r#"cgroup_manager="cgroupfs"
events_logger="file"
runtime_supports_json=["minke-oci"]"#;
        let runtimes = format!("minke-oci=[{:?}]", runtime());
        fs::write(
            machine.path("containers.conf"),
            format!("[containers]\n{limits}\n[engine]\n{engine}\n[engine.runtimes]\n{runtimes}\n"),
        )
        .unwrap();
        fs::write(
            machine.path("storage.conf"),
            format!(
                "[storage]\ndriver=\"vfs\"\ngraphroot={:?}\nrunroot={:?}\n",
                own("podman/root"),
                own("podman/run")
            ),
        )
        .unwrap();
        fs::write(machine.path("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
        fs::write(machine.path("bb.tar"), Rootfs::busybox().tar()).unwrap();
        let podman = Self { machine, rootless };
        let (policy, image) = (podman.machine.show("policy.json"), podman.machine.show("bb.tar"));
        podman.ok(&["import", "--quiet", "--signature-policy", &policy, "-c", "CMD [\"sh\"]", &image, "bb"]);
        podman
    }

    /// The program and the words before a command's own.
    fn words(&self) -> (&'static str, Vec<String>) {
        let own = |name: &str| self.machine.show(name);
        let mut words = Vec::new();
        if self.rootless {
            let user = USER.to_string();
            let become_user =
                ["--reuid", &user, "--regid", &user, "--clear-groups", "env", "-i", "-C", &own("home")];
            words.extend(become_user.map(str::to_owned));
        } else {
            words.push("-i".to_owned());
        }
        words.extend([
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            format!("HOME={}", own("home")),
            format!("XDG_RUNTIME_DIR={}", own("runtime")),
            format!("CONTAINERS_CONF={}", own("containers.conf")),
            format!("CONTAINERS_STORAGE_CONF={}", own("storage.conf")),
            "podman".to_owned(),
            format!("--network-config-dir={}", own("podman/networks")),
            "--runtime=minke-oci".to_owned(),
        ]);
        if !self.rootless {
            words.push(format!("--tmpdir={}", own("podman/tmp")));
        }
        (if self.rootless { "setpriv" } else { "env" }, words)
    }

    fn cli(&self, args: &[&str]) -> Run {
        let (program, words) = self.words();
        let all: Vec<&str> = words.iter().map(String::as_str).chain(args.iter().copied()).collect();
        self.machine.run(program, &all)
    }

    fn cli_on_terminal(&self, args: &[&str]) -> Run {
        let (program, words) = self.words();
        let all: Vec<&str> = words.iter().map(String::as_str).chain(args.iter().copied()).collect();
        self.machine.run_on_terminal(program, &all)
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.cli(args).run()
    }

    /// The output of a command that has to succeed.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        self.cli(args).ok()
    }

    /// `podman run` with what all containers here have.
    fn container(&self, args: &[&str]) -> Vec<String> {
        let mut words = ["run", "--network", "none"].map(str::to_owned).to_vec();
        // An ordinary user has no cgroups on this kind of host.
        if !self.rootless {
            words.push(format!("--cgroup-parent=/{}", self.machine.cgroup()));
        }
        words.extend(args.iter().map(|&arg| arg.to_owned()));
        words
    }

    fn start(&self, args: &[&str]) -> Ran {
        let words = self.container(args);
        self.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The output of a container that has to succeed.
    #[track_caller]
    fn sh(&self, flags: &[&str], script: &str) -> String {
        self.start(&[&["--rm"], flags, &["bb", "sh", "-c", script]].concat()).ok()
    }

    fn inspect(&self, container: &str, what: &str) -> String {
        self.ok(&["inspect", "-f", &format!("{{{{{what}}}}}"), container])
    }

    /// Removes the containers; nothing of them may be left.
    fn end(self) {
        self.ok(&["rm", "-a", "-f", "-t", "0"]);
        self.machine.expect_no_cgroups();
    }
}

#[test]
fn containers_end_with_the_exit_codes_and_words_that_podman_gives_them() {
    let podman = Podman::new();
    let run = |args: &[&str]| podman.start(&[&["--rm", "bb"], args].concat());
    let _ = run(&["true"]).expect_code(0);
    let _ = run(&["sh", "-c", "exit 42"]).expect_code(42);
    let missing = run(&["nosuch"]).expect_code(127);
    let _ = missing.expect_stderr("minke-oci create failed").expect_stderr("not found in $PATH");
    let _ = run(&["/etc/passwd"]).expect_code(126).expect_stderr("permission denied");
    let words = podman.container(&["-i", "--rm", "bb", "cat"]);
    let echoed = podman.cli(&words.iter().map(String::as_str).collect::<Vec<_>>()).input("hello\n");
    let _ = echoed.run().expect_code(0).expect_exact("hello\n");
    podman.start(&["-d", "--name", "talk", "bb", "sh", "-c", "echo out; echo err >&2; exit 3"]).ok();
    assert_eq!(podman.ok(&["wait", "talk"]), "3");
    // And nothing of the runtime's own in between.
    let _ = podman.run(&["logs", "talk"]).expect_exact("out\n").expect_stderr("err\n");
    assert_eq!(podman.inspect("talk", ".State.ExitCode"), "3");
    podman.end();
}

#[test]
fn a_container_is_limited_entered_paused_and_stopped() {
    let podman = Podman::new();
    let limits = ["--memory", "64m", "--pids-limit", "50", "--cpus", "0.5"];
    podman.start(&[&["-d", "--name", "web"], &limits[..], &["bb", "sleep", "1000"]].concat()).ok();
    let exec = |args: &[&str]| podman.run(&[&["exec"], args].concat());
    let unified = fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
    let file = if unified { "memory.max" } else { "memory/memory.limit_in_bytes" };
    let limit = || exec(&["web", "cat", &format!("/sys/fs/cgroup/{file}")]).ok();
    assert_eq!(limit(), "67108864");
    podman.ok(&["update", "--memory", "128m", "web"]);
    assert_eq!(limit(), "134217728");
    let stats = podman.ok(&["stats", "--no-stream", "--no-reset", "--format", "{{.Name}} {{.PIDs}}", "web"]);
    assert_eq!(stats, "web 1");
    assert!(podman.ok(&["top", "web", "args"]).ends_with("sleep 1000"));

    let _ = exec(&["web", "sh", "-c", "exit 7"]).expect_code(7);
    let _ = exec(&["web", "nosuch"]).expect_code(127);
    let _ = exec(&["web", "/etc/passwd"]).expect_code(126);
    let _ = exec(&["-t", "web", "tty"]).expect_code(0).expect_stdout("/dev/pts/");
    let who =
        exec(&["-u", "33:44", "-w", "/tmp", "-e", "A=b", "web", "sh", "-c", "id -u; id -g; pwd; echo $A"]);
    let _ = who.expect_exact("33\n44\n/tmp\nb\n");
    let typed = podman.cli_on_terminal(&["exec", "-it", "web", "sh"]).input("echo $((40+2))\nexit 5\n");
    let _ = typed.run().expect_code(5).expect_stdout("42");

    podman.ok(&["pause", "web"]);
    assert_eq!(podman.inspect("web", ".State.Status"), "paused");
    podman.ok(&["unpause", "web"]);
    podman.ok(&["restart", "-t", "0", "web"]);
    podman.ok(&["kill", "web"]);
    assert_eq!(podman.ok(&["wait", "web"]), "137");
    podman.ok(&["start", "web"]);
    podman.ok(&["stop", "-t", "0", "web"]);
    assert_eq!(podman.inspect("web", ".State.ExitCode"), "137");
    let hungry = podman.start(&["--memory", "16m", "bb", "sh", "-c", "x=a; while :; do x=$x$x; done"]);
    let _ = hungry.expect_code(137);
    podman.end();
}

#[test]
fn what_podman_run_asks_for_is_what_a_container_finds() {
    let podman = Podman::new();
    let volume = podman.machine.path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("f"), "from the host\n").unwrap();
    let mounted = format!("{}:/v:ro,rbind,nosuid", volume.display());
    assert_eq!(podman.sh(&["-v", &mounted], "cat /v/f; touch /v/x || echo no"), "from the host\nno");
    assert_eq!(podman.sh(&["--read-only"], "touch /tmp/x; touch /x || echo no"), "no");
    assert_eq!(podman.sh(&["-u", "33:44", "--group-add", "55"], "id -u; id -g; id -G"), "33\n44\n44 55");
    assert_eq!(
        podman.sh(&["--cap-drop", "ALL"], "grep CapEff /proc/self/status | cut -f2"),
        "0000000000000000"
    );
    assert_eq!(podman.sh(&[], "grep Seccomp: /proc/self/status | cut -f2"), "2");
    let map = podman.sh(&["--uidmap", "0:3000000:65536"], "tr -s ' ' </proc/self/uid_map");
    assert_eq!(map.trim(), "0 3000000 65536");
    assert_eq!(podman.sh(&["--hostname", "foo"], "hostname"), "foo");
    assert_eq!(podman.sh(&["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward"), "1");
    let own_root = podman.start(&["--rm", "--rootfs", &podman.machine.rootfs(), "echo", "mine"]);
    assert_eq!(own_root.ok(), "mine");

    // `init` creates without starting, which leaves `start` to a later call.
    let words = podman.container(&["--name", "later", "bb", "sh", "-c", "echo late; exit 5"]);
    let words: Vec<&str> = ["create"].into_iter().chain(words[1..].iter().map(String::as_str)).collect();
    podman.ok(&words);
    podman.ok(&["init", "later"]);
    let _ = podman.run(&["start", "-a", "later"]).expect_code(5).expect_exact("late\n");

    let healthy = ["-d", "--name", "web", "--health-cmd", "test -e /tmp/ok", "bb", "sleep", "1000"];
    podman.start(&healthy).ok();
    let _ = podman.run(&["healthcheck", "run", "web"]).expect_code(1);
    podman.ok(&["exec", "web", "touch", "/tmp/ok"]);
    let _ = podman.run(&["healthcheck", "run", "web"]).expect_code(0);
    let beside = ["--rm", "--network=container:web", "--pid=container:web", "--ipc=container:web"];
    let parent = format!("--cgroup-parent=/{}", podman.machine.cgroup());
    let beside = [&["run", &parent], &beside[..], &["bb", "cat", "/proc/1/comm"]].concat();
    let beside = podman.run(&beside);
    assert_eq!(beside.ok(), "sleep");
    podman.end();
}

#[test]
fn an_ordinary_user_runs_containers_with_subordinate_ids() {
    let podman = Podman::rootless();
    let map = podman.sh(&[], "tr -s ' ' </proc/self/uid_map");
    assert_eq!(map.replace("\n ", "\n").trim(), format!("0 {USER} 1\n1 {} 65536", SUBORDINATE.0));
    let _ = podman.start(&["--rm", "bb", "nosuch"]).expect_code(127).expect_stderr("minke-oci create failed");
    podman.start(&["-d", "--name", "web", "bb", "sh", "-c", "echo out; sleep 1000"]).ok();
    podman.machine.until("output", || podman.ok(&["logs", "web"]) == "out");
    // The runtime's warning that there is no cgroup is no output of the container's.
    let _ = podman.run(&["logs", "web"]).expect_stderr("").expect_exact("out\n");
    let exec = |args: &[&str]| podman.run(&[&["exec"], args].concat());
    assert_eq!(exec(&["-u", "33:44", "web", "id", "-u"]).ok(), "33");
    let _ = exec(&["web", "sh", "-c", "exit 7"]).expect_code(7);
    let _ = exec(&["-t", "web", "tty"]).expect_stdout("/dev/pts/");
    assert_eq!(podman.sh(&["--userns", "keep-id"], "id -u"), USER.to_string());
    assert_eq!(podman.sh(&["--group-add", "55"], "id -G"), "0 55");
    assert_eq!(podman.sh(&["--read-only", "--tmpfs", "/t"], "touch /t/x; touch /x || echo no"), "no");
    podman.ok(&["restart", "-t", "0", "web"]);
    podman.ok(&["kill", "web"]);
    assert_eq!(podman.ok(&["wait", "web"]), "137");
    podman.end();
}
