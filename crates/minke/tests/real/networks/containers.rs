//! Containers on networks of users' own: several of them, chosen addresses, connecting and disconnecting.

use minke_testkit::{Cli, Host};
use rstest::rstest;
use serde_json::{Value, json};

use super::{exec, idle, inspect};

const SERVER: &str = "echo page > /var/www/index.html; exec httpd -f -h /var/www -p 80";

#[rstest]
fn a_container_has_the_addresses_that_it_asked_for(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "--subnet", "10.84.0.0/16", "red"]).ok();
    let _ = host.cli(cli, ["network", "create", "--subnet", "10.85.0.0/16", "blue"]).ok();
    // Debian's docker command line does not know the priority yet.
    let (priority, gateway) = match cli {
        Cli::Minke => (1, "default via 10.84.0.1"),
        Cli::Docker => (0, "default via 10.85.0.1"),
    };
    let mut red = "name=red,ip=10.84.0.9,alias=db,mac-address=92:d0:c6:0a:29:33".to_owned();
    if priority != 0 {
        red.push_str(&format!(",gw-priority={priority}"));
    }
    idle(
        &host,
        cli,
        "box",
        &["name=blue,ip=10.85.3.3,driver-opt=com.docker.network.endpoint.ifname=lan0", &red],
    );
    let addresses = exec(&host, cli, "box", "ip -4 -o addr; ip route; ip link");
    for wanted in ["10.84.0.9/16", "lan0    inet 10.85.3.3/16", gateway, "92:d0:c6:0a:29:33"] {
        assert!(addresses.contains(wanted), "no {wanted:?} in {addresses}");
    }
    let networks: Value =
        serde_json::from_str(&inspect(&host, cli, "{{json .NetworkSettings.Networks}}", "box")).unwrap();
    let red = &networks["red"];
    assert_eq!(
        (&red["IPAddress"], &red["IPPrefixLen"], &red["Gateway"]),
        (&json!("10.84.0.9"), &json!(16), &json!("10.84.0.1"))
    );
    assert_eq!(red["Aliases"], json!(["db"]));
    if cli == Cli::Minke {
        assert_eq!(red["GwPriority"], json!(priority));
    }
    assert_eq!(red["IPAMConfig"]["IPv4Address"], "10.84.0.9");
    assert_eq!((&red["DNSNames"][0], &red["DNSNames"][1]), (&json!("box"), &json!("db")));
    let hosts = exec(&host, cli, "box", "cat /etc/hosts");
    assert!(hosts.contains("10.84.0.9\t") && hosts.contains("10.85.3.3\t"), "{hosts}");
    let _ = host
        .cli(cli, ["run", "--rm", "--network", "name=red,ip=10.84.0.9", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("10.84.0.9");
    let _ = host
        .cli(cli, ["run", "--rm", "--network", "red", "--ip", "10.99.0.9", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("no configured subnet contains IP address 10.99.0.9");
    host.expect_nothing_left();
}

#[rstest]
fn a_running_container_is_connected_and_disconnected(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    for name in ["red", "blue"] {
        let _ = host.cli(cli, ["network", "create", name]).ok();
    }
    let _ =
        host.cli(cli, ["run", "-d", "--name", "web", "--network", "red", "busybox", "sh", "-c", SERVER]).ok();
    idle(&host, cli, "box", &["blue"]);
    let page =
        |name: &str| exec(&host, cli, "box", &format!("timeout 2 wget -qO- http://{name}/ 2>/dev/null"));
    assert_eq!(page("web"), "");
    let _ = host.cli(cli, ["network", "connect", "--alias", "site", "blue", "web"]).ok();
    host.until("the page", || page("web") == "page\n");
    assert_eq!(page("site"), "page\n");
    let shown = "{{range .Containers}}{{.Name}} {{end}}";
    let names = host.cli(cli, ["network", "inspect", "-f", shown, "blue"]).ok();
    assert!(names.contains("web") && names.contains("box"), "{names}");
    let _ = host
        .cli(cli, ["network", "connect", "blue", "web"])
        .expect_code(1)
        .expect_stderr("endpoint with name web already exists in network blue");
    assert!(exec(&host, cli, "web", "ip -o link").contains("eth1"));

    // What was connected stays so over a restart.
    let _ = host.cli(cli, ["restart", "-t", "0", "web"]).ok();
    host.until("the page again", || page("site") == "page\n");
    let _ = host.cli(cli, ["network", "disconnect", "blue", "web"]).ok();
    assert_eq!(page("web"), "");
    assert_eq!(
        inspect(&host, cli, "{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}", "web"),
        "red"
    );
    let _ = host
        .cli(cli, ["network", "disconnect", "blue", "web"])
        .expect_code(1)
        .expect_stderr("is not connected to the network blue");
    host.expect_nothing_left();
}

#[rstest]
fn a_stopped_container_is_connected_when_it_starts(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "--subnet", "10.86.0.0/16", "red"]).ok();
    let _ = host.cli(cli, ["create", "--name", "box", "busybox", "sleep", "600"]).ok();
    let _ = host.cli(cli, ["network", "connect", "--ip", "10.86.7.7", "red", "box"]).ok();
    let _ = host.cli(cli, ["network", "disconnect", "bridge", "box"]).ok();
    let _ = host.cli(cli, ["start", "box"]).ok();
    let addresses = exec(&host, cli, "box", "ip -4 -o addr");
    assert!(addresses.contains("10.86.7.7/16") && !addresses.contains("eth1"), "{addresses}");
    let _ = host.cli(cli, ["network", "disconnect", "-f", "red", "box"]).ok();
    let _ = host.cli(cli, ["restart", "-t", "0", "box"]).ok();
    assert!(!exec(&host, cli, "box", "ip -4 -o addr").contains("eth0"));
    host.expect_nothing_left();
}

#[rstest]
fn networks_that_cannot_be_together_are_refused(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "red"]).ok();
    idle(&host, cli, "lonely", &["none"]);
    idle(&host, cli, "shared", &["host"]);
    idle(&host, cli, "plain", &["bridge"]);
    idle(&host, cli, "guest", &["container:plain"]);
    for (network, container, words) in [
        ("red", "lonely", "one of the networks in private (none) mode"),
        ("red", "shared", "cannot be connected to any other network"),
        ("red", "guest", "cannot be connected to any other network"),
        ("host", "plain", "container must be created in host network mode"),
        ("nosuch", "plain", "network nosuch not found"),
        ("red", "nosuch", "No such container: nosuch"),
    ] {
        let _ = host.cli(cli, ["network", "connect", network, container]).expect_code(1).expect_stderr(words);
    }
    let _ = host
        .cli(cli, ["network", "disconnect", "host", "shared"])
        .expect_code(1)
        .expect_stderr("cannot disconnect container from host network");
    let _ = host
        .cli(cli, ["network", "connect", "--alias", "x", "bridge", "guest"])
        .expect_code(1)
        .expect_stderr("network-scoped alias is supported only for containers in user defined networks");
    host.expect_nothing_left();
}

