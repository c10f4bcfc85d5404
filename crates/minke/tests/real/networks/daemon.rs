//! What the engine itself is told about networks: which bridge the default network is on, if there is one, and who routes.

use minke_testkit::{Cli, Host, Lan, Rootfs, Run};

use super::{
    exec, idle, inspect,
    ways::{SERVER, page},
};

/// Runs a command of busybox in the host's network.
fn on_host(host: &Host, words: &[&str]) -> String {
    Run::new("/bin/busybox", words).within(host.netns()).ok()
}

#[test]
fn without_a_default_bridge_containers_that_name_no_network_have_none() {
    let mut host = Host::start_with(&["--bridge=none"]);
    host.import("busybox", Rootfs::busybox());
    for cli in [Cli::Docker, Cli::Minke] {
        let names = host.cli(cli, ["network", "ls", "--format", "{{.Name}}"]).ok();
        assert_eq!(names, "host\nnone");
        for network in ["default", "bridge"] {
            let run = ["run", "--rm", "--network", network, "-p", "8080:80", "busybox", "ip", "-o", "link"];
            let links = host.cli(cli, run).ok();
            assert!(!links.contains("eth0"), "{network}: {links}");
        }
        let _ = host.cli(cli, ["network", "inspect", "bridge"]).expect_code(1).expect_stderr("not found");
    }
    idle(&host, Cli::Minke, "alone", &[]);
    assert!(!on_host(&host, &["ip", "-o", "link"]).contains(host.prefix()), "nothing is made for it");
    let connect = ["network", "connect", "bridge", "alone"];
    let _ = host.minke(connect).expect_code(1).expect_stderr("network bridge not found");
    let _ = host.minke(["network", "create", "blue"]).ok();
    let _ = host.minke(["network", "connect", "blue", "alone"]).ok();
    assert!(exec(&host, Cli::Minke, "alone", "ip -o link").contains("eth0"));

    // With the bridge, those that start from then on are on it.
    host.stop_daemon();
    host.set_flags(&[]);
    host.start_daemon();
    assert!(host.minke(["network", "ls"]).ok().contains("bridge"));
    let _ = host.minke(["restart", "-t", "0", "alone"]).ok();
    assert!(exec(&host, Cli::Minke, "alone", "ip -o link").contains("eth1"));

    // And without it again, those that live stay there.
    host.stop_daemon();
    host.set_flags(&["--bridge=none"]);
    host.start_daemon();
    let gateway = exec(&host, Cli::Minke, "alone", "ip -4 route").split(' ').nth(2).map(str::to_owned);
    let ping = format!("ping -c1 -W2 {}", gateway.expect("a gateway"));
    assert!(exec(&host, Cli::Minke, "alone", &ping).contains("1 packets received"));
    host.expect_nothing_left();
}

#[test]
fn the_default_network_is_on_a_bridge_that_somebody_made_and_leaves_it() {
    let mut host = Host::without_engine();
    let lan = Lan::of(host.netns());
    let (root, state) = (host.path("root").display().to_string(), host.path("state").display().to_string());
    let start = ["daemon", "--root", &root, "--state", &state, "--name-prefix", "mkno", "--bridge", "br7"];
    let _ = host.minke(start).expect_code(1).expect_stderr("\"br7\" is not there: make it before");
    for words in ["link add br7 type bridge", "addr add 10.95.0.1/24 dev br7", "link set br7 up"] {
        let words: Vec<&str> = ["ip"].into_iter().chain(words.split(' ')).collect();
        let _ = on_host(&host, &words);
    }
    host.set_flags(&["--bridge=br7"]);
    host.start_daemon();
    host.import("busybox", Rootfs::busybox());
    let run = ["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVER];
    let _ = host.minke(run).ok();
    assert_eq!(
        inspect(&host, Cli::Minke, "{{.NetworkSettings.Networks.bridge.Gateway}}", "web"),
        "10.95.0.1"
    );
    let shown = host.minke(["network", "inspect", "-f", "{{json .Options}}", "bridge"]).ok();
    assert!(shown.contains(r#""com.docker.network.bridge.name":"br7""#), "{shown}");
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    host.until("an answer on the LAN", || {
        page(&lan, Lan::HOST[0], 8080).is_ok_and(|answer| answer.ends_with("page\n"))
    });
    let out = format!("ping -c1 -W2 {}", Lan::OTHER[0]);
    assert!(exec(&host, Cli::Minke, "web", &out).contains("1 packets received"));
    let _ = host.minke(["rm", "-f", "web"]).ok();
    host.stop_daemon();
    let left = on_host(&host, &["ip", "-o", "addr", "show", "dev", "br7"]);
    assert!(left.contains("10.95.0.1/24"), "{left}");
    let _ = on_host(&host, &["ip", "link", "del", "br7"]);
    host.set_flags(&[]);
    host.start_daemon();
    drop(lan);
    host.expect_nothing_left();
}

#[test]
fn other_hosts_reach_published_ports_at_the_container_s_address_where_that_is_allowed() {
    let host = Host::start_with(&["--allow-direct-routing"]);
    host.import("busybox", Rootfs::busybox());
    let lan = Lan::of(host.netns());
    let script = format!("httpd -p 81; {SERVER}");
    let run = ["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", &script];
    let _ = host.minke(run).ok();
    let address = inspect(&host, Cli::Minke, "{{.NetworkSettings.Networks.bridge.IPAddress}}", "web");
    let address = address.parse().expect("an address");
    host.until("an answer", || page(&lan, address, 80).is_ok_and(|answer| answer.ends_with("page\n")));
    assert!(page(&lan, address, 81).is_err(), "it is not published");
    drop(lan);
    host.expect_nothing_left();
}

#[test]
fn what_cannot_be_honoured_is_refused_with_what_to_do() {
    let host = Host::without_engine();
    let file = host.path("daemon.json").display().to_string();
    for (text, words) in [
        (r#"{"firewall-backend": "iptables"}"#, "leave it away, or say nftables"),
        (r#"{"bridge": "br0", "bip": "10.9.0.1/24"}"#, "bridge \"br0\" and bip can't be together"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let validate = ["daemon", "--validate", "--config-file", &file];
        let _ = host.minke(validate).expect_code(1).expect_stderr(words);
    }
    std::fs::write(&file, r#"{"firewall-backend": "nftables", "iptables": true, "bridge": ""}"#)
        .expect("a file");
    let _ = host.minke(["daemon", "--validate", "--config-file", &file]).ok();
}
