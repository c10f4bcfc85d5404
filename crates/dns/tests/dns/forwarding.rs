//! Names that no container has.

use std::{net::UdpSocket, thread};

use minke_testkit::NetworkNamespace;

use super::world::{Dnsmasq, FRONT, World, own, view};

/// As many TXT records as fit in no datagram of 512 bytes.
fn long() -> String {
    let parts: Vec<String> = (0..6).map(|n| format!("{n}{}", "x".repeat(199))).collect();
    format!("--txt-record=long.example,{}", parts.join(","))
}

fn known() -> Vec<String> {
    vec![
        "--host-record=host.example,192.0.2.7,2001:db8::7".into(),
        "--host-record=word,192.0.2.8".into(),
        long(),
    ]
}

fn dnsmasq(net: &NetworkNamespace, address: &str) -> Dnsmasq {
    let known = known();
    Dnsmasq::start(net, address, &known.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A name server that hears and says nothing, for as long as the socket is kept.
fn silent(net: &NetworkNamespace, address: &str) -> UdpSocket {
    net.enter(|| UdpSocket::bind(address).unwrap())
}

#[test]
fn the_host_s_name_server_on_loopback_is_asked() {
    let world = World::new("nameserver 127.0.0.53\n");
    let _dnsmasq = dnsmasq(&world.host, "127.0.0.53");
    let container = world.container(view());
    for transport in ["+notcp", "+tcp"] {
        let dig = |question: &str| container.dig(&format!("{transport} {question}"));
        dig("host.example A").expect(&["0 A 192.0.2.7"]);
        dig("host.example AAAA").expect(&["0 AAAA 2001:db8::7"]);
        dig("-x 192.0.2.7").expect(&["0 PTR host.example."]);
        dig("word A").expect(&["0 A 192.0.2.8"]);
        dig("none.example A").expect_nothing("NXDOMAIN");
        dig("host.example MX").expect_nothing("NOERROR");
        dig("none.elsewhere A").expect_nothing("REFUSED");
    }
}

#[test]
fn names_of_containers_come_first_and_are_never_asked_for() {
    let world = World::new("nameserver 127.0.0.53\n");
    let _dnsmasq = Dnsmasq::start(
        &world.host,
        "127.0.0.53",
        &["--address=/web/192.0.2.66", "--address=/web/2001:db8::66"],
    );
    world.name(FRONT, "web", &["web"], "10.1.0.2", None);
    let container = world.container(view());
    container.dig("web A").expect(&["600 A 10.1.0.2"]);
    container.dig("web AAAA").expect_nothing("NOERROR");
    world.server.zones().remove(&"web".into());
    container.dig("web A").expect(&["0 A 192.0.2.66"]);
}

#[test]
fn a_new_resolv_conf_applies_to_containers_that_run() {
    let world = World::new("nameserver 127.0.0.53\n");
    let _old = Dnsmasq::start(&world.host, "127.0.0.53", &["--host-record=host.example,192.0.2.1"]);
    let _new = Dnsmasq::start(&world.host, "127.0.0.54", &["--host-record=host.example,192.0.2.2"]);
    let container = world.container(view());
    container.dig("host.example A").expect(&["0 A 192.0.2.1"]);
    world.set_resolv_conf("search lan\nnameserver 127.0.0.54\noptions edns0\n");
    container.dig("host.example A").expect(&["0 A 192.0.2.2"]);
    let dns = world.server.host().current();
    assert_eq!((&dns.search[..], &dns.options[..]), (&["lan".to_owned()][..], &["edns0".to_owned()][..]));
}

#[test]
fn a_container_s_own_name_servers_are_asked_from_its_namespace() {
    let world = World::new("nameserver 127.0.0.53\n");
    let _hosts = dnsmasq(&world.host, "127.0.0.53");
    let container = world.container(view());
    let _own = Dnsmasq::start(&container.net, "127.0.0.53", &["--host-record=host.example,192.0.2.99"]);
    let mut its = view();
    its.upstreams = own(&container.net, &["127.0.0.53:53"]);
    container.update(its.clone());
    for transport in ["+notcp", "+tcp"] {
        container.dig(&format!("{transport} host.example A")).expect(&["0 A 192.0.2.99"]);
    }
    // Those of a container without a way out are its own affair, and may be near.
    its.forwards = false;
    container.update(its);
    container.dig("host.example A").expect(&["0 A 192.0.2.99"]);
}

#[test]
fn a_container_without_a_way_out_doesn_t_have_the_host_ask() {
    let world = World::new("nameserver 127.0.0.53\n");
    let _dnsmasq = dnsmasq(&world.host, "127.0.0.53");
    world.name(FRONT, "web", &["web"], "10.1.0.2", None);
    let mut internal = view();
    internal.forwards = false;
    let container = world.container(internal);
    container.dig("host.example A").expect_nothing("SERVFAIL");
    container.dig("+tcp host.example A").expect_nothing("SERVFAIL");
    container.dig("web A").expect(&["600 A 10.1.0.2"]);
}

#[test]
fn asking_ourselves_ends_at_once() {
    let world = World::new("");
    let container = world.container(view());
    let mut its = view();
    its.upstreams = own(&container.net, &["127.0.0.11:53"]);
    container.update(its);
    container.dig("host.example A").expect_nothing("SERVFAIL");
}

#[test]
fn the_next_name_server_takes_over_from_one_that_is_dead_or_unable() {
    let world = World::new("nameserver 127.0.0.53\nnameserver 127.0.0.54\n");
    let _second = dnsmasq(&world.host, "127.0.0.54");
    let container = world.container(view());
    // Nothing listens at first, then something that says nothing, then one that refuses.
    container.dig("host.example A").expect(&["0 A 192.0.2.7"]);
    let silent = silent(&world.host, "127.0.0.53:53");
    container.dig("host.example A").expect(&["0 A 192.0.2.7"]);
    drop(silent);
    let _refusing = Dnsmasq::start(&world.host, "127.0.0.53", &["--local=/nothing/"]);
    container.dig("word A").expect(&["0 A 192.0.2.8"]);
}

#[test]
fn silence_of_all_name_servers_is_an_error_that_comes() {
    let world = World::new("nameserver 127.0.0.53\nnameserver 127.0.0.54\n");
    let _silent = [silent(&world.host, "127.0.0.53:53"), silent(&world.host, "127.0.0.54:53")];
    let container = world.container(view());
    container.dig("host.example A").expect_nothing("SERVFAIL");
}

#[test]
fn who_waits_for_a_slow_name_server_is_in_nobody_s_way() {
    let world = World::new("nameserver 127.0.0.53\n");
    let silent = silent(&world.host, "127.0.0.53:53");
    world.name(FRONT, "web", &["web"], "10.1.0.2", None);
    let container = world.container(view());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| container.dig("host.example A"));
        let mut buffer = [0; 512];
        let (length, client) = silent.recv_from(&mut buffer).unwrap();
        // The first one is waiting now, and this is answered.
        container.dig("web A").expect(&["600 A 10.1.0.2"]);
        assert!(!waiting.is_finished());
        buffer[2] |= 0x80;
        silent.send_to(&buffer[..length], client).unwrap();
        waiting.join().unwrap().expect_nothing("NOERROR");
    });
}

