//! Networks that users make: bridges of several kinds, and what is on top of other interfaces.

use std::collections::BTreeMap;

use minke_netlink::route::{Batch, Bridge, RouteSocket};
use minke_network::{
    AttachError, CreateError, Driver, EndpointRequest, IpNet, NetworkRequest, NetworkSpec, PoolRequest,
    RemoveError,
};

use crate::world::*;

#[test]
fn containers_of_one_network_reach_each_other_and_none_of_another() {
    let world = World::new();
    let networks = world.networks("islands");
    let (red, blue) = (world.network(&networks, "red", &[]), world.network(&networks, "blue", &[]));
    let (a, b) = (world.on(&networks, &[&red], vec![]), world.on(&networks, &[&red], vec![tcp(8080, 80)]));
    let c = world.on(&networks, &[&blue], vec![]);
    for (sandbox, name) in [(&a, "a"), (&b, "b"), (&c, "c")] {
        serve_tcp(&sandbox.netns, name, 80);
    }
    assert_eq!(red.ipv4.as_ref().unwrap().subnet.to_string(), "172.18.0.0/16");
    assert_eq!(blue.ipv4.as_ref().unwrap().subnet.to_string(), "172.19.0.0/16");
    assert!(ask_tcp(&a.netns, b.attachment.ip(), 80).is_ok());
    for (from, to) in [(&a, &c), (&c, &a), (&c, &b)] {
        assert!(ask_tcp(&from.netns, to.attachment.ip(), 80).is_err(), "isolated");
    }
    assert!(ask_tcp(&c.netns, HOST, 8080).unwrap().starts_with("b "), "but what is published is published");
    serve_tcp(&world.lan, "lan", 80);
    assert_eq!(ask_tcp(&c.netns, LAN, 80).unwrap(), format!("lan {HOST}"));

    let error = world.on_host(|| networks.remove(&red.id)).unwrap_err();
    assert!(matches!(error, RemoveError::InUse { ref containers, .. } if containers.len() == 2), "{error}");
    for sandbox in [&a, &b] {
        world.on_host(|| networks.detach(&sandbox.attachment)).unwrap();
    }
    world.on_host(|| networks.remove(&red.id)).unwrap();
    assert!(!world.has_link(bridge_of(&red)) && world.has_link(bridge_of(&blue)));
    assert!(networks.spec(&red.id).is_none());
    world.on_host(|| networks.detach(&c.attachment)).unwrap();
    world.on_host(|| networks.close()).unwrap();
    assert_eq!((world.links().len(), world.tables().len()), (2, 0), "nothing is left");
}

#[test]
fn a_sandbox_on_several_networks_has_an_interface_on_each_and_one_way_out() {
    let world = World::new();
    let networks = world.networks("several");
    let nets = ["a", "b", "c"].map(|name| world.network(&networks, name, &[]));
    let mut wish = request(vec![tcp(8080, 80)]);
    wish.endpoints = nets
        .iter()
        .zip(["a", "b", "c"])
        .map(|(net, name)| EndpointRequest::new(net.id.clone(), name))
        .collect();
    wish.endpoints[1].gateway_priority = 5;
    wish.endpoints[1].ipv4 = Some([172, 19, 9, 9].into());
    wish.endpoints[1].mac = "02:00:00:00:09:09".parse().ok();
    wish.endpoints[2].interface = Some("uplink".to_owned());
    wish.endpoints[2].sysctls = vec![("net.ipv4.conf.IFNAME.log_martians".to_owned(), "1".to_owned())];
    let app = world.on_host(|| networks.attach(wish)).unwrap();
    let names: Vec<_> = app.attachment.endpoints.iter().map(|e| e.interface.as_str()).collect();
    assert_eq!(names, ["eth0", "eth1", "uplink"]);
    assert_eq!(app.attachment.gateway(true).unwrap().interface, "eth1");
    serve_tcp(&app.netns, "app", 80);
    serve_tcp(&world.lan, "lan", 80);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "published ports lead to the default route's endpoint");
    assert!(ask_tcp(&app.netns, LAN, 80).is_ok());
    let setting = "/proc/sys/net/ipv4/conf/uplink/log_martians";
    assert_eq!(inside(&app.netns, || std::fs::read_to_string(setting)).unwrap(), "1\n");
    for (index, net) in nets.iter().enumerate() {
        let other = world.on(&networks, &[net], vec![]);
        let address = app.attachment.endpoints[index].address_ipv4().unwrap();
        assert!(ask_tcp(&other.netns, address, 80).is_ok(), "on network {index}");
    }
    assert_eq!(app.attachment.endpoints[1].address_ipv4(), Some([172, 19, 9, 9].into()));
    assert_eq!(app.attachment.endpoints[1].mac.to_string(), "02:00:00:00:09:09");
}

