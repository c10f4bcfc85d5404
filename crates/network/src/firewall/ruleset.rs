//! The table for routed packets: its chains, rules, sets and maps as transactions. Pure.
//!
//! ```text
//! hook         priority  what
//! prerouting   raw -300  nothing by a bridge's port itself; from a bridge, nothing to or from 127.0.0.0/8
//!                        (CVE-2020-8558), nor to another network in a frame to all
//! prerouting   dstnat    to a local address that isn't loopback: look the port up
//! output       dstnat    to a local address: look the port up
//! input        10000     if the host's input rules decide: who passed them is let through the next time
//! forward      filter    into a bridge only: answers, neighbours on it, published ports;
//!                        out of an internal bridge and into it: nothing;
//!                        by a bridge itself (br_netfilter): nothing that is another network's
//! postrouting  srcnat    out of the host, and back into a bridge: with the host's own address
//! ```
//!
//! All rules are about bridges and subnets in general; which ones, and which ports, are elements.

use minke_netlink::nft::{
    Base, Chain,
    Expression::{
        self, DestinationNat, Equal, InSet, InputGroup, InputInterface, Map, Mask, Masquerade, NetworkHeader,
        NotEqual, NotInSet, OutputGroup, OutputInterface, PacketType, Remember, SourceNat, TransportHeader,
        TransportProtocol,
    },
    Family, Hook, Kind, Policy, Register, Rule, Set, SetKind, Table, Transaction, Type,
};

use super::{
    Rules,
    expressions::{
        ICMP, ICMPV6, R0, accept, answers, destination, drop, family, is_loopback, is_not_loopback, jump,
        load, protocol, rewritten, rule, source, starts_127, to_the_host,
    },
};
use crate::bridge::{GROUP, GROUP_PORT};

/// The chain that is looked at to see whether the table is whole.
pub(super) const FORWARD: &str = "forward";

const RAW: &str = "raw-prerouting";
const PREROUTING: &str = "prerouting";
const OUTPUT: &str = "output";
const POSTROUTING: &str = "postrouting";
const INPUT: &str = "input";
/// What a bridge forwards itself.
const BY_ITSELF: &str = "by-itself";
const PUBLISHED4: &str = "published4";
const PUBLISHED6: &str = "published6";

/// The bridges' interface names.
pub(super) const BRIDGES: &str = "bridges";
/// Pairs of input and output interface that may talk: each bridge with itself.
pub(super) const NEIGHBOURS: &str = "neighbours";
/// Each bridge with itself: what goes from one of its ports to another, where br_netfilter shows that.
pub(super) const ITSELF: &str = "itself";
/// The bridges of internal networks.
pub(super) const INTERNAL: &str = "internal";
/// Address, protocol and port of what other hosts reach at its own address.
pub(super) const ROUTED_PORTS4: &str = "routed-ports4";
pub(super) const ROUTED_PORTS6: &str = "routed-ports6";

/// Who reaches what by a link: two addresses, protocol and port.
pub(super) const LINKS4: &str = "links4";

/// Sets whose elements are subnets of one family.
pub(super) struct SubnetSets {
    pub(super) all: &'static str,
    /// Bridge and subnet: which addresses are on it.
    pub(super) on_link: &'static str,
    /// Those that leave with the address of the interface they leave by.
    pub(super) masqueraded: &'static str,
    /// Those that leave with a certain address: subnet → address.
    pub(super) leaves_as: &'static str,
    /// Those that other hosts reach all of.
    pub(super) unprotected: &'static str,
    /// Those that other hosts may ping.
    pub(super) routed: &'static str,
}

pub(super) fn subnet_sets(v4: bool) -> &'static SubnetSets {
    if v4 { &SUBNETS4 } else { &SUBNETS6 }
}

static SUBNETS4: SubnetSets = SubnetSets {
    all: "subnets4",
    on_link: "on-link4",
    masqueraded: "masqueraded4",
    leaves_as: "leaves-as4",
    unprotected: "unprotected4",
    routed: "routed4",
};

static SUBNETS6: SubnetSets = SubnetSets {
    all: "subnets6",
    on_link: "on-link6",
    masqueraded: "masqueraded6",
    leaves_as: "leaves-as6",
    unprotected: "unprotected6",
    routed: "routed6",
};

