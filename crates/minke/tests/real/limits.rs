//! Limits: memory, cpu, processes, and that the kernel enforces them.

use minke_testkit::{Cli, Host};
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
