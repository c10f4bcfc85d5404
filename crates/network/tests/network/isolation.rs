//! What must not get through, and what must get out.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use minke_netlink::route::{Batch, RouteSocket};

use crate::world::*;

#[test]
fn a_container_reaches_the_lan_with_the_host_s_address() {
    let world = World::new();
    let networks = world.networks("masq");
    let app = world.attach(&networks, vec![]);
    serve_tcp(&world.lan, "lan", 80);
    serve_udp(&world.lan, "lan", 80);
    assert_eq!(ask_tcp(&app.netns, LAN, 80).unwrap(), format!("lan {HOST}"));
    assert_eq!(ask_udp(&app.netns, LAN, 80).unwrap(), format!("lan {HOST}"));
}

#[test]
fn the_lan_can_not_route_to_container_ports() {
    let world = World::new();
    let networks = world.networks("direct");
    let web = world.attach(&networks, vec![tcp(8080, 80)]);
    serve_tcp(&web.netns, "web", 80);
    serve_tcp(&web.netns, "secret", 81);
    // The LAN's default route leads to the host, which forwards.
    assert!(ask_tcp(&world.lan, web.attachment.ip(), 81).is_err(), "not published");
    assert!(ask_tcp(&world.lan, web.attachment.ip(), 80).is_err(), "published, but not at this address");
    assert!(ask_tcp(&world.lan, HOST, 81).is_err());
    assert_eq!(ask_tcp(&world.lan, HOST, 8080).unwrap(), format!("web {LAN}"));
}

#[test]
fn the_lan_reaches_published_ports_directly_where_that_is_allowed() {
    let world = World::new();
    let networks = world.configured("open", |config| config.direct_routing = true);
    let ports = vec![tcp(8080, 80), tcp(8081, 80), on(LOOPBACK, tcp(8082, 82))];
    let web = world.attach(&networks, ports);
    let other = world.attach(&networks, vec![]);
    for port in [80, 81, 82] {
        serve_tcp(&web.netns, "web", port);
    }
    assert_eq!(ask_tcp(&world.lan, web.attachment.ip(), 80).unwrap(), format!("web {LAN}"));
    assert!(ask_tcp(&world.lan, web.attachment.ip(), 81).is_err(), "not published");
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "and by the host as ever");
    world.on_host(|| networks.detach(&other.attachment)).unwrap();
    assert_eq!(world.elements("open", "routed-ports4"), 2);
    world.on_host(|| networks.detach(&web.attachment)).unwrap();
    assert_eq!(world.elements("open", "routed-ports4"), 0);
}

#[test]
fn neither_lan_nor_containers_reach_the_host_s_loopback() {
    let world = World::new();
    let networks = world.networks("cve");
    // A published port, so that the bridge routes loopback addresses.
    let app = world.attach(&networks, vec![tcp(8080, 80)]);
    serve_tcp(&world.host, "host", 9090);
    let service = world.on_host(|| UdpSocket::bind((LOOPBACK, 9091))).unwrap();
    service.set_nonblocking(true).unwrap();
    assert!(ask_tcp(&world.host, LOOPBACK, 9090).is_ok());
    assert!(ask_tcp(&app.netns, HOST, 9090).is_ok(), "a service on all addresses is open to containers");

    // Without a lo of its own, 127.0.0.1 goes out of a container's eth0.
    inside(&app.netns, || RouteSocket::open().unwrap().run(Batch::new().down("lo"))).unwrap();
    for namespace in [&app.netns, &world.lan] {
        assert!(ask_tcp(namespace, LOOPBACK, 9090).is_err());
        assert!(ask_udp(namespace, LOOPBACK, 9091).is_err());
    }
    assert!(service.recv_from(&mut [0; 8]).is_err(), "nothing arrived");
}

#[test]
fn a_container_can_not_pose_as_the_host() {
    let world = World::new();
    let networks = world.networks("pose");
    let app = world.attach(&networks, vec![tcp(8080, 80)]);
    let service = world.on_host(|| UdpSocket::bind((HOST, 9091))).unwrap();
    service.set_nonblocking(true).unwrap();
    let namespace = same(std::os::fd::AsFd::as_fd(&app.netns));
    inside(&namespace, || {
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 1), 4000)).unwrap();
        let _ = socket.send_to(b"root: yes", (HOST, 9091));
    });
    assert!(service.recv_from(&mut [0; 16]).is_err());
}

