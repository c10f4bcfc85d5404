//! The DNS server that containers of user-defined networks ask at 127.0.0.11.
//!
//! One [`Server`] serves all containers of an engine. The engine opens a UDP and a TCP socket in each container's
//! network namespace and hands them over with a [`View`]: the networks whose names the container sees, and who is asked
//! for all other names. Names themselves are in [`Zones`], one zone for each network.
//!
//! ```text
//!  container ─ 127.0.0.11 ─▶ query ─▶ lookup (View, Zones) ─▶ a name of its networks: the answer
//!                                          │
//!                                          └ no such name ─▶ forward ─▶ the host's name servers, from the host's namespace
//!                                                                   └▶ `--dns` servers, from the container's namespace
//! ```
//!
//! A container that asks nothing costs two sockets and a task; there is no thread, timer or buffer for it.
//! `docs/decisions/0034-a-name-server-for-containers.md` has the reasons.

#![forbid(unsafe_code)]

mod forward;
mod host;
mod key;
mod lookup;
mod name;
mod query;
mod reply;
mod server;
mod view;
mod wire;
mod zones;

pub use host::{HostDns, HostResolvers};
pub use key::{EndpointKey, NetworkKey};
pub use server::{ServeError, Server, Serving, Sockets};
pub use view::{Link, Membership, Origin, Upstream, Upstreams, View};
pub use zones::{Endpoint, Zones};

#[cfg(test)]
mod fuzz;
