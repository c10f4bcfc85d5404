//! Limits: memory, cpu, processes, and that the kernel enforces them.

use minke_testkit::{Cli, Host, Rootfs};
use rstest::rstest;

#[rstest]
fn limits_reach_the_control_groups(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let id = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "--memory",
                "64m",
                "--cpus",
                "0.5",
                "--pids-limit",
                "40",
                "--cpuset-cpus",
                "0",
                "busybox",
                "sleep",
                "600",
            ],
        )
        .ok();
    let read = |v1: &str, v2: &str| {
        let v1 = std::path::Path::new("/sys/fs/cgroup").join(v1.replacen(
            '/',
            &format!("/{}/{id}/", host.prefix()),
            1,
        ));
        let v2 = format!("/sys/fs/cgroup/{}/{id}/{v2}", host.prefix());
        std::fs::read_to_string(&v1)
            .or_else(|_| std::fs::read_to_string(v2))
            .unwrap_or_else(|error| panic!("{}: {error}", v1.display()))
            .trim()
            .to_owned()
    };
    assert_eq!(read("memory/memory.limit_in_bytes", "memory.max"), "67108864");
    assert_eq!(read("cpu/cpu.cfs_quota_us", "cpu.max").split(' ').next(), Some("50000"));
    assert_eq!(read("pids/pids.max", "pids.max"), "40");
    assert_eq!(read("cpuset/cpuset.cpus", "cpuset.cpus"), "0");
    host.expect_nothing_left();
}

#[rstest]
fn too_much_memory_ends_in_137_and_the_state_says_why(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "run",
                "--name",
                "greedy",
                "--memory",
                "16m",
                "busybox",
                "dd",
                "if=/dev/zero",
                "of=/dev/null",
                "bs=200M",
                "count=1",
            ],
        )
        .expect_code(137);
    assert_eq!(host.cli(cli, ["inspect", "-f", "{{.State.OOMKilled}}", "greedy"]).ok(), "true");
    host.expect_nothing_left();
}

#[rstest]
fn a_fork_bomb_meets_the_limit(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let ran = host.cli(
        cli,
        [
            "run",
            "--rm",
            "--pids-limit",
            "8",
            "busybox",
            "sh",
            "-c",
            "for i in $(seq 20); do sleep 5 & done; echo unreachable",
        ],
    );
    let _ = ran.expect_stderr("can't fork");
    host.expect_nothing_left();
}

#[rstest]
fn ulimits_are_set_and_what_the_host_lacks_is_refused(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            ["run", "--rm", "--ulimit", "nofile=100:200", "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn"],
        )
        .expect_code(0)
        .expect_exact("100\n200\n");
    host.expect_nothing_left();
}

#[rstest]
fn sysctls_of_the_containers_own_namespaces_are_set(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "run",
                "--rm",
                "--sysctl",
                "net.ipv4.ip_unprivileged_port_start=1000",
                "busybox",
                "cat",
                "/proc/sys/net/ipv4/ip_unprivileged_port_start",
            ],
        )
        .expect_code(0)
        .expect_exact("1000\n");
    let _ = host
        .cli(cli, ["run", "--rm", "--sysctl", "kernel.panic=1", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("kernel.panic");
    host.expect_nothing_left();
}

#[test]
fn a_named_device_brings_what_its_vendor_says() {
    let mut host = Host::without_engine();
    let folder = host.path("cdi");
    std::fs::create_dir(&folder).unwrap();
    let text = "cdiVersion: 0.6.0\nkind: vendor.example/null\ndevices:\n- name: one\n  containerEdits:\n    env: [VENDOR=here]\n    \
                deviceNodes:\n    - {path: /dev/one, hostPath: /dev/null, permissions: rw}\n    mounts:\n    \
                - {hostPath: /etc/passwd, containerPath: /vendor/file, options: [ro]}\n";
    std::fs::write(folder.join("vendor.yaml"), text).unwrap();
    host.set_flags(&[&format!("--cdi-spec-dir={}", folder.display())]);
    host.start_daemon();
    host.import("busybox", Rootfs::busybox());
    let device = "vendor.example/null=one";
    let wanted = format!("[{}]\n", folder.display());
    let _ = host.docker(["info", "--format", "{{.CDISpecDirs}}"]).expect_code(0).expect_exact(&wanted);
    let script =
        "echo $VENDOR; stat -c '%t:%T' /dev/one; echo x >/dev/one && echo written; head -c 4 /vendor/file";
    let _ = host
        .docker(["run", "--rm", "--device", device, "busybox", "sh", "-c", script])
        .expect_code(0)
        .expect_exact("here\n1:3\nwritten\nroot");
    let other = "vendor.example/null=two";
    let _ = host
        .docker(["run", "--rm", "--device", other, "busybox", "true"])
        .expect_code(125)
        .expect_stderr(&format!("unresolvable CDI devices {other}"));
    let _ = host
        .docker(["run", "--rm", "--gpus", "all", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("could not select device driver \"\" with capabilities: [[gpu]]");
    host.expect_nothing_left();
}

#[test]
fn no_oom_killer_and_no_limit_is_warned_of() {
    let host = Host::with_busybox();
    if !std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        return; // cgroup v2 has no such switch
    }
    let warned = "OOM killer is disabled for the container, but no memory limit is set";
    let create = |limit: &str| {
        host.docker(["create", "--oom-kill-disable", limit, "busybox"]).expect_code(0).stderr.contains(warned)
    };
    assert!(create("--memory=0") && !create("--memory=64m"));
}
