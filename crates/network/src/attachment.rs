//! What a sandbox asks of the network and what it gets.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    os::fd::OwnedFd,
};

use minke_model::ContainerId;
use serde::{Deserialize, Serialize};

use crate::Mac;

/// A transport protocol whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// One sandbox's wish for an interface on the default bridge.
#[derive(Debug, Clone)]
pub struct AttachRequest {
    /// The container that the sandbox belongs to.
    pub id: ContainerId,
    /// The ports to publish on the host.
    pub ports: Vec<PortRequest>,
    /// `--mac-address`; by default it follows from the address.
    pub mac: Option<Mac>,
    /// `--ip`; by default the next free one.
    pub address: Option<Ipv4Addr>,
}

/// One port to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// The port inside the container.
    pub container_port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The host's address to publish on; `None` and 0.0.0.0 mean all of them.
    pub host_address: Option<IpAddr>,
    /// The first free port of this range is taken; `None` and port 0 mean any free one.
    pub host_ports: Option<RangeInclusive<u16>>,
}

/// A port of a container that is reachable on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The port inside the container.
    pub container_port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The host's address; 0.0.0.0 for all of them.
    pub host_address: IpAddr,
    /// The port on the host.
    pub host_port: u16,
}

/// What a sandbox has while it lives; the engine keeps it to detach the sandbox and to find it
/// again after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container that the sandbox belongs to.
    pub id: ContainerId,
    /// 64 random hexadecimal digits, new for every attachment.
    pub endpoint_id: String,
    /// The host's end of the veth pair, a port of the bridge.
    pub host_interface: String,
    /// The sandbox's end, `eth0`.
    pub interface: String,
    /// The sandbox's address.
    pub address: Ipv4Addr,
    /// The prefix length of the subnet it is in.
    pub prefix_len: u8,
    /// Its default route: the bridge's address.
    pub gateway: Ipv4Addr,
    /// Its hardware address, `02:42:ac:11:00:02`.
    pub mac: String,
    /// Its published ports, in the order they were asked for.
    pub ports: Vec<PublishedPort>,
}

/// A new attachment with the descriptors that keep it alive.
#[derive(Debug)]
pub struct Attached {
    /// The network namespace; it lives as long as this descriptor or a process in it.
    pub netns: OwnedFd,
    /// Sockets bound to the host's side of the published ports: whoever holds them keeps the
    /// ports reserved. They never carry traffic.
    pub held: Vec<OwnedFd>,
    /// What to store and to hand back to [`Networks::detach`](crate::Networks::detach).
    pub attachment: Attachment,
}

impl PublishedPort {
    /// Whether this and another published port would be one; 0.0.0.0 is every address.
    pub(crate) fn clashes(&self, address: Ipv4Addr, protocol: Protocol, port: u16) -> bool {
        let any = self.host_address.is_unspecified() || address.is_unspecified();
        self.protocol == protocol
            && self.host_port == port
            && (any || self.host_address == IpAddr::V4(address))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl Protocol {
    /// The number that IP headers carry (IANA protocol numbers).
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}
