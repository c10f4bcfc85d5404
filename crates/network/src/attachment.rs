//! What a sandbox asks of the network and what it gets.

use std::{
    cmp::Reverse,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    ops::RangeInclusive,
    os::fd::{BorrowedFd, OwnedFd},
};

use minke_model::{ContainerId, NetworkId};
use serde::{Deserialize, Serialize};

use crate::{IpNet, Mac};

/// A transport protocol whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

/// A sandbox that is to be made.
#[derive(Debug, Clone)]
pub struct AttachRequest {
    /// The container that the sandbox belongs to.
    pub id: ContainerId,
    /// A place on each of these networks; interfaces are numbered in this order. Without any there is only
    /// a loopback interface.
    pub endpoints: Vec<EndpointRequest>,
    /// The ports to publish on the host. They lead to the endpoint with the default route.
    pub ports: Vec<PortRequest>,
    /// Whether to open the sockets of the embedded name server ([`DnsSockets`]).
    pub dns: bool,
}

/// A place on a network that is asked for.
#[derive(Debug, Clone)]
pub struct EndpointRequest {
    /// The network.
    pub network: NetworkId,
    /// The network's name: of equal priorities, the default route goes to the least.
    pub network_name: String,
    /// `--ip`; by default the next free one.
    pub ipv4: Option<Ipv4Addr>,
    /// `--ip6`; by default the next free one.
    pub ipv6: Option<Ipv6Addr>,
    /// `--link-local-ip`: further addresses of the interface, of either family.
    pub link_local: Vec<IpAddr>,
    /// `--mac-address`; by default it follows from the address.
    pub mac: Option<Mac>,
    /// `com.docker.network.endpoint.ifname`; by default `eth0`, `eth1` and so on.
    pub interface: Option<String>,
    /// `com.docker.network.endpoint.sysctls`: `net.ipv4.conf.IFNAME.log_martians` and its value. `IFNAME`
    /// stands for the interface, and nothing else than its settings may be set.
    pub sysctls: Vec<(String, String)>,
    /// Which endpoint has the default route: the highest, see [`Attachment::gateway`].
    pub gateway_priority: i32,
    /// Whether it has addresses of IPv6 where the network has.
    pub has_ipv6: bool,
}

impl EndpointRequest {
    /// A place with everything chosen for it.
    pub fn new(network: NetworkId, network_name: impl Into<String>) -> Self {
        Self {
            network,
            network_name: network_name.into(),
            ipv4: None,
            ipv6: None,
            link_local: Vec::new(),
            mac: None,
            interface: None,
            sysctls: Vec::new(),
            gateway_priority: 0,
            has_ipv6: true,
        }
    }
}

/// One port to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// The port inside the container.
    pub container_port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The host's address to publish on. 0.0.0.0 and :: mean all of their family, `None` all of both as
    /// far as the container has them.
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
    /// The host's address; 0.0.0.0 or :: for all of that family.
    pub host_address: IpAddr,
    /// The port on the host; 0 on a routed network, where other hosts reach the container's own.
    pub host_port: u16,
}

/// What a sandbox has while it lives; the engine keeps it to detach the sandbox and to find it
/// again after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The container that the sandbox belongs to.
    pub id: ContainerId,
    /// Its places, in the order they were asked for.
    pub endpoints: Vec<Endpoint>,
    /// Its published ports, in the order they were asked for. One that was asked for without an address
    /// is here twice, with 0.0.0.0 and with `::`.
    pub ports: Vec<PublishedPort>,
    /// Those of them that the engine itself keeps reserved: they came with a later connect, or need a [`Relay`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late_ports: Vec<PublishedPort>,
}

/// A link (`--link`) on a network whose containers don't reach each other: what it opens.
#[derive(Debug, Clone)]
pub struct OpenLink<'a> {
    /// The other sandbox.
    pub netns: BorrowedFd<'a>,
    /// Its place on the network.
    pub endpoint: &'a Endpoint,
    /// Its ports that may be reached.
    pub ports: Vec<(Protocol, u16)>,
}

