//! Which address a sandbox gets. Pure, and flat in the number of addresses in use.
//!
//! It is the lowest that is free, as Docker's users count on: the first container of a network has the second
//! address, whatever was there before. The hardware address follows from it ([`crate::Mac::of_address`]), so that no
//! neighbour's cache is wrong afterwards.

use std::{collections::HashSet, net::IpAddr};

use crate::{AttachError, IpNet, Pool};

/// The addresses of one pool, by their place in its subnet.
#[derive(Debug)]
pub(crate) struct Allocator {
    subnet: IpNet,
    /// Those that nobody gets: the subnet's own, IPv4's broadcast address, the gateway's and others'.
    reserved: HashSet<u128>,
    used: HashSet<u128>,
    /// What is given out unasked.
    first: u128,
    last: u128,
    /// None below it is free.
    lowest: u128,
}

impl Allocator {
    /// The pool with nothing used.
    pub(crate) fn new(pool: &Pool) -> Self {
        let subnet = pool.subnet;
        let place = |address: IpAddr| subnet.place(address);
        let range = pool.range.unwrap_or(subnet);
        let (first, last) = (place(range.first()).unwrap_or(0), place(range.last()).unwrap_or(0));
        let taken = pool.gateway.iter().chain(pool.auxiliary.values());
        let mut reserved: HashSet<u128> = taken.filter_map(|address| place(*address)).collect();
        // A subnet of two addresses or one has no room for addresses of its own (RFC 3021, RFC 6164).
        if subnet.host_bits() > 1 {
            reserved.insert(0);
            if subnet.is_ipv4() {
                reserved.insert(subnet.last_place());
            }
        }
        Self { subnet, reserved, used: HashSet::new(), first, last, lowest: first }
    }

    /// What its addresses are of.
    pub(crate) fn subnet(&self) -> IpNet {
        self.subnet
    }

    /// The lowest free address.
    ///
    /// # Errors
    /// [`AttachError::NoAddress`] when all are in use.
    pub(crate) fn allocate(&mut self) -> Result<IpAddr, AttachError> {
        while self.lowest <= self.last {
            let candidate = self.lowest;
            self.lowest += 1;
            if !self.reserved.contains(&candidate) && self.used.insert(candidate) {
                return self.subnet.nth(candidate).ok_or(AttachError::NoAddress(self.subnet));
            }
        }
        Err(AttachError::NoAddress(self.subnet))
    }

    /// Exactly this address.
    ///
    /// # Errors
    /// [`AttachError::Address`] when it is used, reserved or not of this subnet.
    pub(crate) fn claim(&mut self, address: IpAddr) -> Result<(), AttachError> {
        let refused = |reason| Err(AttachError::Address { address, reason, subnet: self.subnet });
        let Some(place) = self.subnet.place(address) else { return refused("is outside of the subnet") };
        if self.reserved.contains(&place) {
            return refused("is reserved");
        }
        if !self.used.insert(place) {
            return refused("is in use");
        }
        Ok(())
    }

    /// Gives an address back; one that isn't used is no error.
    pub(crate) fn release(&mut self, address: IpAddr) {
        if let Some(place) = self.subnet.place(address) {
            self.used.remove(&place);
            if place >= self.first {
                self.lowest = self.lowest.min(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn allocator(bridge: &str, range: Option<&str>) -> Allocator {
        let bridge: IpNet = bridge.parse().unwrap();
        Allocator::new(&Pool {
            subnet: bridge.subnet(),
            range: range.map(|range| range.parse().unwrap()),
            gateway: Some(bridge.address()),
            auxiliary: BTreeMap::new(),
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_come_in_order_behind_the_gateway() {
        for (bridge, addresses) in
            [("172.17.0.1/16", ["172.17.0.2", "172.17.0.3"]), ("fd00::1/64", ["fd00::2", "fd00::3"])]
        {
            let mut pool = allocator(bridge, None);
            assert_eq!(addresses.map(ip), [pool.allocate().unwrap(), pool.allocate().unwrap()]);
        }
    }

    #[test]
    fn the_lowest_free_address_is_the_next() {
        let mut pool = allocator("10.0.0.1/29", None);
        let first = pool.allocate().unwrap();
        pool.allocate().unwrap();
        pool.release(first);
        let rest: Vec<_> = (0..4).map(|_| pool.allocate().unwrap()).collect();
        assert_eq!(rest, ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"].map(ip));
        assert!(matches!(pool.allocate(), Err(AttachError::NoAddress(_))));
    }

    #[test]
    fn the_smallest_bridge_has_one_address() {
        for (bridge, address) in
            [("10.0.0.2/30", "10.0.0.1"), ("10.0.0.2/31", "10.0.0.3"), ("fd00::2/127", "fd00::3")]
        {
            let mut pool = allocator(bridge, None);
            assert_eq!(pool.allocate().unwrap(), ip(address));
            assert!(pool.allocate().is_err());
        }
        assert!(allocator("10.0.0.2/32", None).allocate().is_err());
    }

    #[test]
    fn a_range_is_kept_to_but_for_chosen_addresses() {
        let mut pool = allocator("10.0.0.1/24", Some("10.0.0.128/31"));
        pool.claim(ip("10.0.0.9")).unwrap();
        let addresses = [pool.allocate().unwrap(), pool.allocate().unwrap()];
        assert_eq!(addresses, ["10.0.0.128", "10.0.0.129"].map(ip));
        assert!(pool.allocate().is_err());
    }

    #[test]
    fn a_chosen_address_must_be_free_and_of_the_subnet() {
        let mut pool = allocator("10.0.0.1/24", None);
        pool.claim(ip("10.0.0.9")).unwrap();
        for (address, reason) in [
            ("10.0.0.9", "in use"),
            ("10.0.0.1", "reserved"),
            ("10.0.0.255", "reserved"),
            ("10.0.1.1", "outside"),
            ("fd00::1", "outside"),
        ] {
            let error = pool.claim(ip(address)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_lived_before_a_restart_keeps_its_address() {
        let mut pool = allocator("10.0.0.1/24", None);
        for address in ["10.0.0.2", "10.0.0.4"] {
            pool.claim(ip(address)).unwrap();
        }
        assert_eq!([pool.allocate(), pool.allocate()].map(Result::unwrap), ["10.0.0.3", "10.0.0.5"].map(ip));
    }
}
