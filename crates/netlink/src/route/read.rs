//! What the kernel says of its links, addresses and routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::ParseableParametrized;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{
        AfSpecInet6, AfSpecUnspec, BridgePortState, InfoBridgePort, InfoKind, InfoPortData, LinkAttribute,
        LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, State,
    },
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};

use crate::error::Error;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth` and so on; nothing for most hardware and loopback.
    pub kind: Option<String>,
    /// The index of the bridge that it is a port of.
    pub controller: Option<u32>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it carries packets: that follows coming up a moment later, and until then what is
    /// sent is lost. A bridge's port must have reached its forwarding state as well.
    pub operational: bool,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its interface group, 0 by default.
    pub group: u32,
    /// Its hardware address, if it has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Whether its setting `disable_ipv6` is on; `None` without IPv6.
    pub ipv6_disabled: Option<bool>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// The address itself.
    pub address: IpAddr,
    /// Its prefix length.
    pub prefix_len: u8,
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads; 0.0.0.0 or :: for a default route.
    pub destination: IpAddr,
    /// The prefix length of the destination.
    pub prefix_len: u8,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The index of the interface it goes out of.
    pub interface: Option<u32>,
    /// Whether packets are sent there; else they are refused, or it is an address of the host's own.
    pub unicast: bool,
}

pub(super) fn link_query(name: &str) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes =
        vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    RouteNetlinkMessage::GetLink(message)
}

/// Kernels before 4.20 ignore the filter, so the caller filters again.
pub(super) fn links_query(controller: Option<u32>) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    message.attributes.extend(controller.map(LinkAttribute::Controller));
    RouteNetlinkMessage::GetLink(message)
}

pub(super) fn addresses_query() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

pub(super) fn routes_query(family: AddressFamily) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    RouteNetlinkMessage::GetRoute(message)
}

/// Which route a packet to this address takes.
pub(super) fn route_query(address: Ipv6Addr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = 128;
    message.attributes = vec![RouteAttribute::Destination(RouteAddress::Inet6(address))];
    RouteNetlinkMessage::GetRoute(message)
}

/// Whether each route is that of an address of the namespace's own.
pub(super) fn collect_own(found: &mut Vec<bool>, kind: u16, body: &[u8]) -> Result<(), Error> {
    if let RouteNetlinkMessage::NewRoute(message) = parse("look up a route", kind, body)? {
        found.push(message.header.kind == RouteType::Local);
    }
    Ok(())
}

pub(super) fn collect_links(found: &mut Vec<Link>, kind: u16, body: &[u8]) -> Result<(), Error> {
    if let RouteNetlinkMessage::NewLink(message) = parse("list interfaces", kind, body)? {
        found.push(link(message));
    }
    Ok(())
}

pub(super) fn collect_addresses(found: &mut Vec<Address>, kind: u16, body: &[u8]) -> Result<(), Error> {
    if let RouteNetlinkMessage::NewAddress(message) = parse("list addresses", kind, body)? {
        found.extend(address(&message));
    }
    Ok(())
}

pub(super) fn collect_routes(found: &mut Vec<Route>, kind: u16, body: &[u8]) -> Result<(), Error> {
    if let RouteNetlinkMessage::NewRoute(message) = parse("list routes", kind, body)? {
        found.push(route(&message));
    }
    Ok(())
}

fn parse(what: &str, kind: u16, body: &[u8]) -> Result<RouteNetlinkMessage, Error> {
    RouteNetlinkMessage::parse_with_param(body, kind).map_err(|error| Error::malformed(what, error))
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: None,
        controller: None,
        up: message.header.flags.contains(LinkFlags::Up),
        operational: false,
        mtu: 0,
        group: 0,
        mac: None,
        ipv6_disabled: None,
    };
    let mut forwarding = true;
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::OperState(state) => link.operational = state == State::Up,
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Group(group) => link.group = group,
            LinkAttribute::Address(mac) => link.mac = mac.try_into().ok(),
            LinkAttribute::AfSpecUnspec(families) => {
                link.ipv6_disabled = families.iter().find_map(ipv6_disabled);
            }
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.iter().find_map(kind_name);
                forwarding = infos.iter().all(lets_packets_through);
            }
            _ => {}
        }
    }
    link.operational &= forwarding;
    link
}

fn ipv6_disabled(family: &AfSpecUnspec) -> Option<bool> {
    let AfSpecUnspec::Inet6(about) = family else { return None };
    about.iter().find_map(|about| match about {
        AfSpecInet6::DevConf(settings) => Some(settings.disable_ipv6 != 0),
        _ => None,
    })
}

/// False for a bridge's port that is not, or not yet, forwarding.
fn lets_packets_through(info: &LinkInfo) -> bool {
    let LinkInfo::PortData(InfoPortData::BridgePort(port)) = info else { return true };
    port.iter().all(|info| match info {
        InfoBridgePort::State(state) => *state == BridgePortState::Forwarding,
        _ => true,
    })
}

fn kind_name(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(InfoKind::Bridge) => Some("bridge".to_owned()),
        LinkInfo::Kind(InfoKind::Veth) => Some("veth".to_owned()),
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

/// A point-to-point address has its own half in `Local`, others may have `Address` alone.
fn address(message: &AddressMessage) -> Option<Address> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let any = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    Some(Address {
        index: message.header.index,
        address: local.or(any)?,
        prefix_len: message.header.prefix_len,
    })
}

fn route(message: &RouteMessage) -> Route {
    let mut route = Route {
        destination: match message.header.address_family {
            AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        },
        unicast: message.header.kind == RouteType::Unicast,
        prefix_len: message.header.destination_prefix_length,
        gateway: None,
        interface: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => route.destination = (*address).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
                route.destination = (*address).into();
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => {
                route.gateway = Some(IpAddr::V6(*address));
            }
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => {
                route.gateway = Some(IpAddr::V4(*address));
            }
            RouteAttribute::Oif(index) => route.interface = Some(*index),
            _ => {}
        }
    }
    route
}
