//! A container can't pose as another: not on its bridge, not in ARP, not in neighbour discovery.

use std::net::UdpSocket;

use minke_netlink::route::{Batch, RouteSocket};
use minke_network::PoolRequest;

use crate::world::*;

/// Gives a sandbox an address that isn't its own.
fn take(sandbox: &minke_network::Attached, address: std::net::IpAddr) {
    inside(&sandbox.netns, || {
        let mut route = RouteSocket::open().unwrap();
        let index = route.link("eth0").unwrap().unwrap().index;
        let length = if address.is_ipv4() { 32 } else { 128 };
        route.run(Batch::new().address(index, address, length)).unwrap();
    });
}

#[test]
fn a_stolen_address_gets_nothing_through() {
    let world = World::new();
    let networks = world.networks("thief");
    let spec = world.create(&networks, "bridge", &[], |request| request.ipv6 = Some(PoolRequest::default()));
    let (thief, victim) = (world.on(&networks, &[&spec], vec![]), world.on(&networks, &[&spec], vec![]));
    let peer = world.on(&networks, &[&spec], vec![]);
    let heard = inside(&peer.netns, || UdpSocket::bind("[::]:9000")).unwrap();
    heard.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let hear = || {
        let mut buffer = [0; 16];
        heard.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned()).ok()
    };
    let say = |from: std::net::IpAddr, to: std::net::IpAddr, text: &str| {
        inside(&thief.netns, || {
            let _ = UdpSocket::bind((from, 0)).unwrap().send_to(text.as_bytes(), (to, 9000));
        });
    };
    let of = |sandbox: &minke_network::Attached| {
        let endpoint = &sandbox.attachment.endpoints[0];
        [endpoint.address_ipv4().unwrap().into(), endpoint.address_ipv6().unwrap().into()]
    };
    let (own, stolen, target): ([std::net::IpAddr; 2], [std::net::IpAddr; 2], [std::net::IpAddr; 2]) =
        (of(&thief), of(&victim), of(&peer));
    for family in 0..2 {
        say(own[family], target[family], "own");
        assert_eq!(hear().as_deref(), Some("own"));
        take(&thief, stolen[family]);
        say(stolen[family], target[family], "stolen");
        assert_eq!(hear(), None, "family {family}");
    }
    // Nor does it answer for the victim: the victim is still reached, the thief isn't.
    serve_tcp(&victim.netns, "victim", 80);
    serve_tcp(&thief.netns, "thief", 80);
    for address in stolen {
        assert!(ask_tcp(&peer.netns, address, 80).unwrap().starts_with("victim"));
    }
}

#[test]
fn another_hardware_address_gets_nothing_through() {
    let world = World::new();
    let networks = world.networks("mask");
    let app = world.attach(&networks, vec![]);
    serve_tcp(&world.host, "host", 9090);
    assert!(ask_tcp(&app.netns, HOST, 9090).is_ok());
    inside(&app.netns, || {
        let mut route = RouteSocket::open().unwrap();
        route.run(Batch::new().hardware_address("eth0", [2, 0, 0, 0, 0, 77])).unwrap();
    });
    assert!(ask_tcp(&app.netns, HOST, 9090).is_err());
}

#[test]
fn what_is_pinned_goes_with_the_container() {
    let world = World::new();
    let networks = world.networks("pins");
    let app = world.attach(&networks, vec![]);
    assert_eq!(world.bridge_elements("pins", "sources4"), 1);
    world.on_host(|| networks.detach(&app.attachment)).unwrap();
    assert_eq!(world.bridge_elements("pins", "sources4"), 0);
    world.on_host(|| networks.close()).unwrap();
}

/// Says what hardware address a sandbox's gateway has; one without gets one that isn't there.
fn mislead(sandbox: &minke_network::Attached, mac: [u8; 6]) {
    let endpoint = &sandbox.attachment.endpoints[0];
    let nobody = std::net::Ipv4Addr::from_bits(sandbox.attachment.ip().to_bits() + 99);
    let gateway = endpoint.gateway_ipv4.unwrap_or(nobody).into();
    inside(&sandbox.netns, || {
        let mut route = RouteSocket::open().unwrap();
        let index = route.link("eth0").unwrap().unwrap().index;
        let batch = Batch::new().fixed_neighbour(index, gateway, mac);
        route.run(batch.default_route(index, gateway)).unwrap();
    });
}