/// Maps of published ports of one family.
pub(super) struct PortMaps {
    /// Protocol, port → container's address, port.
    pub(super) everywhere: &'static str,
    /// Address, protocol, port → container's address, port.
    pub(super) on_one: &'static str,
}

pub(super) fn port_maps(v4: bool) -> &'static PortMaps {
    if v4 { &PORTS4 } else { &PORTS6 }
}

static PORTS4: PortMaps = PortMaps { everywhere: "ports4", on_one: "ports4-of-address" };
static PORTS6: PortMaps = PortMaps { everywhere: "ports6", on_one: "ports6-of-address" };

/// Who was let in by the host's input rules: client, address, protocol, port.
fn admitted(v4: bool) -> &'static str {
    if v4 { "admitted4" } else { "admitted6" }
}

/// PACKET_HOST: of a frame that isn't to a group's hardware address.
const TO_THE_HOST: u8 = 0;
/// For how long, in milliseconds, and how many at most.
const ADMITTED_FOR: u64 = 60_000;
const MOST_ADMITTED: u32 = 65_536;

/// The names of all sets and maps.
pub(super) static SETS: [&str; 25] = [
    "admitted4",
    "admitted6",
    BRIDGES,
    NEIGHBOURS,
    ITSELF,
    INTERNAL,
    LINKS4,
    ROUTED_PORTS4,
    ROUTED_PORTS6,
    SUBNETS4.all,
    SUBNETS4.on_link,
    SUBNETS4.masqueraded,
    SUBNETS4.leaves_as,
    SUBNETS4.unprotected,
    SUBNETS4.routed,
    SUBNETS6.all,
    SUBNETS6.on_link,
    SUBNETS6.masqueraded,
    SUBNETS6.leaves_as,
    SUBNETS6.unprotected,
    SUBNETS6.routed,
    PORTS4.everywhere,
    PORTS4.on_one,
    PORTS6.everywhere,
    PORTS6.on_one,
];

/// How many rules [`FORWARD`] has.
pub(super) fn forward_rules(rules: Rules) -> u32 {
    u32::try_from(forward(rules).len()).unwrap_or(u32::MAX)
}

/// How many rules each chain has, and jumps to it.
pub(super) fn chain_uses(rules: Rules) -> Vec<(&'static str, u32)> {
    let chains = chains(rules);
    let uses = |(name, _, rules): &(&'static str, Option<Base>, Vec<Rule>)| {
        let jumps = chains
            .iter()
            .flat_map(|(_, _, rules)| rules)
            .filter(|rule| rule.expressions.ends_with(&jump(name)));
        (*name, u32::try_from(rules.len() + jumps.count()).unwrap_or(u32::MAX))
    };
    chains.iter().map(uses).collect()
}

/// Replaces the table, whatever was in it, with empty sets and the rules.
pub(super) fn whole_table(table: &Table, rules: Rules) -> Transaction {
    let mut transaction = Transaction::new(table).add_table().delete_table().add_table();
    for set in sets() {
        transaction = transaction.add_set(&set);
    }
    let chains = chains(rules);
    for (name, base, _) in &chains {
        transaction = transaction.add_chain(&Chain { name: (*name).to_owned(), base: *base });
    }
    for (name, _, rules) in &chains {
        for rule in rules {
            transaction = transaction.add_rule(name, rule);
        }
    }
    transaction
}

