//! Why a network operation failed: one enum per operation.

use std::{fmt, io, net::IpAddr, path::PathBuf};

pub(crate) use minke_model::chain;
use minke_model::{ContainerId, NetworkId};

use crate::{IpNet, OptionError, Protocol};

/// Why [`Networks::open`](crate::Networks::open) failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The prefix can't name a bridge and a table.
    #[error("name prefix {0:?} is not usable: want 1 to 14 letters, digits, '-' or '_', a letter first")]
    Prefix(String),
    /// The subnet asked for has no room for a bridge and a sandbox.
    #[error("subnet {0} is too small for a bridge: want a prefix of /30 or shorter")]
    SubnetTooSmall(IpNet),
    /// The bridge address asked for is the subnet's own or its broadcast address.
    #[error("{0} is the network's or the broadcast address of its subnet, so the bridge can't have it")]
    BridgeAddress(IpNet),
    /// A default address pool that can't be cut as it says.
    #[error("default address pool {base} can't be cut into networks of /{size}")]
    AddressPool {
        /// The pool.
        base: IpNet,
        /// The prefix length of its networks.
        size: u8,
    },
    /// There is no such bridge for the default network.
    #[error(
        "the default network's bridge {0:?} is not there: make it before the engine starts (ip link add {0} type bridge), or name another (bridge)"
    )]
    NoBridge(String),
    /// What the default network is to be on is no bridge.
    #[error("interface {0:?} is not a bridge: name one for the default network (bridge)")]
    NotABridge(String),
    /// The bridge for the default network could not be looked at.
    #[error("look at bridge {bridge}")]
    Bridge {
        /// The bridge.
        bridge: String,
        /// Why.
        #[source]
        source: minke_netlink::Error,
    },
    /// An option of the default network is of the wrong family.
    #[error("{0} is of the wrong IP family for this option")]
    Family(IpNet),
    /// A default gateway that containers on the default bridge can't reach.
    #[error(
        "default gateway {gateway} is not in the default bridge's subnet: name one that it is in ({option})"
    )]
    Gateway {
        /// The gateway.
        gateway: IpAddr,
        /// What names the subnet.
        option: &'static str,
    },
    /// An MTU that IPv4 doesn't allow (RFC 791).
    #[error("MTU {0} is out of range: want 68 to 65535")]
    Mtu(u32),
    /// What an earlier run left in the state folder could not be read.
    #[error("read {path}", path = .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An address in front of a port.
fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Why a host port could not be had. Trying again helps once its holder is gone.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another sandbox of this engine has it.
    #[error("Bind for {}:{port} failed: port is already allocated", bracketed(address))]
    Allocated {
        /// The host address.
        address: IpAddr,
        /// The host port.
        port: u16,
    },
    /// The host refused it; usually another program has it.
    #[error("failed to bind host port {}:{port}/{protocol}: {reason}{holder}", bracketed(address))]
    Refused {
        /// The host address.
        address: IpAddr,
        /// The host port; 0 when any would have done.
        port: u16,
        /// The protocol.
        protocol: Protocol,
        /// The kernel's reason in Docker's words.
        reason: String,
        /// ` (held by nginx, process 4711)` when that could be found out, else nothing.
        holder: String,
    },
    /// Every port of the range is taken.
    #[error("no free host port in {}:{first}-{last}/{protocol}", bracketed(address))]
    RangeExhausted {
        /// The host address.
        address: IpAddr,
        /// The first port of the range.
        first: u16,
        /// The last port of the range.
        last: u16,
        /// The protocol.
        protocol: Protocol,
    },
    /// The container has no address of this family with a way out.
    #[error("can't publish on {0}: the container has no address of that family on a network with a gateway")]
    NoTarget(IpAddr),
    /// Port 0 names nothing inside a container.
    #[error("container port 0 can't be published")]
    ZeroPort,
}

