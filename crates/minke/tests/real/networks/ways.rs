//! Ways in and out by the real engine: IPv6 alone, a way out that comes later, links where containers don't reach each other,
//! a gateway beside the bridge, several subnets.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use minke_testkit::{Cli, Host, Lan};
use rstest::rstest;

use super::{exec, idle, inspect};
use crate::names::{answers, dig};

pub(super) const SERVER: &str = "echo page > /var/www/index.html; exec httpd -f -h /var/www -p 80";

/// What the LAN is answered by a published port at one of the host's addresses.
pub(super) fn page(lan: &Lan, address: IpAddr, port: u16) -> std::io::Result<String> {
    let address = SocketAddr::new(address, port);
    lan.netns.enter(|| {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
}

#[test]
fn a_network_of_ipv6_alone_has_traffic_names_and_published_ports() {
    let host = Host::with_busybox();
    // Where br_netfilter is on, published ports don't answer on ::1; see docs/firewalls.md.
    let _ = host.netns().enter(|| std::fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0"));
    let lan = Lan::of(host.netns());
    let create = ["network", "create", "--ipv6", "--ipv4=false", "--subnet", "fd66::/64", "six"];
    let _ = host.cli_args(Cli::Minke, &create).ok();
    let run =
        ["run", "-d", "--name", "web", "--network", "six", "-p", "8080:80", "busybox", "sh", "-c", SERVER];
    let _ = host.cli_args(Cli::Minke, &run).ok();
    idle(&host, Cli::Minke, "box", &["six"]);
    assert!(host.fetch("[::1]:8080").ends_with("page\n"));
    assert!(page(&lan, Lan::HOST[1], 8080).is_ok_and(|answer| answer.ends_with("page\n")));
    let web = inspect(&host, Cli::Minke, "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}", "web");
    assert_eq!(answers(&host, "box", "web AAAA"), [web.as_str()]);
    let none = dig(&host, "box", "web A");
    assert!(none.contains("NOERROR") && none.contains("ANSWER: 0"), "{none}");
    assert_eq!(answers(&host, "box", &format!("-x {web}")), ["web.six."]);
    assert_eq!(exec(&host, Cli::Minke, "box", "wget -qO- http://web/"), "page\n");
    assert!(!exec(&host, Cli::Minke, "box", "ip -4 -o addr show eth0").contains("inet "));
    let out = format!("ping -6 -c1 -W2 {}", Lan::OTHER[1]);
    assert!(exec(&host, Cli::Minke, "box", &out).contains("1 packets received"), "the LAN by IPv6");
    drop(lan);
    host.expect_nothing_left();
}

#[test]
fn a_container_that_turns_ipv6_off_has_no_address_of_it_on_a_network_that_has() {
    let host = Host::with_busybox();
    let _ = host.minke(["network", "create", "--ipv6", "--subnet", "fd66::/64", "both"]).ok();
    let _ = host.minke(["network", "create", "--ipv6", "--subnet", "fd67::/64", "later"]).ok();
    let off = "net.ipv6.conf.all.disable_ipv6=1";
    let run =
        ["run", "-d", "--name", "four", "--network", "both", "--sysctl", off, "busybox", "sleep", "600"];
    let _ = host.cli_args(Cli::Minke, &run).ok();
    let _ = host.minke(["network", "connect", "later", "four"]).ok();
    idle(&host, Cli::Minke, "box", &["both"]);
    let addresses = "{{range .NetworkSettings.Networks}}<{{.GlobalIPv6Address}}>{{end}}";
    assert_eq!(inspect(&host, Cli::Minke, addresses, "four"), "<><>");
    let shown = exec(&host, Cli::Minke, "four", "cat /etc/hosts; ip -o addr");
    assert!(!shown.contains("::") && !shown.contains("inet6") && shown.contains("eth1"), "{shown}");
    assert!(answers(&host, "box", "four AAAA").is_empty());
    assert_eq!(answers(&host, "box", "four A").len(), 1);
    host.expect_nothing_left();
}

#[rstest]
fn ports_are_published_when_a_way_out_comes_by_a_later_connect(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let mut host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "--internal", "inner"]).ok();
    let _ = host.cli(cli, ["network", "create", "open"]).ok();
    let run =
        ["run", "-d", "--name", "web", "--network", "inner", "-p", "8080:80", "busybox", "sh", "-c", SERVER];
    let _ = host.cli_args(cli, &run).ok();
    let _ = host.cli(cli, ["run", "-d", "--name", "busy", "-p", "8081:80", "busybox", "sleep", "600"]).ok();
    assert_eq!(host.cli(cli, ["port", "web"]).ok(), "");
    let _ = host.cli(cli, ["network", "connect", "open", "web"]).ok();
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    assert!(host.cli(cli, ["port", "web"]).ok().contains("80/tcp -> 0.0.0.0:8080"));
    // The port is the container's: nobody else gets it, not even when the engine is another one.
    let taken = ["run", "--rm", "-p", "8080:80", "busybox", "true"];
    let _ = host.cli_args(cli, &taken).expect_code(125).expect_stderr("8080");
    host.kill_daemon();
    host.start_daemon();
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    let bound = host.netns().enter(|| std::net::TcpListener::bind("0.0.0.0:8080").is_err());
    assert!(bound, "the port is reserved");
    let _ = host.cli(cli, ["network", "disconnect", "open", "web"]).ok();
    let gone = host.netns().enter(|| TcpStream::connect("127.0.0.1:8080").is_err());
    assert!(gone, "no way, no port");
    let _ = host.cli_args(cli, &taken).ok();
    assert_eq!(host.cli(cli, ["port", "web"]).ok(), "");

    // So does one that had its port from the start, until it has a way again.
    let run =
        ["run", "-d", "--name", "early", "--network", "open", "-p", "8082:80", "busybox", "sh", "-c", SERVER];
    let _ = host.cli_args(cli, &run).ok();
    let _ = host.cli(cli, ["network", "disconnect", "open", "early"]).ok();
    let free = host.netns().enter(|| std::net::TcpListener::bind("0.0.0.0:8082").is_ok());
    assert!(free, "the port is free");
    let _ = host.cli(cli, ["network", "connect", "open", "early"]).ok();
    assert!(host.fetch("127.0.0.1:8082").ends_with("page\n"));

    // One that somebody has keeps the container off the network, and says so.
    let run =
        ["run", "-d", "--name", "late", "--network", "inner", "-p", "8081:80", "busybox", "sleep", "600"];
    let _ = host.cli_args(cli, &run).ok();
    let _ = host.cli(cli, ["network", "connect", "open", "late"]).expect_code(1).expect_stderr("8081");
    assert!(!exec(&host, cli, "late", "ls /sys/class/net").contains("eth1"));
    host.expect_nothing_left();
}

#[test]
fn links_open_what_is_exposed_where_containers_do_not_reach_each_other() {
    let mut host = Host::start_with(&["--icc=false"]);
    host.import("busybox", minke_testkit::Rootfs::busybox());
    let serve = |host: &Host, name: &str| {
        let run = ["run", "-d", "--name", name, "--expose", "80", "busybox", "sh", "-c", SERVER];
        let _ = host.cli_args(Cli::Minke, &run).ok();
    };
    serve(&host, "db");
    let link = ["run", "-d", "--name", "web", "--link", "db:base", "busybox", "sleep", "600"];
    let _ = host.cli_args(Cli::Minke, &link).ok();
    idle(&host, Cli::Minke, "other", &[]);
    let ask = |host: &Host, from: &str, whom: &str| {
        exec(host, Cli::Minke, from, &format!("timeout 2 wget -qO- http://{whom}/ 2>/dev/null"))
    };
    host.until("the linked server", || ask(&host, "web", "base") == "page\n");
    let db = inspect(&host, Cli::Minke, "{{.NetworkSettings.IPAddress}}", "db");
    assert_eq!(ask(&host, "other", &db), "");
    // Another address after a restart, and another engine.
    let _ = host.minke(["stop", "-t", "0", "db"]).ok();
    idle(&host, Cli::Minke, "taker", &[]);
    let _ = host.minke(["start", "db"]).ok();
    host.until("the server again", || ask(&host, "web", "base") == "page\n");
    host.kill_daemon();
    host.start_daemon();
    host.until("the server with the next engine", || ask(&host, "web", "base") == "page\n");
    // The last link that goes closes what it opened.
    let db = inspect(&host, Cli::Minke, "{{.NetworkSettings.IPAddress}}", "db");
    assert_eq!(ask(&host, "web", &db), "page\n");
    let _ = host.docker(["rm", "--link", "web/base"]).ok();
    assert_eq!(ask(&host, "web", &db), "");
    let _ = host.minke(["rm", "-f", "db"]).ok();
    host.expect_nothing_left();
}

#[test]
fn the_default_bridge_is_as_the_configuration_file_has_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("daemon.json");
    let text = r#"{"bip": "10.96.0.1/24", "fixed-cidr": "10.96.0.128/25", "default-gateway": "10.96.0.9", "ipv6": true,
        "bip6": "fd96::1/64", "fixed-cidr-v6": "fd96::100/120", "default-gateway-v6": "fd96::9", "mtu": 1400,
        "userland-proxy": true, "userland-proxy-path": "/usr/bin/docker-proxy", "default-address-pools": [{"base": "10.97.0.0/23", "size": 24}]}"#;
    std::fs::write(&path, text).expect("a file");
    let host = Host::start_with(&["--config-file", &path.display().to_string()]);
    host.import("busybox", minke_testkit::Rootfs::busybox());
    idle(&host, Cli::Minke, "box", &[]);
    let shown = exec(&host, Cli::Minke, "box", "ip -o addr; ip route; ip -6 route; ip link show eth0");
    for wanted in
        ["10.96.0.128/24", "fd96::100/64", "default via 10.96.0.9", "default via fd96::9", "mtu 1400"]
    {
        assert!(shown.contains(wanted), "no {wanted:?} in {shown}");
    }
    let ipam = host.minke(["network", "inspect", "-f", "{{json .IPAM.Config}}", "bridge"]).ok();
    for wanted in ["\"10.96.0.1\"", "\"10.96.0.128/25\"", "\"DefaultGatewayIPv4\":\"10.96.0.9\""] {
        assert!(ipam.contains(wanted), "no {wanted} in {ipam}");
    }
    assert!(host.daemon_log().contains("userland-proxy-path has no effect"), "{}", host.daemon_log());
    for name in ["red", "blue"] {
        let _ = host.minke(["network", "create", name]).ok();
    }
    let _ = host
        .minke(["network", "create", "green"])
        .expect_code(1)
        .expect_stderr("all predefined address pools have been fully subnetted");
    host.expect_nothing_left();
}

