//! Every way of reaching a published port, and what its server sees of the client.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    process,
};

use minke_network::{AttachError, PortError, PortRequest, Protocol};

use crate::world::*;

type Ask = fn(&std::os::fd::OwnedFd, Ipv4Addr, u16) -> std::io::Result<String>;

/// From everywhere, with and without br_netfilter.
fn reaches_from_everywhere(port: PortRequest, ask: Ask, bridge_netfilter: bool) {
    let world = World::new();
    if !world.set_bridge_netfilter(bridge_netfilter) && bridge_netfilter {
        return;
    }
    let networks = world.networks("pubtest");
    let web = world.attach(&networks, vec![port]);
    let other = world.attach(&networks, vec![]);
    serve_tcp(&web.netns, "web", 80);
    serve_udp(&web.netns, "web", 80);
    let (own, gateway) = (web.attachment.ip(), web.attachment.bridge());

    assert_eq!(ask(&world.lan, HOST, 8080).unwrap(), format!("web {LAN}"), "the LAN's address is preserved");
    assert_eq!(ask(&world.host, LOOPBACK, 8080).unwrap(), format!("web {gateway}"));
    assert_eq!(ask(&world.host, Ipv4Addr::new(127, 9, 9, 9), 8080).unwrap(), format!("web {gateway}"));
    assert_eq!(ask(&world.host, HOST, 8080).unwrap(), format!("web {HOST}"));
    assert_eq!(ask(&world.host, gateway, 8080).unwrap(), format!("web {gateway}"));
    assert_eq!(ask(&other.netns, HOST, 8080).unwrap(), format!("web {gateway}"));
    assert_eq!(ask(&other.netns, gateway, 8080).unwrap(), format!("web {gateway}"));
    assert_eq!(ask(&web.netns, HOST, 8080).unwrap(), format!("web {gateway}"), "hairpin");
    assert_eq!(ask(&other.netns, own, 80).unwrap(), format!("web {}", other.attachment.ip()));
    assert_eq!(ask(&world.host, own, 80).unwrap(), format!("web {gateway}"));
}

#[test]
fn a_tcp_port_on_all_addresses_is_reached_from_everywhere() {
    reaches_from_everywhere(tcp(8080, 80), ask_tcp, false);
}

#[test]
fn a_tcp_port_is_reached_from_everywhere_with_bridge_netfilter() {
    reaches_from_everywhere(tcp(8080, 80), ask_tcp, true);
}

#[test]
fn a_udp_port_on_all_addresses_is_reached_from_everywhere() {
    reaches_from_everywhere(udp(8080, 80), ask_udp, false);
}

#[test]
fn a_udp_port_is_reached_from_everywhere_with_bridge_netfilter() {
    reaches_from_everywhere(udp(8080, 80), ask_udp, true);
}

#[test]
fn a_port_on_one_address_is_reached_on_that_one_only() {
    let world = World::new();
    let networks = world.networks("onetest");
    let web = world.attach(&networks, vec![on(HOST, tcp(8080, 80)), on(HOST, udp(8080, 80))]);
    serve_tcp(&web.netns, "web", 80);
    serve_udp(&web.netns, "web", 80);
    for ask in [ask_tcp as Ask, ask_udp] {
        assert_eq!(ask(&world.lan, HOST, 8080).unwrap(), format!("web {LAN}"));
        assert_eq!(ask(&world.host, HOST, 8080).unwrap(), format!("web {HOST}"));
        assert!(ask(&world.host, LOOPBACK, 8080).is_err());
        assert!(ask(&world.host, web.attachment.bridge(), 8080).is_err());
    }
}