/// A sandbox's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network.
    pub network: NetworkId,
    /// The network's name, as it was told.
    #[serde(default)]
    pub network_name: String,
    /// 64 random hexadecimal digits, new for every endpoint.
    pub endpoint_id: String,
    /// The host's end of the veth pair, a port of the bridge; none with macvlan and ipvlan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_interface: Option<String>,
    /// The sandbox's end, `eth0`.
    pub interface: String,
    /// Its address with the prefix length of its subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<IpNet>,
    /// The same in IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<IpNet>,
    /// Its way out, whether the sandbox's default route is this one or not; none on an internal network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ipv4: Option<Ipv4Addr>,
    /// The same in IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ipv6: Option<Ipv6Addr>,
    /// Further addresses that were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link_local: Vec<IpAddr>,
    /// Its hardware address.
    pub mac: Mac,
    /// Which endpoint has the default route: the highest, see [`Attachment::gateway`].
    #[serde(default)]
    pub gateway_priority: i32,
}

impl Endpoint {
    /// Its IPv4 address.
    pub fn address_ipv4(&self) -> Option<Ipv4Addr> {
        match self.ipv4?.address() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }

    /// Its IPv6 address.
    pub fn address_ipv6(&self) -> Option<Ipv6Addr> {
        match self.ipv6?.address() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        }
    }
}

impl Endpoint {
    /// Its addresses of both families.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpNet> {
        self.ipv4.into_iter().chain(self.ipv6)
    }
}

impl Attachment {
    /// A sandbox that is on no network.
    pub fn nowhere(id: ContainerId) -> Self {
        Self { id, endpoints: Vec::new(), ports: Vec::new(), late_ports: Vec::new() }
    }

    /// The place on a network.
    pub fn endpoint(&self, network: &NetworkId) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.network == *network)
    }

    /// Whether any of its places has an address of a family.
    pub(crate) fn has_address(&self, ipv4: bool) -> bool {
        let has = |endpoint: &Endpoint| if ipv4 { endpoint.ipv4.is_some() } else { endpoint.ipv6.is_some() };
        self.endpoints.iter().any(has)
    }

    /// The place with the default route of a family: of those with a gateway, that of the highest
    /// priority, of equals that of the network with the least name. Published ports lead there.
    pub fn gateway(&self, ipv4: bool) -> Option<&Endpoint> {
        let has_gateway = |endpoint: &&Endpoint| match ipv4 {
            true => endpoint.ipv4.is_some() && endpoint.gateway_ipv4.is_some(),
            false => endpoint.ipv6.is_some() && endpoint.gateway_ipv6.is_some(),
        };
        self.endpoints
            .iter()
            .filter(has_gateway)
            .min_by_key(|endpoint| (Reverse(endpoint.gateway_priority), &endpoint.network_name))
    }
}

/// A way to a published port where no rule can lead: in the family that its sandbox has no address of, and in IPv6 from
/// addresses of one link (fe80::/64) and, where br_netfilter is on, from ::1. Somebody has to take connections and datagrams at
/// the socket and pass them on.
#[derive(Debug)]
pub struct Relay {
    /// The port.
    pub port: PublishedPort,
    /// Where it leads to, in whichever family the sandbox has.
    pub target: SocketAddr,
    /// Its socket on the host; it listens if the protocol is TCP, and is non-blocking.
    pub socket: OwnedFd,
}

/// The sockets of the embedded name server, bound in the sandbox to 127.0.0.11. What the sandbox sends
/// to port 53 of that address reaches them; its own port 53 stays free.
#[derive(Debug)]
pub struct DnsSockets {
    /// For datagrams; non-blocking.
    pub udp: UdpSocket,
    /// For connections; listening and non-blocking.
    pub tcp: TcpListener,
}

/// A new attachment with the descriptors that keep it alive.
#[derive(Debug)]
pub struct Attached {
    /// The network namespace; it lives as long as this descriptor or a process in it.
    pub netns: OwnedFd,
    /// Sockets bound to the host's side of the published ports, but for those that need a [`Relay`]: whoever holds them
    /// keeps the ports reserved. They never carry traffic.
    pub held: Vec<OwnedFd>,
    /// What to store and to hand back to [`Networks::detach`](crate::Networks::detach).
    pub attachment: Attachment,
    /// The name server's sockets, if they were asked for.
    pub dns: Option<DnsSockets>,
}

impl PublishedPort {
    /// Whether this and another published port would be one; an unspecified address is every one of its
    /// family.
    pub(crate) fn clashes(&self, address: IpAddr, protocol: Protocol, port: u16) -> bool {
        let any = self.host_address.is_unspecified() || address.is_unspecified();
        self.protocol == protocol
            && self.host_port == port
            && self.host_address.is_ipv4() == address.is_ipv4()
            && (any || self.host_address == address)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

impl Protocol {
    /// The number that IP headers carry (IANA protocol numbers).
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}
