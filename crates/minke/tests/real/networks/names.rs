//! Names on networks of users' own.

use minke_testkit::{Cli, Host};
use rstest::rstest;

use super::{exec, idle, inspect};

/// The addresses of a name, as a container resolves it.
fn resolve(host: &Host, cli: Cli, container: &str, name: &str) -> Vec<String> {
    let answer = exec(host, cli, container, &format!("nslookup -type=a {name} 127.0.0.11 2>/dev/null"));
    let mut found: Vec<_> = answer
        .lines()
        .skip_while(|line| !line.starts_with("Name:"))
        .filter_map(|line| line.strip_prefix("Address: "))
        .map(|address| address.trim().to_owned())
        .collect();
    found.sort();
    found
}

fn address(host: &Host, cli: Cli, network: &str, container: &str) -> String {
    inspect(host, cli, &format!("{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}"), container)
}

#[rstest]
fn containers_are_found_by_name_id_alias_and_link(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "red"]).ok();
    let _ = host.cli(cli, ["network", "create", "blue"]).ok();
    idle(&host, cli, "one", &["name=red,alias=db"]);
    idle(&host, cli, "two", &["name=red,alias=db"]);
    idle(&host, cli, "far", &["blue"]);
    let _ = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "--name",
                "asker",
                "--network",
                "red",
                "--link",
                "one:first",
                "busybox",
                "sleep",
                "600",
            ],
        )
        .ok();
    let (one, two) = (address(&host, cli, "red", "one"), address(&host, cli, "red", "two"));
    let id = inspect(&host, cli, "{{.Id}}", "one");
    for name in ["one", "one.red", "ONE", &id[..12], "first"] {
        assert_eq!(resolve(&host, cli, "asker", name), [one.as_str()], "{name}");
    }
    let mut both = vec![one.clone(), two];
    both.sort();
    assert_eq!(resolve(&host, cli, "asker", "db"), both);
    // A link is one container's own; and names stay in their network.
    assert!(resolve(&host, cli, "two", "first").is_empty());
    assert!(resolve(&host, cli, "far", "one").is_empty() && resolve(&host, cli, "asker", "far").is_empty());

    let _ = host.cli(cli, ["rename", "one", "base"]).ok();
    assert_eq!(resolve(&host, cli, "asker", "base"), [one.as_str()]);
    assert!(resolve(&host, cli, "asker", "one").is_empty());
    let _ = host.cli(cli, ["rm", "-f", "base"]).ok();
    assert!(resolve(&host, cli, "asker", "base").is_empty());
    assert_eq!(resolve(&host, cli, "asker", "db").len(), 1);
    host.expect_nothing_left();
}

#[rstest]
fn the_resolver_is_the_networks_own_and_others_are_asked_through_it(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "red"]).ok();
    let _ = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "--name",
                "box",
                "--network",
                "red",
                "--dns",
                "10.9.9.9",
                "--dns-search",
                "lan.example",
                "--dns-option",
                "timeout:1",
                "--add-host",
                "up:host-gateway",
                "busybox",
                "sleep",
                "600",
            ],
        )
        .ok();
    let conf = exec(&host, cli, "box", "cat /etc/resolv.conf");
    for wanted in
        ["nameserver 127.0.0.11\n", "search lan.example\n", "options timeout:1 ndots:0\n", "10.9.9.9"]
    {
        assert!(conf.contains(wanted), "no {wanted:?} in {conf}");
    }
    let gateway = inspect(&host, cli, "{{.NetworkSettings.Networks.red.Gateway}}", "box");
    assert!(exec(&host, cli, "box", "cat /etc/hosts").contains(&format!("{gateway}\tup\n")));
    // The port of DNS is free for the container's own.
    let listening = exec(&host, cli, "box", "netstat -lnu");
    assert!(!listening.contains(":53 "), "{listening}");
    host.expect_nothing_left();
}

#[rstest]
fn the_default_bridge_has_no_names_until_another_network_is_connected(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "red"]).ok();
    idle(&host, cli, "plain", &[]);
    idle(&host, cli, "web", &["red"]);
    assert!(!exec(&host, cli, "plain", "cat /etc/resolv.conf").contains("127.0.0.11"));
    let _ = host.cli(cli, ["network", "connect", "red", "plain"]).ok();
    assert!(exec(&host, cli, "plain", "cat /etc/resolv.conf").contains("nameserver 127.0.0.11"));
    assert_eq!(resolve(&host, cli, "plain", "web"), [address(&host, cli, "red", "web")]);
    assert_eq!(resolve(&host, cli, "web", "plain"), [address(&host, cli, "red", "plain")]);
    host.expect_nothing_left();
}

#[test]
fn names_are_told_again_by_the_next_engine() {
    let mut host = Host::with_busybox();
    let cli = Cli::Minke;
    let _ = host.minke(["network", "create", "red"]).ok();
    idle(&host, cli, "one", &["name=red,alias=db"]);
    idle(&host, cli, "asker", &["red"]);
    host.kill_daemon();
    host.start_daemon();
    let one = address(&host, cli, "red", "one");
    host.until("names", || resolve(&host, cli, "asker", "db") == [one.as_str()]);
    idle(&host, cli, "new", &["name=red,alias=db"]);
    assert_eq!(resolve(&host, cli, "asker", "db").len(), 2);
    host.expect_nothing_left();
}