pub(super) fn sets() -> Vec<Set> {
    let set = |name: &str, key: &[Type], kind| Set { name: name.to_owned(), key: key.to_vec(), kind };
    let mut sets = vec![
        set(BRIDGES, &[Type::InterfaceName], SetKind::Set),
        set(NEIGHBOURS, &[Type::InterfaceName, Type::InterfaceName], SetKind::Set),
        set(ITSELF, &[Type::InterfaceName, Type::InterfaceName], SetKind::Set),
        set(INTERNAL, &[Type::InterfaceName], SetKind::Set),
        set(LINKS4, &[Type::Ipv4Address, Type::Ipv4Address, Type::Protocol, Type::Port], SetKind::Set),
    ];
    for v4 in [true, false] {
        let address = if v4 { Type::Ipv4Address } else { Type::Ipv6Address };
        let (subnets, ports) = (subnet_sets(v4), port_maps(v4));
        for name in [subnets.all, subnets.masqueraded, subnets.unprotected, subnets.routed] {
            sets.push(set(name, &[address], SetKind::Intervals));
        }
        sets.push(set(subnets.on_link, &[Type::InterfaceName, address], SetKind::Ranges));
        sets.push(set(subnets.leaves_as, &[address], SetKind::IntervalMap(vec![address])));
        let target = || SetKind::Map(vec![address, Type::Port]);
        sets.push(set(ports.everywhere, &[Type::Protocol, Type::Port], target()));
        sets.push(set(ports.on_one, &[address, Type::Protocol, Type::Port], target()));
        let tuple = [address, address, Type::Protocol, Type::Port];
        sets.push(set(admitted(v4), &tuple, SetKind::Dynamic(MOST_ADMITTED)));
        let routed = if v4 { ROUTED_PORTS4 } else { ROUTED_PORTS6 };
        sets.push(set(routed, &[address, Type::Protocol, Type::Port], SetKind::Set));
    }
    sets
}

fn chains(rules: Rules) -> Vec<(&'static str, Option<Base>, Vec<Rule>)> {
    let base = |kind, hook, priority| Some(Base { kind, hook, priority, policy: Policy::Accept });
    let mut chains = vec![
        (BY_ITSELF, None, by_itself()),
        (PUBLISHED4, None, published(true)),
        (PUBLISHED6, None, published(false)),
        (RAW, base(Kind::Filter, Hook::Prerouting, -300), raw()),
        (PREROUTING, base(Kind::Nat, Hook::Prerouting, -100), prerouting(rules.obey_input)),
        (OUTPUT, base(Kind::Nat, Hook::Output, -100), output(rules.loopback_ipv6)),
        (FORWARD, base(Kind::Filter, Hook::Forward, 0), forward(rules)),
        (POSTROUTING, base(Kind::Nat, Hook::Postrouting, 100), postrouting()),
    ];
    if rules.obey_input {
        // Behind all that could drop the packet.
        chains.push((INPUT, base(Kind::Filter, Hook::Input, 10_000), input()));
    }
    chains
}

/// The bridges route loopback addresses so that a port published on 127.0.0.1 works. These two keep
/// containers from the host's loopback services, and from posing as the host's own processes. They
/// run before address translation, which gives answers their loopback address only later. In IPv6 the
/// kernel itself drops ::1 on a wire.
///
/// Frames to 01:80:c2:00:00:0x (IEEE 802.1D, reserved) a bridge hands to the port that they came by, before the table for bridges
/// sees them: whatever is in them is no container's own.
fn raw() -> Vec<Rule> {
    // Of each packet one byte is compared; the set is for those few that it is true of.
    let from_a_bridge = |loopback| {
        [family(true), starts_127(loopback), vec![InputInterface(R0), InSet(R0, BRIDGES.into())]].concat()
    };
    let to_several =
        vec![PacketType(R0), NotEqual(R0, vec![TO_THE_HOST]), InputInterface(R0), InSet(R0, BRIDGES.into())];
    let by_a_port = vec![InputGroup(R0), Equal(R0, GROUP_PORT.to_ne_bytes().to_vec())];
    vec![
        rule("past the bridge", [by_a_port, drop()]),
        rule("no container reaches the host's loopback", [from_a_bridge(destination(true)), drop()]),
        rule("no container poses as the host", [from_a_bridge(source(true)), drop()]),
        rule("to several", [to_several, jump(BY_ITSELF)]),
    ]
}

/// A neighbour on the LAN could send a packet to 127.0.0.1 on the wire. The kernel drops it, unless
/// its destination was rewritten before: so loopback ports are for the host's own packets only.
fn prerouting(obey_input: bool) -> Vec<Rule> {
    let (offset, _) = destination(true);
    let not_loopback = vec![NetworkHeader { offset, length: 1, to: R0 }, NotEqual(R0, vec![127])];
    let admitted = |v4| if obey_input { is_admitted(v4) } else { Vec::new() };
    vec![
        rule(
            "to the host, from others",
            [family(true), not_loopback, to_the_host(), admitted(true), jump(PUBLISHED4)],
        ),
        rule(
            "to the host, from others",
            [family(false), not_link_local(), to_the_host(), admitted(false), jump(PUBLISHED6)],
        ),
    ]
}

