//! IPv6, alone and beside IPv4: to the outside, from it, from the host, and to itself.

use std::net::{IpAddr, Ipv6Addr};

use minke_netlink::route::{Batch, RouteSocket};
use minke_network::{NetworkSpec, PoolRequest, PortError};

use crate::world::*;

const HOST6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
const LAN6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
const LOOPBACK6: Ipv6Addr = Ipv6Addr::LOCALHOST;

/// A world whose LAN has IPv6 as well.
fn world() -> World {
    let world = World::new();
    for (namespace, interface, address) in [(&world.host, "lan0", HOST6), (&world.lan, "eth0", LAN6)] {
        inside(namespace, || {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"), "0").unwrap();
            let mut route = RouteSocket::open().unwrap();
            let index = route.link(interface).unwrap().unwrap().index;
            let mut batch = Batch::new().address(index, address.into(), 64);
            if address == LAN6 {
                batch = batch.default_route(index, HOST6.into());
            }
            route.run(batch).unwrap();
            while !route.is_own(address).unwrap() {
                std::thread::yield_now();
            }
        });
    }
    world
}

fn dual(world: &World, networks: &minke_network::Networks, options: &[(&str, &str)]) -> NetworkSpec {
    world.create(networks, "bridge", options, |request| request.ipv6 = Some(PoolRequest::default()))
}

fn ip6(sandbox: &minke_network::Attached) -> Ipv6Addr {
    sandbox.attachment.endpoints[0].address_ipv6().unwrap()
}

#[test]
fn a_port_is_published_in_both_families_and_reached_from_everywhere() {
    reached_from_everywhere(false);
}

/// There ::1 is refused at once, so that who asks for `localhost` goes on to 127.0.0.1.
#[test]
fn with_br_netfilter_it_is_reached_from_everywhere_but_at_the_loopback_address() {
    reached_from_everywhere(true);
}

fn reached_from_everywhere(bridge_netfilter: bool) {
    let world = world();
    let set = |value: &str| std::fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", value);
    let there = world.on_host(|| set(if bridge_netfilter { "1" } else { "0" })).is_ok();
    if bridge_netfilter && !there {
        return;
    }
    let networks = world.networks("six");
    let spec = dual(&world, &networks, &[]);
    let web = world.on(&networks, &[&spec], vec![tcp(8080, 80), udp(8080, 80)]);
    let other = world.on(&networks, &[&spec], vec![]);
    serve_tcp(&web.netns, "web", 80);
    serve_udp(&web.netns, "web", 80);
    let addresses: Vec<String> =
        web.attachment.ports.iter().map(|port| port.host_address.to_string()).collect();
    assert_eq!(addresses, ["0.0.0.0", "::", "0.0.0.0", "::"]);
    let own = ip6(&web);
    assert_eq!(own.segments()[0] >> 8, 0xfd);
    type Ask = fn(&std::os::fd::OwnedFd, IpAddr, u16) -> std::io::Result<String>;
    for ask in [ask_tcp as Ask, ask_udp] {
        assert_eq!(ask(&world.lan, HOST6.into(), 8080).unwrap(), format!("web {LAN6}"), "source preserved");
        assert!(ask(&world.lan, HOST.into(), 8080).is_ok());
        assert_eq!(
            ask(&world.host, LOOPBACK6.into(), 8080).is_ok(),
            !bridge_netfilter,
            "from the host by ::1"
        );
        assert!(ask(&world.host, LOOPBACK.into(), 8080).is_ok());
        assert!(ask(&world.host, HOST6.into(), 8080).is_ok());
        assert!(ask(&other.netns, HOST6.into(), 8080).is_ok(), "from a neighbour");
        assert!(ask(&web.netns, HOST6.into(), 8080).is_ok(), "hairpin");
        assert_eq!(ask(&other.netns, own.into(), 80).unwrap(), format!("web {}", ip6(&other)));
        assert!(ask(&world.host, own.into(), 80).is_ok());
        assert!(ask(&world.lan, own.into(), 80).is_err(), "not at its own address");
    }
}

