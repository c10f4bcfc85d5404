//! What the tables hold, and as which elements of which sets. Pure.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::{RangeFrom, RangeInclusive},
};

use minke_netlink::nft::Element;

use super::{guard, ruleset};
use crate::{IpNet, Mac, Protocol, PublishedPort};

/// Something that comes and goes as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A bridge.
    Bridge(BridgeRules),
    /// Which addresses a bridge's port may send from.
    Guard(Guard),
    /// A port of the host's that leads to a sandbox.
    Port(PublishedPort, SocketAddr),
    /// A port of a sandbox that other hosts reach at the sandbox's own address.
    Routed(Protocol, SocketAddr),
    /// A port of a sandbox that a neighbour reaches which has a link to it.
    Link(Ipv4Addr, Protocol, SocketAddr),
}

/// A bridge network as the sets know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeRules {
    /// The bridge interface.
    pub(crate) bridge: String,
    /// Whether what is on it may talk to each other.
    pub(crate) icc: bool,
    /// Whether nothing gets out of it or in.
    pub(crate) internal: bool,
    /// Interfaces of the host's from which everything on it may be reached.
    pub(crate) trusted: Vec<String>,
    /// Its subnets.
    pub(crate) subnets: Vec<SubnetRules>,
}

/// What holds for a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubnetRules {
    pub(crate) subnet: IpNet,
    /// Whether its packets leave with the host's address.
    pub(crate) masquerade: bool,
    /// With which one, if it matters.
    pub(crate) leaves_as: Option<IpAddr>,
    /// Whether other hosts reach all of its ports.
    pub(crate) unprotected: bool,
    /// Whether other hosts may ping it and reach its routed ports.
    pub(crate) routed: bool,
}

/// The addresses of a bridge's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    /// The host's end of the veth pair.
    pub(crate) interface: String,
    pub(crate) mac: Mac,
    pub(crate) addresses: Vec<IpAddr>,
}

/// A published port as the maps know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortKey {
    protocol: Protocol,
    port: u16,
    /// The host's address. Last, so that one port's addresses are neighbours.
    pub(crate) address: IpAddr,
}

/// Where an element is, and which.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Whether it is in the table for bridges.
    pub(super) bridge: bool,
    pub(super) set: &'static str,
    pub(super) key: Vec<u8>,
    /// An end comes before a start: where one range ends, the next may begin.
    start: bool,
}

impl Key {
    fn new(bridge: bool, set: &'static str, element: &Element) -> Self {
        Self { bridge, set, key: element.key.clone(), start: !element.interval_end }
    }

    /// Where the elements of a set begin.
    pub(super) fn of_set(bridge: bool, set: &str) -> RangeFrom<Self> {
        let known = ruleset::SETS.iter().chain(&guard::SETS).find(|name| **name == set);
        Self { bridge, set: known.copied().unwrap_or_default(), key: Vec::new(), start: false }..
    }
}

impl PortKey {
    pub(crate) fn new(port: &PublishedPort) -> Self {
        Self { protocol: port.protocol, port: port.host_port, address: port.host_address }
    }

    pub(super) fn all_addresses(protocol: Protocol, port: u16) -> RangeInclusive<Self> {
        let key = |address| Self { protocol, port, address };
        let last = IpAddr::V6(std::net::Ipv6Addr::from_bits(u128::MAX));
        key(IpAddr::V4(Ipv4Addr::UNSPECIFIED))..=key(last)
    }
}

/// The elements of an item.
pub(super) fn elements(item: &Item) -> Vec<(Key, Element)> {
    let mut found = Vec::new();
    let mut put = |bridge, set, element: Element| found.push((Key::new(bridge, set, &element), element));
    match item {
        Item::Bridge(rules) => bridge_elements(rules, &mut |set, element| put(false, set, element)),
        Item::Guard(rules) => guard_elements(rules, &mut |set, element| put(true, set, element)),
        Item::Port(port, target) => {
            let (set, element) = port_element(port, target);
            put(false, set, element);
        }
        Item::Routed(protocol, target) => {
            let (ip, port) = (bytes(target.ip()), target.port().to_be_bytes());
            let set = if target.is_ipv4() { ruleset::ROUTED_PORTS4 } else { ruleset::ROUTED_PORTS6 };
            put(false, set, Element::key(&[&ip, &[protocol.number()], &port]));
        }
        Item::Link(from, protocol, target) => {
            let (from, to, port) = (from.octets(), bytes(target.ip()), target.port().to_be_bytes());
            put(false, ruleset::LINKS4, Element::key(&[&from, &to, &[protocol.number()], &port]));
        }
    }
    found
}