/// What is sent to an address of one link (fe80::/64) can't be led to another: it goes to a relay's socket (record 32).
fn not_link_local() -> Vec<Expression> {
    let (offset, _) = destination(false);
    vec![NetworkHeader { offset, length: 2, to: R0 }, NotEqual(R0, vec![0xfe, 0x80])]
}

/// Who sends to which address, protocol and port, from register 0 on.
fn client_and_port(v4: bool) -> Vec<Expression> {
    let words = if v4 { 1 } else { 4 };
    let port = TransportHeader { offset: 2, length: 2, to: Register(2 * words + 1) };
    let addresses = [load(source(v4), R0), load(destination(v4), Register(words))].concat();
    [addresses, vec![TransportProtocol(Register(2 * words)), port]].concat()
}

fn is_admitted(v4: bool) -> Vec<Expression> {
    [client_and_port(v4), vec![InSet(R0, admitted(v4).into())]].concat()
}

/// A packet to a published port that has come this far was let in by everybody else's input rules. Whose it
/// is and what for is remembered, and it is dropped: when it is sent again, it is led to the container.
/// Only in prerouting can a packet be led elsewhere, and there the input rules haven't been asked yet.
fn input() -> Vec<Rule> {
    let from_others = || {
        let mut lo = vec![0; 16];
        lo[..2].copy_from_slice(b"lo");
        vec![InputInterface(R0), NotEqual(R0, lo)]
    };
    let mut rules = Vec::new();
    for v4 in [true, false] {
        let words = if v4 { 1 } else { 4 };
        let maps = port_maps(v4);
        let protocol_and_port = |first: u8| {
            let port = TransportHeader { offset: 2, length: 2, to: Register(first + 1) };
            vec![TransportProtocol(Register(first)), port]
        };
        let published = |map: &str| vec![Map { key: R0, map: map.into(), to: Register(8) }];
        let remember = || {
            let set = admitted(v4).to_owned();
            [client_and_port(v4), vec![Remember { key: R0, set, timeout: ADMITTED_FOR }]].concat()
        };
        let on_one = [load(destination(v4), R0), protocol_and_port(words), published(maps.on_one)].concat();
        let everywhere = [protocol_and_port(0), published(maps.everywhere)].concat();
        for found in [on_one, everywhere] {
            let reach = if v4 { Vec::new() } else { not_link_local() };
            let let_in = [family(v4), from_others(), reach, found, remember(), drop()];
            rules.push(rule("let in by the host", let_in));
        }
    }
    rules
}

fn output(loopback_ipv6: bool) -> Vec<Rule> {
    let not_loopback = if loopback_ipv6 { Vec::new() } else { is_not_loopback(destination(false)) };
    vec![
        rule("to the host, from itself", [family(true), to_the_host(), jump(PUBLISHED4)]),
        rule(
            "to the host, from itself",
            [family(false), not_loopback, not_link_local(), to_the_host(), jump(PUBLISHED6)],
        ),
    ]
}

fn published(v4: bool) -> Vec<Rule> {
    let words = if v4 { 1 } else { 4 };
    let protocol_and_port = |first: u8| {
        let (protocol, port) = (Register(first), Register(first + 1));
        vec![TransportProtocol(protocol), TransportHeader { offset: 2, length: 2, to: port }]
    };
    let rewrite = |map: &str| {
        let (address, port) = (Register(8), Register(8 + words));
        vec![
            Map { key: R0, map: map.into(), to: address },
            DestinationNat { family: if v4 { Family::Ipv4 } else { Family::Ipv6 }, address, port },
        ]
    };
    let maps = port_maps(v4);
    vec![
        rule(
            "published on one address",
            [load(destination(v4), R0), protocol_and_port(words), rewrite(maps.on_one)],
        ),
        rule("published on all addresses", [protocol_and_port(0), rewrite(maps.everywhere)]),
    ]
}