/// A bridge gives frames to 01:80:c2:00:00:0e to the port that they came by: whatever is in them.
#[test]
fn nothing_reaches_the_host_past_the_bridge() {
    let world = World::new();
    let networks = world.networks("past");
    let app = world.attach(&networks, vec![]);
    serve_udp(&world.host, "host", 9000);
    let gateway = app.attachment.bridge();
    assert!(ask_udp(&app.netns, gateway, 9000).is_ok());
    for last in [0x02, 0x03, 0x0e] {
        mislead(&app, [0x01, 0x80, 0xc2, 0, 0, last]);
        assert!(ask_udp(&app.netns, gateway, 9000).is_err(), "{last:#x}");
    }
}

/// Nor does a bridge learn from them who is where.
#[test]
fn nobody_gets_what_is_another_s() {
    let world = World::new();
    let networks = world.networks("thief");
    let [thief, other] = [(), ()].map(|()| world.attach(&networks, vec![]));
    serve_udp(&other.netns, "other", 9000);
    let ask = || ask_udp(&world.host, other.attachment.ip(), 9000);
    assert!(ask().is_ok());
    inside(&thief.netns, || {
        let mut route = RouteSocket::open().unwrap();
        let stolen = other.attachment.endpoints[0].mac.octets();
        route.run(Batch::new().hardware_address("eth0", stolen)).unwrap();
    });
    mislead(&thief, [0x01, 0x80, 0xc2, 0, 0, 0x0e]);
    assert!(ask_udp(&thief.netns, thief.attachment.bridge(), 9000).is_err());
    assert!(ask().is_ok());
}

/// Connection tracking would take what comes back for answers.
#[test]
fn a_frame_to_all_opens_no_way_to_another_network() {
    let world = World::new();
    if !world.set_bridge_netfilter(true) {
        return;
    }
    let networks = world.networks("toall");
    let [blue, green, inner] = [false, false, true]
        .map(|internal| world.create(&networks, "bridge", &[], |request| request.internal = internal));
    let boxes = [&blue, &green, &inner].map(|spec| world.on(&networks, &[spec], vec![]));
    let sockets = boxes.each_ref().map(|sandbox| {
        let socket = inside(&sandbox.netns, || UdpSocket::bind((sandbox.attachment.ip(), 9000))).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
        socket
    });
    let own = |number: usize| boxes[number].attachment.endpoints[0].mac.octets();
    let ways = [(0, 1), (1, 0), (0, 2), (2, 0)];
    let towards = |from| [[0xff; 6], own(from), [2, 0, 0, 0, 0, 99], [0x33, 0x33, 0, 0, 0, 1]];
    for (from, to, mac) in ways.into_iter().flat_map(|(from, to)| towards(from).map(|mac| (from, to, mac))) {
        mislead(&boxes[from], mac);
        let address = |number: usize| (boxes[number].attachment.ip(), 9000);
        sockets[from].send_to(b"open", address(to)).unwrap();
        let _ = sockets[to].send_to(b"through", address(from));
        assert!(sockets[from].recv(&mut [0; 16]).is_err(), "{to} has come to {from}, {mac:x?}");
        assert!(sockets[to].recv(&mut [0; 16]).is_err(), "{from} has come to {to}, {mac:x?}");
    }
}

#[test]
fn nobody_takes_the_bridge_s_own_hardware_address() {
    let world = World::new();
    let networks = world.networks("ownmac");
    let app = world.attach(&networks, vec![]);
    let mut wish = request(vec![]);
    wish.endpoints[0].mac = Some(minke_network::Mac::of_address(app.attachment.bridge().into()));
    wish.endpoints[0].ipv4 = Some(std::net::Ipv4Addr::from_bits(app.attachment.ip().to_bits() + 9));
    let error = world.on_host(|| networks.attach(wish.clone())).unwrap_err().to_string();
    assert!(error.contains("bridge's own"), "{error}");
    // Its address is free.
    wish.endpoints[0].mac = None;
    assert!(world.on_host(|| networks.attach(wish)).is_ok());
    serve_tcp(&world.host, "host", 9090);
    assert!(ask_tcp(&app.netns, HOST, 9090).is_ok());
}
