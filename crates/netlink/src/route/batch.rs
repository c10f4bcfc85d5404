//! The changes to links, addresses and routes that a batch can hold.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd},
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData, InfoKind,
        InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};

use super::request;
use crate::socket::Request;

/// The interface group of links that are about to be removed, "mnkX". Whoever finds one in it may
/// remove it, so all users of this crate share the number.
const DOOMED: u32 = u32::from_be_bytes(*b"mnkX");

/// The metric of routes that are behind the kernel's own.
const FALLBACK: u32 = 1024;

/// A bridge to make.
#[derive(Debug, Clone, Copy)]
pub struct Bridge<'a> {
    /// Its name, at most 15 bytes.
    pub name: &'a str,
    /// Its hardware address. A bridge without one takes its ports', and changes as they come and go.
    pub mac: [u8; 6],
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its interface group, by which firewall rules can recognise it.
    pub group: u32,
}

/// A veth pair to make, one end here as the port of a bridge, the other in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// The end that stays here.
    pub name: &'a str,
    /// The index of the bridge that it becomes a port of.
    pub bridge: Option<u32>,
    /// The interface group of that end.
    pub group: u32,
    /// The other end's name.
    pub peer: &'a str,
    /// The other end's hardware address.
    pub peer_mac: [u8; 6],
    /// Where the other end goes.
    pub namespace: BorrowedFd<'a>,
    /// The MTU of both ends in bytes.
    pub mtu: u32,
}

