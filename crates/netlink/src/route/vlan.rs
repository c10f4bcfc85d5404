//! Interfaces on top of another one: macvlan, ipvlan and VLAN.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{
        InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, IpVlanFlags, IpVlanMode, LinkAttribute,
        LinkInfo, LinkMessage, MacVlanMode,
    },
};

use super::{Batch, request};

/// An interface in another namespace on top of one in this.
#[derive(Debug, Clone, Copy)]
pub struct Slave<'a> {
    /// Its name there.
    pub name: &'a str,
    /// The index of the interface below it.
    pub parent: u32,
    /// Its hardware address; ipvlan has its parent's.
    pub mac: Option<[u8; 6]>,
    /// Its MTU in bytes; the parent's when absent.
    pub mtu: Option<u32>,
    /// Where it goes.
    pub namespace: BorrowedFd<'a>,
    /// What it is.
    pub kind: SlaveKind,
}

/// What an interface on top of another one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlaveKind {
    /// One with a hardware address of its own.
    Macvlan(MacvlanMode),
    /// One that shares its parent's; the flags are `IPVLAN_F_PRIVATE` (1) and `IPVLAN_F_VEPA` (2).
    Ipvlan(IpvlanMode, u16),
}

/// Who reaches whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacvlanMode {
    /// The interfaces of one parent reach each other.
    Bridge,
    /// They don't.
    Private,
    /// Only by a switch outside.
    Vepa,
    /// One has its parent for itself.
    Passthru,
}

/// On which layer packets find their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpvlanMode {
    /// As on a switch.
    L2,
    /// As through a router.
    L3,
    /// As through a router and this namespace's netfilter.
    L3s,
}

impl Batch {
    /// Makes an interface on top of another one.
    pub fn slave(mut self, slave: Slave<'_>) -> Self {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(slave.name.to_owned()),
            LinkAttribute::Link(slave.parent),
            LinkAttribute::NetNsFd(slave.namespace.as_raw_fd()),
        ];
        message.attributes.extend(slave.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        message.attributes.extend(slave.mtu.map(LinkAttribute::Mtu));
        let (name, kind, data) = match slave.kind {
            SlaveKind::Macvlan(mode) => {
                ("macvlan", InfoKind::MacVlan, InfoData::MacVlan(vec![InfoMacVlan::Mode(macvlan(mode))]))
            }
            SlaveKind::Ipvlan(mode, flags) => {
                let flags = InfoIpVlan::Flags(IpVlanFlags::from_bits_retain(flags));
                ("ipvlan", InfoKind::IpVlan, InfoData::IpVlan(vec![InfoIpVlan::Mode(ipvlan(mode)), flags]))
            }
        };
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
        let what = format!("make {name} interface {}", slave.name);
        self.0.push(request(what, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL));
        self
    }

    /// Makes the VLAN with this number of the interface with this index, and brings it up.
    pub fn vlan(self, name: &str, parent: u32, number: u16, group: u32) -> Self {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Link(parent),
            LinkAttribute::Group(group),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(number)])),
            ]),
        ];
        self.create(format!("make VLAN interface {name}"), RouteNetlinkMessage::NewLink(message)).up(name)
    }

    /// Makes an interface that leads nowhere, and brings it up.
    pub fn dummy(self, name: &str, group: u32) -> Self {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Group(group),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Dummy)]),
        ];
        self.create(format!("make interface {name}"), RouteNetlinkMessage::NewLink(message)).up(name)
    }
}

fn macvlan(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    }
}

fn ipvlan(mode: IpvlanMode) -> IpVlanMode {
    match mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3s => IpVlanMode::L3S,
    }
}