#[test]
fn a_running_sandbox_comes_and_goes() {
    let world = World::new();
    let networks = world.networks("moving");
    let (first, second) = (world.network(&networks, "first", &[]), world.network(&networks, "second", &[]));
    let app = world.on(&networks, &[&first], vec![tcp(8080, 80)]);
    let neighbour = world.on(&networks, &[&second], vec![]);
    serve_tcp(&app.netns, "app", 80);
    serve_tcp(&neighbour.netns, "neighbour", 80);
    assert!(ask_tcp(&app.netns, neighbour.attachment.ip(), 80).is_err());

    let netns = std::os::fd::AsFd::as_fd(&app.netns);
    let mut wish = EndpointRequest::new(second.id.clone(), "second");
    wish.gateway_priority = 1;
    let both = world.on_host(|| networks.connect(netns, &app.attachment, wish.clone(), &[])).unwrap();
    assert_eq!(both.endpoints[1].interface, "eth1");
    assert!(ask_tcp(&app.netns, neighbour.attachment.ip(), 80).is_ok());
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "published ports moved with the default route");
    let error = world.on_host(|| networks.connect(netns, &both, wish, &[])).unwrap_err();
    assert!(matches!(error, AttachError::Twice(_)), "{error}");

    let left = world.on_host(|| networks.disconnect(netns, &both, &first.id)).unwrap();
    assert_eq!(left.endpoints.len(), 1);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
    let back = EndpointRequest::new(first.id.clone(), "first");
    let both = world.on_host(|| networks.connect(netns, &left, back, &[])).unwrap();
    assert_eq!(both.endpoints[1].interface, "eth0", "the first free number");
    let left = world.on_host(|| networks.disconnect(netns, &both, &second.id)).unwrap();
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "and moved back");
    let none = world.on_host(|| networks.disconnect(netns, &left, &first.id)).unwrap();
    assert!(none.endpoints.is_empty());
    assert!(ask_tcp(&world.lan, HOST, 8080).is_err());
    assert_eq!(world.elements("moving", "ports4"), 0);
    world.on_host(|| networks.detach(&none)).unwrap();
    world.on_host(|| networks.remove(&first.id)).unwrap();
}

#[test]
fn an_internal_network_leads_nowhere_but_to_the_host() {
    let world = World::new();
    let networks = world.networks("inner");
    let spec = world.network_with(&networks, "x", |request| request.internal = true);
    let (a, b) = (world.on(&networks, &[&spec], vec![tcp(8080, 80)]), world.on(&networks, &[&spec], vec![]));
    serve_tcp(&b.netns, "b", 80);
    serve_tcp(&a.netns, "a", 80);
    serve_tcp(&world.lan, "lan", 80);
    serve_tcp(&world.host, "host", 9090);
    assert!(a.attachment.ports.is_empty() && a.attachment.endpoints[0].gateway_ipv4.is_none());
    assert!(ask_tcp(&a.netns, b.attachment.ip(), 80).is_ok());
    assert!(ask_tcp(&a.netns, LAN, 80).is_err());
    assert!(ask_tcp(&world.lan, HOST, 8080).is_err());
    let gateway = match spec.ipv4.as_ref().unwrap().gateway {
        Some(std::net::IpAddr::V4(gateway)) => gateway,
        other => panic!("{other:?}"),
    };
    assert!(ask_tcp(&a.netns, gateway, 9090).is_ok(), "the host itself");
    // A container that gives itself a default route gets no further.
    inside(&a.netns, || {
        let mut route = RouteSocket::open().unwrap();
        let index = route.link("eth0").unwrap().unwrap().index;
        route.run(Batch::new().default_route(index, gateway.into())).unwrap();
    });
    let open = world.attach(&networks, vec![tcp(8081, 80)]);
    serve_tcp(&open.netns, "open", 80);
    assert!(ask_tcp(&a.netns, LAN, 80).is_err());
    assert!(ask_tcp(&a.netns, HOST, 8081).is_err(), "nor to what others publish");
}