/// Why [`Networks::attach`](crate::Networks::attach) failed. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A published port could not be had.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The subnet is full.
    #[error("no address is left in {0}")]
    NoAddress(IpNet),
    /// The address asked for is used, reserved or outside of the subnet.
    #[error("address {address} {reason} ({subnet})")]
    Address {
        /// The address.
        address: IpAddr,
        /// `is in use`, `is reserved` or `is outside of the subnet`.
        reason: &'static str,
        /// The subnet.
        subnet: IpNet,
    },
    /// The bridge could not be made.
    #[error("make bridge {bridge}")]
    Bridge {
        /// The bridge.
        bridge: String,
        /// Why.
        #[source]
        source: minke_netlink::Error,
    },
    /// The bridge that somebody else keeps for the default network is gone.
    #[error("bridge {0} is gone: make it again, or name another bridge for the default network (--bridge)")]
    NoBridge(String),
    /// Something that is no bridge has the bridge's name.
    #[error("interface {0} exists and is not a bridge; choose another name or remove it")]
    NotABridge(String),
    /// No pool is free any more.
    #[error("no default address pool is free of the host's own routes; name a subnet (--bip)")]
    NoFreePool,
    /// The firewall table could not be made or changed.
    #[error("change nftables table {table}")]
    Firewall {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: minke_netlink::Error,
    },
    /// A kernel setting could not be changed.
    #[error("set {setting} to {value}: {hint}")]
    Setting {
        /// The file below /proc/sys.
        setting: String,
        /// What it should have been.
        value: &'static str,
        /// What to do about it.
        hint: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state file could not be written.
    #[error("write {path}", path = .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The network namespace could not be made.
    #[error("make a network namespace")]
    Namespace(#[source] io::Error),
    /// The interface could not be put into the namespace.
    #[error("plumb interface {interface} into the sandbox")]
    Plumb {
        /// The host's end.
        interface: String,
        /// Why.
        #[source]
        source: minke_netlink::Error,
    },
    /// The kernel can't make such interfaces.
    #[error("this kernel has no {0} interfaces: load or build its module, or use another network driver")]
    NoDriver(&'static str),
    /// The interface that the network is on top of isn't there.
    #[error("parent interface {0} was not found on the host")]
    NoParent(String),
    /// The container has a place on the network already, or asks for two.
    #[error("endpoint for network {0} exists already in this sandbox")]
    Twice(NetworkId),
    /// An interface name, setting or address that the endpoint can't have.
    #[error("{0}")]
    Endpoint(String),
    /// A setting of the sandbox's interface could not be changed.
    #[error("set {setting} to {value} in the sandbox")]
    Sysctl {
        /// Its file below /proc/sys.
        setting: String,
        /// The value.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No such network was created or adopted.
    #[error("network {0} not found")]
    NoNetwork(NetworkId),
    /// The name server's sockets could not be opened in the sandbox.
    #[error("open the name server's sockets in the sandbox")]
    Dns(#[source] io::Error),
    /// The kernel gave no random bytes.
    #[error("read random bytes")]
    Random(#[source] io::Error),
}

/// Why [`Networks::create`](crate::Networks::create) or `adopt` refused a network. In Docker's words
/// where it has some; all but `Host` are the user's to mend.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// An option can't be.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Another network of this engine has some of the addresses.
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    Overlap,
    /// Several subnets of a family in a network that can have one.
    #[error("bridge driver doesn't support multiple subnets")]
    SeveralSubnets,
    /// Every default pool is used by a network or by the host.
    #[error("all predefined address pools have been fully subnetted")]
    NoFreePool,
    /// A subnet, range, gateway or auxiliary address that doesn't fit the others.
    #[error("invalid network config:\n{0}")]
    Pool(String),
    /// Another network has the bridge's name or the parent.
    #[error("{0}")]
    Conflict(String),
    /// The network has this id already.
    #[error("network with id {0} exists already")]
    Exists(NetworkId),
    /// The host's routes and addresses could not be read.
    #[error("read the host's routes and addresses")]
    Host(#[source] minke_netlink::Error),
    /// Its bridge could not be made.
    #[error(transparent)]
    Device(AttachError),
}

/// Why [`Networks::remove`](crate::Networks::remove) left a network.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// It has endpoints.
    #[error("network {id} has active endpoints")]
    InUse {
        /// The network.
        id: NetworkId,
        /// Whose endpoints they are.
        containers: Vec<ContainerId>,
    },
    /// Its bridge or its rules could not be removed. The network is forgotten.
    #[error("remove network {id}: {failures}")]
    Kernel {
        /// The network.
        id: NetworkId,
        /// What is left and why.
        failures: Failures,
    },
}

/// Several things that went wrong while the rest went on.
#[derive(Debug)]
pub struct Failures(pub Vec<String>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// Some of a sandbox's traces are left. Detaching again is safe and may help.
#[derive(Debug, thiserror::Error)]
#[error("detach {interface}: {failures}")]
pub struct DetachError {
    /// The host's end of the sandbox's veth.
    pub interface: String,
    /// What is left and why.
    pub failures: Failures,
}

/// What an earlier engine left could not all be claimed or removed. The network is usable.
#[derive(Debug, thiserror::Error)]
#[error("restore the network: {failures}")]
pub struct RestoreError {
    /// What failed and why.
    pub failures: Failures,
}

/// Bridge or table could not be removed. Closing again is safe and may help.
#[derive(Debug, thiserror::Error)]
#[error("remove bridge and table {prefix}: {failures}")]
pub struct CloseError {
    /// The name prefix.
    pub prefix: String,
    /// What is left and why.
    pub failures: Failures,
}
