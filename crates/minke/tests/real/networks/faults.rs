//! What becomes of networks when the engine dies at a bad moment, and when many leave at once.

use std::{thread, time::Duration};

use minke_testkit::{Cli, Host};

use super::{exec, idle, inspect};

#[test]
fn an_engine_killed_while_it_connects_leaves_what_it_says() {
    let mut host = Host::with_busybox();
    let cli = Cli::Minke;
    for name in ["red", "blue"] {
        let _ = host.minke(["network", "create", name]).ok();
    }
    idle(&host, cli, "box", &["red"]);
    for round in 0..6u32 {
        let verb = if round % 2 == 0 { "connect" } else { "disconnect" };
        let asking = host.minke_run(["network", verb, "blue", "box"]);
        let asked = thread::spawn(move || asking.run());
        thread::sleep(Duration::from_millis(u64::from(round) * 3));
        host.kill_daemon();
        let answered = asked.join().expect("it is asked").code == Some(0);
        host.start_daemon();
        let shown = inspect(&host, cli, "{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}", "box");
        let interfaces = exec(&host, cli, "box", "ls /sys/class/net | tr '\\n' ' '");
        let connected = shown.contains("blue");
        assert_eq!(interfaces.contains("eth1"), connected, "{verb}: {shown:?}, {interfaces:?}");
        assert!(shown.contains("red") && interfaces.contains("eth0"), "{shown:?}, {interfaces:?}");
        if answered {
            assert_eq!(connected, verb == "connect", "what was answered is so");
        }
        // Whatever it was, it can be asked for again.
        let _ = host.minke(["network", verb, "blue", "box"]);
    }
    host.expect_nothing_left();
}

/// Numbers that look random, the same ones for the same seed (an LCG of Knuth's).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn an_engine_killed_while_it_attaches_leaves_no_interface_address_or_port_of_nobody() {
    let seed = std::env::var("MINKE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261);
    println!("MINKE_TEST_SEED={seed}");
    let mut numbers = Numbers(seed);
    let mut host = Host::with_busybox();
    for name in ["red", "blue"] {
        let _ = host.minke(["network", "create", name]).ok();
    }
    for round in 0..8 {
        let starting: Vec<_> = (0..3)
            .map(|n| {
                let (name, port) = (format!("r{round}n{n}"), format!("{}:80", 8000 + round * 10 + n));
                let words =
                    ["run", "-d", "--name", &name, "--network", "red", "--network", "blue", "-p", &port];
                host.minke_words(&[&words[..], &["busybox", "sleep", "600"]].concat()).spawn()
            })
            .collect();
        // A start takes some 50 ms here, and what it does to the kernel is in the first half.
        thread::sleep(Duration::from_millis(numbers.below(120)));
        host.kill_daemon();
        for mut client in starting {
            let _ = client.wait();
        }
        host.start_daemon();
        let running = host.minke(["ps", "-q"]).ok().lines().count();
        let held = || {
            let holdings = host.holdings();
            (holdings.links, holdings.ports)
        };
        // Two bridges beside the default network's, and two places for each that runs.
        host.until("what is there is somebody's", || held() == (2 + 2 * running, running));
        let all = host.minke(["ps", "-aq"]).ok();
        let mut addresses = Vec::new();
        for id in host.minke(["ps", "-q"]).ok().lines() {
            addresses.extend(inspect(&host, Cli::Minke, ADDRESSES, id).split_whitespace().map(str::to_owned));
        }
        let count = addresses.len();
        addresses.sort();
        addresses.dedup();
        assert_eq!((addresses.len(), count), (2 * running, 2 * running), "{addresses:?}");
        let mut remove = vec!["rm", "-f"];
        remove.extend(all.lines());
        if remove.len() > 2 {
            let _ = host.cli_args(Cli::Minke, &remove).ok();
        }
    }
    host.expect_nothing_left();
}

/// Every address of a container.
const ADDRESSES: &str = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";

#[test]
fn a_full_subnet_says_so_and_has_room_again_when_one_leaves() {
    let host = Host::with_busybox();
    let cli = Cli::Minke;
    let _ = host.minke(["network", "create", "--subnet", "10.95.0.0/29", "small"]).ok();
    for n in 0..5 {
        idle(&host, cli, &format!("box{n}"), &["small"]);
    }
    let sixth = ["run", "--rm", "--network", "small", "busybox", "true"];
    let _ = host.cli_args(cli, &sixth).expect_code(125).expect_stderr("no address is left in 10.95.0.0/29");
    let _ = host.minke(["rm", "-f", "box3"]).ok();
    let _ = host.cli_args(cli, &sixth).expect_code(0);
    host.expect_nothing_left();
}

#[test]
fn a_bridge_deleted_by_hand_is_back_with_the_next_container_and_whole_with_the_next_engine() {
    let mut host = Host::with_busybox();
    let cli = Cli::Minke;
    let serve = |host: &Host, name: &str, port: &str| {
        let server = "echo page > /var/www/index.html; exec httpd -f -h /var/www -p 80";
        let words = ["run", "-d", "--name", name, "-p", port, "busybox", "sh", "-c", server];
        let _ = host.cli_args(cli, &words).ok();
    };
    serve(&host, "first", "8080:80");
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    let bridge = format!("{}0", host.prefix());
    let _ = minke_testkit::Run::new("ip", ["link", "delete", &bridge]).within(host.netns()).ok();
    serve(&host, "second", "8081:80");
    assert!(host.fetch("127.0.0.1:8081").ends_with("page\n"));
    host.kill_daemon();
    host.start_daemon();
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    let second = inspect(&host, cli, "{{.NetworkSettings.IPAddress}}", "second");
    assert_eq!(exec(&host, cli, "first", &format!("wget -qO- http://{second}/")), "page\n");
    host.expect_nothing_left();
}

#[test]
fn two_hundred_that_leave_at_once_leave_nothing() {
    const COUNT: usize = 200;
    let host = Host::with_busybox();
    let _ = host.minke(["network", "create", "red"]).ok();
    super::cost::many(&host, COUNT, "red");
    let count = "{{len .Containers}}";
    assert_eq!(host.minke(["network", "inspect", "-f", count, "red"]).ok(), COUNT.to_string());
    let names: Vec<String> = (0..COUNT).map(|n| format!("box{n}")).collect();
    let mut remove = vec!["rm", "-f"];
    remove.extend(names.iter().map(String::as_str));
    let _ = host.cli_args(Cli::Minke, &remove).ok();
    assert_eq!(host.minke(["network", "inspect", "-f", count, "red"]).ok(), "0");
    let _ = host.minke(["network", "rm", "red"]).ok();
    host.expect_nothing_left();
}
