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
    /// One for each of its pools, in their order.
    allocators: Vec<Allocator>,
    /// Whose endpoints are on it, by their ids.
    members: BTreeMap<String, ContainerId>,
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
        let allocators = spec.pools().map(Allocator::new).collect();
        self.networks.insert(id, Known { spec: Arc::new(spec), allocators, members: BTreeMap::new() });
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

    /// Whether an endpoint is attached.
    pub(super) fn has(&self, endpoint_id: &str) -> bool {
        self.live.contains_key(endpoint_id)
    }

    /// Whose endpoints are on a network.
    pub(super) fn containers_on(&self, id: &NetworkId) -> Vec<ContainerId> {
        self.networks.get(id).map(|known| known.members.values().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn living(&self) -> impl Iterator<Item = &Living> {
        self.live.values()
    }

    /// The networks that have endpoints.
    pub(super) fn used_networks(&self) -> BTreeSet<NetworkId> {
        let used = self.networks.iter().filter(|(_, known)| !known.members.is_empty());
        used.map(|(id, _)| id.clone()).collect()
    }

    /// Starts from what lives since before this engine.
    pub(super) fn adopt(&mut self, living: impl Iterator<Item = Living>) {
        self.live.clear();
        let specs: Vec<NetworkSpec> = self.specs().map(|spec| (*spec).clone()).collect();
        for spec in specs {
            self.put(spec);
        }
        for Living { container, endpoint } in living {
            if let Some(known) = self.networks.get_mut(&endpoint.network) {
                for net in endpoint.addresses() {
                    // One that the pool doesn't have was given out by an engine that was set up otherwise.
                    let _ = known.pool_with(net.address()).map(|pool| pool.claim(net.address()));
                }
            }
            self.enter(container, endpoint);
        }
    }

    /// Addresses for an endpoint: those that were asked for, else the next ones.
    ///
    /// # Errors
    /// When they can't be had; none is taken then.
    pub(super) fn take_addresses(&mut self, wish: &EndpointRequest) -> Result<Addresses, AttachError> {
        let known = self.networks.get_mut(&wish.network);
        let known = known.ok_or_else(|| AttachError::NoNetwork(wish.network.clone()))?;
        let ipv4 = known.take(true, wish.ipv4.map(IpAddr::V4))?;
        let ipv6 = match wish.has_ipv6.then(|| known.take(false, wish.ipv6.map(IpAddr::V6))).transpose() {
            Ok(ipv6) => ipv6.flatten(),
            Err(error) => {
                known.release(ipv4);
                return Err(error);
            }
        };
        Ok(Addresses { ipv4, ipv6 })
    }

    /// Gives addresses back that no endpoint had yet.
    pub(super) fn release(&mut self, network: &NetworkId, addresses: Addresses) {
        let Some(known) = self.networks.get_mut(network) else { return };
        known.release(addresses.ipv4);
        known.release(addresses.ipv6);
    }

    pub(super) fn enter(&mut self, container: ContainerId, endpoint: Endpoint) {
        if let Some(known) = self.networks.get_mut(&endpoint.network) {
            known.members.insert(endpoint.endpoint_id.clone(), container.clone());
        }
        self.live.insert(endpoint.endpoint_id.clone(), Living { container, endpoint });
    }

    /// Endpoints leave and free their addresses. Only the one that has an address may free it: it may be
    /// another's by now.
    pub(super) fn leave(&mut self, endpoints: &[Endpoint]) {
        for endpoint in endpoints {
            if self.live.remove(&endpoint.endpoint_id).is_some() {
                if let Some(known) = self.networks.get_mut(&endpoint.network) {
                    known.members.remove(&endpoint.endpoint_id);
                }
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
    /// The pool that an address is of.
    fn pool_with(&mut self, address: IpAddr) -> Option<&mut Allocator> {
        self.allocators.iter_mut().find(|pool| pool.subnet().contains(address))
    }

    fn release(&mut self, net: Option<IpNet>) {
        let Some(address) = net.map(IpNet::address) else { return };
        if let Some(pool) = self.pool_with(address) {
            pool.release(address);
        }
    }

    /// The address that was asked for, else the next one of the first pool of this family that has any.
    fn take(&mut self, ipv4: bool, asked: Option<IpAddr>) -> Result<Option<IpNet>, AttachError> {
        let mut full = None;
        for pool in self.allocators.iter_mut().filter(|pool| pool.subnet().is_ipv4() == ipv4) {
            let taken = match asked {
                Some(address) => pool.claim(address).map(|()| address),
                None => pool.allocate(),
            };
            match taken {
                Ok(address) => return Ok(Some(IpNet::new(address, pool.subnet().prefix_len()))),
                // What is of this very subnet is of no other.
                Err(error) if asked.is_some_and(|address| pool.subnet().contains(address)) => {
                    return Err(error);
                }
                Err(error) => full = Some(full.unwrap_or(error)),
            }
        }
        match (full, asked) {
            (Some(error), _) => Err(error),
            (None, Some(address)) => Err(AttachError::Endpoint(format!(
                "address {address} can't be had: the network has no {}",
                if ipv4 { "IPv4" } else { "IPv6" }
            ))),
            (None, None) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Driver, MacvlanOptions, Pool};

    #[test]
    fn a_full_pool_is_followed_by_the_next_one_and_a_chosen_address_finds_its_own() {
        let pool = |subnet: &str, gateway: &str| Pool {
            subnet: subnet.parse().unwrap(),
            range: None,
            gateway: gateway.parse().ok(),
            auxiliary: BTreeMap::new(),
        };
        let id = NetworkId::from_random([3; 32]);
        let mut book = Book::default();
        book.put(NetworkSpec {
            id: id.clone(),
            driver: Driver::Macvlan(MacvlanOptions::default()),
            internal: false,
            ipv4: Some(pool("10.0.0.0/30", "10.0.0.1")),
            ipv6: None,
            further: vec![pool("10.0.1.0/24", "10.0.1.1")],
        });
        let wish = EndpointRequest::new(id.clone(), "lan");
        let mut take = |asked: Option<&str>| {
            let ipv4 = asked.map(|address| address.parse().unwrap());
            let taken = book.take_addresses(&EndpointRequest { ipv4, ..wish.clone() });
            taken.map(|addresses| addresses.ipv4.unwrap().to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(take(None).unwrap(), "10.0.0.2/30");
        assert_eq!(take(None).unwrap(), "10.0.1.2/24");
        assert_eq!(take(Some("10.0.1.9")).unwrap(), "10.0.1.9/24");
        assert!(take(Some("10.0.1.9")).unwrap_err().contains("is in use"));
        assert!(take(Some("10.0.0.1")).unwrap_err().contains("is reserved"));
        assert!(take(Some("10.9.0.1")).unwrap_err().contains("outside"));
        book.release(&id, Addresses { ipv4: "10.0.0.2/30".parse().ok(), ipv6: None });
        assert_eq!(book.take_addresses(&wish).unwrap().ipv4.unwrap().to_string(), "10.0.0.2/30");
    }

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
