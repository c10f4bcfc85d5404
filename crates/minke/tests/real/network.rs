//! The default bridge, published ports, host and no network; all of it in the test's own network namespace.

use minke_testkit::{Cli, Entry, Host, Rootfs};
use rstest::rstest;

const SERVER: &str = "echo page > /var/www/index.html; exec httpd -f -h /var/www -p 80";

#[rstest]
fn a_published_port_answers_on_loopback_and_on_every_address(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "--name",
                "web",
                "-p",
                "8080:80",
                "-p",
                "127.0.0.1::80",
                "busybox",
                "sh",
                "-c",
                SERVER,
            ],
        )
        .ok();
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    let gateway = host.cli(cli, ["inspect", "-f", "{{.NetworkSettings.Gateway}}", "web"]).ok();
    assert!(host.fetch(&format!("{gateway}:8080")).ends_with("page\n"));
    let ports = host.cli(cli, ["port", "web", "80"]).ok();
    let random =
        ports.lines().find_map(|line| line.strip_prefix("127.0.0.1:")).expect("a random port on loopback");
    assert!(host.fetch(&format!("127.0.0.1:{random}")).ends_with("page\n"));
    host.expect_nothing_left();
}

#[rstest]
fn containers_reach_each_other_by_address_and_by_published_port(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ =
        host.cli(cli, ["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVER]).ok();
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    let address = host.cli(cli, ["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"]).ok();
    let gateway = host.cli(cli, ["inspect", "-f", "{{.NetworkSettings.Gateway}}", "web"]).ok();
    let name = format!("web:{address}");
    let _ = host
        .cli(cli, ["run", "--rm", "--add-host", &name, "busybox", "wget", "-qO-", "http://web/"])
        .expect_code(0)
        .expect_exact("page\n");
    let published = format!("http://{gateway}:8080/");
    let _ = host
        .cli(cli, ["run", "--rm", "busybox", "wget", "-qO-", &published])
        .expect_code(0)
        .expect_exact("page\n");
    let _ = host.cli(cli, ["exec", "web", "wget", "-qO-", &published]).expect_code(0).expect_exact("page\n");
    host.expect_nothing_left();
}

#[rstest]
fn a_port_in_use_is_refused_by_name(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "first", "-p", "8080:80", "busybox", "sleep", "600"]).ok();
    let _ = host
        .cli(cli, ["run", "-d", "--name", "second", "-p", "8080:80", "busybox", "sleep", "600"])
        .expect_code(125)
        .expect_stderr("8080");
    let _ = host.cli(cli, ["rm", "-f", "first"]).ok();
    let _ = host.cli(cli, ["start", "second"]).ok();
    host.expect_nothing_left();
}

#[rstest]
fn udp_ports_are_published_too(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::start();
    let echo = std::fs::read(minke_testkit::program("udp-echo")).unwrap();
    host.import("udp", Rootfs::busybox().add("bin/udp-echo", 0o755, Entry::File(&echo)));
    let publish = "127.0.0.1:5300:53/udp";
    let _ = host.cli(cli, ["run", "-d", "--name", "echo", "-p", publish, "udp", "udp-echo", "53"]).ok();
    let netns = host.netns().clone();
    host.until("an answer by UDP", || {
        netns.enter(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
            socket.send_to(b"question", "127.0.0.1:5300").unwrap();
            let mut answer = [0; 64];
            socket.recv_from(&mut answer).is_ok_and(|(length, _)| &answer[..length] == b"question")
        })
    });
    host.expect_nothing_left();
}

#[test]
fn sctp_ports_are_published_and_a_kernel_without_sctp_is_told() {
    let host = Host::with_busybox();
    let has_sctp = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        Some(rustix::net::ipproto::SCTP),
    )
    .is_ok();
    let run = ["run", "-d", "--name", "box", "-p", "8080:80/sctp", "busybox", "sleep", "600"];
    let ran = host.cli_args(Cli::Minke, &run).expect_code(0);
    assert_eq!(ran.stderr.contains("This kernel has no SCTP"), !has_sctp, "{ran}");
    assert!(host.minke(["port", "box"]).ok().contains("80/sctp -> 0.0.0.0:8080"));
    let again = ["run", "--rm", "-p", "8080:80/sctp", "busybox", "true"];
    let _ = host.cli_args(Cli::Minke, &again).expect_code(125).expect_stderr("8080");
    host.expect_nothing_left();
}

#[rstest]
fn the_host_network_is_the_hosts_and_none_has_only_loopback(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let links = ["sh", "-c", "ls /sys/class/net | tr '\\n' ' '"];
    let _ = host
        .cli(cli, ["run", "--rm", "--network", "none", "busybox", links[0], links[1], links[2]])
        .expect_code(0)
        .expect_stdout("lo");
    let none = host.cli(cli, ["run", "--rm", "--network", "none", "busybox", "ip", "-o", "addr"]).ok();
    assert!(none.contains("127.0.0.1") && !none.contains("eth0"), "{none}");
    let bridged = host.cli(cli, ["run", "--rm", "busybox", "ip", "-o", "addr"]).ok();
    assert!(bridged.contains("eth0"), "{bridged}");
    let _ = host
        .cli(
            cli,
            [
                "run",
                "-d",
                "--network",
                "host",
                "busybox",
                "sh",
                "-c",
                "echo host > /var/www/index.html; exec httpd -f -h /var/www -p 8099",
            ],
        )
        .ok();
    assert!(host.fetch("127.0.0.1:8099").ends_with("host\n"));
    host.expect_nothing_left();
}