#[test]
fn a_port_on_loopback_is_reached_from_the_host_only() {
    let world = World::new();
    let networks = world.networks("lotest");
    let web = world.attach(&networks, vec![on(LOOPBACK, tcp(8080, 80)), on(LOOPBACK, udp(8080, 80))]);
    let other = world.attach(&networks, vec![]);
    serve_tcp(&web.netns, "web", 80);
    serve_udp(&web.netns, "web", 80);
    for ask in [ask_tcp as Ask, ask_udp] {
        assert_eq!(ask(&world.host, LOOPBACK, 8080).unwrap(), format!("web {}", web.attachment.bridge()));
        assert!(ask(&world.lan, HOST, 8080).is_err());
        assert!(ask(&world.lan, LOOPBACK, 8080).is_err(), "a loopback address on the LAN's wire");
        assert!(ask(&other.netns, HOST, 8080).is_err());
        assert!(ask(&other.netns, other.attachment.bridge(), 8080).is_err());
    }
}

#[test]
fn the_same_host_port_leads_to_different_containers_by_address_and_protocol() {
    let world = World::new();
    let networks = world.networks("multi");
    let a = world.attach(&networks, vec![on(HOST, tcp(8080, 80))]);
    let b = world.attach(&networks, vec![on(LOOPBACK, tcp(8080, 80))]);
    let c = world.attach(&networks, vec![udp(8080, 80)]);
    serve_tcp(&a.netns, "a", 80);
    serve_tcp(&b.netns, "b", 80);
    serve_udp(&c.netns, "c", 80);
    assert!(ask_tcp(&world.host, HOST, 8080).unwrap().starts_with("a "));
    assert!(ask_tcp(&world.host, LOOPBACK, 8080).unwrap().starts_with("b "));
    assert!(ask_udp(&world.host, HOST, 8080).unwrap().starts_with("c "));
}

#[test]
fn any_free_port_and_ranges_are_found() {
    let world = World::new();
    let networks = world.networks("ranges");
    let any =
        PortRequest { container_port: 80, protocol: Protocol::Tcp, host_address: None, host_ports: None };
    let range = PortRequest { host_ports: Some(9000..=9001), ..any.clone() };
    let first = world.attach(&networks, vec![any.clone(), any, range.clone()]);
    let ports: Vec<u16> = first.attachment.ports.iter().map(|port| port.host_port).collect();
    assert!(ports[0] >= 1024 && ports[1] >= 1024 && ports[0] != ports[1], "{ports:?}");
    assert_eq!(ports[2], 9000);
    serve_tcp(&first.netns, "web", 80);
    assert!(ask_tcp(&world.lan, HOST, ports[1]).is_ok());

    let second = world.attach(&networks, vec![range.clone()]);
    assert_eq!(second.attachment.ports[0].host_port, 9001);
    let error = world.try_attach(&networks, vec![range]).unwrap_err();
    assert_eq!(error.to_string(), "no free host port in 0.0.0.0:9000-9001/tcp");
}

#[test]
fn a_port_in_use_names_its_holder_and_leaves_nothing() {
    let world = World::new();
    let networks = world.networks("inuse");
    let (_tcp, _udp) = world.on_host(|| {
        (
            TcpListener::bind((LOOPBACK, 8080)).unwrap(),
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 8081)).unwrap(),
        )
    });
    for (port, what) in [(tcp(8080, 80), "8080/tcp"), (udp(8081, 80), "8081/udp")] {
        let error = world.try_attach(&networks, vec![tcp(7070, 80), port]).unwrap_err().to_string();
        let wanted = format!("failed to bind host port 0.0.0.0:{what}: address already in use");
        assert!(error.starts_with(&wanted), "{error}");
        assert!(error.contains(&format!("process {}", process::id())), "{error}");
    }
    assert_eq!(world.links().len(), 3, "lo, lan0 and the bridge: {:?}", world.links());
    assert_eq!(world.elements("inuse", "ports4"), 0);
    world.attach(&networks, vec![tcp(7070, 80)]);
}

#[test]
fn a_port_of_another_container_is_allocated() {
    let world = World::new();
    let networks = world.networks("alloc");
    let first = world.attach(&networks, vec![tcp(8080, 80)]);
    for port in [tcp(8080, 81), on(HOST, tcp(8080, 80))] {
        let error = world.try_attach(&networks, vec![port]).unwrap_err();
        assert!(matches!(error, AttachError::Port(PortError::Allocated { port: 8080, .. })), "{error}");
        assert!(error.to_string().ends_with(":8080 failed: port is already allocated"), "{error}");
    }
    world.on_host(|| networks.detach(&first.attachment)).unwrap();
    drop(first);
    world.attach(&networks, vec![tcp(8080, 80)]);
}

