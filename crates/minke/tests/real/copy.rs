//! `cp`, both ways, into running and stopped containers.

use minke_testkit::{Cli, Host};
use rstest::rstest;

#[rstest]
fn files_travel_both_ways(#[values(Cli::Docker, Cli::Minke)] cli: Cli, #[values(true, false)] running: bool) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    if !running {
        let _ = host.cli(cli, ["stop", "-t", "0", "box"]).ok();
    }
    let tree = host.path("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("sub/file"), "content").unwrap();
    let tree = tree.to_str().unwrap();
    let _ = host.cli(cli, ["cp", tree, "box:/tmp/tree"]).ok();
    let back = host.path("back");
    let back = back.to_str().unwrap();
    let _ = host.cli(cli, ["cp", "box:/tmp/tree", back]).ok();
    assert_eq!(std::fs::read_to_string(format!("{back}/sub/file")).unwrap(), "content");
    let one = host.path("passwd");
    let _ = host.cli(cli, ["cp", "box:/etc/passwd", one.to_str().unwrap()]).ok();
    assert!(std::fs::read_to_string(one).unwrap().starts_with("root:"));
    let _ = host.cli(cli, ["cp", "box:/no/such/file", back]).expect_code(1).expect_stderr("/no/such/file");
    host.expect_nothing_left();
}

#[rstest]
fn volumes_and_named_files_are_there_without_a_process(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let bind = host.path("bind");
    std::fs::create_dir(&bind).unwrap();
    let volume = format!("{}:/bound:ro", bind.display());
    let script = "echo one > /data/file; ln -s /data /way; ln -s /bound /shut";
    let run = [
        "run",
        "--name",
        "box",
        "--hostname",
        "known",
        "-v",
        "/data",
        "-v",
        &volume,
        "busybox",
        "sh",
        "-c",
        script,
    ];
    let _ = host.cli_args(cli, &run).ok();
    let back = host.path("back");
    std::fs::create_dir(&back).unwrap();
    let read = |name: &str| std::fs::read_to_string(back.join(name)).unwrap();
    let to = back.to_str().unwrap();
    let _ = host.cli(cli, ["cp", "box:/data", to]).ok();
    assert_eq!(read("data/file"), "one\n");
    // Links lead where they led.
    let _ = host.cli(cli, ["cp", "box:/way/file", to]).ok();
    assert_eq!(read("file"), "one\n");
    let _ = host.cli(cli, ["cp", "box:/etc/hostname", to]).ok();
    assert_eq!(read("hostname"), "known\n");
    let file = back.join("file");
    let file = file.to_str().unwrap();
    let _ = host.cli(cli, ["cp", file, "box:/way/new"]).ok();
    let seen = host.cli(cli, ["run", "--rm", "--volumes-from", "box", "busybox", "cat", "/data/new"]).ok();
    assert_eq!(seen, "one");
    let _ = host.cli(cli, ["cp", file, "box:/shut/new"]).expect_code(1).expect_stderr("marked read-only");
    let _ = host.cli(cli, ["create", "--name", "new", "-w", "/srv/deep", "busybox"]).ok();
    let _ = host.cli(cli, ["cp", file, "new:/srv/deep/file"]).ok();
    host.expect_nothing_left();
}

#[rstest]
fn an_archive_keeps_its_owners_but_for_a_user_of_the_containers(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
    #[values(("", "2 3"), ("33:44", "33 44"))] user: (&str, &str),
) {
    let host = Host::with_busybox();
    let file = host.path("file");
    std::fs::write(&file, "x").unwrap();
    std::os::unix::fs::chown(&file, Some(2), Some(3)).unwrap();
    let create = ["create", "--name", "box", "--user", user.0, "busybox", "stat", "-c", "%u %g", "/tmp/file"];
    let _ = host.cli_args(cli, &create).ok();
    let _ = host.cli(cli, ["cp", "-a", file.to_str().unwrap(), "box:/tmp/file"]).ok();
    assert_eq!(host.cli(cli, ["start", "-a", "box"]).ok(), user.1);
    host.expect_nothing_left();
}