#[test]
fn a_host_that_was_no_router_becomes_none_but_for_containers() {
    let world = World::new();
    let second = namespace(false);
    wire(&world.host, "lan1", Ipv4Addr::new(10, 77, 1, 1), &second, Ipv4Addr::new(10, 77, 1, 2));
    serve_tcp(&world.lan, "lan", 80);
    assert!(ask_tcp(&second, LAN, 80).is_err(), "forwarding is off");

    let networks = world.networks("norouter");
    let other = world.networks("norouter2");
    let app = world.attach(&networks, vec![]);
    let neighbour = world.attach(&other, vec![]);
    assert!(ask_tcp(&second, LAN, 80).is_err(), "forwarding is on, but for containers only");
    assert!(ask_tcp(&app.netns, LAN, 80).is_ok());
    assert!(ask_tcp(&neighbour.netns, LAN, 80).is_ok(), "another engine's containers are no strangers");
}

#[test]
fn a_host_that_was_no_router_becomes_one_where_that_is_allowed() {
    let world = World::new();
    let second = namespace(false);
    wire(&world.host, "lan1", Ipv4Addr::new(10, 77, 1, 1), &second, Ipv4Addr::new(10, 77, 1, 2));
    serve_tcp(&world.lan, "lan", 80);
    let networks = world.configured("becomes", |config| config.forward_for_others = true);
    let app = world.attach(&networks, vec![]);
    serve_tcp(&app.netns, "app", 80);
    assert!(ask_tcp(&second, LAN, 80).is_ok());
    assert!(ask_tcp(&second, app.attachment.ip(), 80).is_err(), "containers are no part of that");

    // The next engine knows that the host was none, and may be told otherwise.
    let networks = world.networks("becomes");
    world.on_host(|| networks.restore(std::slice::from_ref(&app.attachment))).unwrap();
    assert!(ask_tcp(&second, LAN, 80).is_err());
}

#[test]
fn a_host_that_was_a_router_stays_one() {
    let world = World::new();
    world.on_host(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
    let second = namespace(false);
    wire(&world.host, "lan1", Ipv4Addr::new(10, 77, 1, 1), &second, Ipv4Addr::new(10, 77, 1, 2));
    serve_tcp(&world.lan, "lan", 80);
    let networks = world.networks("router");
    let _app = world.attach(&networks, vec![]);
    assert!(ask_tcp(&second, LAN, 80).is_ok());
}

#[test]
fn engines_with_different_prefixes_share_a_host_and_nothing_else() {
    let world = World::new();
    let (one, two) = (world.networks("twin-engine-a"), world.networks("twin-engine-b"));
    let a = world.attach(&one, vec![tcp(8080, 80)]);
    let b = world.attach(&two, vec![tcp(8081, 80)]);
    serve_tcp(&a.netns, "a", 80);
    serve_tcp(&b.netns, "b", 80);
    assert_ne!(default_net(&one).subnet, default_net(&two).subnet);
    assert!(ask_tcp(&world.lan, HOST, 8080).unwrap().starts_with("a "));
    assert!(ask_tcp(&world.lan, HOST, 8081).unwrap().starts_with("b "));
    assert!(ask_tcp(&a.netns, b.attachment.ip(), 80).is_err(), "containers of different engines");
    assert!(ask_tcp(&a.netns, HOST, 8081).is_ok(), "but what is published is published");

    // Closing one, as after a crash, takes nothing of the other.
    world.on_host(|| one.restore(&[])).unwrap();
    assert_eq!(world.tables(), ["twin-engine-b"]);
    assert!(world.has_link(b.attachment.port()));
    assert!(ask_tcp(&world.lan, HOST, 8081).unwrap().starts_with("b "));
}

/// Frames that sandboxes get for nothing are what a bridge with a thousand of them dies of.
#[test]
fn a_first_connection_disturbs_no_neighbour() {
    let world = World::new();
    let networks = world.networks("quiet");
    let app = world.attach(&networks, vec![tcp(8080, 80)]);
    let neighbour = world.attach(&networks, vec![]);
    serve_tcp(&app.netns, "app", 80);
    serve_tcp(&world.lan, "lan", 80);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "in");
    assert!(ask_tcp(&world.host, LOOPBACK, 8080).is_ok(), "from the host");
    assert!(ask_tcp(&app.netns, LAN, 80).is_ok(), "out");
    let devices = inside(&neighbour.netns, || std::fs::read_to_string("/proc/thread-self/net/dev")).unwrap();
    let eth0 = devices.lines().find(|line| line.trim_start().starts_with("eth0:")).unwrap();
    assert_eq!(eth0.split_whitespace().nth(2), Some("0"), "{devices}");
}

