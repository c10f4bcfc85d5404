//! Attach, detach, crash, restore, close: what is there afterwards and what isn't.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    thread,
};

use minke_netlink::{
    nft::{Family, NftSocket, Table, Transaction},
    route::{Batch, RouteSocket},
};
use minke_network::{AttachError, NetworkConfig, OpenError};

use crate::world::*;

#[test]
fn an_engine_that_runs_nothing_leaves_nothing() {
    let world = World::new();
    let before = world.links();
    let networks = world.networks("idle");
    world.on_host(|| networks.restore(&[])).unwrap();
    world.on_host(|| networks.close()).unwrap();
    assert_eq!((world.links(), world.tables().len()), (before, 0));
    assert!(!world.state.path().join("idle").exists());
    assert_eq!(world.on_host(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward")).unwrap(), "0\n");
}

#[test]
fn bridges_that_are_prepared_are_there_until_the_end_and_not_after_it() {
    let world = World::new();
    let before = world.links();
    let networks = world.networks("early");
    let _ = world.network(&networks, "own", &[("com.docker.network.bridge.name", "early1")]);
    // Nothing runs, so a start removes what an engine before it has left.
    world.on_host(|| networks.restore(&[])).unwrap();
    assert_eq!(world.links(), before);
    for _ in 0..2 {
        world.on_host(|| networks.prepare()).unwrap();
    }
    assert!(world.has_link("early0") && world.has_link("early1"));
    assert!(!world.tables().is_empty(), "their guards stand");
    world.on_host(|| networks.close()).unwrap();
    // One that comes too late.
    world.on_host(|| networks.prepare()).unwrap();
    assert_eq!((world.links(), world.tables().len()), (before, 0));
}

#[test]
fn what_is_attached_is_gone_after_detach_and_close() {
    let world = World::new();
    let before = world.links();
    let networks = world.networks("gone");
    let web = world.attach(&networks, vec![tcp(8080, 80), on(LOOPBACK, udp(53, 53))]);
    assert!(world.links().contains(&"gone0".to_owned()));
    assert_eq!((world.elements("gone", "ports4"), world.elements("gone", "ports4-of-address")), (1, 1));

    world.on_host(|| networks.close()).unwrap();
    assert!(world.links().contains(&"gone0".to_owned()), "in use: close does nothing");
    for _ in 0..2 {
        world.on_host(|| networks.detach(&web.attachment)).unwrap();
    }
    assert_eq!((world.elements("gone", "ports4"), world.elements("gone", "ports4-of-address")), (0, 0));
    for _ in 0..2 {
        world.on_host(|| networks.close()).unwrap();
    }
    assert_eq!((world.links(), world.tables().len()), (before, 0));
    drop(web);
    let again = world.attach(&networks, vec![tcp(8080, 80)]);
    serve_tcp(&again.netns, "web", 80);
    assert!(ask_tcp(&world.host, LOOPBACK, 8080).is_ok());
}

#[test]
fn after_a_crash_the_living_go_on_and_strays_are_removed() {
    let world = World::new();
    let networks = world.networks("crash");
    let kept = world.attach(&networks, vec![tcp(8080, 80), on(LOOPBACK, tcp(7070, 80))]);
    let stray = world.attach(&networks, vec![tcp(8081, 80)]);
    serve_tcp(&kept.netns, "kept", 80);
    drop(networks);
    drop(stray.held);

    let networks = world.networks("crash");
    assert_eq!(default_gateway(&networks), kept.attachment.bridge(), "the subnet is remembered");
    for _ in 0..2 {
        world.on_host(|| networks.restore(std::slice::from_ref(&kept.attachment))).unwrap();
        assert!(!world.has_link(stray.attachment.port()));
        assert!(world.has_link(kept.attachment.port()));
        assert_eq!((world.elements("crash", "ports4"), world.elements("crash", "ports4-of-address")), (1, 1));
        assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
        assert!(ask_tcp(&world.host, LOOPBACK, 7070).is_ok());
    }
    let next = world.attach(&networks, vec![tcp(8081, 80)]);
    assert_ne!(next.attachment.ip(), kept.attachment.ip());
    let error = world.try_attach(&networks, vec![tcp(8080, 80)]).unwrap_err();
    assert!(error.to_string().contains("already allocated"), "{error}");

    let networks = world.networks("crash");
    world.on_host(|| networks.restore(&[])).unwrap();
    assert_eq!((world.links(), world.tables().len()), (vec!["lo".to_owned(), "lan0".to_owned()], 0));
}

#[test]
fn a_flushed_table_is_made_again_by_the_next_attach() {
    let world = World::new();
    let networks = world.networks("flush");
    let table = Table { family: Family::Inet, name: "flush".to_owned() };
    let first = world.attach(&networks, vec![tcp(8080, 80)]);
    serve_tcp(&first.netns, "first", 80);
    let flush = || NftSocket::open().unwrap().commit(Transaction::new(&table).delete_table()).unwrap();

    world.on_host(flush);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_err());
    world.attach(&networks, vec![]);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());

    world.on_host(flush);
    world.on_host(|| networks.detach(&first.attachment)).unwrap();
    world.on_host(|| networks.restore(&[])).unwrap();
}

