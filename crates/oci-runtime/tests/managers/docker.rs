//! Under dockerd, as its default runtime and beside another.

use std::fs;

use minke_testkit::{Dockerd, Ran, Rootfs, Run, SUBORDINATE, docker_cli, on_terminal};

use crate::runtime;

struct Docker(Dockerd);

impl Docker {
    /// A dockerd whose default runtime is ours, with the image `bb`.
    fn start() -> Self {
        Self::start_with(&["--default-runtime", "minke"])
    }

    fn start_with(flags: &[&str]) -> Self {
        // No bridge either: the tests are about the runtime.
        let own = [format!("--add-runtime=minke={}", runtime()), "--bridge=none".to_owned()];
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        let docker = Self(Dockerd::start(&own.into_iter().chain(flags).collect::<Vec<_>>()));
        let image = docker.cli(&["import", "--change", "CMD [\"sh\"]", "-", "bb"]);
        let _ = image.input(Rootfs::busybox().tar()).run().expect_code(0);
        docker
    }

    fn cli(&self, args: &[&str]) -> Run {
        self.0.aimed(Run::new(docker_cli(), args))
    }

    fn cli_on_terminal(&self, args: &[&str]) -> Run {
        let words = [vec![docker_cli().display().to_string()], args.iter().map(|&a| a.to_owned()).collect()];
        self.0.aimed(on_terminal(&words.concat()))
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.cli(args).run()
    }

    /// The output of a command that has to succeed.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        self.cli(args).ok()
    }

    /// The output of a container that has to succeed.
    #[track_caller]
    fn sh(&self, flags: &[&str], script: &str) -> String {
        self.ok(&[&["run", "--rm"], flags, &["bb", "sh", "-c", script]].concat())
    }

    fn inspect(&self, container: &str, what: &str) -> String {
        self.ok(&["inspect", "-f", &format!("{{{{{what}}}}}"), container])
    }

    fn until(&self, container: &str, what: &str, wanted: &str) {
        self.0.machine().until(&format!("{what} is {wanted}"), || self.inspect(container, what) == wanted);
    }

    /// Removes the containers and stops the daemon; nothing of them may be left.
    fn end(self) {
        for id in self.ok(&["ps", "-aq"]).lines() {
            self.ok(&["rm", "-f", "-v", id]);
        }
        self.0.end();
    }
}

