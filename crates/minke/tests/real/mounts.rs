//! Volumes whose driver options mount something, and mounts of images.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::{fs, path::Path};

use minke_testkit::{Cli, Entry, Host, Rootfs};
use rstest::rstest;

/// Whether something is mounted on the volume's directory, as the whole host sees it.
fn is_mounted(host: &Host, volume: &str) -> bool {
    let place = format!(" {} ", host.path("root/volumes").join(volume).join("_data").display());
    fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&place)
}

#[rstest]
fn a_volume_in_memory_is_one_for_all_its_containers_and_goes_with_the_last(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let mut host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "volume",
                "create",
                "-o",
                "type=tmpfs",
                "-o",
                "device=tmpfs",
                "-o",
                "o=size=1m,uid=1000,mode=750",
                "mem",
            ],
        )
        .ok();
    assert!(!is_mounted(&host, "mem"), "nobody uses it yet");
    let script = "stat -c '%u %a' /m; echo shared >/m/file; exec sleep 600";
    let _ = host.cli(cli, ["run", "-d", "--name", "one", "-v", "mem:/m", "busybox", "sh", "-c", script]).ok();
    host.until("the file is there", || host.cli(cli, ["exec", "one", "cat", "/m/file"]).stdout == "shared\n");
    assert_eq!(host.cli(cli, ["logs", "one"]).ok(), "1000 750");
    let _ =
        host.cli(cli, ["run", "--rm", "-v", "mem:/x", "busybox", "cat", "/x/file"]).expect_exact("shared\n");
    assert!(is_mounted(&host, "mem"), "the first one still uses it");
    // The file system outlives an engine, as the container does.
    host.kill_daemon();
    host.start_daemon();
    let _ =
        host.cli(cli, ["run", "--rm", "-v", "mem:/x", "busybox", "cat", "/x/file"]).expect_exact("shared\n");
    let full = host.cli(cli, ["exec", "one", "dd", "if=/dev/zero", "of=/m/big", "bs=1M", "count=2"]);
    let _ = full.expect_code(1).expect_stderr("No space left");
    let _ = host.cli(cli, ["rm", "-f", "one"]).ok();
    assert!(!is_mounted(&host, "mem"));
    let _ = host.cli(cli, ["volume", "rm", "mem"]).ok();
    host.expect_nothing_left();
}

