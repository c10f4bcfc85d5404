//! Networks without containers: what may be made, and how it is shown.

use minke_testkit::{Cli, Host};
use rstest::rstest;
use serde_json::{Value, json};

#[rstest]
fn a_network_is_made_listed_inspected_and_removed(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let id = host.cli(cli, ["network", "create", "--label", "tier=back", "blue"]).ok();
    assert_eq!(id.len(), 64, "{id}");
    let line = host.cli(cli, ["network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"]).ok();
    for wanted in ["blue bridge local", "bridge bridge local", "host host local", "none null local"] {
        assert!(line.lines().any(|line| line == wanted), "no {wanted:?} in {line}");
    }
    let listed = |filter: &str| host.cli(cli, ["network", "ls", "-q", "--no-trunc", "-f", filter]).ok();
    for filter in ["label=tier=back", "name=bl", "type=custom", "dangling=true", &format!("id={}", &id[..7])]
    {
        assert_eq!(listed(filter), id, "{filter}");
    }
    assert_eq!(listed("type=builtin").lines().count(), 3);
    let shown: Value = serde_json::from_str(&host.cli(cli, ["network", "inspect", &id[..9]]).ok()).unwrap();
    let shown = &shown[0];
    assert_eq!(
        (&shown["Name"], &shown["Driver"], &shown["Scope"]),
        (&json!("blue"), &json!("bridge"), &json!("local"))
    );
    assert_eq!(
        (&shown["EnableIPv4"], &shown["EnableIPv6"], &shown["Internal"]),
        (&json!(true), &json!(false), &json!(false))
    );
    assert_eq!((&shown["Labels"], &shown["Containers"]), (&json!({"tier": "back"}), &json!({})));
    assert!(shown["IPAM"]["Config"][0]["Subnet"].as_str().unwrap().ends_with(".0/16"), "{shown}");
    assert_eq!(host.cli(cli, ["network", "rm", "blue"]).ok(), "blue");
    let _ =
        host.cli(cli, ["network", "inspect", "blue"]).expect_code(1).expect_stderr("network blue not found");
    host.expect_nothing_left();
}

#[rstest]
fn subnets_gateways_ranges_and_families_are_those_that_were_asked_for(
    #[values(Cli::Docker, Cli::Minke)] cli: Cli,
) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "network",
                "create",
                "--ipv6",
                "--internal",
                "--subnet",
                "10.81.0.0/16",
                "--ip-range",
                "10.81.5.0/24",
                "--gateway",
                "10.81.5.254",
                "--aux-address",
                "printer=10.81.5.9",
                "--subnet",
                "fd00:81::/64",
                "-o",
                "com.docker.network.driver.mtu=1400",
                "both",
            ],
        )
        .ok();
    let shown: Value = serde_json::from_str(&host.cli(cli, ["network", "inspect", "both"]).ok()).unwrap();
    let config = &shown[0]["IPAM"]["Config"];
    assert_eq!(
        config[0],
        json!({"Subnet": "10.81.0.0/16", "IPRange": "10.81.5.0/24", "Gateway": "10.81.5.254",
            "AuxiliaryAddresses": {"printer": "10.81.5.9"}})
    );
    assert_eq!((&config[1]["Subnet"], &config[1]["Gateway"]), (&json!("fd00:81::/64"), &json!("fd00:81::1")));
    assert_eq!((&shown[0]["EnableIPv6"], &shown[0]["Internal"]), (&json!(true), &json!(true)));
    assert_eq!(shown[0]["Options"], json!({"com.docker.network.driver.mtu": "1400"}));
    host.expect_nothing_left();
}

