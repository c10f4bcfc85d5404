//! Which networks and endpoints there are, and which addresses they have. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use minke_model::{ContainerId, NetworkId};

use crate::{AttachError, Endpoint, EndpointRequest, IpNet, NetworkSpec, allocator::Allocator, naming};

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Book {
    networks: BTreeMap<NetworkId, Known>,
    /// What is attached, by endpoint id.
    live: BTreeMap<String, Living>,
}

#[derive(Debug)]
struct Known {
    spec: Arc<NetworkSpec>,
    ipv4: Option<Allocator>,
    ipv6: Option<Allocator>,
}

/// An endpoint and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Living {
    pub(super) container: ContainerId,
    pub(super) endpoint: Endpoint,
}

/// The addresses of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Addresses {
    pub(super) ipv4: Option<IpNet>,
    pub(super) ipv6: Option<IpNet>,
}

impl Book {
    pub(super) fn spec(&self, id: &NetworkId) -> Option<Arc<NetworkSpec>> {
        self.networks.get(id).map(|known| Arc::clone(&known.spec))
    }

    pub(super) fn specs(&self) -> impl Iterator<Item = Arc<NetworkSpec>> {
        self.networks.values().map(|known| Arc::clone(&known.spec))
    }

    /// Knows a network, or knows it as something else than before, with no address in use.
    pub(super) fn put(&mut self, spec: NetworkSpec) {
        let id = spec.id.clone();
        let allocator = |pool: &Option<crate::Pool>| pool.as_ref().map(Allocator::new);
        let (ipv4, ipv6) = (allocator(&spec.ipv4), allocator(&spec.ipv6));
        self.networks.insert(id, Known { spec: Arc::new(spec), ipv4, ipv6 });
    }

    pub(super) fn forget(&mut self, id: &NetworkId) -> Option<Arc<NetworkSpec>> {
        self.networks.remove(id).map(|known| known.spec)
    }

    /// The subnets of all networks but one.
    pub(super) fn subnets_beside(&self, id: &NetworkId) -> Vec<IpNet> {
        let others = self.networks.values().filter(|known| known.spec.id != *id);
        others.flat_map(|known| known.spec.pools().map(|pool| pool.subnet).collect::<Vec<_>>()).collect()
    }

    pub(super) fn is_used(&self) -> bool {
        !self.live.is_empty()
    }

    /// Whose endpoints are on a network.
    pub(super) fn containers_on(&self, id: &NetworkId) -> Vec<ContainerId> {
        let on = self.live.values().filter(|living| living.endpoint.network == *id);
        on.map(|living| living.container.clone()).collect()
    }

    pub(super) fn living(&self) -> impl Iterator<Item = &Living> {
        self.live.values()
    }

    /// The networks that have endpoints.
    pub(super) fn used_networks(&self) -> BTreeSet<NetworkId> {
        self.live.values().map(|living| living.endpoint.network.clone()).collect()
    }

    /// Starts from what lives since before this engine.
    pub(super) fn adopt(&mut self, living: impl Iterator<Item = Living>) {
        self.live.clear();
        let specs: Vec<NetworkSpec> = self.specs().map(|spec| (*spec).clone()).collect();
        for spec in specs {
            self.put(spec);
        }
        for living in living {
            if let Some(known) = self.networks.get_mut(&living.endpoint.network) {
                for net in living.endpoint.addresses() {
                    if let Some(pool) = known.pool(net.address()) {
                        pool.adopt(net.address());
                    }
                }
            }
            self.live.insert(living.endpoint.endpoint_id.clone(), living);
        }
    }