#[rstest]
fn a_bound_folder_is_the_volumes_content_and_is_never_deleted_with_it(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let mut host = Host::with_busybox();
    let folder = host.path("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("mine"), "kept\n").unwrap();
    let device = format!("device={}", folder.display());
    let _ =
        host.cli(cli, ["volume", "create", "-o", "type=none", "-o", &device, "-o", "o=bind", "data"]).ok();
    let options = host.cli(cli, ["volume", "inspect", "-f", "{{json .Options}}", "data"]).json();
    assert_eq!((&options["type"], &options["o"]), (&"none".into(), &"bind".into()));
    let _ = host
        .cli(
            cli,
            ["run", "--name", "box", "-v", "data:/d", "busybox", "sh", "-c", "cat /d/mine; echo new >/d/new"],
        )
        .expect_exact("kept\n");
    assert_eq!(fs::read_to_string(folder.join("new")).unwrap(), "new\n");
    // A stopped container's volume is there for whoever copies.
    let copy = host.path("copy");
    let _ = host.cli(cli, ["cp", "box:/d/mine", copy.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(copy).unwrap(), "kept\n");
    host.until("nobody uses it", || !is_mounted(&host, "data"));
    // An engine that is killed leaves the mount; the next one finds that nobody uses it.
    let _ = host.cli(cli, ["run", "-d", "--name", "short", "-v", "data:/d", "busybox", "sleep", "600"]).ok();
    let pid = host.cli(cli, ["inspect", "-f", "{{.State.Pid}}", "short"]).ok();
    host.kill_daemon();
    assert!(is_mounted(&host, "data"));
    rustix_kill(&pid);
    host.until("its supervisor has left", || !Path::new("/proc").join(&pid).exists());
    host.start_daemon();
    host.until("the mount is gone", || !is_mounted(&host, "data"));
    let _ = host.cli(cli, ["rm", "-f", "box", "short"]).ok();
    let _ = host.cli(cli, ["volume", "rm", "data"]).ok();
    assert_eq!(fs::read_to_string(folder.join("mine")).unwrap(), "kept\n");
    host.expect_nothing_left();
}

fn rustix_kill(pid: &str) {
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[rstest]
fn options_that_cannot_be_are_told_when_and_where_they_are(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let refused = |options: [&str; 4], words: &str| {
        let [a, b, c, d] = options;
        let _ = host.cli(cli, ["volume", "create", a, b, c, d, "bad"]).expect_code(1).expect_stderr(words);
    };
    refused(["-o", "type=nfs", "-o", "o=addr=127.0.0.1"], "missing required option: \"device\"");
    refused(["-o", "colour=red", "-o", "type=none"], "invalid option: \"colour\"");
    let _ = host
        .cli(
            cli,
            ["volume", "create", "-o", "type=none", "-o", "device=/no/such/folder", "-o", "o=bind", "gone"],
        )
        .ok();
    let ran = host.cli(cli, ["run", "--rm", "-v", "gone:/x", "busybox", "true"]).expect_code(125);
    let _ = ran.expect_stderr("failed to mount local volume").expect_stderr("No such file or directory");
    host.expect_nothing_left();
}

#[test]
fn an_images_files_are_mounted_read_only_whole_and_in_part() {
    let host = Host::with_busybox();
    let rootfs = Rootfs::empty()
        .add("bin", 0o755, Entry::Dir)
        .add("bin/tool", 0o755, Entry::File(b"#!/bin/sh\necho tool\n"))
        .add("share/text", 0o644, Entry::File(b"old\n"))
        .add("share/gone", 0o644, Entry::File(b"gone\n"));
    host.import("tools:1", rootfs);
    // A second layer: a change and a deletion.
    let _ = host
        .minke([
            "create",
            "--name",
            "tools",
            "--mount",
            "type=image,source=busybox,target=/b",
            "tools:1",
            "/b",
        ])
        .ok();
    let changed = host.path("text");
    fs::write(&changed, "new\n").unwrap();
    let _ = host.minke(["cp", changed.to_str().unwrap(), "tools:/share/text"]).ok();
    let _ = host.minke(["commit", "tools", "tools:2"]).ok();
    let linked = "type=image,source=tools:3,target=/s,image-subpath=link/to";
    let _ = host
        .minke([
            "run",
            "--name",
            "linker",
            "busybox",
            "sh",
            "-c",
            "mkdir /real /link && echo x >/real/in && ln -s ../real /link/to",
        ])
        .ok();
    let _ = host.minke(["commit", "linker", "tools:3"]).ok();
    let _ = host.minke(["run", "--rm", "--mount", linked, "busybox", "cat", "/s/in"]).expect_exact("x\n");

    let script = "/t/bin/tool; cat /t/share/text; touch /t/x 2>&1; cat /s/text; ls /s; cat /f; grep -c ' /t ' /proc/mounts";
    let ran = host.minke([
        "run",
        "--rm",
        "--mount",
        "type=image,source=tools:2,target=/t",
        "--mount",
        "type=image,source=tools:2,target=/s,image-subpath=share",
        "--mount",
        "type=image,source=tools:2,target=/f,image-subpath=share/gone",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    let _ = ran
        .expect_code(0)
        .expect_exact("tool\nnew\ntouch: /t/x: Read-only file system\nnew\ngone\ntext\ngone\n1\n");

    // The image stays as long as a container mounts it, and is told of.
    let _ = host
        .minke(["create", "--name", "user", "--mount", "type=image,source=tools:2,target=/t", "busybox"])
        .ok();
    let mount = host.minke(["inspect", "-f", "{{json (index .Mounts 0)}}", "user"]).json();
    assert_eq!(
        (&mount["Type"], &mount["Name"], &mount["RW"]),
        (&"image".into(), &"tools:2".into(), &false.into())
    );
    let _ = host.minke(["rmi", "tools:2"]).expect_code(1).expect_stderr("container");
    let refused = |mount: &str, words: &str| {
        let _ = host.minke(["create", "--mount", mount, "busybox"]).expect_code(1).expect_stderr(words);
    };
    refused("type=image,source=nosuch,target=/t", "No such image");
    let _ = host
        .minke(["run", "--mount", "type=image,source=tools:2,target=/t,image-subpath=nowhere", "busybox"])
        .expect_stderr("cannot access path \"nowhere\"");
    refused("type=image,source=tools:2,target=/t,image-subpath=../etc", "within the volume");
    host.expect_nothing_left();
}