#[test]
fn a_bridge_deleted_by_hand_is_made_again() {
    let world = World::new();
    let networks = world.networks("bridgegone");
    let first = world.attach(&networks, vec![tcp(8080, 80)]);
    serve_tcp(&first.netns, "first", 80);
    let delete = || RouteSocket::open().unwrap().run(Batch::new().remove("bridgegone0")).unwrap();

    world.on_host(delete);
    let second = world.attach(&networks, vec![tcp(8081, 80)]);
    serve_tcp(&second.netns, "second", 80);
    assert!(ask_tcp(&world.host, LOOPBACK, 8081).is_ok(), "a new sandbox works at once");

    world.on_host(delete);
    let living = [first.attachment.clone(), second.attachment.clone()];
    world.on_host(|| networks.restore(&living)).unwrap();
    assert!(ask_tcp(&world.host, LOOPBACK, 8080).is_ok(), "the reconciler joins the others again");
    assert!(ask_tcp(&second.netns, first.attachment.ip(), 80).is_ok());
}

/// What an engine that was killed between two steps may leave, and what a hand may do meanwhile.
#[test]
fn whatever_is_half_made_or_broken_restore_mends() {
    type Break = fn(&mut RouteSocket, &Table, kept: &str, stray: &str);
    fn flush(table: &Table) {
        NftSocket::open().unwrap().commit(Transaction::new(table).delete_table()).unwrap();
    }
    let breaks: [(&str, Break); 9] = [
        ("nothing else", |_, _, _, _| {}),
        ("no table", |_, table, _, _| flush(table)),
        ("an empty table", |_, table, _, _| {
            flush(table);
            NftSocket::open().unwrap().commit(Transaction::new(table).add_table()).unwrap();
        }),
        ("no interface of the stray", |route, _, _, stray| route.run(Batch::new().remove(stray)).unwrap()),
        ("no bridge", |route, _, _, _| route.run(Batch::new().remove("half0")).unwrap()),
        ("the bridge down", |route, _, _, _| route.run(Batch::new().down("half0")).unwrap()),
        ("a port down", |route, _, kept, _| route.run(Batch::new().down(kept)).unwrap()),
        ("a port that left", |route, _, kept, _| route.run(Batch::new().join_bridge(kept, 0)).unwrap()),
        ("no forwarding", |_, _, _, _| std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap()),
    ];
    for (what, spoil) in breaks {
        let world = World::new();
        let networks = world.networks("half");
        let kept = world.attach(&networks, vec![tcp(8080, 80), on(LOOPBACK, udp(5353, 53))]);
        let stray = world.attach(&networks, vec![tcp(8081, 80)]);
        serve_tcp(&kept.netns, "kept", 80);
        let table = Table { family: Family::Inet, name: "half".to_owned() };
        world.on_host(|| {
            let mut route = RouteSocket::open().unwrap();
            spoil(&mut route, &table, kept.attachment.port(), stray.attachment.port());
        });
        drop((networks, stray.held));

        let networks = world.networks("half");
        world.on_host(|| networks.restore(std::slice::from_ref(&kept.attachment))).unwrap();
        assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "{what}: from the LAN");
        assert!(ask_tcp(&world.host, LOOPBACK, 8080).is_ok(), "{what}: from the host");
        assert_eq!((world.elements("half", "ports4"), world.elements("half", "ports4-of-address")), (1, 1));
        world.attach(&networks, vec![tcp(8081, 80)]);

        let networks = world.networks("half");
        world.on_host(|| networks.restore(&[])).unwrap();
        let left: Vec<String> = world.links().into_iter().filter(|l| l == "half0").collect();
        assert_eq!((left.len(), world.tables().len()), (0, 0), "{what}: gone");
    }
}

