//! Name servers of the host's that are dead, slow, on the loopback, or others than a moment ago, seen from a container.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use minke_testkit::{Cli, Host};

use super::idle;
use crate::names::{Dnsmasq, address, answers, status};

/// A host whose engine sees this resolv.conf, with `box` and `web` on the network `red`.
fn host(resolv_conf: &str) -> Host {
    let mut host = Host::without_engine();
    host.set_resolv_conf(resolv_conf);
    host.start_daemon();
    host.import("busybox", minke_testkit::Rootfs::busybox());
    let _ = host.minke(["network", "create", "red"]).ok();
    for name in ["web", "box"] {
        idle(&host, Cli::Minke, name, &["red"]);
    }
    host
}

#[test]
fn names_of_a_network_resolve_at_once_while_the_host_s_name_servers_are_dead() {
    // One that nothing leads to, and one that says nothing.
    let host = host("nameserver 192.0.2.1\nnameserver 127.0.0.53\n");
    let _silent = host.netns().enter(|| UdpSocket::bind("127.0.0.53:53")).expect("a port");
    let web = address(&host, "red", "web");
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|n| {
                let host = &host;
                scope.spawn(move || {
                    let begin = Instant::now();
                    (status(host, "box", &format!("n{n}.example A")), begin.elapsed())
                })
            })
            .collect();
        for _ in 0..10 {
            let begin = Instant::now();
            assert_eq!(answers(&host, "box", "web A"), [web.as_str()]);
            // dig itself needs most of that on a busy machine.
            assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        }
        for asked in asking {
            let (status, took) = asked.join().expect("it is asked");
            assert_eq!(status, "SERVFAIL");
            assert!(took < Duration::from_secs(10), "{took:?}");
        }
    });
    host.expect_nothing_left();
}

#[test]
fn the_host_s_name_servers_are_those_of_this_moment_and_may_be_on_its_loopback() {
    let host = host("nameserver 127.0.0.53\n");
    let record = |address: &str| vec![format!("--host-record=host.example,{address}")];
    let first = Dnsmasq::knowing(&host, "127.0.0.53", &record("192.0.2.53"));
    let second = Dnsmasq::knowing(&host, "127.0.0.54", &record("192.0.2.54"));
    let asked = || answers(&host, "box", "host.example A");
    host.until("the first one", || asked() == ["192.0.2.53"]);
    host.set_resolv_conf("nameserver 127.0.0.54\n");
    host.until("the second one", || asked() == ["192.0.2.54"]);
    host.set_resolv_conf("# nobody\n");
    host.until("nobody", || status(&host, "box", "host.example A") == "SERVFAIL");
    assert_eq!(answers(&host, "box", "web A"), [address(&host, "red", "web")]);
    drop((first, second));
    host.expect_nothing_left();
}
