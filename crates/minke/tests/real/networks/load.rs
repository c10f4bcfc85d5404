//! nginx of Debian behind a published port, and ab on the LAN that asks it a great deal.

use std::process::Command;

use minke_testkit::{Cli, Entry, Host, Lan, Rootfs, Run, unpacked};

const CONFIGURATION: &[u8] = b"daemon off; worker_processes 1; pid /tmp/pid; error_log stderr; user root;
events { worker_connections 512; }
http { access_log off; client_body_temp_path /tmp; proxy_temp_path /tmp; fastcgi_temp_path /tmp; uwsgi_temp_path /tmp;
  scgi_temp_path /tmp; server { listen 80; location / { return 200 \"$remote_addr\\n\"; } } }
";

/// A root with Debian's nginx and the libraries that it asks for.
fn nginx() -> Rootfs {
    let program = unpacked("load").join("usr/sbin/nginx");
    let shown = Command::new("ldd").arg(&program).output().expect("ldd runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let libraries = shown.split_whitespace().filter(|word| word.starts_with('/'));
    let mut rootfs = Rootfs::busybox();
    for library in libraries {
        let content = std::fs::read(library).expect("a library");
        rootfs = rootfs.add(library.trim_start_matches('/'), 0o755, Entry::File(&content));
    }
    let content = std::fs::read(&program).expect("nginx");
    rootfs
        .add("bin/nginx", 0o755, Entry::File(&content))
        .add("etc/nginx.conf", 0o644, Entry::File(CONFIGURATION))
        .add("var/log/nginx", 0o755, Entry::Dir)
}

#[test]
fn nginx_serves_the_lan_without_losing_a_request_and_sees_its_address() {
    let host = Host::start();
    host.import("nginx", nginx());
    let lan = Lan::of(host.netns());
    let words = ["run", "-d", "--name", "web", "-p", "8080:80", "nginx", "nginx", "-c", "/etc/nginx.conf"];
    let _ = host.cli_args(Cli::Minke, &words).ok();
    let _ = host.fetch("127.0.0.1:8080");
    let load = unpacked("load");
    let ask = |options: &[&str]| {
        let words = [options, &["http://10.77.0.1:8080/"]].concat();
        let libraries = load.join("usr/lib/x86_64-linux-gnu");
        let ran =
            Run::new(load.join("usr/bin/ab"), words).env("LD_LIBRARY_PATH", libraries).within(&lan.netns);
        let said = ran.run().expect_code(0);
        assert!(said.stdout.contains("Failed requests:        0\n"), "{said}");
        said.stdout
    };
    // Each with a connection of its own, and many on one.
    let single = ask(&["-n", "2000", "-c", "50"]);
    let kept = ask(&["-n", "5000", "-c", "50", "-k"]);
    for said in [single, kept] {
        assert!(said.contains("Document Length:        10 bytes"), "the client's own address: {said}");
        println!("{}", said.lines().find(|line| line.starts_with("Requests per second")).unwrap_or_default());
    }
    drop(lan);
    host.expect_nothing_left();
}
