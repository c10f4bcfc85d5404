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
