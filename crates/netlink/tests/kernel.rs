//! Netlink on the real kernel, in namespaces that each test makes for itself.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::{
    error::Error as _,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
};

use minke_netlink::{
    conntrack::ConntrackSocket,
    namespace,
    nft::{
        Base, Chain, Element, Expression, Family, Hook, Kind, NftSocket, Policy, Register, Rule, Set,
        SetKind, Table, Transaction, Type, Verdict,
    },
    route::{Batch, Bridge, RouteSocket, Veth},
};

/// Runs `work` in a network namespace of its own.
fn alone<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    namespace::make(move || Ok(work())).unwrap().finish().unwrap()
}

fn bridge(name: &str) -> Bridge<'_> {
    Bridge { name, mac: [2, 0, 0, 0, 0, 1], mtu: 1400, group: 7 }
}

fn table() -> Table {
    Table { family: Family::Inet, name: "test".to_owned() }
}

fn ports() -> Set {
    Set {
        name: "ports".to_owned(),
        key: vec![Type::Protocol, Type::Port],
        kind: SetKind::Map(vec![Type::Ipv4Address, Type::Port]),
    }
}

fn port(number: u16) -> Element {
    Element::key(&[&[6], &number.to_be_bytes()]).to(&[&[10, 0, 0, 2], &80u16.to_be_bytes()])
}

#[test]
fn a_batch_may_be_repeated() {
    alone(|| {
        let mut route = RouteSocket::open().unwrap();
        for _ in 0..2 {
            route.run(Batch::new().up("lo").bridge(bridge("br0"))).unwrap();
            let link = route.link("br0").unwrap().unwrap();
            assert_eq!((link.kind.as_deref(), link.up, link.mtu), (Some("bridge"), true, 1400));
            let (address, gateway) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 254));
            let batch = Batch::new().address(link.index, IpAddr::V4(address), 24);
            route.run(batch.default_route(link.index, IpAddr::V4(gateway))).unwrap();
            let addresses = route.addresses().unwrap();
            assert!(addresses.iter().any(|a| a.address == address && a.prefix_len == 24), "{addresses:?}");
            let routes = route.routes().unwrap();
            let default = routes.iter().find(|r| r.prefix_len == 0).unwrap();
            assert_eq!((default.gateway, default.interface), (Some(IpAddr::V4(gateway)), Some(link.index)));
        }
        for _ in 0..2 {
            route.run(Batch::new().remove("br0")).unwrap();
            assert_eq!(route.link("br0").unwrap(), None);
        }
    });
}

#[test]
fn an_address_is_its_own_some_time_after_it_was_added() {
    alone(|| {
        let mut route = RouteSocket::open().unwrap();
        let [own, neighbour, elsewhere] = ["fd01::1", "fd01::2", "fd02::1"].map(|text| text.parse().unwrap());
        route.run(Batch::new().up("lo").bridge(bridge("br0"))).unwrap();
        let index = route.link("br0").unwrap().unwrap().index;
        route.run(Batch::new().address(index, IpAddr::V6(own), 64)).unwrap();
        let begin = std::time::Instant::now();
        while !route.is_own(own).unwrap() {
            assert!(begin.elapsed().as_secs() < 10, "it never is");
        }
        assert_eq!([neighbour, elsewhere].map(|address| route.is_own(address).unwrap()), [false, false]);
    });
}

#[test]
fn the_peer_of_a_veth_pair_is_born_in_its_namespace() {
    let other = alone(|| namespace::current().unwrap());
    let inside = other.try_clone().unwrap();
    alone(move || {
        let mut route = RouteSocket::open().unwrap();
        route.run(Batch::new().bridge(bridge("br0"))).unwrap();
        let index = route.link("br0").unwrap().unwrap().index;
        let veth = Veth {
            name: "ve0",
            bridge: Some(index),
            group: 0,
            peer: "eth0",
            peer_mac: [2, 0, 0, 0, 0, 9],
            namespace: inside.as_fd(),
            mtu: 1300,
        };
        route.run(Batch::new().veth(&veth).bridge_port_up("ve0", false, true)).unwrap();
        let ports = route.links(Some(index)).unwrap();
        assert_eq!(ports.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["ve0"]);
        assert!(ports[0].up && ports[0].kind.as_deref() == Some("veth"));
        let peer = namespace::run_in(inside.as_fd(), || RouteSocket::open().unwrap().link("eth0").unwrap());
        assert_eq!(peer.unwrap().unwrap().mtu, 1300);
        for (value, disabled) in [("1", true), ("0", false)] {
            let peer = namespace::run_in(inside.as_fd(), move || {
                fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", value).unwrap();
                RouteSocket::open().unwrap().link("eth0").unwrap()
            });
            assert_eq!(peer.unwrap().unwrap().ipv6_disabled, Some(disabled));
        }
        route.run(Batch::new().remove_all(["ve0", "none", "br0"])).unwrap();
        assert_eq!(route.links(None).unwrap().iter().filter(|link| link.kind.is_some()).count(), 0);
    });
    drop(other);
}

