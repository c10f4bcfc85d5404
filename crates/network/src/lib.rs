//! The bridge network of one host: addresses from a pool, a veth per sandbox, published ports as
//! elements of nftables maps.
//!
//! Synchronous; async callers use a blocking thread. The engine is the caller: it opens
//! [`Networks`] once, attaches every sandbox that wants the default bridge, and hands the returned
//! descriptors to the supervisor.
//!
//! ```text
//!  LAN ──▶ eth0 ─▶ prerouting: dnat by map ─▶ forward: only what was published ─▶ bridge ─▶ veth ═ eth0
//!  host ─────────▶ output:     dnat by map ────────────────────────────────────▶ bridge ─▶ veth ═ eth0
//!  container ═ veth ─▶ bridge ─▶ forward ─▶ postrouting: masquerade ─▶ eth0 ─▶ LAN
//! ```
//!
//! | file | its question |
//! |---|---|
//! | `networks` | what do attach, detach, restore and close do, in which order? |
//! | `pool`, `allocator` | which subnet, which address? (pure) |
//! | `ports` | is the host port free, and who holds it? |
//! | `bridge`, `sandbox` | which links, addresses and routes exist? |
//! | `firewall` | which table, chains, sets and elements exist? |
//! | `foreign` | who else filters here, and would drop our packets? |
//! | `state` | what must an engine remember while its bridge exists? |
//! | `files` | what do /etc/hosts, /etc/hostname and /etc/resolv.conf of a container say? (pure) |

#![forbid(unsafe_code)]

mod allocator;
mod attachment;
mod bridge;
mod config;
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
mod sandbox;
mod spec;
mod state;
mod subnet;
mod sysctl;

pub use attachment::{
    AttachRequest, Attached, Attachment, DnsSockets, Endpoint, EndpointRequest, PortRequest, Protocol,
    PublishedPort,
};
pub use config::NetworkConfig;
pub use error::{
    AttachError, CloseError, CreateError, DetachError, Failures, OpenError, PortError, RemoveError, RestoreError,
};
pub use mac::{Mac, MacError};
pub use net::{IpNet, IpNetError};
pub use networks::Networks;
pub use sandbox::loopback_only;
pub use spec::{
    BridgeOptions, Driver, GatewayMode, IpvlanMode, IpvlanOptions, MacvlanMode, MacvlanOptions, NetworkRequest,
    NetworkSpec, OptionError, Pool, PoolRequest,
};
pub use subnet::{Ipv4Net, Ipv4NetError};