fn forward(Rules { strangers, .. }: Rules) -> Vec<Rule> {
    let into_a_bridge = || vec![OutputInterface(R0), InSet(R0, BRIDGES.into())];
    let out_of_a_bridge = || vec![InputInterface(R0), InSet(R0, BRIDGES.into())];
    let neighbours = [pair(), vec![InSet(R0, NEIGHBOURS.into())]].concat();
    let not_neighbours = || [pair(), vec![NotInSet(R0, NEIGHBOURS.into())]].concat();
    let out_of_internal = vec![InputInterface(R0), InSet(R0, INTERNAL.into())];
    let into_internal = vec![OutputInterface(R0), InSet(R0, INTERNAL.into())];
    let linked = [client_and_port(true), vec![InSet(R0, LINKS4.into())]].concat();
    let by_itself = [pair(), vec![InSet(R0, ITSELF.into())]].concat();
    let mut rules = vec![
        rule("answers", [answers(), accept()]),
        rule("by a bridge itself", [by_itself, jump(BY_ITSELF)]),
        rule("nothing out of an internal network", [out_of_internal, not_neighbours(), drop()]),
        rule("nothing into an internal network", [into_internal, not_neighbours(), drop()]),
        rule("containers of one bridge", [neighbours, accept()]),
        rule("links", [family(true), into_a_bridge(), out_of_a_bridge(), linked, accept()]),
        rule("published ports", [into_a_bridge(), rewritten(), accept()]),
    ];
    for v4 in [true, false] {
        rules.extend(from_other_bridges(v4));
    }
    rules.push(rule("nothing else from bridge to bridge", [into_a_bridge(), out_of_a_bridge(), drop()]));
    for v4 in [true, false] {
        rules.extend(from_other_hosts(v4));
    }
    rules.push(rule("nothing else into a bridge", [into_a_bridge(), drop()]));
    rules.push(rule("out of a bridge", [out_of_a_bridge(), accept()]));
    for (v4, _) in [(true, strangers.ipv4), (false, strangers.ipv6)].iter().filter(|(_, keep_out)| *keep_out)
    {
        let group = GROUP.to_ne_bytes().to_vec();
        let strangers =
            vec![InputGroup(R0), NotEqual(R0, group.clone()), OutputGroup(R0), NotEqual(R0, group)];
        rules.push(rule("this host is no router but for containers", [family(*v4), strangers, drop()]));
    }
    rules
}

/// A frame to a neighbour's hardware address, to one that nobody has or to all doesn't come to the host's routing, whatever address is in it;
/// but where br_netfilter shows it to connection tracking, it would count as sent, and what comes back from another network as an answer.
/// From an internal network nothing may count so; from others, a neighbour may be the way to other hosts.
fn by_itself() -> Vec<Rule> {
    let elsewhere = |v4| {
        let here = [vec![InputInterface(R0)], load(destination(v4), Register(4))].concat();
        [here, vec![NotInSet(R0, subnet_sets(v4).on_link.into())]].concat()
    };
    let another_s = |v4| {
        let known = [load(destination(v4), R0), vec![InSet(R0, subnet_sets(v4).all.into())]].concat();
        rule("to another network, by a bridge itself", [family(v4), known, elsewhere(v4), drop()])
    };
    let nobody_s = |v4| {
        let internal = vec![InputInterface(R0), InSet(R0, INTERNAL.into())];
        let parts = [family(v4), internal, beyond_the_link(v4), elsewhere(v4), drop()];
        rule("to others, by an internal network's bridge itself", parts)
    };
    vec![another_s(true), another_s(false), nobody_s(true), nobody_s(false)]
}

/// That the destination is neither a group nor of this link alone (169.254.0.0/16, 224.0.0.0/3; fe80::/10, ff00::/8).
fn beyond_the_link(v4: bool) -> Vec<Expression> {
    let (offset, _) = destination(v4);
    let first_bits = |bits: u8| {
        let first = NetworkHeader { offset, length: 1, to: R0 };
        vec![first, Mask { register: R0, mask: vec![bits] }, NotEqual(R0, vec![bits])]
    };
    let not_link_local = vec![NetworkHeader { offset, length: 2, to: R0 }, NotEqual(R0, vec![169, 254])];
    if v4 { [first_bits(0xe0), not_link_local].concat() } else { first_bits(0xfe) }
}

/// The interfaces that a packet comes and goes by.
fn pair() -> Vec<Expression> {
    vec![InputInterface(R0), OutputInterface(Register(4))]
}

/// What is sent to an address of a container's own, on its way into a bridge.
fn into_a_bridge_of(v4: bool) -> Vec<Expression> {
    [family(v4), vec![OutputInterface(R0), InSet(R0, BRIDGES.into())]].concat()
}