#[test]
fn a_container_reaches_the_lan_with_the_host_s_ipv6_address() {
    let world = world();
    let networks = world.networks("sixout");
    let app = world.on(&networks, &[&dual(&world, &networks, &[])], vec![]);
    serve_tcp(&world.lan, "lan", 80);
    assert_eq!(ask_tcp(&app.netns, LAN6, 80).unwrap(), format!("lan {HOST6}"));
    assert_eq!(ask_tcp(&app.netns, LAN, 80).unwrap(), format!("lan {HOST}"));
    let routed = dual(&world, &networks, &[("com.docker.network.bridge.gateway_mode_ipv6", "routed")]);
    let app = world.on(&networks, &[&routed], vec![tcp(8080, 80)]);
    serve_tcp(&app.netns, "app", 80);
    serve_tcp(&app.netns, "app", 81);
    assert_eq!(ask_tcp(&app.netns, LAN6, 80).unwrap(), format!("lan {}", ip6(&app)));
    assert_eq!([80, 81].map(|port| ask_tcp(&world.lan, ip6(&app), port).is_ok()), [true, false]);
}

#[test]
fn a_network_of_ipv6_alone_has_no_ipv4() {
    let world = world();
    let networks = world.networks("only");
    let spec = world.create(&networks, "bridge", &[], |request| {
        request.ipv4 = None;
        request.ipv6 = Some(PoolRequest { subnet: "fd99:1::/64".parse().ok(), ..PoolRequest::default() });
    });
    let app = world.on(&networks, &[&spec], vec![tcp(8080, 80)]);
    serve_tcp(&app.netns, "app", 80);
    serve_tcp(&world.lan, "lan", 80);
    assert!(app.attachment.endpoints[0].ipv4.is_none());
    assert_eq!(ip6(&app).to_string(), "fd99:1::2");
    assert_eq!(app.attachment.ports.len(), 1);
    assert!(ask_tcp(&world.lan, HOST6, 8080).is_ok());
    assert!(ask_tcp(&world.lan, HOST, 8080).is_err());
    assert!(ask_tcp(&app.netns, LAN6, 80).is_ok());
    let error = world.try_on(&networks, &[&spec], vec![on(LOOPBACK, tcp(8081, 80))]).unwrap_err();
    assert!(matches!(error, minke_network::AttachError::Port(PortError::NoTarget(_))), "{error}");
}

#[test]
fn networks_are_apart_in_ipv6_too_and_an_internal_one_is_closed() {
    let world = world();
    let networks = world.networks("apart");
    let (a, b) = (dual(&world, &networks, &[]), dual(&world, &networks, &[]));
    let inner = world.create(&networks, "bridge", &[], |request| {
        request.internal = true;
        request.ipv6 = Some(PoolRequest::default());
    });
    let (one, two) = (world.on(&networks, &[&a], vec![]), world.on(&networks, &[&b], vec![]));
    let closed = world.on(&networks, &[&inner], vec![]);
    serve_tcp(&world.lan, "lan", 80);
    for sandbox in [&one, &two, &closed] {
        serve_tcp(&sandbox.netns, "app", 80);
    }
    assert!(ask_tcp(&one.netns, ip6(&two), 80).is_err());
    assert!(ask_tcp(&one.netns, ip6(&closed), 80).is_err());
    assert!(ask_tcp(&closed.netns, LAN6, 80).is_err());
    assert!(ask_tcp(&world.lan, ip6(&closed), 80).is_err());
    assert!(ask_tcp(&world.host, ip6(&closed), 80).is_ok());
}

#[test]
fn an_interface_without_ipv6_has_none_beside_one_that_has() {
    let world = world();
    let networks = world.networks("mixed");
    let (four, both) = (world.network(&networks, "four", &[]), dual(&world, &networks, &[]));
    let app = world.on(&networks, &[&four, &both], vec![]);
    let addresses = inside(&app.netns, || {
        let mut route = RouteSocket::open().unwrap();
        let eth0 = route.link("eth0").unwrap().unwrap().index;
        route.addresses().unwrap().into_iter().filter(|a| a.index == eth0 && a.address.is_ipv6()).count()
    });
    assert_eq!(addresses, 0);
    let netns = std::os::fd::AsFd::as_fd(&app.netns);
    let left = world.on_host(|| networks.disconnect(netns, &app.attachment, &both.id)).unwrap();
    let back = minke_network::EndpointRequest::new(both.id.clone(), "both");
    let again = world.on_host(|| networks.connect(netns, &left, back, &[])).unwrap();
    assert_eq!(again.gateway(false).unwrap().network, both.id);
    serve_tcp(&world.lan, "lan", 80);
    assert!(ask_tcp(&app.netns, LAN6, 80).is_ok());
}