#[test]
fn a_sandbox_has_lo_eth0_and_no_ipv6_of_its_own() {
    let world = World::new();
    let networks = world.networks("inside");
    let app = world.attach(&networks, vec![]);
    let (links, addresses) = inside(&app.netns, || {
        let mut route = RouteSocket::open().unwrap();
        (route.links(None).unwrap(), route.addresses().unwrap())
    });
    for name in ["lo", "eth0"] {
        assert!(links.iter().any(|link| link.name == name && link.up), "{links:?}");
    }
    let eth0 = links.iter().find(|link| link.name == "eth0").unwrap();
    let own: Vec<IpAddr> = addresses
        .iter()
        .filter(|address| address.index == eth0.index)
        .map(|address| address.address)
        .collect();
    assert_eq!(own, [IpAddr::V4(app.attachment.ip())]);
    assert_eq!(app.attachment.endpoints[0].interface, "eth0");
    assert_eq!(app.attachment.bridge(), default_gateway(&networks));
}

#[test]
fn a_sandbox_without_a_network_has_lo_only() {
    let netns = minke_network::loopback_only().unwrap();
    let up = inside(&netns, || RouteSocket::open().unwrap().links(None)).unwrap();
    assert!(up.iter().filter(|link| link.up).map(|link| link.name.as_str()).eq(["lo"]), "{up:?}");
    assert!(inside(&netns, || TcpListener::bind((LOOPBACK, 80))).is_ok());
}

/// One that asks again a second later, as TCP does.
fn ask_patiently(namespace: &std::os::fd::OwnedFd, port: u16) -> std::io::Result<String> {
    use std::{io::Read as _, net::TcpStream, time::Duration};
    inside(namespace, || {
        let mut stream = TcpStream::connect_timeout(&(HOST, port).into(), Duration::from_secs(4))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

#[test]
fn published_ports_obey_the_host_s_input_rules_when_told_to() {
    use minke_netlink::nft::{
        Base, Chain, Expression, Family, Hook, Kind, NftSocket, Policy, Register, Rule, Table, Transaction,
        Verdict,
    };
    let world = World::new();
    let config = minke_network::NetworkConfig {
        obey_input: true,
        ..minke_network::NetworkConfig::new("obey", world.state.path().join("obey"))
    };
    let networks = world.on_host(|| opened(config)).unwrap();
    let web = world.attach(&networks, vec![tcp(8080, 80), tcp(8081, 80)]);
    serve_tcp(&web.netns, "web", 80);
    let table = Table { family: Family::Inet, name: "site".to_owned() };
    let base = Base { kind: Kind::Filter, hook: Hook::Input, priority: 0, policy: Policy::Accept };
    let r0 = Register(0);
    let no_8081 = vec![
        Expression::TransportHeader { offset: 2, length: 2, to: r0 },
        Expression::Equal(r0, 8081u16.to_be_bytes().to_vec()),
        Expression::Verdict(Verdict::Drop),
    ];
    let transaction = Transaction::new(&table)
        .add_table()
        .add_chain(&Chain { name: "input".to_owned(), base: Some(base) })
        .add_rule("input", &Rule { expressions: no_8081, comment: String::new() });
    world.on_host(|| NftSocket::open().unwrap().commit(transaction)).unwrap();
    assert_eq!(ask_patiently(&world.lan, 8080).unwrap(), format!("web {LAN}"), "let in, source preserved");
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "the next one waits for nothing");
    assert!(ask_patiently(&world.lan, 8081).is_err(), "the host's rules forbid it");
    assert!(ask_tcp(&world.host, LOOPBACK, 8081).is_ok(), "the host itself isn't asked");
    world.on_host(|| networks.reconcile()).unwrap();
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
}
