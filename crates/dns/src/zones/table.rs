//! Endpoints by network, name and address.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::Endpoint;
use crate::{EndpointKey, NetworkKey, name};

/// All networks.
#[derive(Debug, Default)]
pub(crate) struct Table {
    networks: HashMap<NetworkKey, Zone>,
    endpoints: HashMap<EndpointKey, (NetworkKey, Endpoint)>,
}

/// One network.
#[derive(Debug, Default)]
struct Zone {
    names: HashMap<String, Found>,
    /// Whom an address belongs to, in the order they came: two have one only while one of them is leaving.
    owners: HashMap<IpAddr, Vec<(EndpointKey, String)>>,
}

/// The endpoints that share a name.
#[derive(Debug, Default)]
pub(crate) struct Found {
    v4: Rotation<Ipv4Addr>,
    v6: Rotation<Ipv6Addr>,
    /// Endpoints that have the name, with or without an address.
    count: usize,
}

/// Addresses, each time from another one on. Resolvers ask for both families at once, so that each counts for itself.
#[derive(Debug)]
struct Rotation<A> {
    /// Each once, in the order they came.
    addresses: Vec<A>,
    /// How many endpoints have an address.
    owners: HashMap<A, usize>,
    next: AtomicUsize,
}

impl<A> Default for Rotation<A> {
    fn default() -> Self {
        Self { addresses: Vec::new(), owners: HashMap::new(), next: AtomicUsize::new(0) }
    }
}

impl Table {
    pub(super) fn insert(&mut self, network: &NetworkKey, key: EndpointKey, mut endpoint: Endpoint) {
        self.remove(&key);
        endpoint.names = usable(&endpoint.names);
        self.networks.entry(network.clone()).or_default().insert(&key, &endpoint);
        self.endpoints.insert(key, (network.clone(), endpoint));
    }

    pub(super) fn remove(&mut self, key: &EndpointKey) {
        let Some((network, endpoint)) = self.endpoints.remove(key) else { return };
        let Some(zone) = self.networks.get_mut(&network) else { return };
        zone.remove(key, &endpoint);
        if zone.names.is_empty() && zone.owners.is_empty() {
            self.networks.remove(&network);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    #[cfg(test)]
    pub(super) fn networks(&self) -> usize {
        self.networks.len()
    }

    /// Who is called so in a network; the name in the form of [`name`].
    pub(crate) fn find(&self, network: &NetworkKey, name: &str) -> Option<&Found> {
        self.networks.get(network)?.names.get(name)
    }

    /// What an address of a network is called.
    pub(crate) fn name_of(&self, network: &NetworkKey, address: IpAddr) -> Option<&str> {
        let owners = self.networks.get(network)?.owners.get(&address)?;
        owners.first().map(|(_, name)| name.as_str())
    }
}

impl Zone {
    fn insert(&mut self, key: &EndpointKey, endpoint: &Endpoint) {
        for name in &endpoint.names {
            let found = self.names.entry(name.clone()).or_default();
            found.count += 1;
            found.v4.insert(endpoint.ipv4);
            found.v6.insert(endpoint.ipv6);
        }
        if let Some(first) = endpoint.names.first() {
            for address in endpoint.addresses() {
                self.owners.entry(address).or_default().push((key.clone(), first.clone()));
            }
        }
    }

    fn remove(&mut self, key: &EndpointKey, endpoint: &Endpoint) {
        for name in &endpoint.names {
            let Some(found) = self.names.get_mut(name) else { continue };
            found.count -= 1;
            found.v4.remove(endpoint.ipv4);
            found.v6.remove(endpoint.ipv6);
            if found.count == 0 {
                self.names.remove(name);
            }
        }
        for address in endpoint.addresses() {
            let Some(owners) = self.owners.get_mut(&address) else { continue };
            owners.retain(|(owner, _)| owner != key);
            if owners.is_empty() {
                self.owners.remove(&address);
            }
        }
    }
}

impl Found {
    /// Its IPv4 addresses, each once.
    pub(crate) fn ipv4(&self) -> Vec<Ipv4Addr> {
        self.v4.turned()
    }

    /// Its IPv6 addresses, each once.
    pub(crate) fn ipv6(&self) -> Vec<Ipv6Addr> {
        self.v6.turned()
    }
}

impl<A: Copy + Eq + Hash> Rotation<A> {
    fn insert(&mut self, address: Option<A>) {
        let Some(address) = address else { return };
        let owners = self.owners.entry(address).or_default();
        *owners += 1;
        if *owners == 1 {
            self.addresses.push(address);
        }
    }

    fn remove(&mut self, address: Option<A>) {
        let Some((address, owners)) =
            address.and_then(|address| Some((address, self.owners.get_mut(&address)?)))
        else {
            return;
        };
        *owners -= 1;
        if *owners == 0 {
            self.owners.remove(&address);
            self.addresses.retain(|other| *other != address);
        }
    }

    fn turned(&self) -> Vec<A> {
        let count = self.addresses.len();
        let start = if count > 1 { self.next.fetch_add(1, Ordering::Relaxed) % count } else { 0 };
        let (passed, ahead) = self.addresses.split_at(start);
        [ahead, passed].concat()
    }
}

/// Names in the form in which they are looked up, each once.
fn usable(names: &[String]) -> Vec<String> {
    let mut usable = Vec::with_capacity(names.len());
    for name in names.iter().filter_map(|name| name::written(name)) {
        if !usable.contains(&name) {
            usable.push(name);
        }
    }
    usable
}
