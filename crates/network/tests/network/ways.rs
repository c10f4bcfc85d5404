//! Ways in and out that are not a network's first: a gateway beside the bridge, a way out that comes later, a second subnet, a
//! link where containers don't reach each other.

use std::os::fd::AsFd as _;

use minke_netlink::route::{Batch, Bridge, RouteSocket};
use minke_network::{
    Attached, EndpointRequest, NetworkConfig, NetworkSpec, Networks, OpenLink, PoolRequest, Protocol,
};

use crate::world::*;

fn shy(world: &World, networks: &Networks) -> NetworkSpec {
    world.network(networks, "shy", &[("com.docker.network.bridge.enable_icc", "false")])
}

/// Links `from` to port 80 of `to`.
fn link(world: &World, networks: &Networks, from: &Attached, to: &Attached) {
    let ports = vec![(Protocol::Tcp, 80)];
    let link = OpenLink { netns: to.netns.as_fd(), endpoint: &to.attachment.endpoints[0], ports };
    let (id, endpoint) = (&from.attachment.id, &from.attachment.endpoints[0]);
    world.on_host(|| networks.link(id, from.netns.as_fd(), endpoint, &[link])).unwrap();
}

#[test]
fn without_icc_a_link_opens_its_ports_one_way_and_nothing_else() {
    for bridge_netfilter in [false, true] {
        let world = World::new();
        if !world.set_bridge_netfilter(bridge_netfilter) && bridge_netfilter {
            return;
        }
        let networks = world.networks("linked");
        let spec = shy(&world, &networks);
        let [web, db, other] = [(); 3].map(|()| world.on(&networks, &[&spec], vec![]));
        for (sandbox, name) in [(&web, "web"), (&db, "db")] {
            serve_tcp(&sandbox.netns, name, 80);
            serve_tcp(&sandbox.netns, name, 81);
        }
        assert!(ask_tcp(&web.netns, db.attachment.ip(), 80).is_err());
        link(&world, &networks, &web, &db);
        let reaches = |from: &Attached, to: &Attached, port| ask_tcp(&from.netns, to.attachment.ip(), port);
        assert_eq!(reaches(&web, &db, 80).unwrap(), format!("db {}", web.attachment.ip()));
        assert!(reaches(&web, &db, 81).is_err(), "another port");
        assert!(reaches(&db, &web, 80).is_err(), "the other way");
        assert!(reaches(&other, &db, 80).is_err(), "who has no link");
        world.on_host(|| networks.reconcile()).unwrap();
        assert!(reaches(&web, &db, 80).is_ok());

        world.on_host(|| networks.detach(&web.attachment)).unwrap();
        assert_eq!(world.elements("linked", "links4"), 0);
        link(&world, &networks, &web, &db);
        assert_eq!(world.elements("linked", "links4"), 0, "who has left opens nothing any more");
    }
}

#[test]
fn ports_are_published_when_a_way_out_comes_later() {
    let world = World::new();
    let networks = world.networks("late");
    let inner = world.network_with(&networks, "inner", |request| request.internal = true);
    let open = world.network(&networks, "open", &[]);
    let ports = [tcp(8080, 80), on(LOOPBACK, tcp(7070, 80))];
    let app = world.on(&networks, &[&inner], ports.to_vec());
    serve_tcp(&app.netns, "app", 80);
    assert!(app.attachment.ports.is_empty());
    let way_out = || EndpointRequest::new(open.id.clone(), "open");
    let connect = |networks: &Networks| {
        world.on_host(|| networks.connect(app.netns.as_fd(), &app.attachment, way_out(), &ports))
    };
    // A port that somebody else has is told, and the sandbox is as it was.
    let busy = world.on_host(|| std::net::TcpListener::bind("0.0.0.0:8080")).unwrap();
    let error = connect(&networks).unwrap_err();
    assert!(error.to_string().contains("8080"), "{error}");
    drop(busy);
    let both = connect(&networks).unwrap();
    assert_eq!((both.ports.len(), both.late_ports.len()), (2, 2));
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
    assert!(ask_tcp(&world.host, LOOPBACK, 7070).is_ok());
    let bind = || world.on_host(|| std::net::TcpListener::bind("0.0.0.0:8080"));
    assert!(bind().is_err(), "it is reserved");

    // The next engine keeps it too.
    drop(networks);
    let networks = world.networks("late");
    world.on_host(|| networks.adopt(inner.clone())).unwrap();
    world.on_host(|| networks.adopt(open.clone())).unwrap();
    world.on_host(|| networks.restore(std::slice::from_ref(&both))).unwrap();
    assert!(bind().is_err(), "still");
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
    let left = world.on_host(|| networks.disconnect(app.netns.as_fd(), &both, &open.id)).unwrap();
    assert!(ask_tcp(&world.lan, HOST, 8080).is_err());
    let again = world.on_host(|| networks.connect(app.netns.as_fd(), &left, way_out(), &ports)).unwrap();
    assert_eq!(again.ports.len(), 2);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
    world.on_host(|| networks.detach(&again)).unwrap();
    assert!(bind().is_ok());
}