#[test]
fn without_icc_containers_reach_only_what_is_published() {
    for bridge_netfilter in [false, true] {
        let world = World::new();
        if !world.set_bridge_netfilter(bridge_netfilter) && bridge_netfilter {
            return;
        }
        let networks = world.networks("shy");
        let spec = world.network(&networks, "shy", &[("com.docker.network.bridge.enable_icc", "false")]);
        let (a, b) =
            (world.on(&networks, &[&spec], vec![]), world.on(&networks, &[&spec], vec![tcp(8080, 80)]));
        serve_tcp(&b.netns, "b", 80);
        serve_tcp(&world.lan, "lan", 80);
        assert!(ask_tcp(&a.netns, b.attachment.ip(), 80).is_err());
        assert!(ask_tcp(&a.netns, HOST, 8080).is_ok());
        assert!(ask_tcp(&a.netns, LAN, 80).is_ok());
    }
}

#[test]
fn gateway_modes_decide_what_other_hosts_reach() {
    let world = World::new();
    let networks = world.networks("modes");
    let mode =
        |name, mode| world.network(&networks, name, &[("com.docker.network.bridge.gateway_mode_ipv4", mode)]);
    let (nat, open, routed) = (mode("nat", "nat"), mode("open", "nat-unprotected"), mode("routed", "routed"));
    serve_tcp(&world.lan, "lan", 80);
    let reached = |spec: &NetworkSpec, port| {
        let app = world.on(&networks, &[spec], vec![tcp(port, 80)]);
        serve_tcp(&app.netns, "app", 80);
        serve_tcp(&app.netns, "app", 81);
        let ip = app.attachment.ip();
        let direct = [80, 81].map(|port| ask_tcp(&world.lan, ip, port).is_ok());
        (
            ask_tcp(&world.lan, HOST, port).is_ok(),
            direct,
            ask_tcp(&app.netns, LAN, 80).unwrap() == format!("lan {ip}"),
        )
    };
    assert_eq!(reached(&nat, 8080), (true, [false, false], false));
    assert_eq!(reached(&open, 8081), (true, [true, true], false));
    assert_eq!(reached(&routed, 8082), (false, [true, false], true));
}

#[test]
fn options_of_the_bridge_are_honoured() {
    let world = World::new();
    let networks = world.networks("options");
    let spec = world.network(
        &networks,
        "x",
        &[
            ("com.docker.network.bridge.name", "mybr"),
            ("com.docker.network.driver.mtu", "1280"),
            ("com.docker.network.container_iface_prefix", "net"),
            ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"),
        ],
    );
    let app = world.on(&networks, &[&spec], vec![tcp(8080, 80)]);
    serve_tcp(&app.netns, "app", 80);
    let link = inside(&app.netns, || RouteSocket::open().unwrap().link("net0")).unwrap().unwrap();
    assert_eq!(link.mtu, 1280);
    assert!(world.has_link("mybr"));
    assert_eq!(app.attachment.ports[0].host_address.to_string(), "127.0.0.1");
    assert!(ask_tcp(&world.host, LOOPBACK, 8080).is_ok());
    assert!(ask_tcp(&world.lan, HOST, 8080).is_err());

    let bare =
        world.network(&networks, "bare", &[("com.docker.network.bridge.enable_ip_masquerade", "false")]);
    let app = world.on(&networks, &[&bare], vec![]);
    serve_tcp(&world.lan, "lan", 80);
    assert_eq!(ask_tcp(&app.netns, LAN, 80).unwrap(), format!("lan {}", app.attachment.ip()));
    let chosen = world.network(&networks, "chosen", &[("com.docker.network.host_ipv4", "10.77.0.9")]);
    world.on_host(|| {
        let mut route = RouteSocket::open().unwrap();
        let index = route.link("lan0").unwrap().unwrap().index;
        route.run(Batch::new().address(index, [10, 77, 0, 9].into(), 24)).unwrap();
    });
    let app = world.on(&networks, &[&chosen], vec![]);
    assert_eq!(ask_tcp(&app.netns, LAN, 80).unwrap(), "lan 10.77.0.9");
}

#[test]
fn a_bridge_that_somebody_else_made_is_used_and_left() {
    let world = World::new();
    world.on_host(|| {
        let bridge = Bridge { name: "theirs", mac: [2, 0, 0, 0, 0, 1], mtu: 1500, group: 0 };
        RouteSocket::open().unwrap().run(Batch::new().bridge(bridge)).unwrap();
    });
    let networks = world.networks("guest");
    let spec = world.network(&networks, "x", &[("com.docker.network.bridge.name", "theirs")]);
    let app = world.on(&networks, &[&spec], vec![tcp(8080, 80)]);
    serve_tcp(&app.netns, "app", 80);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
    world.on_host(|| networks.detach(&app.attachment)).unwrap();
    world.on_host(|| networks.remove(&spec.id)).unwrap();
    world.on_host(|| networks.close()).unwrap();
    assert!(world.has_link("theirs"));
}