#[rstest]
fn what_cannot_be_made_is_refused_in_dockers_words(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "--subnet", "10.82.0.0/16", "blue"]).ok();
    let refused = |args: &[&str], words: &str| {
        let all: Vec<_> = ["network", "create"].iter().chain(args).copied().collect();
        let _ = host.cli_args(cli, &all).expect_code(1).expect_stderr(words);
    };
    refused(&["blue"], "network with name blue already exists");
    refused(&["bridge"], "operation is not permitted on predefined bridge network");
    refused(&["--subnet", "10.82.5.0/24", "red"], "Pool overlaps with other one on this address space");
    refused(&["-d", "weave", "red"], "weave");
    refused(&["-o", "com.docker.network.bridge.enable_icc=maybe", "red"], "enable_icc");
    refused(&[&"n".repeat(300)], "more than 255");
    for (subnet, words) in [
        ("10.83.0.0/33", "10.83.0.0/33"),
        ("10.83.0.0", "10.83.0.0"),
        ("10.83.1.0/16", "it should be 10.83.0.0/16"),
        ("fd00::/129", "fd00::/129"),
        ("::ffff:10.83.0.0/112", "::ffff:10.83.0.0/112"),
    ] {
        refused(&["--ipv6", "--subnet", subnet, "red"], words);
    }
    refused(&["--subnet", "10.83.0.0/16", "--gateway", "10.84.0.1", "red"], "10.84.0.1");
    refused(&["--subnet", "10.83.0.0/16", "--ip-range", "10.84.0.0/24", "red"], "10.84.0.0/24");
    refused(&["--subnet", "10.83.0.0/16", "--aux-address", "a=10.84.0.1", "red"], "10.84.0.1");
    let _ = host.cli(cli, ["network", "create", "a.b-c_d.example"]).ok();
    let _ = host
        .cli(cli, ["network", "rm", "host"])
        .expect_code(1)
        .expect_stderr("host is a pre-defined network and cannot be removed");
    host.expect_nothing_left();
}

#[rstest]
fn prune_takes_what_nobody_uses(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    for (name, label) in [("used", "keep=no"), ("left", "keep=no"), ("kept", "keep=yes")] {
        let _ = host.cli(cli, ["network", "create", "--label", label, name]).ok();
    }
    super::idle(&host, cli, "box", &["used"]);
    let pruned = host.cli(cli, ["network", "prune", "-f", "--filter", "label=keep=no"]).ok();
    assert_eq!(pruned, "Deleted Networks:\nleft");
    let _ = host
        .cli(cli, ["network", "rm", "used"])
        .expect_code(1)
        .expect_stderr("network used has active endpoints (name:\"box\"");
    let _ = host.cli(cli, ["stop", "-t", "0", "box"]).ok();
    // Stopped containers don't hold a network, as in Docker.
    let pruned = host.cli(cli, ["network", "prune", "-f"]).ok();
    let mut names: Vec<_> = pruned.lines().skip(1).collect();
    names.sort_unstable();
    assert_eq!(names, ["kept", "used"]);
    let _ = host.cli(cli, ["start", "box"]).expect_code(1).expect_stderr("network used not found");
    host.expect_nothing_left();
}

#[rstest]
fn a_configuration_is_kept_for_other_networks(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["network", "create", "--config-only", "--subnet", "10.83.0.0/16", "plan"]).ok();
    let _ = host.cli(cli, ["network", "create", "--config-from", "plan", "made"]).ok();
    let subnet = "{{(index .IPAM.Config 0).Subnet}} {{.ConfigFrom.Network}}";
    assert_eq!(host.cli(cli, ["network", "inspect", "-f", subnet, "made"]).ok(), "10.83.0.0/16 plan");
    let _ = host.cli(cli, ["network", "rm", "plan"]).expect_code(1).expect_stderr("\"plan\" is in use");
    let _ = host
        .cli(cli, ["run", "--rm", "--network", "plan", "busybox", "true"])
        .expect_code(125)
        .expect_stderr("configuration");
    host.expect_nothing_left();
}

#[test]
fn networks_outlive_the_engine() {
    let mut host = Host::with_busybox();
    let _ = host.docker(["network", "create", "--label", "a=b", "blue"]).ok();
    let before = host.docker(["network", "inspect", "blue", "bridge", "host", "none"]).ok();
    host.kill_daemon();
    host.start_daemon();
    assert_eq!(host.docker(["network", "inspect", "blue", "bridge", "host", "none"]).ok(), before);
    host.expect_nothing_left();
}