/// Changes to make with one system call, in order.
#[derive(Debug, Default)]
pub struct Batch(pub(super) Vec<Request>);

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a bridge and brings it up. It doesn't look into multicast (`mcast_snooping`), for which it
    /// would send reports of its own to all ports and keep timers for each; with nobody on it who asks
    /// for memberships, it would send multicast to all ports anyway.
    pub fn bridge(self, bridge: Bridge<'_>) -> Self {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName(bridge.name.to_owned()),
            LinkAttribute::Address(bridge.mac.to_vec()),
            LinkAttribute::Mtu(bridge.mtu),
            LinkAttribute::Group(bridge.group),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Bridge),
                LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)])),
            ]),
        ];
        self.create(format!("make bridge {}", bridge.name), RouteNetlinkMessage::NewLink(message))
    }

    /// Makes a veth pair with both ends down: the kernel refuses to make either end up as long as
    /// they aren't joined (ENOTCONN). An interface that has the name already is somebody else's, and
    /// an error.
    pub fn veth(mut self, veth: &Veth<'_>) -> Self {
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(veth.peer.to_owned()),
            LinkAttribute::Address(veth.peer_mac.to_vec()),
            LinkAttribute::Mtu(veth.mtu),
            LinkAttribute::NetNsFd(veth.namespace.as_raw_fd()),
        ];
        peer.attributes.extend(one_queue());
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(veth.name.to_owned()), LinkAttribute::Mtu(veth.mtu)];
        message.attributes.extend(one_queue());
        message.attributes.push(LinkAttribute::Group(veth.group));
        message.attributes.extend(veth.bridge.map(LinkAttribute::Controller));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        let what = format!("make veth pair {} and {}", veth.name, veth.peer);
        let message = RouteNetlinkMessage::NewLink(message);
        self.0.push(request(what, message, NLM_F_CREATE | NLM_F_EXCL));
        self
    }

    /// Puts an interface into a group, by which firewall rules can recognise it.
    pub fn group(mut self, name: &str, group: u32) -> Self {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Group(group)];
        self.0.push(request(
            format!("put interface {name} into a group"),
            RouteNetlinkMessage::SetLink(message),
            0,
        ));
        self
    }

    /// Brings a bridge's port up, without IPv6 addresses of its own and with hairpin, by which a
    /// frame may leave through the port it came from. A container that reaches itself through a
    /// published port needs that where br_netfilter rewrites bridged packets. The bridge learns nothing from what comes by it
    /// ([`Self::behind_port`] says who is there), and the port itself answers no ARP request. Isolated ports exchange
    /// frames with the bridge itself, but with no other isolated port. `ipv6`: whether the port has IPv6 at all: the kernel
    /// takes no such setting where it hasn't, and it hasn't where its MTU is below 1280 bytes (RFC 8200, section 5).
    pub fn bridge_port_up(self, name: &str, isolated: bool, ipv6: bool) -> Self {
        let mut message = up_message();
        message.header.flags |= LinkFlags::Noarp;
        message.header.change_mask |= LinkFlags::Noarp;
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        if ipv6 {
            let no_address = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
            message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![no_address])]));
        }
        message.attributes.extend([LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![
                InfoBridgePort::HairpinMode(true),
                InfoBridgePort::Isolated(isolated),
                InfoBridgePort::Learning(false),
            ])),
        ])]);
        self.change(format!("bring bridge port {name} up"), RouteNetlinkMessage::NewLink(message))
    }

    /// Makes the link of this name a port of the bridge with this index.
    pub fn join_bridge(self, name: &str, bridge: u32) -> Self {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Controller(bridge)];
        self.change(format!("join {name} to bridge {bridge}"), RouteNetlinkMessage::SetLink(message))
    }

    /// Brings the link of this name up.
    pub fn up(self, name: &str) -> Self {
        let mut message = up_message();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.change(format!("bring interface {name} up"), RouteNetlinkMessage::SetLink(message))
    }

    /// Renames the link with this index, which must be down.
    pub fn rename(self, index: u32, name: &str) -> Self {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.change(format!("rename interface {index} to {name}"), RouteNetlinkMessage::SetLink(message))
    }

    /// Changes the hardware address of the link of this name.
    pub fn hardware_address(self, name: &str, mac: [u8; 6]) -> Self {
        let mut message = LinkMessage::default();
        message.attributes =
            vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Address(mac.to_vec())];
        let what = format!("change the hardware address of {name}");
        self.change(what, RouteNetlinkMessage::SetLink(message))
    }

    /// Takes the link of this name down, and all routes through it away.
    pub fn down(self, name: &str) -> Self {
        let mut message = LinkMessage::default();
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.change(format!("take interface {name} down"), RouteNetlinkMessage::SetLink(message))
    }

    /// Gives the link with this index an address; IPv4 comes with its broadcast address, and IPv6 is
    /// used at once, without asking first whether somebody else has it.
    pub fn address(self, index: u32, address: IpAddr, prefix_len: u8) -> Self {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = prefix_len;
        message.header.family = family(address);
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        if let IpAddr::V4(v4) = address
            && prefix_len < 31
        {
            let broadcast = v4.to_bits() | (u32::MAX >> prefix_len);
            message.attributes.push(AddressAttribute::Broadcast(Ipv4Addr::from_bits(broadcast)));
        }
        let what = format!("add address {address}/{prefix_len} to interface {index}");
        self.create(what, RouteNetlinkMessage::NewAddress(message))
    }

    /// Sends what nothing else matches to `gateway`, through the link with this index.
    pub fn default_route(self, index: u32, gateway: IpAddr) -> Self {
        let mut message = RouteMessage::default();
        message.header.address_family = family(gateway);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes =
            vec![RouteAttribute::Gateway(RouteAddress::from(gateway)), RouteAttribute::Oif(index)];
        self.create(format!("add default route via {gateway}"), RouteNetlinkMessage::NewRoute(message))
    }

    /// Sends what nothing else matches through the link with this index, to nobody in particular.
    pub fn default_route_on_link(self, index: u32, ipv4: bool) -> Self {
        let mut message = default_route(ipv4);
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Link;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![RouteAttribute::Oif(index)];
        let what = format!("add default route through interface {index}");
        self.create(what, RouteNetlinkMessage::NewRoute(message))
    }

    /// Takes packets that come in through the link with this index and are for `address` as the host's own,
    /// if nothing better says where they go.
    pub fn local_route(self, index: u32, address: IpAddr) -> Self {
        let mut message = RouteMessage::default();
        message.header.address_family = family(address);
        message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
        message.header.table = libc::RT_TABLE_LOCAL;
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Host;
        message.header.kind = RouteType::Local;
        message.attributes = vec![
            RouteAttribute::Destination(RouteAddress::from(address)),
            RouteAttribute::Oif(index),
            RouteAttribute::Priority(FALLBACK),
        ];
        let what = format!("add local route to {address} through interface {index}");
        self.create(what, RouteNetlinkMessage::NewRoute(message))
    }

    /// Removes the default route of a family; that there is none is no error.
    pub fn remove_default_route(mut self, ipv4: bool) -> Self {
        let message = RouteNetlinkMessage::DelRoute(default_route(ipv4));
        let mut request = request("remove the default route", message, 0);
        request.tolerated = &[libc::ESRCH, libc::ENOENT];
        self.0.push(request);
        self
    }

    /// Tells the link with this index the hardware address of a neighbour, so that the first packet to
    /// it needs no ARP. The kernel takes it for one that it learned a while ago: it is used at once,
    /// and corrected when it turns out to be wrong. Being learned elsewhere (`extern_learn`), it
    /// doesn't count towards the 1024 neighbours that all namespaces of a machine share by default.
    /// A kernel that takes no such hint, or is full, is no error.
    pub fn neighbour(self, index: u32, address: IpAddr, mac: [u8; 6]) -> Self {
        let mut message = neighbour_message(index, address);
        message.header.state = NeighbourState::Stale;
        message.header.flags = NeighbourFlags::ExtLearned;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        let what = format!("add neighbour {address} of interface {index}");
        self.hint(what, message)
    }

    /// Tells the link with this index the hardware address of a neighbour that answers no ARP, for good.
    pub fn fixed_neighbour(mut self, index: u32, address: IpAddr, mac: [u8; 6]) -> Self {
        let mut message = neighbour_message(index, address);
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        let what = format!("fix neighbour {address} of interface {index}");
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.0.push(request(what, RouteNetlinkMessage::NewNeighbour(message), flags));
        self
    }

    /// Forgets a neighbour of the link with this index.
    pub fn forget_neighbour(mut self, index: u32, address: IpAddr) -> Self {
        let what = format!("forget neighbour {address} of interface {index}");
        let message = RouteNetlinkMessage::DelNeighbour(neighbour_message(index, address));
        let mut request = request(what, message, 0);
        request.tolerated = &[libc::ENOENT, libc::ENODEV];
        self.0.push(request);
        self
    }

    /// Tells the bridge of the port with this index that this hardware address is behind it. A frame to
    /// an address that a bridge hasn't seen yet goes to all of its ports. A hint as well.
    pub fn behind_port(self, port: u32, mac: [u8; 6]) -> Self {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = port;
        message.header.state = NeighbourState::Noarp;
        message.header.flags = NeighbourFlags::Controller | NeighbourFlags::Sticky;
        message.attributes = vec![NeighbourAttribute::LinkLayerAddress(mac.to_vec())];
        self.hint(format!("tell the bridge what is behind port {port}"), message)
    }

    /// Removes the link of this name, with a veth its other end too.
    pub fn remove(mut self, name: &str) -> Self {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        let mut request =
            request(format!("remove interface {name}"), RouteNetlinkMessage::DelLink(message), 0);
        request.tolerated = &[libc::ENODEV];
        self.0.push(request);
        self
    }

    /// Removes all links of these names at once. The kernel waits for its processors after each
    /// removal (20 to 30 ms), but only once for a group: so they are put into one and it is removed.
    pub fn remove_all<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        match names[..] {
            [] => return self,
            [name] => return self.remove(name),
            _ => {}
        }
        for name in names {
            let mut message = LinkMessage::default();
            message.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Group(DOOMED)];
            let what = format!("mark interface {name} for removal");
            let mut request = request(what, RouteNetlinkMessage::SetLink(message), 0);
            request.tolerated = &[libc::ENODEV];
            self.0.push(request);
        }
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::Group(DOOMED)];
        let what = "remove the marked interfaces".to_owned();
        let mut request = request(what, RouteNetlinkMessage::DelLink(message), 0);
        request.tolerated = &[libc::ENODEV];
        self.0.push(request);
        self
    }

    pub(super) fn into_requests(self) -> Vec<Request> {
        self.0
    }

    pub(super) fn create(mut self, what: String, message: RouteNetlinkMessage) -> Self {
        let mut request = request(what, message, NLM_F_CREATE | NLM_F_EXCL);
        request.tolerated = &[libc::EEXIST];
        self.0.push(request);
        self
    }

    /// The kernel would find out by itself.
    fn hint(mut self, what: String, message: NeighbourMessage) -> Self {
        let message = RouteNetlinkMessage::NewNeighbour(message);
        let mut request = request(what, message, NLM_F_CREATE | NLM_F_REPLACE);
        request.tolerated = &[libc::EINVAL, libc::ENOBUFS, libc::EOPNOTSUPP];
        self.0.push(request);
        self
    }

    fn change(mut self, what: String, message: RouteNetlinkMessage) -> Self {
        self.0.push(request(what, message, 0));
        self
    }
}

/// A veth has one queue in each direction, unless it is told more; but without being told, the kernel first makes one for each
/// processor and takes the others away again, which takes two grace periods.
fn one_queue() -> [LinkAttribute; 2] {
    [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)]
}

fn up_message() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn default_route(ipv4: bool) -> RouteMessage {
    let mut message = RouteMessage::default();
    let any = if ipv4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    message.header.address_family = family(any);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.scope = RouteScope::NoWhere;
    message
}

fn neighbour_message(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    let address = match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    message.attributes = vec![NeighbourAttribute::Destination(address)];
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