#[test]
fn an_error_names_its_request_and_the_kernel_s_words() {
    alone(|| {
        let mut route = RouteSocket::open().unwrap();
        let batch = Batch::new().up("lo").up("nothere").bridge(bridge("br0"));
        let error = route.run(batch).unwrap_err();
        assert!(error.to_string().starts_with("bring interface nothere up"), "{error}");
        assert!(error.is_not_there() && error.source().is_some());
        assert!(route.link("br0").unwrap().is_some(), "later requests were tried");

        // A route to nowhere: the kernel explains it.
        let error = route.run(Batch::new().default_route(1, "10.9.9.9".parse().unwrap())).unwrap_err();
        assert!(error.to_string().contains("(kernel: "), "{error}");
    });
}

#[test]
fn a_transaction_is_all_or_nothing() {
    alone(|| {
        let mut nft = NftSocket::open().unwrap();
        let failing =
            Transaction::new(&table()).add_table().add_set(&ports()).delete_elements("ports", &[port(1)]);
        let error = nft.commit(failing).unwrap_err();
        assert!(
            error.to_string().starts_with("delete elements from ports") && error.is_not_there(),
            "{error}"
        );
        assert_eq!(nft.tables(Family::Inet).unwrap(), [""; 0]);
        nft.commit(Transaction::new(&table())).unwrap();
    });
}

#[test]
fn elements_read_back_as_they_were_added() {
    alone(|| {
        let mut nft = NftSocket::open().unwrap();
        assert!(nft.elements(&table(), "ports").unwrap().is_empty(), "no table, no elements");
        let all: Vec<Element> = (1..=3000).map(port).collect();
        for _ in 0..2 {
            let batch = Transaction::new(&table()).add_table().add_set(&ports());
            nft.commit(batch.add_elements("ports", &all)).unwrap();
        }
        let mut found = nft.elements(&table(), "ports").unwrap();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(found, all);
        let other = Element::key(&[&[6], &1u16.to_be_bytes()]).to(&[&[10, 0, 0, 3], &80u16.to_be_bytes()]);
        let error = nft.commit(Transaction::new(&table()).add_elements("ports", &[other])).unwrap_err();
        assert!(error.is_already_there(), "{error}");
        nft.commit(Transaction::new(&table()).delete_elements("ports", &all)).unwrap();
        assert!(nft.elements(&table(), "ports").unwrap().is_empty());
    });
}

#[test]
fn ranges_and_verdicts_read_back_as_they_were_added() {
    alone(|| {
        let mut nft = NftSocket::open().unwrap();
        let set = |name: &str, kind| Set { name: name.to_owned(), key: vec![Type::Ipv4Address], kind };
        let range = [Element::key(&[&[10, 0, 0, 0]]), Element::key(&[&[10, 1, 0, 0]]).ending_a_range()];
        let verdicts: Vec<Element> = [Verdict::Drop, Verdict::Accept, Verdict::Jump("other".to_owned())]
            .into_iter()
            .zip(1..)
            .map(|(verdict, i)| Element { verdict: Some(verdict), ..Element::key(&[&[10, 0, 0, i]]) })
            .collect();
        let key = Expression::NetworkHeader { offset: 16, length: 4, to: Register(0) };
        let ipv4 = [Expression::NetworkProtocol(Register(1)), Expression::Equal(Register(1), vec![2])];
        let expressions =
            [&ipv4[..], &[key, Expression::VerdictMap(Register(0), "verdicts".to_owned())]].concat();
        let base = Base { kind: Kind::Filter, hook: Hook::Input, priority: -5, policy: Policy::Drop };
        let transaction = Transaction::new(&table())
            .add_table()
            .add_set(&set("ranges", SetKind::Intervals))
            .add_set(&set("verdicts", SetKind::VerdictMap))
            .add_chain(&Chain { name: "other".to_owned(), base: None })
            .add_chain(&Chain { name: "input".to_owned(), base: Some(base) })
            .add_rule("input", &Rule { expressions, comment: "by address".to_owned() })
            .add_elements("ranges", &range)
            .add_elements("verdicts", &verdicts);
        nft.commit(transaction).unwrap();
        assert_eq!(nft.chain_uses(&table(), "input").unwrap(), Some(1));
        assert_eq!(nft.chain_uses(&table(), "none").unwrap(), None);

        let mut found = nft.elements(&table(), "verdicts").unwrap();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(found, verdicts);
        let ranges = nft.elements(&table(), "ranges").unwrap();
        assert!(range.iter().all(|element| ranges.contains(element)), "{ranges:?}");
        nft.commit(Transaction::new(&table()).delete_table()).unwrap();
        assert_eq!(nft.chain_uses(&table(), "input").unwrap(), None);
    });
}

#[test]
fn forgetting_flows_that_never_were_is_no_error() {
    alone(|| {
        let mut conntrack = ConntrackSocket::open().unwrap();
        conntrack.forget_answered_by(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))).unwrap();
        conntrack.forget_udp_to(53, true).unwrap();
    });
}

#[test]
fn what_fails_in_a_new_namespace_is_reported() {
    let failed = namespace::make(|| Err::<(), _>(io::Error::other("no"))).unwrap().finish();
    assert_eq!(failed.unwrap_err().to_string(), "no");
}