#[rstest]
fn networks_are_apart_from_each_other(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    for name in ["red", "blue"] {
        let _ = host.cli(cli, ["network", "create", name]).ok();
    }
    let _ = host.cli(cli, ["network", "create", "--internal", "closed"]).ok();
    let _ =
        host.cli(cli, ["run", "-d", "--name", "web", "--network", "red", "busybox", "sh", "-c", SERVER]).ok();
    idle(&host, cli, "near", &["red"]);
    idle(&host, cli, "far", &["blue"]);
    idle(&host, cli, "inside", &["closed"]);
    let address = inspect(&host, cli, "{{.NetworkSettings.Networks.red.IPAddress}}", "web");
    let page =
        |from: &str| exec(&host, cli, from, &format!("timeout 1 wget -qO- http://{address}/ 2>/dev/null"));
    host.until("the page", || page("near") == "page\n");
    assert_eq!((page("far"), page("inside")), (String::new(), String::new()));
    assert_eq!(exec(&host, cli, "inside", "ip route | grep default"), "");
    host.expect_nothing_left();
}

#[test]
fn the_events_of_a_network_tell_its_life() {
    let host = Host::with_busybox();
    let begin = crate::commit::now(&host);
    let _ = host.docker(["network", "create", "red"]).ok();
    idle(&host, Cli::Docker, "box", &[]);
    let _ = host.docker(["network", "connect", "red", "box"]).ok();
    let _ = host.docker(["network", "disconnect", "red", "box"]).ok();
    let _ = host.docker(["network", "rm", "red"]).ok();
    let format = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}} {{if .Actor.Attributes.container}}box{{end}}";
    let told = host
        .docker([
            "events",
            "--since",
            &begin,
            "--until",
            "-1s",
            "--filter",
            "type=network",
            "--filter",
            "network=red",
            "--format",
            format,
        ])
        .ok();
    let lines: Vec<_> = told.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        ["create red bridge", "connect red bridge box", "disconnect red bridge box", "destroy red bridge"]
    );
    host.expect_nothing_left();
}
