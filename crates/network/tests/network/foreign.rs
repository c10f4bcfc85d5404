//! Beside another firewall that drops what it doesn't know.

use minke_netlink::nft::{
    Base, Chain,
    Expression::{self, ConnectionState, Counter, Equal, InputInterface, Mask, NotEqual, OutputInterface},
    Family, Hook, Kind, NftSocket, Policy, Register, Rule, Table, Transaction, Verdict,
};

use crate::world::*;

const R0: Register = Register(0);

/// A table that drops what it forwards, as Docker's is: `FORWARD`, which first calls `user`.
fn firewall(
    family: Family,
    name: &str,
    user: &str,
    policy: Policy,
    tail: Vec<Vec<Expression>>,
) -> Transaction {
    let table = Table { family, name: name.to_owned() };
    let base = Base { kind: Kind::Filter, hook: Hook::Forward, priority: 0, policy };
    let answers = vec![
        ConnectionState(R0),
        Mask { register: R0, mask: 6u32.to_ne_bytes().to_vec() },
        NotEqual(R0, vec![0; 4]),
        Expression::Verdict(Verdict::Accept),
    ];
    let own = vec![InputInterface(R0), Equal(R0, padded("docker0")), Expression::Verdict(Verdict::Accept)];
    let mut transaction = Transaction::new(&table)
        .add_table()
        .add_chain(&Chain { name: "FORWARD".to_owned(), base: Some(base) })
        .add_chain(&Chain { name: user.to_owned(), base: None });
    let jump = vec![Counter, Expression::Verdict(Verdict::Jump(user.to_owned()))];
    for expressions in [vec![jump, answers, own], tail].concat() {
        transaction = transaction.add_rule("FORWARD", &Rule { expressions, comment: String::new() });
    }
    transaction
}

/// What the remedy for `iptables` puts into a chain.
fn let_through(family: Family, table: &str, chain: &str, bridge: &str) -> Transaction {
    let table = Table { family, name: table.to_owned() };
    let mut transaction = Transaction::new(&table);
    for load in [InputInterface(R0), OutputInterface(R0)] {
        let accept = Expression::Verdict(Verdict::Accept);
        let expressions = vec![load, Equal(R0, padded(bridge)), Counter, accept];
        transaction = transaction.add_rule(chain, &Rule { expressions, comment: String::new() });
    }
    transaction
}

fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn commit(world: &World, transaction: Transaction) {
    world.on_host(|| NftSocket::open().unwrap().commit(transaction)).unwrap();
}

#[test]
fn a_table_that_drops_our_packets_is_named_with_the_commands_that_help() {
    let world = World::new();
    world.set_bridge_netfilter(false);
    let networks = world.networks("beside");
    let warnings = || world.on_host(|| networks.warnings());
    let web = world.attach(&networks, vec![tcp(8080, 80)]);
    serve_tcp(&web.netns, "web", 80);
    serve_tcp(&world.lan, "lan", 80);
    assert_eq!(warnings(), [""; 0]);

    commit(&world, firewall(Family::Ipv4, "filter", "DOCKER-USER", Policy::Drop, vec![]));
    let wanted = "chain FORWARD of the nftables table ip filter drops what containers send to other hosts and \
                  what other hosts send to published ports; to let it through, run: \
                  iptables -I DOCKER-USER -i beside0 -j ACCEPT; iptables -I DOCKER-USER -o beside0 -j ACCEPT";
    assert_eq!(warnings(), [wanted]);
    assert!(ask_tcp(&web.netns, LAN, 80).is_err(), "and so it is");

    commit(&world, let_through(Family::Ipv4, "filter", "DOCKER-USER", "beside0"));
    assert_eq!(warnings(), [""; 0]);
    assert!(ask_tcp(&web.netns, LAN, 80).is_ok(), "the remedy helps");
    assert!(ask_tcp(&world.lan, HOST, 8080).is_ok());
}

#[test]
fn a_rule_that_rejects_the_rest_counts_as_a_policy_does() {
    let world = World::new();
    let networks = world.networks("rest");
    let rest = vec![Counter, Expression::Verdict(Verdict::Drop)];
    commit(&world, firewall(Family::Inet, "mine", "user", Policy::Accept, vec![rest]));
    let warnings = || world.on_host(|| networks.warnings());
    let [warning] = &warnings()[..] else { panic!("{:?}", warnings()) };
    assert!(warning.contains("table inet mine"), "{warning}");
    let wanted = "nft insert rule inet mine FORWARD iifname rest0 accept; \
                  nft insert rule inet mine FORWARD oifname rest0 accept";
    assert!(warning.ends_with(wanted), "{warning}");
}

#[test]
fn only_what_is_dropped_is_named() {
    let world = World::new();
    let filtered = world.set_bridge_netfilter(true);
    let networks = world.networks("some");
    commit(&world, firewall(Family::Ipv4, "filter", "user", Policy::Drop, vec![]));
    let warnings = || world.on_host(|| networks.warnings()).join("\n");
    assert_eq!(warnings().contains("what containers send each other"), filtered, "{}", warnings());

    // A rule for one direction.
    let table = Table { family: Family::Ipv4, name: "filter".to_owned() };
    let accept = Expression::Verdict(Verdict::Accept);
    let expressions = vec![InputInterface(R0), Equal(R0, padded("some0")), accept];
    commit(&world, Transaction::new(&table).add_rule("user", &Rule { expressions, comment: String::new() }));
    assert!(!warnings().contains("to other hosts") && !warnings().contains("each other"), "{}", warnings());
    assert!(warnings().contains("to published ports"), "{}", warnings());
    assert!(world.tables().is_empty(), "asking makes nothing");
}

#[test]
fn another_engine_and_a_chain_that_only_accepts_are_no_obstacle() {
    let world = World::new();
    let (one, two) = (world.networks("peace-a"), world.networks("peace-b"));
    commit(&world, firewall(Family::Ipv4, "filter", "user", Policy::Accept, vec![]));
    let _a = world.attach(&one, vec![tcp(8080, 80)]);
    let _b = world.attach(&two, vec![tcp(8081, 80)]);
    for networks in [&one, &two] {
        assert_eq!(world.on_host(|| networks.warnings()), [""; 0]);
    }
}
