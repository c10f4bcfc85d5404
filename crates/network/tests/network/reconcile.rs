//! What others delete, flush or switch off is repaired; what lives goes on.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use minke_netlink::{
    nft::{Element, Family, NftSocket, Table, Transaction},
    route::{Batch, RouteSocket},
};
use minke_network::PoolRequest;

use crate::world::*;

#[test]
fn whatever_is_broken_reconcile_mends() {
    type Break = fn(&mut RouteSocket, &mut NftSocket, port: &str);
    let breaks: [(&str, Break); 10] = [
        ("nothing", |_, _, _| {}),
        ("no table", |_, nft, _| {
            let table = Table { family: Family::Inet, name: "mend".to_owned() };
            nft.commit(Transaction::new(&table).delete_table()).unwrap();
        }),
        ("no bridge table", |_, nft, _| {
            let table = Table { family: Family::Bridge, name: "mend".to_owned() };
            nft.commit(Transaction::new(&table).delete_table()).unwrap();
        }),
        ("a port's element", |_, nft, _| {
            let table = Table { family: Family::Inet, name: "mend".to_owned() };
            let port = Element::key(&[&[6], &8080u16.to_be_bytes()]);
            nft.commit(Transaction::new(&table).delete_elements("ports4", &[port])).unwrap();
        }),
        ("no bridge", |route, _, _| route.run(Batch::new().remove("mybridge")).unwrap()),
        ("the bridge down", |route, _, _| route.run(Batch::new().down("mybridge")).unwrap()),
        ("a port down", |route, _, port| route.run(Batch::new().down(port)).unwrap()),
        ("a port that left", |route, _, port| route.run(Batch::new().join_bridge(port, 0)).unwrap()),
        ("no forwarding", |_, _, _| std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap()),
        ("no loopback", |_, _, _| {
            std::fs::write("/proc/sys/net/ipv4/conf/mybridge/route_localnet", "0").unwrap();
        }),
    ];
    for (what, spoil) in breaks {
        let world = World::new();
        let networks = world.networks("mend");
        let spec =
            world.create(&networks, "bridge", &[("com.docker.network.bridge.name", "mybridge")], |request| {
                request.ipv6 = Some(PoolRequest::default());
            });
        let app = world.on(&networks, &[&spec], vec![tcp(8080, 80)]);
        serve_tcp(&app.netns, "app", 80);
        serve_tcp(&world.lan, "lan", 80);
        world.on_host(|| {
            spoil(&mut RouteSocket::open().unwrap(), &mut NftSocket::open().unwrap(), app.attachment.port());
        });
        world.on_host(|| networks.reconcile()).unwrap();
        // To ask is to have the sandbox's end brought into operation at once: nobody else is there to ask.
        inside(&app.netns, || RouteSocket::open().unwrap().link("eth0")).unwrap();
        assert!(ask_tcp(&world.lan, HOST, 8080).is_ok(), "{what}: from the LAN");
        assert!(ask_tcp(&world.host, LOOPBACK, 8080).is_ok(), "{what}: from the host");
        assert!(ask_tcp(&app.netns, LAN, 80).is_ok(), "{what}: out");
        assert_eq!(world.bridge_elements("mend", "guarded"), 1, "{what}");
    }
}

#[test]
fn established_connections_survive_a_restart_and_a_rebuilt_table() {
    let world = World::new();
    let networks = world.networks("lasting");
    let spec = world.network(&networks, "x", &[]);
    let app = world.on(&networks, &[&spec], vec![tcp(8080, 80)]);
    let listener = inside(&app.netns, || TcpListener::bind("0.0.0.0:80")).unwrap();
    let mut client = inside(&world.lan, || TcpStream::connect((HOST, 8080))).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut talk = |what: &str| {
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        }
        let mut byte = [0];
        client.write_all(b"?").unwrap();
        server.read_exact(&mut byte).expect(what);
        server.write_all(b"!").unwrap();
        client.read_exact(&mut byte).expect(what);
    };
    talk("fresh");
    drop(networks);
    let networks = world.networks("lasting");
    networks.adopt(spec).unwrap();
    world.on_host(|| networks.restore(std::slice::from_ref(&app.attachment))).unwrap();
    talk("after a restart");
    // While there is no table, nothing translates: an acknowledgement that is still on its way would be
    // answered by the host itself, with a reset.
    std::thread::sleep(std::time::Duration::from_millis(150));
    for family in [Family::Inet, Family::Bridge] {
        let table = Table { family, name: "lasting".to_owned() };
        world.on_host(|| NftSocket::open().unwrap().commit(Transaction::new(&table).delete_table())).unwrap();
    }
    world.on_host(|| networks.reconcile()).unwrap();
    talk("after its table was flushed");
}

#[test]
fn networks_that_nobody_is_on_any_more_are_swept_after_a_crash() {
    let world = World::new();
    let networks = world.networks("swept");
    let (used, idle) = (world.network(&networks, "used", &[]), world.network(&networks, "idle", &[]));
    let kept = world.on(&networks, &[&used], vec![tcp(8080, 80)]);
    let stray = world.on(&networks, &[&idle], vec![tcp(8081, 80)]);
    serve_tcp(&kept.netns, "kept", 80);
    drop(networks);
    drop(stray);
    let networks = world.networks("swept");
    // The idle one's record is lost as well.
    networks.adopt(used.clone()).unwrap();
    world.on_host(|| networks.restore(std::slice::from_ref(&kept.attachment))).unwrap();
    let bridge = |spec: &minke_network::NetworkSpec| spec.bridge().unwrap().name.clone().unwrap();
    assert!(world.has_link(&bridge(&used)) && !world.has_link(&bridge(&idle)));
    assert_eq!(world.elements("swept", "ports4"), 1);
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
    world.on_host(|| networks.detach(&kept.attachment)).unwrap();
    world.on_host(|| networks.close()).unwrap();
    assert_eq!(world.links().len(), 2);
}

#[test]
fn two_hundred_sandboxes_leave_at_once() {
    let world = World::new();
    let networks = world.networks("exodus");
    let spec = world.network(&networks, "x", &[]);
    let attached: Vec<_> = (0..200).map(|i| world.on(&networks, &[&spec], vec![tcp(9000 + i, 80)])).collect();
    assert_eq!(world.elements("exodus", "ports4"), 200);
    world.on_host(|| {
        std::thread::scope(|scope| {
            for chunk in attached.chunks(25) {
                let networks = &networks;
                scope.spawn(move || {
                    chunk.iter().for_each(|sandbox| networks.detach(&sandbox.attachment).unwrap());
                });
            }
        });
    });
    assert_eq!(world.elements("exodus", "ports4"), 0);
    assert_eq!(world.bridge_elements("exodus", "sources4"), 0);
    world.on_host(|| networks.remove(&spec.id)).unwrap();
    world.on_host(|| networks.close()).unwrap();
    assert_eq!((world.links().len(), world.tables().len()), (2, 0));
}