    /// Addresses for an endpoint: those that were asked for, else the next ones.
    ///
    /// # Errors
    /// When they can't be had; none is taken then.
    pub(super) fn take_addresses(&mut self, wish: &EndpointRequest) -> Result<Addresses, AttachError> {
        let known = self.networks.get_mut(&wish.network);
        let known = known.ok_or_else(|| AttachError::NoNetwork(wish.network.clone()))?;
        let ipv4 = take(known.ipv4.as_mut(), wish.ipv4.map(IpAddr::V4), "IPv4")?;
        let ipv6 = match take(known.ipv6.as_mut(), wish.ipv6.map(IpAddr::V6), "IPv6") {
            Ok(ipv6) => ipv6,
            Err(error) => {
                if let (Some(pool), Some(address)) = (known.ipv4.as_mut(), ipv4) {
                    pool.release(address);
                }
                return Err(error);
            }
        };
        let net = |pool: &Option<crate::Pool>, address: Option<IpAddr>| {
            Some(IpNet::new(address?, pool.as_ref()?.subnet.prefix_len()))
        };
        Ok(Addresses { ipv4: net(&known.spec.ipv4, ipv4), ipv6: net(&known.spec.ipv6, ipv6) })
    }

    /// Gives addresses back that no endpoint had yet.
    pub(super) fn release(&mut self, network: &NetworkId, addresses: Addresses) {
        let Some(known) = self.networks.get_mut(network) else { return };
        for net in addresses.ipv4.into_iter().chain(addresses.ipv6) {
            if let Some(pool) = known.pool(net.address()) {
                pool.release(net.address());
            }
        }
    }

    pub(super) fn enter(&mut self, container: ContainerId, endpoint: Endpoint) {
        self.live.insert(endpoint.endpoint_id.clone(), Living { container, endpoint });
    }

    /// Endpoints leave and free their addresses. Only the one that has an address may free it: it may be
    /// another's by now.
    pub(super) fn leave(&mut self, endpoints: &[Endpoint]) {
        for endpoint in endpoints {
            if self.live.remove(&endpoint.endpoint_id).is_some() {
                let addresses = Addresses { ipv4: endpoint.ipv4, ipv6: endpoint.ipv6 };
                self.release(&endpoint.network, addresses);
            }
        }
    }

    /// An id whose first digits, of which the interface's name is made, no living endpoint has.
    pub(super) fn free_id<E>(&self, mut random: impl FnMut() -> Result<String, E>) -> Result<String, E> {
        loop {
            let id = random()?;
            let name = &id[..id.len().min(naming::ENDPOINT_DIGITS)];
            let next = self.live.range(name.to_owned()..).next();
            if next.is_none_or(|(other, _)| !other.starts_with(name)) {
                return Ok(id);
            }
        }
    }
}

impl Known {
    fn pool(&mut self, address: IpAddr) -> Option<&mut Allocator> {
        if address.is_ipv4() { self.ipv4.as_mut() } else { self.ipv6.as_mut() }
    }
}

fn take(
    pool: Option<&mut Allocator>,
    asked: Option<IpAddr>,
    family: &str,
) -> Result<Option<IpAddr>, AttachError> {
    match (pool, asked) {
        (Some(pool), Some(address)) => pool.claim(address).map(|()| Some(address)),
        (Some(pool), None) => pool.allocate().map(Some),
        (None, Some(address)) => {
            Err(AttachError::Endpoint(format!("address {address} can't be had: the network has no {family}")))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_whose_interface_another_has_is_passed_over() {
        let mut book = Book::default();
        let endpoint = Endpoint {
            network: NetworkId::from_random([2; 32]),
            network_name: String::new(),
            endpoint_id: "0123456fff".to_owned(),
            host_interface: Some("minkeve0123456".to_owned()),
            interface: "eth0".to_owned(),
            ipv4: None,
            ipv6: None,
            gateway_ipv4: None,
            gateway_ipv6: None,
            link_local: Vec::new(),
            mac: crate::Mac::of_id("00000001"),
            gateway_priority: 0,
        };
        book.enter(ContainerId::from_random([1; 32]), endpoint);
        let mut ids = ["0123456000", "0123456fff", "0123457000"].map(str::to_owned).into_iter();
        assert_eq!(book.free_id(|| ids.next().ok_or(())).as_deref(), Ok("0123457000"));
    }
}
