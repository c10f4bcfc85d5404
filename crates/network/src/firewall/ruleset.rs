//! The table's chains, rules, sets and maps as transactions. Pure.
//!
//! ```text
//! hook         priority  what
//! prerouting   raw -300  from a bridge, nothing to or from 127.0.0.0/8 (CVE-2020-8558)
//! prerouting   dstnat    to a local address that isn't loopback: look the port up
//! output       dstnat    to a local address: look the port up
//! forward      filter    into a bridge only: answers, neighbours on it, published ports
//! postrouting  srcnat    out of the host, and back into a bridge: with the host's own address
//! ```
//!
//! All rules are about bridges in general; which ones, and which ports, are elements. Rules
//! against forged source addresses belong into the raw chain, keyed by bridge port and address.

use std::net::{Ipv4Addr, SocketAddrV4};

use minke_netlink::nft::{
    Base, Chain, Element,
    Expression::{
        self, ConnectionState, ConnectionStatus, Counter, DestinationNat, DestinationType, Equal, InSet,
        InputGroup, InputInterface, Map, Mask, Masquerade, NetworkHeader, NetworkProtocol, NotEqual,
        NotInSet, OutputGroup, OutputInterface, TransportHeader, TransportProtocol,
    },
    Family, Hook, Kind, Policy, Register, Rule, Set, SetKind, Table, Transaction, Type, Verdict,
};

use super::{BridgeRules, Content, PortKey};
use crate::bridge::GROUP;

/// The chain that is looked at to see whether the table is whole.
pub(super) const FORWARD: &str = "forward";

const RAW: &str = "raw-prerouting";
const PREROUTING: &str = "prerouting";
const OUTPUT: &str = "output";
const POSTROUTING: &str = "postrouting";
const PUBLISHED: &str = "published";

/// The bridges' interface names.
const BRIDGES: &str = "bridges";
/// Pairs of input and output bridge whose containers may talk: each bridge with itself.
const NEIGHBOURS: &str = "neighbours";
/// The bridges' subnets.
const SUBNETS: &str = "subnets";
/// Ports that are published on one address: address, protocol, port → container's address, port.
const PORTS_OF_ADDRESS: &str = "ports-of-address";
/// Ports that are published on all addresses: protocol, port → container's address, port.
const PORTS: &str = "ports";

const IPV4: u8 = 2;
/// RTN_LOCAL: the route type of the host's own addresses.
const LOCAL: u32 = 2;
/// `ct state established,related`.
const ANSWERS: u32 = 2 | 4;
/// `ct status dnat`: the connection's destination was rewritten.
const REWRITTEN: u32 = 1 << 5;
/// Where an IPv4 header has its source and destination address.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

/// How many rules [`FORWARD`] has.
pub(super) fn forward_rules(content: &Content) -> u32 {
    u32::try_from(forward(content.keep_out_strangers).len()).unwrap_or(u32::MAX)
}

/// Replaces the table, whatever was in it, with all of `content`.
pub(super) fn whole_table(table: &Table, content: &Content) -> Transaction {
    let mut transaction = Transaction::new(table).add_table().delete_table().add_table();
    for set in sets() {
        transaction = transaction.add_set(&set);
    }
    let chains = chains(content.keep_out_strangers);
    for (chain, _) in &chains {
        transaction = transaction.add_chain(chain);
    }
    for (chain, rules) in &chains {
        for rule in rules {
            transaction = transaction.add_rule(&chain.name, rule);
        }
    }
    for bridge in &content.bridges {
        transaction = add_bridge(transaction, bridge);
    }
    let ports: Vec<_> = content.ports.iter().map(|(key, target)| (*key, *target)).collect();
    add_ports(transaction, &ports)
}

/// Adds the elements of published ports.
pub(super) fn add_ports(mut transaction: Transaction, ports: &[(PortKey, SocketAddrV4)]) -> Transaction {
    for (map, elements) in port_elements(ports) {
        transaction = transaction.add_elements(map, &elements);
    }
    transaction
}

/// Deletes the elements of published ports.
pub(super) fn delete_ports(mut transaction: Transaction, ports: &[(PortKey, SocketAddrV4)]) -> Transaction {
    for (map, elements) in port_elements(ports) {
        transaction = transaction.delete_elements(map, &elements);
    }
    transaction
}