#[test]
fn a_macvlan_network_is_on_the_lan_itself() {
    let world = World::new();
    let networks = world.networks("mac");
    let spec = world.create(&networks, "macvlan", &[("parent", "lan0")], |request| {
        let subnet = Some("10.77.0.0/24".parse::<IpNet>().unwrap());
        let range = Some("10.77.0.128/25".parse().unwrap());
        request.ipv4 =
            Some(PoolRequest { subnet, range, gateway: Some(LAN.into()), ..PoolRequest::default() });
    });
    let (a, b) = (world.on(&networks, &[&spec], vec![]), world.on(&networks, &[&spec], vec![]));
    serve_tcp(&world.lan, "lan", 80);
    serve_tcp(&b.netns, "b", 80);
    assert_eq!(a.attachment.ip().to_string(), "10.77.0.128");
    assert_eq!(ask_tcp(&a.netns, LAN, 80).unwrap(), format!("lan {}", a.attachment.ip()));
    assert!(ask_tcp(&a.netns, b.attachment.ip(), 80).is_ok());
    assert!(ask_tcp(&world.lan, b.attachment.ip(), 80).is_ok(), "and the LAN reaches it");
    let netns = std::os::fd::AsFd::as_fd(&a.netns);
    let none = world.on_host(|| networks.disconnect(netns, &a.attachment, &spec.id)).unwrap();
    let back = EndpointRequest::new(spec.id.clone(), "mac");
    world.on_host(|| networks.connect(netns, &none, back, &[])).unwrap();
    assert!(ask_tcp(&a.netns, LAN, 80).is_ok());
    world.on_host(|| networks.detach(&b.attachment)).unwrap();
    assert!(world.has_link("lan0"));
}

#[test]
fn drivers_and_parents_that_are_not_there_are_named() {
    let world = World::new();
    let networks = world.networks("absent");
    let spec = world.create(&networks, "macvlan", &[("parent", "nosuch")], |_| {});
    let error = world.try_on(&networks, &[&spec], vec![]).unwrap_err();
    assert_eq!(error.to_string(), "parent interface nosuch was not found on the host");
    let spec = world.create(&networks, "ipvlan", &[("parent", "lan0")], |_| {});
    match world.try_on(&networks, &[&spec], vec![]) {
        // A kernel that has it.
        Ok(app) => assert!(app.attachment.endpoints[0].host_interface.is_none()),
        Err(error) => assert!(error.to_string().contains("no ipvlan interfaces"), "{error}"),
    }
    let error = Driver::parse("overlay", &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("overlay"), "{error}");
    let free: Vec<_> = world.links();
    assert_eq!(free.len(), 2, "nothing is left: {free:?}");
}

fn bridge_of(spec: &NetworkSpec) -> &str {
    spec.bridge().unwrap().name.as_deref().unwrap()
}

