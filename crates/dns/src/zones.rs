//! The names of all networks. Cheap to read: every query does, and only connecting and disconnecting writes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

pub(crate) use table::{Found, Table};

use crate::{EndpointKey, NetworkKey};

mod table;

/// The names of all networks of an engine. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Zones(Arc<RwLock<Table>>);

/// One container in one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// What it is called in the network. The first one is what its addresses are called in turn (PTR). Several endpoints
    /// may share a name, which is then answered with all of their addresses, each time beginning with another one.
    /// Names that no query can carry (words above 63 bytes, 253 in all) are left out.
    pub names: Vec<String>,
    /// Its IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
}

impl Endpoint {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.map(IpAddr::V4).into_iter().chain(self.ipv6.map(IpAddr::V6))
    }
}

impl Zones {
    /// No networks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an endpoint known in a network, in place of what was known under this key before.
    pub fn insert(&self, network: &NetworkKey, key: EndpointKey, endpoint: Endpoint) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(network, key, endpoint);
    }

    /// Forgets an endpoint. Nothing happens when it isn't known.
    pub fn remove(&self, key: &EndpointKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Whether no endpoint is known.
    pub fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