#[test]
fn one_container_can_not_have_a_port_twice() {
    let world = World::new();
    let networks = world.networks("twice");
    for ports in [
        [tcp(8080, 80), tcp(8080, 81)],
        [on(LOOPBACK, tcp(8080, 80)), tcp(8080, 80)],
        [tcp(8080, 80), on(LOOPBACK, tcp(8080, 80))],
    ] {
        let error = world.try_attach(&networks, ports.to_vec()).unwrap_err();
        assert!(matches!(error, AttachError::Port(PortError::Allocated { port: 8080, .. })), "{error}");
    }
    let range = PortRequest { host_ports: Some(9000..=9001), ..tcp(0, 80) };
    let web = world.attach(&networks, vec![range.clone(), range, on(HOST, tcp(8080, 80)), udp(8080, 80)]);
    let ports: Vec<u16> = web.attachment.ports.iter().map(|port| port.host_port).collect();
    assert_eq!(ports, [9000, 9001, 8080, 8080]);
    let zero = world.try_attach(&networks, vec![tcp(8081, 0)]).unwrap_err();
    assert_eq!(zero.to_string(), "container port 0 can't be published");
}

#[test]
fn an_address_that_the_host_has_not_is_refused() {
    let world = World::new();
    let networks = world.networks("noaddr");
    let error = world.try_attach(&networks, vec![on(Ipv4Addr::new(192, 0, 2, 9), tcp(80, 80))]).unwrap_err();
    let wanted = "failed to bind host port 192.0.2.9:80/tcp: cannot assign requested address";
    assert_eq!(error.to_string(), wanted);
    let v6 = PortRequest { host_address: Some("::1".parse().unwrap()), ..tcp(80, 80) };
    assert!(
        world.try_attach(&networks, vec![v6]).unwrap_err().to_string().contains("no address of that family")
    );
}

#[test]
fn a_port_stays_reserved_while_somebody_holds_it() {
    let world = World::new();
    let networks = world.networks("held");
    let web = world.attach(&networks, vec![tcp(8080, 80)]);
    assert!(world.on_host(|| TcpListener::bind((LOOPBACK, 8080))).is_err());
    world.on_host(|| networks.detach(&web.attachment)).unwrap();
    assert!(world.on_host(|| TcpListener::bind((LOOPBACK, 8080))).is_err());
    drop(web.held);
    assert!(world.on_host(|| TcpListener::bind((LOOPBACK, 8080))).is_ok());
}

#[test]
fn a_port_whose_server_just_ended_can_be_published() {
    let world = World::new();
    let networks = world.networks("timewait");
    let listener = world.on_host(|| TcpListener::bind((LOOPBACK, 8080))).unwrap();
    let client = world.on_host(|| std::net::TcpStream::connect((LOOPBACK, 8080))).unwrap();
    // The server closes first, so that the port is left in TIME_WAIT.
    drop(listener.accept().unwrap());
    drop(client);
    drop(listener);
    let web = world.attach(&networks, vec![tcp(8080, 80)]);
    serve_tcp(&web.netns, "web", 80);
    assert!(ask_tcp(&world.host, LOOPBACK, 8080).unwrap().starts_with("web"));
    assert!(world.on_host(|| TcpListener::bind((LOOPBACK, 8080))).is_err());
}

#[test]
fn a_udp_client_that_goes_on_reaches_the_next_container_on_the_port() {
    let world = World::new();
    let networks = world.networks("udpnext");
    let first = world.attach(&networks, vec![udp(5353, 53)]);
    serve_udp(&first.netns, "first", 53);
    let client = inside(&world.lan, || UdpSocket::bind((LAN, 0))).unwrap();
    assert_eq!(ask_udp_with(&client, HOST, 5353).unwrap(), format!("first {LAN}"));

    world.on_host(|| networks.detach(&first.attachment)).unwrap();
    drop(first);
    assert!(ask_udp_with(&client, HOST, 5353).is_err());
    let second = world.attach(&networks, vec![udp(5353, 53)]);
    serve_udp(&second.netns, "second", 53);
    assert_eq!(ask_udp_with(&client, HOST, 5353).unwrap(), format!("second {LAN}"));
}