#[test]
fn a_long_answer_is_cut_to_what_the_client_takes() {
    let world = World::new("nameserver 127.0.0.53\n");
    let _dnsmasq = dnsmasq(&world.host, "127.0.0.53");
    let container = world.container(view());
    let cut = container.dig("+ignore +noedns long.example TXT");
    assert_eq!(cut.answers.len(), 0, "{}", cut.all);
    assert!(cut.flags.contains("tc"), "{}", cut.all);
    assert_eq!(container.dig("+noedns long.example TXT").answers.len(), 1, "by TCP");
    let whole = container.dig("+ignore +bufsize=4096 long.example TXT");
    assert_eq!((whole.answers.len(), whole.flags.contains("tc")), (1, false), "{}", whole.all);
}

#[test]
fn what_a_name_server_cuts_for_udp_is_had_by_tcp() {
    let world = World::new("nameserver 127.0.0.53\n");
    let mut knows = known();
    knows.push("--edns-packet-max=512".into());
    let knows: Vec<&str> = knows.iter().map(String::as_str).collect();
    let _dnsmasq = Dnsmasq::start(&world.host, "127.0.0.53", &knows);
    let container = world.container(view());
    let whole = container.dig("+ignore +bufsize=4096 long.example TXT");
    assert_eq!((whole.answers.len(), whole.flags.contains("tc")), (1, false), "{}", whole.all);
}