#[test]
fn containers_end_with_the_exit_codes_and_words_that_docker_gives_them() {
    let docker = Docker::start();
    let code = |args: &[&str]| docker.run(&[&["run", "--rm", "bb"], args].concat()).code;
    assert_eq!(code(&["true"]), Some(0));
    assert_eq!(code(&["false"]), Some(1));
    assert_eq!(code(&["sh", "-c", "exit 42"]), Some(42));
    let missing = docker.run(&["run", "--rm", "bb", "nosuch"]).expect_code(127);
    // This one proves whose runtime it was.
    let _ =
        missing.expect_stderr("minke-oci create failed").expect_stderr("executable file not found in $PATH");
    let _ =
        docker.run(&["run", "--rm", "bb", "/etc/passwd"]).expect_code(126).expect_stderr("permission denied");
    let echoed = docker.cli(&["run", "-i", "--rm", "bb", "cat"]).input("hello\n").run();
    let _ = echoed.expect_code(0).expect_exact("hello\n");

    docker.ok(&["run", "-d", "--name", "talk", "bb", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!(docker.ok(&["wait", "talk"]), "3");
    let _ = docker.run(&["logs", "talk"]).expect_exact("out\n").expect_stderr("err\n");
    assert_eq!(docker.inspect("talk", ".State.Status"), "exited");
    assert_eq!(docker.inspect("talk", ".State.ExitCode"), "3");

    docker.ok(&["run", "-d", "--name", "again", "--restart", "on-failure:2", "bb", "false"]);
    docker.until("again", ".RestartCount", "2");
    docker.until("again", ".State.Status", "exited");
    docker.end();
}

#[test]
fn processes_are_added_with_and_without_a_terminal() {
    let docker = Docker::start();
    docker.ok(&["run", "-d", "--name", "web", "bb", "sleep", "1000"]);
    let exec = |args: &[&str]| docker.run(&[&["exec"], args].concat());
    let _ = exec(&["web", "echo", "hi"]).expect_code(0).expect_exact("hi\n");
    let _ = exec(&["web", "sh", "-c", "exit 7"]).expect_code(7);
    let _ = exec(&["web", "nosuch"]).expect_stdout("executable file not found in $PATH");
    let _ = exec(&["web", "/etc/passwd"]).expect_code(126);
    let _ = exec(&["-t", "web", "tty"]).expect_code(0).expect_stdout("/dev/pts/");
    let piped = docker.cli(&["exec", "-i", "web", "cat"]).input("through\n").run();
    let _ = piped.expect_code(0).expect_exact("through\n");
    let who =
        exec(&["-u", "33:44", "-w", "/tmp", "-e", "A=b", "web", "sh", "-c", "id -u; id -g; pwd; echo $A"]);
    let _ = who.expect_exact("33\n44\n/tmp\nb\n");
    let _ = exec(&["-d", "web", "touch", "/tmp/detached"]).expect_code(0);
    docker
        .0
        .machine()
        .until("the detached one", || exec(&["web", "test", "-e", "/tmp/detached"]).code == Some(0));
    let caps = ["web", "grep", "CapEff", "/proc/self/status"];
    let (usual, all) = (exec(&caps).ok(), exec(&[&["--privileged"], &caps[..]].concat()).ok());
    assert!(usual < all, "{usual}, privileged {all}");
    let typed =
        docker.cli_on_terminal(&["exec", "-it", "web", "sh"]).input("stty size; echo $((40+2))\nexit 5\n");
    let _ = typed.run().expect_code(5).expect_stdout("42");

    let health = ["--health-cmd", "test -e /tmp/ok", "--health-interval", "100ms", "--health-retries", "1"];
    let sick = [&["run", "-d", "--name", "sick"], &health[..], &["bb", "sleep", "1000"]].concat();
    docker.ok(&sick);
    docker.until("sick", ".State.Health.Status", "unhealthy");
    let _ = exec(&["sick", "touch", "/tmp/ok"]).expect_code(0);
    docker.until("sick", ".State.Health.Status", "healthy");
    docker.end();
}

#[test]
fn limits_are_set_changed_and_shown() {
    let docker = Docker::start();
    let limits = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--cpuset-cpus", "0"];
    docker.ok(&[&["run", "-d", "--name", "web"], &limits[..], &["bb", "sleep", "1000"]].concat());
    let unified = fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
    let files = match unified {
        true => ["memory.max", "cpu.max", "pids.max", "cpuset.cpus"],
        false => {
            ["memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "pids/pids.max", "cpuset/cpuset.cpus"]
        }
    };
    let read = || {
        let script = files.map(|file| format!("cut -d' ' -f1 /sys/fs/cgroup/{file}")).join("; ");
        docker.ok(&["exec", "web", "sh", "-c", &script])
    };
    assert_eq!(read(), "67108864\n50000\n50\n0");
    let more = ["--memory", "128m", "--memory-swap", "256m", "--pids-limit", "60", "--cpus", "1"];
    docker.ok(&[&["update"], &more[..], &["web"]].concat());
    assert_eq!(read(), "134217728\n100000\n60\n0");
    let stats = docker.ok(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", "web"]);
    assert!(stats.starts_with("web ") && stats.ends_with("/ 128MiB 1"), "{stats}");
    let top = docker.ok(&["top", "web", "-o", "pid,args"]);
    assert!(top.lines().nth(1).unwrap().ends_with("sleep 1000"), "{top}");

    let hungry =
        ["run", "--name", "hungry", "--memory", "16m", "bb", "sh", "-c", "x=a; while :; do x=$x$x; done"];
    let _ = docker.run(&hungry).expect_code(137);
    assert_eq!(docker.inspect("hungry", ".State.OOMKilled"), "true");
    docker.end();
}

#[test]
fn containers_pause_stop_restart_and_go() {
    let docker = Docker::start();
    docker.ok(&["run", "-d", "--name", "web", "bb", "sleep", "1000"]);
    docker.ok(&["pause", "web"]);
    assert_eq!(docker.inspect("web", ".State.Status"), "paused");
    let _ = docker.run(&["exec", "web", "true"]).expect_code(1).expect_stderr("paused");
    docker.ok(&["unpause", "web"]);
    assert_eq!(docker.inspect("web", ".State.Status"), "running");
    let before = docker.inspect("web", ".State.Pid");
    docker.ok(&["restart", "-t", "0", "web"]);
    assert_ne!(docker.inspect("web", ".State.Pid"), before);
    docker.ok(&["kill", "web"]);
    assert_eq!(docker.ok(&["wait", "web"]), "137");
    docker.ok(&["start", "web"]);
    docker.ok(&["stop", "-t", "0", "web"]);
    assert_eq!(docker.inspect("web", ".State.ExitCode"), "137");

    let polite = "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done";
    docker.ok(&["run", "-d", "--name", "polite", "bb", "sh", "-c", polite]);
    docker.0.machine().until("up", || docker.ok(&["logs", "polite"]) == "up");
    docker.ok(&["stop", "polite"]);
    assert_eq!(docker.inspect("polite", ".State.ExitCode"), "9");
    docker.ok(&["start", "polite"]);
    docker.ok(&["pause", "polite"]);
    docker.ok(&["rm", "-f", "polite"]);
    docker.end();
}

#[test]
fn what_docker_run_asks_for_is_what_a_container_finds() {
    let docker = Docker::start();
    let volume = docker.0.machine().path("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("f"), "from the host\n").unwrap();
    let mounted = |options: &str| format!("{}:/v{options}", volume.display());
    assert_eq!(docker.sh(&["-v", &mounted(":ro")], "cat /v/f; touch /v/x || echo no"), "from the host\nno");
    docker.sh(&["-v", &mounted("")], "touch /v/back");
    assert!(volume.join("back").exists());
    docker.sh(&["-v", "named:/v"], "echo kept >/v/x");
    assert_eq!(docker.sh(&["-v", "named:/v"], "cat /v/x"), "kept");
    assert_eq!(
        docker.sh(&["--read-only", "--tmpfs", "/t"], "touch /t/x /dev/shm/x; touch /x || echo no"),
        "no"
    );
    assert_eq!(docker.sh(&["-u", "33:44", "--group-add", "55"], "id -u; id -g; id -G"), "33\n44\n44 55");
    let caps = "grep CapEff /proc/self/status | cut -f2";
    assert_eq!(docker.sh(&["--cap-drop", "ALL"], caps), "0000000000000000");
    assert_eq!(docker.sh(&["--cap-drop", "ALL", "--cap-add", "CHOWN"], caps), "0000000000000001");
    assert_eq!(docker.sh(&[], "grep Seccomp: /proc/self/status | cut -f2"), "2");
    let open = ["--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges"];
    assert_eq!(docker.sh(&open, "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | cut -f2"), "1\n0");
    assert_eq!(docker.sh(&["--privileged"], "mount -t tmpfs x /tmp && echo all"), "all");
    assert_eq!(docker.sh(&["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn"), "100\n200");
    assert_eq!(docker.sh(&["--shm-size", "2m"], "df -k /dev/shm | grep -o ' 2048 ' | head -n 1"), " 2048");
    assert_eq!(docker.sh(&["--hostname", "foo"], "hostname"), "foo");
    assert_eq!(docker.sh(&["--device", "/dev/null:/dev/mine"], "echo gone >/dev/mine; cat /dev/mine"), "");
    let forward = ["--network", "none", "--sysctl", "net.ipv4.ip_forward=1"];
    assert_eq!(docker.sh(&forward, "cat /proc/sys/net/ipv4/ip_forward"), "1");
    assert_eq!(docker.sh(&["--oom-score-adj", "100"], "cat /proc/self/oom_score_adj"), "100");
    assert_eq!(docker.sh(&["-w", "/new/dir"], "pwd"), "/new/dir");
    assert_eq!(docker.sh(&["--init"], "tr '\\0' ' ' </proc/1/cmdline | cut -c1-17"), "/sbin/docker-init");
    assert_eq!(docker.sh(&["--pid", "host"], "test $$ != 1 && echo shared"), "shared");

    docker.ok(&["run", "-d", "--name", "first", "--ipc", "shareable", "bb", "sleep", "1000"]);
    let beside = ["--network", "container:first", "--pid", "container:first", "--ipc", "container:first"];
    assert_eq!(docker.sh(&beside, "tr '\\0' ' ' </proc/1/cmdline"), "sleep 1000");
    docker.ok(&["cp", &volume.join("f").display().to_string(), "first:/tmp/copied"]);
    assert_eq!(docker.ok(&["exec", "first", "cat", "/tmp/copied"]), "from the host");
    docker.end();
}

#[test]
fn a_terminal_is_attached_left_by_its_keys_and_attached_again() {
    let docker = Docker::start();
    let _ = docker.run(&["run", "-t", "--rm", "bb", "tty"]).expect_code(0).expect_stdout("/dev/pts/0");
    docker.ok(&["run", "-dit", "--name", "shell", "bb", "sh"]);
    let left = docker.cli_on_terminal(&["attach", "--detach-keys", "q,q", "shell"]).input("qq").run();
    let _ = left.expect_stdout("read escape sequence");
    assert_eq!(docker.inspect("shell", ".State.Status"), "running");
    let ended = docker.cli_on_terminal(&["attach", "shell"]).input("echo $((40+2))\nexit 6\n").run();
    let _ = ended.expect_code(6).expect_stdout("42");
    docker.end();
}

#[test]
fn it_runs_beside_another_runtime_when_a_container_asks_for_it() {
    let docker = Docker::start_with(&[]);
    assert_eq!(docker.inspect_info("{{.DefaultRuntime}}"), "runc");
    docker.ok(&["run", "-d", "--name", "web", "--runtime", "minke", "bb", "sleep", "1000"]);
    assert_eq!(docker.inspect("web", ".HostConfig.Runtime"), "minke");
    assert_eq!(docker.ok(&["exec", "web", "echo", "hi"]), "hi");
    let other = docker.run(&["run", "--rm", "--runtime", "minke", "bb", "nosuch"]).expect_code(127);
    let _ = other.expect_stderr("minke-oci create failed");
    docker.end();
}

impl Docker {
    fn inspect_info(&self, what: &str) -> String {
        self.ok(&["info", "--format", what])
    }
}

#[test]
fn containers_whose_ids_are_remapped_live_as_others_do() {
    let docker = Docker::start_with(&["--default-runtime", "minke", "--userns-remap", "minketest"]);
    let map = docker.sh(&[], "tr -s ' ' </proc/self/uid_map");
    assert_eq!(map.trim(), format!("0 {} 65536", SUBORDINATE.0));
    docker.ok(&["run", "-d", "--name", "web", "--memory", "64m", "--read-only", "bb", "sleep", "1000"]);
    let owner = fs::metadata(format!("/proc/{}", docker.inspect("web", ".State.Pid"))).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), SUBORDINATE.0);
    assert_eq!(docker.ok(&["exec", "-u", "33:44", "web", "id", "-u"]), "33");
    let _ = docker.run(&["exec", "-t", "web", "tty"]).expect_stdout("/dev/pts/");
    docker.ok(&["pause", "web"]);
    docker.ok(&["unpause", "web"]);
    docker.ok(&["update", "--memory", "32m", "--memory-swap", "32m", "web"]);
    docker.ok(&["restart", "-t", "0", "web"]);
    assert_eq!(docker.sh(&["--userns", "host"], "tr -s ' ' </proc/self/uid_map").trim(), "0 0 4294967295");
    docker.end();
}