/// That the destination is in one of a set's subnets.
fn to_subnet(v4: bool, set: &str) -> Vec<Expression> {
    [load(destination(v4), R0), vec![InSet(R0, set.into())]].concat()
}

/// That the destination is a published port at a container's own address.
fn to_routed_port(v4: bool) -> Vec<Expression> {
    let words = if v4 { 1 } else { 4 };
    let port = vec![
        TransportProtocol(Register(words)),
        TransportHeader { offset: 2, length: 2, to: Register(words + 1) },
        InSet(R0, if v4 { ROUTED_PORTS4 } else { ROUTED_PORTS6 }.into()),
    ];
    [load(destination(v4), R0), port].concat()
}

fn ping(v4: bool) -> Vec<Expression> {
    protocol(if v4 { ICMP } else { ICMPV6 })
}

/// What containers of other bridges reach at containers' own addresses: of routed networks what is published, for it is so nowhere
/// else, and pings.
fn from_other_bridges(v4: bool) -> [Rule; 2] {
    let routed = || [into_a_bridge_of(v4), to_subnet(v4, subnet_sets(v4).routed)].concat();
    [
        rule("routed ports, from other bridges", [routed(), to_routed_port(v4), accept()]),
        rule("routed networks answer pings, from other bridges", [routed(), ping(v4), accept()]),
    ]
}

/// What other hosts reach at containers' own addresses.
fn from_other_hosts(v4: bool) -> [Rule; 3] {
    let sets = subnet_sets(v4);
    let (into_a_bridge, subnet) = (|| into_a_bridge_of(v4), |set: &str| to_subnet(v4, set));
    [
        rule("routed ports", [into_a_bridge(), to_routed_port(v4), accept()]),
        rule("routed networks answer pings", [into_a_bridge(), ping(v4), subnet(sets.routed), accept()]),
        rule("unprotected networks", [into_a_bridge(), subnet(sets.unprotected), accept()]),
    ]
}

/// The hairpin goes second: without it, a container that reaches a neighbour (or itself) through the
/// host's address would get the answer from an address it never asked.
fn postrouting() -> Vec<Rule> {
    let into_a_bridge = |v4| [family(v4), vec![OutputInterface(R0), InSet(R0, BRIDGES.into())]].concat();
    let out_of_the_host = |v4| [family(v4), vec![OutputInterface(R0), NotInSet(R0, BRIDGES.into())]].concat();
    let from = |v4, set: &str| [load(source(v4), R0), vec![InSet(R0, set.into())]].concat();
    let masquerade = || vec![Masquerade];
    let mut rules = vec![
        rule("from the host's loopback", [into_a_bridge(true), starts_127(source(true)), masquerade()]),
        rule("from the host's loopback", [into_a_bridge(false), is_loopback(source(false)), masquerade()]),
    ];
    for v4 in [true, false] {
        let sets = subnet_sets(v4);
        let address = Register(8);
        let leave_as: Vec<Expression> = vec![
            Map { key: R0, map: sets.leaves_as.into(), to: address },
            SourceNat { family: if v4 { Family::Ipv4 } else { Family::Ipv6 }, address },
        ];
        rules.push(rule(
            "back into the bridge",
            [into_a_bridge(v4), from(v4, sets.all), rewritten(), masquerade()],
        ));
        rules.push(rule(
            "out of the host, as was chosen",
            [out_of_the_host(v4), load(source(v4), R0), leave_as],
        ));
        rules.push(rule("out of the host", [out_of_the_host(v4), from(v4, sets.masqueraded), masquerade()]));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_in_the_list_of_names() {
        let mut names: Vec<String> = sets().into_iter().map(|set| set.name).collect();
        let mut known: Vec<String> = SETS.iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        known.sort();
        assert_eq!(names, known);
    }

    fn everything() -> Rules {
        Rules {
            strangers: crate::firewall::Strangers { ipv4: true, ipv6: true },
            obey_input: true,
            loopback_ipv6: false,
        }
    }

    #[test]
    fn a_chain_that_is_jumped_to_counts_its_jumps() {
        let uses = chain_uses(everything());
        assert!(uses.contains(&(PUBLISHED4, 4)), "{uses:?}");
        assert!(uses.contains(&(FORWARD, forward_rules(everything()))));
    }
}