#[test]
fn the_default_bridge_may_have_another_way_out() {
    let world = World::new();
    let config = NetworkConfig {
        subnet: "10.99.0.1/24".parse().ok(),
        gateway: Some([10, 99, 0, 254].into()),
        ..NetworkConfig::new("detour", world.state.path().join("detour"))
    };
    let networks = world.on_host(|| opened(config)).unwrap();
    let app = world.attach(&networks, vec![]);
    assert_eq!(app.attachment.bridge().to_string(), "10.99.0.254");
    // The gateway is another machine, on a port of the bridge that somebody has put there.
    let router = namespace(true);
    world.on_host(|| {
        let mut route = RouteSocket::open().unwrap();
        let bridge = route.link("detour0").unwrap().unwrap().index;
        let veth = minke_netlink::route::Veth {
            name: "router",
            bridge: Some(bridge),
            group: 0,
            peer: "eth0",
            peer_mac: [2, 0, 10, 99, 0, 254],
            namespace: router.as_fd(),
            mtu: 1500,
        };
        route.run(Batch::new().veth(&veth).up("router")).unwrap();
    });
    inside(&router, || {
        let mut route = RouteSocket::open().unwrap();
        let index = route.link("eth0").unwrap().unwrap().index;
        let beyond = route.link("lo").unwrap().unwrap().index;
        let batch = Batch::new().up("eth0").address(index, [10, 99, 0, 254].into(), 24);
        route.run(batch.address(beyond, [192, 0, 2, 1].into(), 32)).unwrap();
    });
    serve_tcp(&router, "router", 80);
    let begin = std::time::Instant::now();
    while ask_tcp(&app.netns, std::net::Ipv4Addr::new(192, 0, 2, 1), 80).is_err() {
        assert!(begin.elapsed().as_secs() < 10, "the router answers");
    }
}

#[test]
fn a_default_gateway_must_be_in_the_subnet_and_a_range_alone_is_one() {
    let world = World::new();
    let config = || NetworkConfig::new("range", world.state.path().join("range"));
    let gateway = NetworkConfig { gateway: Some([10, 99, 0, 254].into()), ..config() };
    let error = Networks::open(gateway).unwrap_err().to_string();
    assert!(error.contains("10.99.0.254 is not in the default bridge's subnet"), "{error}");
    let range = NetworkConfig { range: "10.98.7.0/24".parse().ok(), ..config() };
    let networks = world.on_host(|| opened(range)).unwrap();
    assert_eq!(default_net(&networks).subnet.to_string(), "10.98.7.0/24");
    let six = NetworkConfig {
        ipv6: true,
        subnet_ipv6: "fd00:9::1/64".parse().ok(),
        range_ipv6: "fd00:9::100/120".parse().ok(),
        ..NetworkConfig::new("six", world.state.path().join("six"))
    };
    let networks = world.on_host(|| opened(six)).unwrap();
    let app = world.attach(&networks, vec![]);
    assert!(app.attachment.endpoints[0].address_ipv6().unwrap().to_string().starts_with("fd00:9::1"));
    let spec = networks.spec(&default_id()).unwrap().ipv6.unwrap();
    assert_eq!(spec.range, "fd00:9::100/120".parse().ok());
}

