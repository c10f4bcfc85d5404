//! Binds and volumes.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn a_bind_is_the_hosts_directory(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let dir = host.path("shared");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("from-host"), "hello").unwrap();
    let bind = format!("{}:/shared", dir.display());
    let _ = host
        .cli(
            cli,
            [
                "run",
                "--rm",
                "-v",
                &bind,
                "busybox",
                "sh",
                "-c",
                "cat /shared/from-host; echo back > /shared/from-container",
            ],
        )
        .expect_code(0)
        .expect_exact("hello");
    assert_eq!(std::fs::read_to_string(dir.join("from-container")).unwrap(), "back\n");
    let read_only = format!("{}:/shared:ro", dir.display());
    let _ = host
        .cli(cli, ["run", "--rm", "-v", &read_only, "busybox", "touch", "/shared/x"])
        .expect_code(1)
        .expect_stderr("Read-only");
    let file = format!("{}:/etc/motd:ro", dir.join("from-host").display());
    let _ = host
        .cli(cli, ["run", "--rm", "-v", &file, "busybox", "cat", "/etc/motd"])
        .expect_code(0)
        .expect_exact("hello");
    host.expect_nothing_left();
}

#[rstest]
fn a_named_volume_keeps_its_content_and_starts_with_the_images(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(cli, ["run", "--rm", "-v", "data:/etc", "busybox", "sh", "-c", "echo more > /etc/more"])
        .ok();
    let ran = host.cli(
        cli,
        ["run", "--rm", "-v", "data:/data", "busybox", "sh", "-c", "cat /data/more; ls /data/passwd"],
    );
    let _ = ran.expect_code(0).expect_exact("more\n/data/passwd\n");
    assert_eq!(host.cli(cli, ["volume", "ls", "-q"]).ok(), "data");
    let _ = host.cli(cli, ["volume", "rm", "data"]).ok();
    assert_eq!(host.cli(cli, ["volume", "ls", "-q"]).ok(), "");
    host.expect_nothing_left();
}

#[rstest]
fn a_missing_bind_source_by_mount_is_refused(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let ran = host
        .cli(cli, ["run", "--rm", "--mount", "type=bind,source=/no/such/dir,target=/x", "busybox", "true"]);
    let _ = ran.expect_code(125).expect_stderr("/no/such/dir");
    host.expect_nothing_left();
}

/// As tools make them to have a volume filled, or to show what is mounted.
#[test]
fn an_image_without_layers_is_one_like_others() {
    let host = Host::with_busybox();
    let project = tempfile::tempdir().unwrap();
    std::fs::write(
        project.path().join("Dockerfile"),
        "FROM scratch\nCMD [\"/busybox\", \"echo\", \"ran\"]\n",
    )
    .unwrap();
    let folder = project.path().to_str().unwrap();
    let _ = host.docker(["build", "-q", "-t", "nothing:1", folder]).ok();
    let _ =
        host.docker(["create", "--name", "filled", "-v", "data:/v", "-v", "/anonymous", "nothing:1"]).ok();
    let file = project.path().join("file");
    std::fs::write(&file, "in it").unwrap();
    let file = file.to_str().unwrap();
    let _ = host.docker(["cp", file, "filled:/v/file"]).ok();
    let _ = host.docker(["cp", file, "filled:/own"]).ok();
    assert_eq!(host.docker(["run", "--rm", "-v", "data:/v", "busybox", "cat", "/v/file"]).ok(), "in it");
    assert_eq!(host.docker(["diff", "filled"]).ok(), "A /own");
    let _ = host.docker(["commit", "filled", "more:1"]).ok();
    let program = host.path("busybox");
    std::fs::copy("/bin/busybox", &program).unwrap();
    let bind = format!("{}:/busybox:ro", program.display());
    for image in ["nothing:1", "more:1"] {
        assert_eq!(host.docker(["run", "--rm", "-v", &bind, image]).ok(), "ran");
    }
    let mount = ["run", "--rm", "--mount", "type=image,source=more:1,target=/i", "busybox", "cat", "/i/own"];
    assert_eq!(host.minke(mount).ok(), "in it");
    let text = "FROM busybox\nRUN --mount=from=nothing:1,target=/y test -z \"$(ls -A /y)\"\n";
    std::fs::write(project.path().join("Dockerfile"), text).unwrap();
    let _ = host.docker(["build", "-q", folder]).ok();
    host.expect_nothing_left();
}

#[test]
fn a_part_of_a_volume_begins_with_the_images_files_and_is_inside() {
    let host = Host::with_busybox();
    let script =
        "mkdir /v/etc /v/in; ln -s in /v/good; ln -s / /v/root; ln -s ../x /v/up; echo mine >/v/in/file";
    let _ = host.docker(["run", "--rm", "-v", "data:/v", "busybox", "sh", "-c", script]).ok();
    let mounted = |part: &str, target: &str, script: &str| {
        let mount = format!("type=volume,source=data,target={target},volume-subpath={part}");
        host.docker(["run", "--rm", "--mount", &mount, "busybox", "sh", "-c", script])
    };
    assert_eq!(mounted("etc", "/etc", "ls /etc/passwd").ok(), "/etc/passwd");
    assert_eq!(mounted("good", "/p", "cat /p/file").ok(), "mine");
    for part in ["root", "up"] {
        let _ = mounted(part, "/p", "ls /p").expect_stderr("path concatenation escapes the base directory");
    }
    let _ = mounted("missing", "/p", "ls /p").expect_stderr("cannot access path \"missing\"");
    host.expect_nothing_left();
}