#[test]
fn networks_that_can_not_be_are_refused_in_docker_s_words() {
    let world = World::new();
    let networks = world.networks("refuse");
    let pool = |subnet: &str| Some(PoolRequest { subnet: subnet.parse().ok(), ..PoolRequest::default() });
    let try_create = |change: &dyn Fn(&mut NetworkRequest)| {
        let mut request = network_request("bridge", &[]);
        change(&mut request);
        world.on_host(|| networks.create(request))
    };
    try_create(&|request| request.ipv4 = pool("10.5.0.0/16")).unwrap();
    for subnet in ["10.5.0.0/16", "10.5.7.0/24", "10.0.0.0/8", "172.17.0.0/16"] {
        let error = try_create(&|request| request.ipv4 = pool(subnet)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid pool request: Pool overlaps with other one on this address space"
        );
    }
    type Change = fn(&mut NetworkRequest);
    let changes: [(Change, &str); 4] = [
        (|request| request.ipv4 = None, "must be enabled"),
        (
            |request| request.ipv4.as_mut().unwrap().subnet = "10.6.0.1/16".parse().ok(),
            "it should be 10.6.0.0/16",
        ),
        (|request| request.ipv4.as_mut().unwrap().subnet = "fd00::/64".parse().ok(), "other IP family"),
        (|request| request.ipv4.as_mut().unwrap().gateway = "10.6.0.1".parse().ok(), "needs the subnet"),
    ];
    for (change, text) in changes {
        let error = try_create(&change).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    let same = world.network(&networks, "x", &[("com.docker.network.bridge.name", "br7")]);
    let mut request = network_request("bridge", &[("com.docker.network.bridge.name", "br7")]);
    let error = world.on_host(|| networks.create(request.clone())).unwrap_err();
    assert!(error.to_string().contains("same bridge name"), "{error}");
    request.id = same.id;
    assert!(matches!(world.on_host(|| networks.create(request)), Err(CreateError::Exists(_))));
}

#[test]
fn pools_come_to_an_end_and_are_given_back() {
    let world = World::new();
    let networks = world.networks("pool-end");
    // The default bridge has the first of 31.
    let made: Vec<_> = (0..30).map(|n| world.network(&networks, &n.to_string(), &[])).collect();
    let error = world.on_host(|| networks.create(network_request("bridge", &[]))).unwrap_err();
    assert_eq!(error.to_string(), "all predefined address pools have been fully subnetted");
    world.on_host(|| networks.remove(&made[7].id)).unwrap();
    let again = world.network(&networks, "again", &[]);
    assert_eq!(again.ipv4, made[7].ipv4);
}

#[test]
fn places_that_can_not_be_are_refused_and_nothing_is_left() {
    let world = World::new();
    let networks = world.networks("hostile");
    let spec = world.network(&networks, "x", &[]);
    let kept = world.on(&networks, &[&spec], vec![]);
    let links = world.links();
    type Change = fn(&mut EndpointRequest);
    let changes: [(Change, &str); 6] = [
        (|wish| wish.interface = Some("a/b".to_owned()), "can't be the name of an interface"),
        (|wish| wish.interface = Some("x".repeat(300)), "can't be the name of an interface"),
        (|wish| wish.interface = Some("lo".to_owned()), "has an interface lo already"),
        (
            |wish| wish.sysctls = vec![("kernel.panic".to_owned(), "1".to_owned())],
            "can't be set for an endpoint",
        ),
        (|wish| wish.ipv4 = Some([192, 0, 2, 1].into()), "is outside of the subnet"),
        (|wish| wish.ipv6 = Some(std::net::Ipv6Addr::LOCALHOST), "the network has no IPv6"),
    ];
    for (change, text) in changes {
        let mut wish = request(vec![tcp(8080, 80)]);
        wish.endpoints = vec![EndpointRequest::new(spec.id.clone(), "x")];
        change(&mut wish.endpoints[0]);
        let error = world.on_host(|| networks.attach(wish)).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    let error = world.try_on(&networks, &[&spec, &spec], vec![]).unwrap_err();
    assert!(matches!(error, AttachError::Twice(_)), "{error}");
    let mut taken = request(vec![]);
    taken.endpoints = vec![EndpointRequest::new(spec.id.clone(), "x")];
    taken.endpoints[0].ipv4 = Some(kept.attachment.ip());
    let error = world.on_host(|| networks.attach(taken)).unwrap_err().to_string();
    assert!(error.contains("is in use"), "{error}");
    assert_eq!((world.links(), world.elements("hostile", "ports4")), (links, 0));
    assert_eq!(world.bridge_elements("hostile", "guarded"), 1);
    // All addresses that were taken on the way are free again.
    let next = world.on(&networks, &[&spec], vec![]);
    assert_eq!(next.attachment.endpoints.len(), 1);
}

/// Two addresses are enough for two sandboxes where nothing leads out.
#[test]
fn no_address_is_a_gateways_where_there_is_none() {
    let options = [("gateway_mode_ipv4", "isolated"), ("inhibit_ipv4", "true")];
    for (option, value) in options {
        let world = World::new();
        let networks = world.networks("pair");
        let option = format!("com.docker.network.bridge.{option}");
        let subnet = "192.168.140.0/31".parse().ok();
        let spec = world.create(&networks, "bridge", &[(&option, value)], |request| {
            request.internal = true;
            request.ipv4 = Some(PoolRequest { subnet, ..PoolRequest::default() });
        });
        let [one, two] = [(); 2].map(|()| world.on(&networks, &[&spec], vec![]));
        serve_tcp(&two.netns, "two", 80);
        assert!(ask_tcp(&one.netns, two.attachment.ip(), 80).is_ok(), "{option}");
    }
}
