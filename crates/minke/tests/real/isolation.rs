//! What a container may not do, and what it may when asked.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn capabilities_are_dockers_and_can_be_changed(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let caps = ["sh", "-c", "grep CapEff /proc/self/status"];
    let effective =
        |flag: &str| host.cli(cli, ["run", "--rm", flag, "busybox", caps[0], caps[1], caps[2]]).ok();
    assert_eq!(effective("--label=x=y"), "CapEff:\t00000000a80425fb");
    assert_eq!(effective("--cap-drop=ALL"), "CapEff:\t0000000000000000");
    assert_eq!(effective("--cap-add=SYS_ADMIN"), "CapEff:\t00000000a82425fb");
    host.expect_nothing_left();
}

#[rstest]
fn the_kernels_files_are_masked_or_read_only(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let script = "cat /proc/kcore | wc -c; ls /proc/scsi /sys/firmware | grep -v : ; echo 1 > /proc/sys/kernel/panic || echo read-only; touch /sys/x || echo read-only";
    let ran = host.cli(cli, ["run", "--rm", "busybox", "sh", "-c", script]).expect_code(0);
    assert_eq!(ran.stdout.split_whitespace().collect::<Vec<_>>(), ["0", "read-only", "read-only"], "{ran}");
    host.expect_nothing_left();
}

#[rstest]
fn system_calls_are_filtered_unless_unconfined(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let seccomp =
        ["sh", "-c", "grep -w Seccomp /proc/self/status; unshare -U true && echo may || echo may not"];
    let _ = host
        .cli(cli, ["run", "--rm", "busybox", seccomp[0], seccomp[1], seccomp[2]])
        .expect_code(0)
        .expect_exact("Seccomp:\t2\nmay not\n");
    let _ = host
        .cli(
            cli,
            [
                "run",
                "--rm",
                "--security-opt",
                "seccomp=unconfined",
                "busybox",
                seccomp[0],
                seccomp[1],
                seccomp[2],
            ],
        )
        .expect_code(0)
        .expect_exact("Seccomp:\t0\nmay\n");
    let profile = host.path("profile.json");
    std::fs::write(&profile, r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#).unwrap();
    let option = format!("seccomp={}", profile.display());
    let _ = host
        .cli(cli, ["run", "--rm", "--security-opt", &option, "busybox", "mkdir", "/tmp/x"])
        .expect_code(1)
        .expect_stderr("No space left");
    host.expect_nothing_left();
}

#[rstest]
fn no_new_privileges_is_set_when_asked(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let ran = host.cli(
        cli,
        [
            "run",
            "--rm",
            "--security-opt",
            "no-new-privileges",
            "busybox",
            "grep",
            "NoNewPrivs",
            "/proc/self/status",
        ],
    );
    let _ = ran.expect_code(0).expect_exact("NoNewPrivs:\t1\n");
    host.expect_nothing_left();
}

#[rstest]
fn a_read_only_root_takes_no_writes_but_a_tmpfs_does(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let script = "touch /etc/x 2>&1 | grep -o Read-only; echo kept > /scratch/x && cat /scratch/x && mount | grep -c 'on /scratch type tmpfs.*size=1024k'";
    let ran = host.cli(
        cli,
        ["run", "--rm", "--read-only", "--tmpfs", "/scratch:size=1m", "busybox", "sh", "-c", script],
    );
    let _ = ran.expect_code(0).expect_exact("Read-only\nkept\n1\n");
    host.expect_nothing_left();
}

#[rstest]
fn privileged_sees_the_devices_and_may_mount(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let script = "mount -t tmpfs none /mnt 2>/dev/null || (mkdir /mnt && mount -t tmpfs none /mnt); mount | grep -c 'on /mnt '; grep CapBnd /proc/self/status; test -e /dev/kmsg && echo devices";
    let ran = host.cli(cli, ["run", "--rm", "--privileged", "busybox", "sh", "-c", script]).expect_code(0);
    assert!(ran.stdout.starts_with("1\nCapBnd:\t000001") && ran.stdout.ends_with("devices\n"), "{ran}");
    host.expect_nothing_left();
}

#[rstest]
fn processes_of_the_host_and_of_others_are_out_of_sight(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let ran = host
        .cli(cli, ["run", "--rm", "busybox", "sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'"])
        .expect_code(0);
    let seen: Vec<u32> = ran.stdout.split_whitespace().map(|n| n.parse().unwrap()).collect();
    assert!(seen[0] == 1 && seen[1] <= 4, "{ran}");
    host.expect_nothing_left();
}

#[rstest]
fn no_descriptor_of_the_host_is_open_inside(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let of_exec = host.cli(cli, ["exec", "box", "sh", "-c", "ls /proc/self/fd; ls /proc/1/fd"]).ok();
    // `ls` itself holds the directory that it lists.
    assert_eq!(of_exec.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3", "0", "1", "2"]);
    host.expect_nothing_left();
}

/// Twelve thousand directories in each other are more than a program that calls itself for each has stack for.
#[test]
fn trees_of_any_depth_go_with_their_container_and_volume() {
    let host = Host::with_busybox();
    let script = "c=d; i=0; while [ $i -lt 999 ]; do c=$c/d; i=$((i+1)); done
        for at in /tree /v/tree; do
            mkdir $at; j=0
            while [ $j -lt 12 ]; do mkdir -p ${at}n/$c; mv $at ${at}n/$c/t; mv ${at}n $at; j=$((j+1)); done
        done; echo made";
    let made = host.docker(["run", "--name", "deep", "-v", "deep:/v", "busybox", "sh", "-c", script]);
    let _ = made.expect_code(0).expect_stdout("made");
    let _ = host.docker(["ps", "-as"]).expect_code(0);
    let _ = host.docker(["system", "df"]).expect_code(0);
    let _ = host.docker(["diff", "deep"]);
    let _ = host.docker(["rm", "deep"]).expect_code(0);
    let _ = host.docker(["volume", "rm", "deep"]).expect_code(0);
    let _ = host.docker(["version"]).expect_code(0);
    host.expect_nothing_left();
}