#[test]
fn sctp_ports_are_published_without_a_socket_too() {
    let world = World::new();
    let networks = world.networks("sctp");
    let any = || PortRequest { protocol: Protocol::Sctp, host_ports: None, ..tcp(0, 80) };
    let (a, b) = (world.attach(&networks, vec![any()]), world.attach(&networks, vec![any()]));
    let port = |sandbox: &minke_network::Attached| sandbox.attachment.ports[0].host_port;
    assert!(port(&a) != 0 && port(&a) != port(&b));
    assert_eq!(world.elements("sctp", "ports4"), 2);
    let taken = PortRequest { protocol: Protocol::Sctp, ..tcp(port(&a), 80) };
    let error = world.try_attach(&networks, vec![taken]).unwrap_err();
    assert!(error.to_string().contains("in use") || error.to_string().contains("allocated"), "{error}");
    // The same number of another protocol is another port.
    world.attach(&networks, vec![tcp(port(&a), 80)]);
}

#[test]
fn ports_of_the_family_that_a_sandbox_has_not_are_for_relays() {
    let world = World::new();
    let networks = world.configured("relayed", |config| config.relay = true);
    let on_v6 = PortRequest { host_address: Some("::1".parse().unwrap()), ..udp(8081, 81) };
    let sctp = PortRequest { protocol: Protocol::Sctp, ..tcp(8082, 82) };
    let web = world.attach(&networks, vec![tcp(8080, 80), on_v6.clone(), sctp]);
    let shown: Vec<String> =
        web.attachment.ports.iter().map(|port| format!("{}:{}", port.host_address, port.host_port)).collect();
    assert_eq!(shown, ["0.0.0.0:8080", ":::8080", "::1:8081", "0.0.0.0:8082"]);
    let relays = world.on_host(|| networks.relays(&web.attachment)).unwrap();
    let targets: Vec<_> =
        relays.iter().map(|relay| (relay.port.host_port, relay.target.to_string())).collect();
    let own = web.attachment.ip();
    assert_eq!(targets, [(8080, format!("{own}:80")), (8081, format!("{own}:81"))]);
    let client = world.on_host(|| std::net::TcpStream::connect("[::1]:8080"));
    assert!(client.is_ok(), "its socket listens");
    let error = world.try_attach(&networks, vec![on_v6]).unwrap_err();
    assert!(matches!(error, AttachError::Port(PortError::Allocated { port: 8081, .. })), "{error}");
    drop(relays);
    world.on_host(|| networks.detach(&web.attachment)).unwrap();
    let bound = world.on_host(|| TcpListener::bind("[::]:8080"));
    assert!(bound.is_err(), "by the client's connection, which lives");
    drop((client, bound, web));
    let again = world.attach(&networks, vec![tcp(8080, 80)]);
    assert_eq!(again.attachment.ports.len(), 2);
}

#[test]
fn sctp_is_published_in_both_families_that_a_sandbox_has() {
    let world = World::new();
    let networks = world.configured("sctpsix", |config| config.relay = true);
    let both = world.create(&networks, "bridge", &[], |request| {
        request.ipv6 = Some(minke_network::PoolRequest::default());
    });
    let sctp = PortRequest { protocol: Protocol::Sctp, ..tcp(8082, 82) };
    let web = world.on(&networks, &[&both], vec![sctp]);
    let shown: Vec<_> = web.attachment.ports.iter().map(|port| port.host_address.to_string()).collect();
    assert_eq!(shown, ["0.0.0.0", "::"]);
    assert!(world.on_host(|| networks.relays(&web.attachment)).unwrap().is_empty());
}
