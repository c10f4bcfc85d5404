//! The networks of one host: pools of addresses, bridges and what is on top of other interfaces, a veth per
//! place, published ports and all else that filters as elements of nftables sets and maps.
//!
//! Synchronous; async callers use a blocking thread. The engine is the caller: it opens
//! [`Networks`] once, tells it the networks that it has stored, attaches every sandbox that wants a network
//! of its own, and hands the returned descriptors to the supervisor.
//!
//! ```text
//!  LAN ──▶ eth0 ─▶ prerouting: dnat by map ─▶ forward: only what was published ─▶ bridge ─▶ veth ═ eth0
//!  host ─────────▶ output:     dnat by map ────────────────────────────────────▶ bridge ─▶ veth ═ eth0
//!  container ═ veth ─▶ guard: own addresses only ─▶ bridge ─▶ forward ─▶ postrouting: masquerade ─▶ LAN
//! ```
//!
//! | file | its question |
//! |---|---|
//! | `spec`, `attachment`, `config` | what is a network, what a sandbox's place on it, what can be asked? |
//! | `networks` | what do create, attach, connect, detach, restore and close do, in which order? |
//! | `pool`, `allocator`, `net` | which subnet, which address? (pure) |
//! | `publish` | where do published ports lead? (pure) |
//! | `ports` | is the host port free, and who holds it? |
//! | `bridge`, `vlan`, `sandbox` | which links, addresses and routes exist? |
//! | `firewall` | which tables, chains, sets and elements exist? |
//! | `foreign` | who else filters here, and would drop our packets? |
//! | `dns` | how does port 53 of 127.0.0.11 reach the engine's name server? |
//! | `state` | what must an engine remember while its bridges exist? |
//! | `files` | what do /etc/hosts, /etc/hostname and /etc/resolv.conf of a container say? (pure) |

#![forbid(unsafe_code)]

mod allocator;
mod attachment;
mod bridge;
mod config;
mod dns;
mod error;
pub mod files;
mod firewall;
mod foreign;
mod mac;
mod naming;
mod net;
mod networks;
mod pool;
mod ports;
mod publish;
mod ready;
mod sandbox;
mod spec;
mod state;
mod sysctl;
mod vlan;

pub use attachment::{
    AttachRequest, Attached, Attachment, DnsSockets, Endpoint, EndpointRequest, OpenLink, PortRequest,
    Protocol, PublishedPort, Relay,
};
pub use config::{AddressPool, NetworkConfig};
pub use error::{
    AttachError, CloseError, CreateError, DetachError, Failures, OpenError, PortError, RemoveError,
    RestoreError,
};
pub use mac::{Mac, MacError};
pub use net::{IpNet, IpNetError};
pub use networks::Networks;
pub use ports::has_sctp;
pub use sandbox::loopback_only;
pub use spec::{
    BridgeOptions, Driver, GatewayMode, IpvlanMode, IpvlanOptions, MacvlanMode, MacvlanOptions,
    NetworkRequest, NetworkSpec, OptionError, Pool, PoolRequest,
};
