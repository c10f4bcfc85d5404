//! What one container sees of the names: its networks in order, its links, and who knows the rest.

use std::{net::SocketAddr, os::fd::OwnedFd, sync::Arc};

use crate::NetworkKey;

/// What one container (or all that share its network namespace) sees.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Its networks. Where several have a name, the first one answers. Docker's order: the endpoint's priority, then
    /// networks that have a gateway, then the network's name.
    pub networks: Vec<Membership>,
    /// Who is asked for names that its networks don't have.
    pub upstreams: Upstreams,
    /// Whether name servers may be asked from the host's namespace. No for a container that has internal networks
    /// only: it then reaches what `--dns` servers it has by itself, if at all, and gets SERVFAIL else.
    pub forwards: bool,
    /// Whether words without a dot are never asked for elsewhere. Docker answers such a question for an address itself,
    /// with "no data", when the user chose `ndots` above 0, so that the resolver in the container goes on with its search
    /// domains; by default it asks.
    pub keeps_single_words: bool,
}

/// One of a container's networks.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The network.
    pub network: NetworkKey,
    /// The network's name: `web.NAME` means `web` in this network alone.
    pub name: String,
    /// What this container calls others in this network (`--link`).
    pub links: Vec<Link>,
}

impl Membership {
    /// A network without links.
    pub fn new(network: NetworkKey, name: impl Into<String>) -> Self {
        Self { network, name: name.into(), links: Vec::new() }
    }
}

/// A name that one container alone gives to another. It is followed each time that it is asked for, so it survives a
/// restart of the other container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// How this container calls it.
    pub alias: String,
    /// A name that the other one has in the network.
    pub target: String,
}

/// Who is asked for names that no network has.
#[derive(Debug, Clone, Default)]
pub enum Upstreams {
    /// Those of the host's resolv.conf as it is at that time, from the host's namespace.
    #[default]
    Host,
    /// These (`--dns`). No more than the first three, as in glibc and Docker.
    Own(Vec<Upstream>),
}

/// A name server.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its address and port.
    pub address: SocketAddr,
    /// Where it is asked from.
    pub origin: Origin,
}

/// The network namespace that a name server is asked from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The engine's.
    Host,
    /// The container's. The descriptor keeps the namespace alive as long as the view is used.
    Namespace(Arc<OwnedFd>),
}