fn bridge_elements(rules: &BridgeRules, put: &mut dyn FnMut(&'static str, Element)) {
    let name = interface_name(&rules.bridge);
    put(ruleset::BRIDGES, Element::key(&[&name]));
    put(ruleset::ITSELF, Element::key(&[&name, &name]));
    if rules.icc {
        put(ruleset::NEIGHBOURS, Element::key(&[&name, &name]));
    }
    for trusted in &rules.trusted {
        put(ruleset::NEIGHBOURS, Element::key(&[&interface_name(trusted), &name]));
    }
    if rules.internal {
        put(ruleset::INTERNAL, Element::key(&[&name]));
    }
    for rules in &rules.subnets {
        let sets = ruleset::subnet_sets(rules.subnet.is_ipv4());
        let [first, last] = [rules.subnet.first(), rules.subnet.last()].map(bytes);
        put(sets.on_link, Element::key(&[&name, &first]).up_to(&[&name, &last]));
        let mut range = |set: &'static str, value: Option<IpAddr>| {
            let first = Element::key(&[&bytes(rules.subnet.first())]);
            put(
                set,
                match value {
                    Some(value) => first.to(&[&bytes(value)]),
                    None => first,
                },
            );
            // The end is the first address behind; a subnet at the very end of its family has none.
            if let Some(behind) = behind(rules.subnet) {
                put(set, Element::key(&[&bytes(behind)]).ending_a_range());
            }
        };
        range(sets.all, None);
        if rules.unprotected {
            range(sets.unprotected, None);
        }
        if rules.routed {
            range(sets.routed, None);
        }
        match rules.leaves_as {
            Some(address) if rules.masquerade => range(sets.leaves_as, Some(address)),
            None if rules.masquerade => range(sets.masqueraded, None),
            _ => {}
        }
    }
}

fn guard_elements(rules: &Guard, put: &mut dyn FnMut(&'static str, Element)) {
    let (name, mac) = (interface_name(&rules.interface), rules.mac.octets());
    put(guard::GUARDED, Element::key(&[&name]));
    for address in &rules.addresses {
        let set = if address.is_ipv4() { guard::SOURCES4 } else { guard::SOURCES6 };
        put(set, Element::key(&[&name, &mac, &bytes(*address)]));
    }
}

fn port_element(port: &PublishedPort, target: &SocketAddr) -> (&'static str, Element) {
    let (protocol, number) = ([port.protocol.number()], port.host_port.to_be_bytes());
    let sets = ruleset::port_maps(port.host_address.is_ipv4());
    let (set, element) = if port.host_address.is_unspecified() {
        (sets.everywhere, Element::key(&[&protocol, &number]))
    } else {
        (sets.on_one, Element::key(&[&bytes(port.host_address), &protocol, &number]))
    };
    (set, element.to(&[&bytes(target.ip()), &target.port().to_be_bytes()]))
}

fn behind(subnet: IpNet) -> Option<IpAddr> {
    match subnet.last() {
        IpAddr::V4(last) => last.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(last) => last.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Interface names are compared as sixteen bytes, padded with NULs.
fn interface_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_subnets_share_a_boundary_but_no_element() {
        let subnet = |text: &str| SubnetRules {
            subnet: text.parse().unwrap(),
            masquerade: true,
            leaves_as: None,
            unprotected: false,
            routed: false,
        };
        let rules = BridgeRules {
            bridge: "br0".to_owned(),
            icc: true,
            internal: false,
            trusted: Vec::new(),
            subnets: vec![subnet("172.17.0.0/16"), subnet("172.18.0.0/16"), subnet("fd00::/64")],
        };
        let all = elements(&Item::Bridge(rules));
        let mut keys: Vec<Key> = all.iter().map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys.dedup();
        assert_eq!((keys.len(), all.len()), (18, 18));
        let last = SubnetRules { subnet: "255.255.255.0/24".parse().unwrap(), ..subnet("10.0.0.0/8") };
        assert_eq!(behind(last.subnet), None);
    }

    #[test]
    fn ports_go_into_the_maps_of_their_family() {
        let port = |address: &str| PublishedPort {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_address: address.parse().unwrap(),
            host_port: 8080,
        };
        let set = |address: &str, target: &str| {
            let found = elements(&Item::Port(port(address), target.parse().unwrap()));
            (found[0].0.set, found[0].1.key.len(), found[0].1.value.as_ref().map(Vec::len))
        };
        assert_eq!(set("0.0.0.0", "10.0.0.2:80"), ("ports4", 8, Some(8)));
        assert_eq!(set("192.0.2.1", "10.0.0.2:80"), ("ports4-of-address", 12, Some(8)));
        assert_eq!(set("::", "[fd00::2]:80"), ("ports6", 8, Some(20)));
        assert_eq!(set("2001:db8::1", "[fd00::2]:80"), ("ports6-of-address", 24, Some(20)));
    }
}