/// Killed right after it turned forwarding on, an engine must know when it comes back that the host
/// was no router before.
#[test]
fn forwarding_is_turned_on_only_when_that_is_remembered() {
    let world = World::new();
    let before = world.links();
    std::fs::write(world.state.path().join("amnesia"), "no folder").unwrap();
    let config = NetworkConfig {
        subnet: None,
        mtu: None,
        ..NetworkConfig::new("amnesia", world.state.path().join("amnesia/below"))
    };
    // A state that can't be written now, and could when it was opened.
    std::fs::remove_file(world.state.path().join("amnesia")).unwrap();
    let networks = world.on_host(|| opened(config)).unwrap();
    std::fs::write(world.state.path().join("amnesia"), "no folder").unwrap();
    let error = world.try_attach(&networks, vec![]).unwrap_err();
    assert!(matches!(error, AttachError::State { .. }), "{error}");
    assert_eq!(world.on_host(|| std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward")).unwrap(), "0\n");
    assert_eq!((world.links(), world.tables().len()), (before, 0), "nothing is made");
}

#[test]
fn a_full_subnet_says_so_and_has_room_again_after_a_detach() {
    let world = World::new();
    let config = NetworkConfig {
        subnet: "10.200.0.0/29".parse().ok(),
        mtu: None,
        ..NetworkConfig::new("full", world.state.path().join("full"))
    };
    let networks = world.on_host(|| opened(config)).unwrap();
    let attached: Vec<_> = (0..5).map(|_| world.attach(&networks, vec![])).collect();
    let links = world.links();
    for _ in 0..3 {
        let error = world.try_attach(&networks, vec![tcp(8080, 80)]).unwrap_err();
        assert_eq!(error.to_string(), "no address is left in 10.200.0.0/29");
    }
    assert_eq!((world.links(), world.elements("full", "ports4")), (links, 0));
    world.on_host(|| networks.detach(&attached[2].attachment)).unwrap();
    let next = world.attach(&networks, vec![tcp(8080, 80)]);
    assert_eq!(next.attachment.ip(), attached[2].attachment.ip());
}

#[test]
fn a_late_detach_does_not_free_the_address_of_a_successor() {
    let world = World::new();
    let networks = world.networks("late");
    let first = world.attach(&networks, vec![]);
    world.on_host(|| networks.detach(&first.attachment)).unwrap();
    let same_address = Some(first.attachment.ip());
    let mut wish = request(vec![]);
    wish.endpoints[0].ipv4 = same_address;
    wish.endpoints[0].mac = "02:00:00:00:00:07".parse().ok();
    let second = world.on_host(|| networks.attach(wish)).unwrap();
    assert_eq!(second.attachment.endpoints[0].mac.to_string(), "02:00:00:00:00:07");
    world.on_host(|| networks.detach(&first.attachment)).unwrap();
    let mut wish = request(vec![]);
    wish.endpoints[0].ipv4 = same_address;
    let error = world.on_host(|| networks.attach(wish)).unwrap_err();
    assert!(matches!(error, AttachError::Address { reason: "is in use", .. }), "{error}");
}

#[test]
fn sandboxes_attached_at_once_get_addresses_of_their_own() {
    let world = World::new();
    let networks = world.networks("crowd");
    let attached: Vec<_> = world.on_host(|| {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|i| {
                    let networks = &networks;
                    scope.spawn(move || networks.attach(request(vec![tcp(8000 + i, 80)])).unwrap())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    });
    let addresses: HashSet<_> = attached.iter().map(|a| a.attachment.ip()).collect();
    assert_eq!(addresses.len(), 8);
    assert_eq!(world.elements("crowd", "ports4"), 8);
    serve_tcp(&attached[5].netns, "six", 80);
    assert!(ask_tcp(&world.lan, HOST, attached[5].attachment.ports[0].host_port).is_ok());
}

#[test]
fn a_subnet_that_the_host_uses_is_passed_over_even_when_it_comes_late() {
    let world = World::new();
    let networks = world.networks("pools");
    assert_eq!(default_net(&networks).subnet.to_string(), "172.17.0.0/16");
    world.on_host(|| {
        let mut route = RouteSocket::open().unwrap();
        let index = route.link("lan0").unwrap().unwrap().index;
        let address = IpAddr::V4(Ipv4Addr::new(172, 17, 5, 1));
        route.run(Batch::new().address(index, address, 24)).unwrap();
    });
    let app = world.attach(&networks, vec![]);
    assert_eq!(app.attachment.ip(), Ipv4Addr::new(172, 18, 0, 2));
    assert_eq!(default_gateway(&networks), Ipv4Addr::new(172, 18, 0, 1));
}

#[test]
fn a_chosen_subnet_and_mtu_are_used_and_bad_ones_refused() {
    let world = World::new();
    let open = |subnet: &str, mtu| {
        let config = NetworkConfig {
            subnet: Some(subnet.parse().unwrap()),
            mtu,
            ..NetworkConfig::new("fixed", world.state.path().join("fixed"))
        };
        world.on_host(|| opened(config))
    };
    let networks = open("10.200.0.9/28", Some(1400)).unwrap();
    let app = world.attach(&networks, vec![]);
    assert_eq!(app.attachment.bridge(), Ipv4Addr::new(10, 200, 0, 9));
    assert_eq!(
        (app.attachment.ip(), app.attachment.endpoints[0].ipv4.unwrap().prefix_len()),
        (Ipv4Addr::new(10, 200, 0, 1), 28)
    );
    let eth0 = inside(&app.netns, || RouteSocket::open().unwrap().link("eth0")).unwrap().unwrap();
    assert_eq!(eth0.mtu, 1400);
    assert!(matches!(open("10.0.0.0/31", None), Err(OpenError::SubnetTooSmall(_))));
    assert!(matches!(open("10.0.0.0/24", Some(20)), Err(OpenError::Mtu(20))));
}

#[test]
fn something_else_with_the_bridge_s_name_is_left_alone() {
    let world = World::new();
    let other = namespace(true);
    wire(&world.host, "taken0", Ipv4Addr::new(10, 78, 0, 1), &other, Ipv4Addr::new(10, 78, 0, 2));
    let networks = world.networks("taken");
    let error = world.try_attach(&networks, vec![]).unwrap_err();
    assert!(matches!(error, AttachError::NotABridge(_)), "{error}");
    world.on_host(|| networks.close()).unwrap();
    assert!(world.links().contains(&"taken0".to_owned()));
}

/// A packet that is sent before the kernel has brought the interfaces into operation is lost, and
/// its repetition comes a second later.
#[test]
fn the_first_packet_of_a_new_sandbox_is_not_lost() {
    let world = World::new();
    let networks = world.networks("first");
    serve_tcp(&world.host, "host", 9090);
    for round in 0..60 {
        let app = world.attach(&networks, vec![tcp(8080, 80)]);
        serve_tcp(&app.netns, "app", 80);
        if round % 2 == 0 {
            assert!(ask_tcp(&app.netns, HOST, 9090).is_ok(), "out, round {round}");
        }
        assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "in, round {round}");
        world.on_host(|| networks.detach(&app.attachment)).unwrap();
    }
}

#[test]
fn a_network_whose_bridge_is_no_bridge_leaves_no_rules() {
    let world = World::new();
    let networks = world.networks("nobridge");
    let app = world.attach(&networks, vec![]);
    serve_tcp(&world.lan, "lan", 80);
    let before = world.elements("nobridge", "bridges");
    for name in ["lan0", "lo"] {
        let request = network_request("bridge", &[("com.docker.network.bridge.name", name)]);
        assert!(world.on_host(|| networks.create(request)).is_err());
        assert_eq!(world.elements("nobridge", "bridges"), before, "{name}");
    }
    assert!(ask_tcp(&app.netns, LAN, 80).is_ok());
}