#[rstest]
fn several_subnets_are_for_networks_on_top_of_an_interface(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let lan = Lan::of(host.netns());
    let two = ["--subnet", "10.93.0.0/30", "--subnet", "10.94.0.0/24", "--gateway", "10.94.0.9"];
    let words = [&["network", "create"][..], &two, &["red"]].concat();
    let _ = host
        .cli_args(cli, &words)
        .expect_code(1)
        .expect_stderr("bridge driver doesn't support multiple subnets");
    let words = [&["network", "create", "-d", "macvlan", "-o", "parent=lan0"][..], &two, &["mac"]].concat();
    // Docker's command line sends them in any order.
    let _ = host.cli_args(Cli::Minke, &words).ok();
    let subnets = "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{end}}";
    let shown = host.cli(cli, ["network", "inspect", "-f", subnets, "mac"]).ok();
    assert_eq!(shown.trim_end(), "10.93.0.0/30 10.93.0.1 10.94.0.0/24 10.94.0.9");
    for (name, route) in [("first", "default via 10.93.0.1"), ("second", "default via 10.94.0.9")] {
        idle(&host, cli, name, &["mac"]);
        assert!(exec(&host, cli, name, "ip route").contains(route), "{name}");
    }
    idle(&host, cli, "third", &["name=mac,ip=10.94.0.77"]);
    assert!(exec(&host, cli, "third", "ip -o addr").contains("10.94.0.77/24"));
    let full = ["run", "--rm", "--network", "name=mac,ip=10.93.0.2", "busybox", "true"];
    let _ = host.cli_args(cli, &full).expect_code(125).expect_stderr("10.93.0.2");
    drop(lan);
    host.expect_nothing_left();
}