fn port_elements(ports: &[(PortKey, SocketAddrV4)]) -> [(&'static str, Vec<Element>); 2] {
    let (everywhere, on_one): (Vec<_>, Vec<_>) =
        ports.iter().partition(|(key, _)| key.address == Ipv4Addr::UNSPECIFIED);
    let element = |(key, target): &(PortKey, SocketAddrV4)| {
        let (protocol, port) = ([key.protocol.number()], key.port.to_be_bytes());
        let element = match key.address {
            Ipv4Addr::UNSPECIFIED => Element::key(&[&protocol, &port]),
            address => Element::key(&[&address.octets(), &protocol, &port]),
        };
        element.to(&[&target.ip().octets(), &target.port().to_be_bytes()])
    };
    [
        (PORTS, everywhere.iter().map(element).collect()),
        (PORTS_OF_ADDRESS, on_one.iter().map(element).collect()),
    ]
}

fn add_bridge(transaction: Transaction, bridge: &BridgeRules) -> Transaction {
    let name = interface_name(&bridge.bridge);
    let (first, last) = (bridge.subnet.first(), bridge.subnet.last());
    let mut range = vec![Element::key(&[&first.octets()])];
    // The end is the first address behind; a subnet at the very end of IPv4 has none.
    if let Some(behind) = last.to_bits().checked_add(1) {
        range.push(Element::key(&[&behind.to_be_bytes()]).ending_a_range());
    }
    transaction
        .add_elements(BRIDGES, &[Element::key(&[&name])])
        .add_elements(NEIGHBOURS, &[Element::key(&[&name, &name])])
        .add_elements(SUBNETS, &range)
}

/// Interface names are compared as sixteen bytes, padded with NULs.
fn interface_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

fn sets() -> [Set; 5] {
    let set = |name: &str, key: &[Type], kind| Set { name: name.to_owned(), key: key.to_vec(), kind };
    let target = || SetKind::Map(vec![Type::Ipv4Address, Type::Port]);
    [
        set(BRIDGES, &[Type::InterfaceName], SetKind::Set),
        set(NEIGHBOURS, &[Type::InterfaceName, Type::InterfaceName], SetKind::Set),
        set(SUBNETS, &[Type::Ipv4Address], SetKind::Intervals),
        set(PORTS_OF_ADDRESS, &[Type::Ipv4Address, Type::Protocol, Type::Port], target()),
        set(PORTS, &[Type::Protocol, Type::Port], target()),
    ]
}

fn chains(keep_out_strangers: bool) -> [(Chain, Vec<Rule>); 6] {
    let base = |kind, hook, priority| Some(Base { kind, hook, priority, policy: Policy::Accept });
    let chain = |name: &str, base| Chain { name: name.to_owned(), base };
    [
        (chain(PUBLISHED, None), published()),
        (chain(RAW, base(Kind::Filter, Hook::Prerouting, -300)), raw()),
        (chain(PREROUTING, base(Kind::Nat, Hook::Prerouting, -100)), prerouting()),
        (chain(OUTPUT, base(Kind::Nat, Hook::Output, -100)), output()),
        (chain(FORWARD, base(Kind::Filter, Hook::Forward, 0)), forward(keep_out_strangers)),
        (chain(POSTROUTING, base(Kind::Nat, Hook::Postrouting, 100)), postrouting()),
    ]
}

/// The bridges route loopback addresses so that a port published on 127.0.0.1 works. These two keep
/// containers from the host's loopback services, and from posing as the host's own processes. They
/// run before address translation, which gives answers their loopback address only later.
fn raw() -> Vec<Rule> {
    let from_a_bridge = || [ipv4(), vec![InputInterface(R0), InSet(R0, BRIDGES.into())]].concat();
    vec![
        rule("no container reaches the host's loopback", [from_a_bridge(), starts_127(DESTINATION), drop()]),
        rule("no container poses as the host", [from_a_bridge(), starts_127(SOURCE), drop()]),
    ]
}

/// A neighbour on the LAN could send a packet to 127.0.0.1 on the wire. The kernel drops it, unless
/// its destination was rewritten before: so loopback ports are for the host's own packets only.
fn prerouting() -> Vec<Rule> {
    let not_loopback =
        vec![NetworkHeader { offset: DESTINATION, length: 1, to: R0 }, NotEqual(R0, vec![127])];
    vec![rule("to the host, from others", [ipv4(), not_loopback, to_the_host(), jump(PUBLISHED)])]
}

fn output() -> Vec<Rule> {
    vec![rule("to the host, from itself", [ipv4(), to_the_host(), jump(PUBLISHED)])]
}

fn published() -> Vec<Rule> {
    let protocol_and_port = |first: u8| {
        let (protocol, port) = (Register(first), Register(first + 1));
        vec![TransportProtocol(protocol), TransportHeader { offset: 2, length: 2, to: port }]
    };
    let rewrite = |map: &str| {
        let (address, port) = (Register(4), Register(5));
        vec![
            Map { key: R0, map: map.into(), to: address },
            DestinationNat { family: Family::Ipv4, address, port },
        ]
    };
    let address = vec![NetworkHeader { offset: DESTINATION, length: 4, to: R0 }];
    vec![
        rule("published on one address", [address, protocol_and_port(1), rewrite(PORTS_OF_ADDRESS)]),
        rule("published on all addresses", [protocol_and_port(0), rewrite(PORTS)]),
    ]
}

fn forward(keep_out_strangers: bool) -> Vec<Rule> {
    let into_a_bridge = || vec![OutputInterface(R0), InSet(R0, BRIDGES.into())];
    let neighbours = vec![InputInterface(R0), OutputInterface(Register(4)), InSet(R0, NEIGHBOURS.into())];
    let answers = bits(ConnectionState(R0), ANSWERS);
    let mut rules = vec![
        rule("answers", [answers, accept()]),
        rule("containers of one bridge", [neighbours, accept()]),
        rule("published ports", [into_a_bridge(), rewritten(), accept()]),
        rule("nothing else into a bridge", [into_a_bridge(), vec![Counter], drop()]),
    ];
    if keep_out_strangers {
        let group = GROUP.to_ne_bytes().to_vec();
        let strangers =
            vec![InputGroup(R0), NotEqual(R0, group.clone()), OutputGroup(R0), NotEqual(R0, group), Counter];
        rules.push(rule("this host is no router but for containers", [strangers, drop()]));
    }
    rules
}

/// The second rule is the hairpin: without it, a container that reaches a neighbour (or itself)
/// through the host's address would get the answer from an address it never asked.
fn postrouting() -> Vec<Rule> {
    let into_a_bridge = || [ipv4(), vec![OutputInterface(R0), InSet(R0, BRIDGES.into())]].concat();
    let from_a_container =
        || vec![NetworkHeader { offset: SOURCE, length: 4, to: R0 }, InSet(R0, SUBNETS.into())];
    let out_of_the_host = vec![OutputInterface(R0), NotInSet(R0, BRIDGES.into())];
    vec![
        rule("from the host's loopback", [into_a_bridge(), starts_127(SOURCE), vec![Masquerade]]),
        rule("back into the bridge", [into_a_bridge(), from_a_container(), rewritten(), vec![Masquerade]]),
        rule("out of the host", [ipv4(), from_a_container(), out_of_the_host, vec![Masquerade]]),
    ]
}

const R0: Register = Register(0);

fn rule<const N: usize>(comment: &str, parts: [Vec<Expression>; N]) -> Rule {
    Rule { expressions: parts.concat(), comment: comment.to_owned() }
}

fn ipv4() -> Vec<Expression> {
    vec![NetworkProtocol(R0), Equal(R0, vec![IPV4])]
}

/// The address at `offset` of the header is in 127.0.0.0/8.
fn starts_127(offset: u32) -> Vec<Expression> {
    vec![NetworkHeader { offset, length: 1, to: R0 }, Equal(R0, vec![127])]
}

fn to_the_host() -> Vec<Expression> {
    vec![DestinationType(R0), Equal(R0, LOCAL.to_ne_bytes().to_vec())]
}

fn rewritten() -> Vec<Expression> {
    bits(ConnectionStatus(R0), REWRITTEN)
}

/// What `load` loads has one of these bits.
fn bits(load: Expression, mask: u32) -> Vec<Expression> {
    vec![load, Mask { register: R0, mask: mask.to_ne_bytes().to_vec() }, NotEqual(R0, vec![0; 4])]
}

fn jump(chain: &str) -> Vec<Expression> {
    vec![Expression::Verdict(Verdict::Jump(chain.to_owned()))]
}

fn accept() -> Vec<Expression> {
    vec![Expression::Verdict(Verdict::Accept)]
}

fn drop() -> Vec<Expression> {
    vec![Expression::Verdict(Verdict::Drop)]
}