#[test]
fn a_macvlan_network_has_several_subnets_and_a_bridge_network_one() {
    let world = World::new();
    let networks = world.networks("subnets");
    let pool = |subnet: &str, gateway: &str| PoolRequest {
        subnet: subnet.parse().ok(),
        gateway: gateway.parse().ok(),
        ..PoolRequest::default()
    };
    let mut bridge = network_request("bridge", &[]);
    bridge.ipv4 = Some(pool("10.90.0.0/24", "10.90.0.1"));
    bridge.further = vec![pool("10.91.0.0/24", "10.91.0.1")];
    let error = world.on_host(|| networks.create(bridge)).unwrap_err();
    assert_eq!(error.to_string(), "bridge driver doesn't support multiple subnets");

    let spec = world.create(&networks, "macvlan", &[("parent", "lan0")], |request| {
        request.ipv4 = Some(pool("10.77.0.0/30", "10.77.0.1"));
        request.further = vec![pool("10.92.0.0/24", "10.92.0.1")];
    });
    let subnets: Vec<_> = spec.pools().map(|pool| pool.subnet.to_string()).collect();
    assert_eq!(subnets, ["10.77.0.0/30", "10.92.0.0/24"]);
    let gateways: Vec<_> = (0..2)
        .map(|_| {
            world.on(&networks, &[&spec], vec![]).attachment.endpoints[0].gateway_ipv4.unwrap().to_string()
        })
        .collect();
    assert_eq!(gateways, ["10.77.0.1", "10.92.0.1"]);
}

#[test]
fn the_default_network_may_be_on_a_bridge_of_somebody_else_s() {
    let world = World::new();
    let missing = NetworkConfig {
        bridge: Some("theirs".to_owned()),
        ..NetworkConfig::new("guest", world.state.path().join("guest"))
    };
    let error = world.on_host(|| Networks::open(missing.clone())).unwrap_err().to_string();
    assert!(error.contains("\"theirs\" is not there: make it before"), "{error}");
    let lo = NetworkConfig { bridge: Some("lan0".to_owned()), ..missing };
    let error = world.on_host(|| Networks::open(lo)).unwrap_err().to_string();
    assert!(error.contains("\"lan0\" is not a bridge"), "{error}");
    world.on_host(|| {
        let mut route = RouteSocket::open().unwrap();
        let bridge = Bridge { name: "theirs", mac: [2, 0, 0, 0, 0, 1], mtu: 1500, group: 0 };
        route.run(Batch::new().bridge(bridge)).unwrap();
        let index = route.link("theirs").unwrap().unwrap().index;
        let batch = Batch::new().address(index, [10, 95, 0, 7].into(), 24);
        route.run(batch.address(index, [10, 96, 0, 7].into(), 24)).unwrap();
    });
    let on_theirs = |range: Option<&str>| {
        let range = range.and_then(|text| text.parse().ok());
        world.configured("guest", |config| (config.bridge, config.range) = (Some("theirs".to_owned()), range))
    };
    let networks = on_theirs(None);
    assert_eq!(default_net(&networks).subnet.to_string(), "10.95.0.0/24");
    let networks = on_theirs(Some("10.96.0.128/25"));
    let app = world.attach(&networks, vec![tcp(8080, 80)]);
    assert_eq!(app.attachment.bridge().to_string(), "10.96.0.7");
    assert_eq!(app.attachment.ip().to_string(), "10.96.0.128");
    serve_tcp(&app.netns, "app", 80);
    serve_tcp(&world.lan, "lan", 80);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
    assert!(ask_tcp(&app.netns, LAN, 80).is_ok());

    // A later engine that has no default bridge, or another, leaves it to those that live on it.
    let config = NetworkConfig::new("guest", world.state.path().join("guest"));
    let later = world.on_host(|| Networks::open(config)).unwrap();
    world.on_host(|| later.restore(std::slice::from_ref(&app.attachment))).unwrap();
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
    world.on_host(|| later.detach(&app.attachment)).unwrap();
    world.on_host(|| later.close()).unwrap();
    assert!(world.has_link("theirs") && !world.has_link("guest0"));
    assert_eq!(world.tables().len(), 0);
}

#[test]
fn a_bridge_of_somebody_else_s_that_is_gone_is_told_and_not_made() {
    let world = World::new();
    let make = || {
        let mut route = RouteSocket::open().unwrap();
        let bridge = Bridge { name: "theirs", mac: [2, 0, 0, 0, 0, 1], mtu: 1500, group: 0 };
        route.run(Batch::new().bridge(bridge)).unwrap();
    };
    world.on_host(make);
    let networks = world.configured("gone", |config| config.bridge = Some("theirs".to_owned()));
    world.on_host(|| RouteSocket::open().unwrap().run(Batch::new().remove("theirs"))).unwrap();
    let error = world.try_attach(&networks, vec![]).unwrap_err().to_string();
    assert!(error.contains("bridge theirs is gone: make it again"), "{error}");
    assert!(!world.has_link("theirs"));
    world.on_host(make);
    assert!(world.try_attach(&networks, vec![]).is_ok());
}