#[rstest]
fn a_container_may_share_anothers_network(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let _ = host.cli(cli, ["run", "-d", "--name", "web", "busybox", "sh", "-c", SERVER]).ok();
    host.until("the shared server", || {
        host.cli(
            cli,
            ["run", "--rm", "--network", "container:web", "busybox", "wget", "-qO-", "http://127.0.0.1/"],
        )
        .stdout
            == "page\n"
    });
    host.expect_nothing_left();
}

#[rstest]
fn names_and_resolvers_are_in_place(#[values(Cli::Docker, Cli::Minke)] cli: Cli) {
    let host = Host::with_busybox();
    let ran = host
        .cli(
            cli,
            [
                "run",
                "--rm",
                "--hostname",
                "whale",
                "--add-host",
                "db:10.1.2.3",
                "--dns",
                "10.9.9.9",
                "busybox",
                "cat",
                "/etc/hosts",
                "/etc/hostname",
                "/etc/resolv.conf",
            ],
        )
        .expect_code(0);
    for wanted in ["127.0.0.1\tlocalhost", "10.1.2.3\tdb", "\twhale\n", "nameserver 10.9.9.9"] {
        assert!(ran.stdout.contains(wanted), "no {wanted:?} in:\n{ran}");
    }
    host.expect_nothing_left();
}

#[test]
fn a_routed_networks_published_ports_are_reached_from_other_networks() {
    let host = Host::with_busybox();
    let mode = "com.docker.network.bridge.gateway_mode_ipv4=routed";
    let _ = host.docker(["network", "create", "--subnet", "10.77.0.0/24", "-o", mode, "routed"]).ok();
    let serve = "mkdir /w; echo page >/w/index.html; httpd -p 81 -h /w; exec httpd -f -p 80 -h /w";
    let _ = host
        .docker([
            "run",
            "-d",
            "--network",
            "routed",
            "--ip",
            "10.77.0.10",
            "-p",
            "80",
            "--name",
            "web",
            "busybox",
            "sh",
            "-c",
            serve,
        ])
        .ok();
    let ask = |what: &str| host.docker(["run", "--rm", "busybox", "sh", "-c", what]);
    let get = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 10.77.0.10";
    assert!(ask(&format!("{get} 80")).expect_code(0).stdout.ends_with("page\n"));
    let _ = ask("ping -c 1 -W 5 10.77.0.10").expect_code(0);
    // What isn't published stays closed.
    assert_eq!(ask(&format!("{get} 81")).stdout, "");
    let _ = host.docker(["rm", "-f", "web"]).ok();
    let _ = host.docker(["network", "rm", "routed"]).ok();
    host.expect_nothing_left();
}

#[test]
fn connecting_changes_no_more_than_it_has_to() {
    let host = Host::with_busybox();
    for words in [["network", "create", "one"], ["network", "create", "two"]] {
        let _ = host.docker(words).ok();
    }
    let _ = host.docker(["network", "create", "--config-only", "settings"]).ok();
    // What the container has written into /etc/hosts stays, and what a stopped one asked for.
    let _ = host.docker(["run", "-d", "--name", "box", "--network", "one", "busybox", "sleep", "600"]).ok();
    let _ = host.docker(["exec", "box", "sh", "-c", "echo 192.0.2.1 mine >>/etc/hosts"]).ok();
    let lines =
        || host.docker(["exec", "box", "sh", "-c", "grep -c . /etc/hosts; grep mine /etc/hosts"]).ok();
    let before = lines();
    let _ = host.docker(["network", "connect", "two", "box"]).ok();
    assert_ne!(lines(), before, "it has one more address");
    assert!(lines().ends_with("192.0.2.1 mine"));
    let _ = host.docker(["network", "disconnect", "two", "box"]).ok();
    assert_eq!(lines(), before);
    let _ = host.docker(["create", "--name", "stopped", "busybox"]).ok();
    let _ = host.docker(["network", "connect", "--alias", "known", "two", "stopped"]).ok();
    let _ = host.docker(["network", "connect", "two", "stopped"]).ok();
    let aliases = host.docker(["inspect", "-f", "{{json .NetworkSettings.Networks.two.Aliases}}", "stopped"]);
    assert_eq!(aliases.ok(), "[\"known\"]");
    let _ = host.docker(["rm", "-f", "box", "stopped"]).ok();
    let _ = host.docker(["network", "prune", "-f"]).ok();
    let left = host.docker(["network", "ls", "--format", "{{.Name}}", "--filter", "type=custom"]).ok();
    assert_eq!(left, "settings");
    let _ = host.docker(["network", "rm", "settings"]).ok();
    host.expect_nothing_left();
}

#[test]
fn ports_are_told_of_once_and_while_there_is_a_way_in() {
    let host = Host::with_busybox();
    let _ = host.docker(["network", "create", "--internal", "inside"]).ok();
    let _ = host
        .docker([
            "run",
            "-d",
            "--name",
            "box",
            "--network",
            "inside",
            "-p",
            "127.0.0.1::80",
            "--expose",
            "81",
            "--expose",
            "81/tcp",
            "busybox",
            "sleep",
            "600",
        ])
        .ok();
    let ports = || {
        host.docker([
            "inspect",
            "-f",
            "{{range $k, $v := .NetworkSettings.Ports}}{{$k}} {{len $v}} {{end}}",
            "box",
        ])
        .ok()
    };
    let _ = host.docker(["network", "connect", "bridge", "box"]).ok();
    assert_eq!(ports(), "80/tcp 1 81/tcp 0");
    let _ = host.docker(["network", "disconnect", "bridge", "box"]).ok();
    assert_eq!(ports(), "80/tcp 0 81/tcp 0");
    let _ = host.docker(["rm", "-f", "box"]).ok();
    let _ = host.docker(["network", "rm", "inside"]).ok();
    host.expect_nothing_left();
}
