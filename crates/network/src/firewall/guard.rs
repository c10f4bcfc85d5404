//! The table for bridges: what a sandbox sends must bear its own addresses. Pure.
//!
//! ```text
//! hook         priority  what
//! prerouting   raw -300  from a guarded port: only its own hardware address with one of its own
//!                        addresses, in IP, ARP and neighbour discovery; no router, no DHCP server
//! ```
//!
//! Frames of another protocol than IPv4, IPv6 and ARP are dropped.

use minke_netlink::nft::{
    Base, Chain,
    Expression::{self, Equal, InSet, InputInterface, LinkHeader, NetworkHeader, NotInSet, TransportHeader},
    Hook, Kind, Policy, Register, Rule, Set, SetKind, Transaction, Type,
};

use super::expressions::{
    ICMPV6, R0, UDP, accept, drop, ether_type, jump, load, protocol, rule, source, transport_type,
    transport16,
};

/// The chain that is looked at to see whether the table is whole.
pub(super) const GUARD: &str = "guard";
const PREROUTING: &str = "prerouting";

/// The ports that are guarded.
pub(super) const GUARDED: &str = "guarded";
/// Port, hardware address, address.
pub(super) const SOURCES4: &str = "sources4";
pub(super) const SOURCES6: &str = "sources6";

pub(super) const SETS: [&str; 3] = [GUARDED, SOURCES4, SOURCES6];

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
/// Where ARP has the sender's hardware and protocol address (RFC 826).
const ARP_SENDER_MAC: u32 = 8;
const ARP_SENDER: u32 = 14;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
/// Of MLD and MLDv2 (RFC 3590; RFC 3810, section 5.2.13): from an interface that has no address yet.
const GROUP_REPORTS: [u8; 2] = [131, 143];
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const DHCP_SERVER: u16 = 67;
const DHCPV6_SERVER: u16 = 547;

/// How many uses [`GUARD`] has: its rules, and the jump to it.
pub(super) fn uses() -> u32 {
    u32::try_from(guard().len() + 1).unwrap_or(u32::MAX)
}

/// Replaces the table, whatever was in it, with the rules.
pub(super) fn whole_table(transaction: Transaction) -> Transaction {
    let mut transaction = transaction.add_table().delete_table().add_table();
    for set in sets() {
        transaction = transaction.add_set(&set);
    }
    let base = Base { kind: Kind::Filter, hook: Hook::Prerouting, priority: -300, policy: Policy::Accept };
    let chains = [
        (Chain { name: GUARD.to_owned(), base: None }, guard()),
        (Chain { name: PREROUTING.to_owned(), base: Some(base) }, prerouting()),
    ];
    for (chain, _) in &chains {
        transaction = transaction.add_chain(chain);
    }
    for (chain, rules) in &chains {
        for rule in rules {
            transaction = transaction.add_rule(&chain.name, rule);
        }
    }
    transaction
}

pub(super) fn sets() -> [Set; 3] {
    let set = |name: &str, key: &[Type]| Set { name: name.to_owned(), key: key.to_vec(), kind: SetKind::Set };
    [
        set(GUARDED, &[Type::InterfaceName]),
        set(SOURCES4, &[Type::InterfaceName, Type::EthernetAddress, Type::Ipv4Address]),
        set(SOURCES6, &[Type::InterfaceName, Type::EthernetAddress, Type::Ipv6Address]),
    ]
}

fn prerouting() -> Vec<Rule> {
    let guarded = vec![InputInterface(R0), InSet(R0, GUARDED.into())];
    vec![rule("from a container", [guarded, jump(GUARD)])]
}

fn guard() -> Vec<Rule> {
    let own = |set: &str, address: Expression| [sender(), vec![address, InSet(R0, set.into())]].concat();
    let network = |(offset, length)| NetworkHeader { offset, length, to: ADDRESS };
    let arp = || NetworkHeader { offset: ARP_SENDER, length: 4, to: ADDRESS };
    // The second look-up is with the hardware address that ARP tells.
    let told = vec![NetworkHeader { offset: ARP_SENDER_MAC, length: 6, to: MAC }, InSet(R0, SOURCES4.into())];
    let target = TransportHeader { offset: 8, length: 16, to: ADDRESS };
    let not_own = [sender(), vec![target, NotInSet(R0, SOURCES6.into())]].concat();
    let unspecified = || [load(source(false), R0), vec![Equal(R0, vec![0; 16])]].concat();
    let icmpv6 = |kind| [ether_type(IPV6), protocol(ICMPV6), transport_type(kind)].concat();
    let without_address = |kind| rule("as long as it has none", [icmpv6(kind), unspecified(), accept()]);
    vec![
        rule("no DHCP server", [ether_type(IPV4), protocol(UDP), transport16(0, DHCP_SERVER), drop()]),
        rule("its own IPv4 address", [ether_type(IPV4), own(SOURCES4, network(source(true))), accept()]),
        rule("its own address in ARP", [ether_type(ARP), own(SOURCES4, arp()), told, accept()]),
        rule("no router", [icmpv6(ROUTER_ADVERTISEMENT), drop()]),
        rule("no better router", [icmpv6(REDIRECT), drop()]),
        rule("no DHCPv6 server", [ether_type(IPV6), protocol(UDP), transport16(0, DHCPV6_SERVER), drop()]),
        rule("not another's neighbour address", [icmpv6(NEIGHBOUR_ADVERTISEMENT), not_own, drop()]),
        rule("its own IPv6 address", [ether_type(IPV6), own(SOURCES6, network(source(false))), accept()]),
        without_address(ROUTER_SOLICITATION),
        without_address(NEIGHBOUR_SOLICITATION),
        without_address(GROUP_REPORTS[0]),
        without_address(GROUP_REPORTS[1]),
        rule("nothing else", [drop()]),
    ]
}

/// The key is interface, hardware address, address.
const MAC: Register = Register(4);
const ADDRESS: Register = Register(6);

fn sender() -> Vec<Expression> {
    vec![InputInterface(R0), LinkHeader { offset: 6, length: 6, to: MAC }]
}