#[rstest]
fn a_link_out_of_the_container_stays_inside(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let outside = host.path("outside");
    std::fs::create_dir(&outside).unwrap();
    let link = format!("ln -s {} /escape; sleep 600", outside.display());
    let _ = host.cli(cli, ["run", "-d", "--name", "box", "busybox", "sh", "-c", &link]).ok();
    let file = host.path("file");
    std::fs::write(&file, "x").unwrap();
    // The link's target does not exist inside the container, so this fails or writes inside; never outside.
    let _ = host.cli(cli, ["cp", file.to_str().unwrap(), "box:/escape/file"]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    host.expect_nothing_left();
}

/// CVE-2018-15664: between the look at a path and its use, the container makes a link of it.
#[test]
fn a_link_that_comes_and_goes_leads_nowhere() {
    let host = Host::with_busybox();
    let outside = host.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "secret").unwrap();
    let swap = format!(
        "mkdir /a; echo -n inside > /a/file; ln -s {} /link; echo ready; \
         while :; do mv /a /b; mv /link /a; mv /a /link; mv /b /a; done",
        outside.display()
    );
    let _ = host.docker(["run", "-d", "--name", "box", "busybox", "sh", "-c", &swap]).ok();
    host.until("it swaps", || host.docker(["logs", "box"]).ok() == "ready");
    let (mine, back) = (host.path("mine"), host.path("back"));
    std::fs::write(&mine, "mine").unwrap();
    let mut copied = 0;
    for _ in 0..60 {
        let _ = std::fs::remove_file(&back);
        let out = host.minke(["cp", "box:/a/file", back.to_str().unwrap()]);
        if out.code == Some(0) {
            copied += 1;
            assert_ne!(std::fs::read_to_string(&back).unwrap(), "secret");
        }
        let _ = host.minke(["cp", mine.to_str().unwrap(), "box:/a/mine"]);
    }
    assert!(copied > 0, "some of them must have met the folder");
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["file"]);
    host.expect_nothing_left();
}

/// CVE-2019-14271: what copies must not read code or names from the container. Whoever opens a pipe waits for its writer.
#[test]
fn a_copy_opens_no_library_and_no_list_of_names_in_the_container() {
    let host = Host::with_busybox();
    let traps = "mkdir -p /lib/x86_64-linux-gnu /lib64 /etc/tmp; \
                 for dir in /lib /lib64 /lib/x86_64-linux-gnu; do \
                 for lib in libnss_files.so.2 libnss_compat.so.2 libnss_dns.so.2 libc.so.6; do mkfifo $dir/$lib; done; done; \
                 for list in nsswitch.conf passwd group ld.so.cache ld.so.preload; do rm -f /etc/$list; mkfifo /etc/$list; done; \
                 echo -n content > /file";
    let _ = host.docker(["run", "--name", "box", "busybox", "sh", "-c", traps]).expect_code(0);
    let (mine, back) = (host.path("mine"), host.path("back"));
    std::fs::write(&mine, "mine").unwrap();
    for cli in [Cli::Docker, Cli::Minke] {
        let _ = host.cli(cli, ["cp", "-a", "box:/file", back.to_str().unwrap()]).expect_code(0);
        assert_eq!(std::fs::read_to_string(&back).unwrap(), "content");
        let _ = host.cli(cli, ["cp", "-a", mine.to_str().unwrap(), "box:/mine"]).expect_code(0);
    }
    host.expect_nothing_left();
}

#[test]
fn a_compressed_archive_is_unpacked_into_a_container() {
    let host = Host::with_busybox();
    let _ = host.docker(["run", "-d", "--name", "box", "busybox", "sleep", "600"]).ok();
    let archive = host.path("a.tgz");
    std::fs::write(host.path("file"), "text\n").expect("there is room");
    let words = ["-czf", "a.tgz", "file"];
    let packed = std::process::Command::new("tar").args(words).current_dir(host.path("")).status();
    assert!(packed.expect("the host has tar").success());
    let bytes = std::fs::read(archive).expect("it was copied");
    let path = "/containers/box/archive?path=/home";
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len()
    );
    let mut socket =
        std::os::unix::net::UnixStream::connect(host.path("docker.sock")).expect("the engine listens");
    std::io::Write::write_all(&mut socket, &[head.as_bytes(), &bytes].concat()).expect("it reads");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut socket, &mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(host.docker(["exec", "box", "cat", "/home/file"]).ok(), "text");
    host.expect_nothing_left();
}
