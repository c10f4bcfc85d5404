//! Which address a sandbox gets. Pure, and flat in the number of addresses in use.
//!
//! Addresses are given out in order, each after the one before, and from the start again at the
//! end. An address that was just released is the last to be used again, so that neither a
//! neighbour's cache nor a client's retry reaches a stranger.

use std::{collections::HashSet, net::Ipv4Addr};

use crate::{AttachError, Ipv4Net};

/// The addresses of one subnet.
#[derive(Debug)]
pub(crate) struct Allocator {
    subnet: Ipv4Net,
    gateway: Ipv4Addr,
    used: HashSet<u32>,
    /// Where the search begins: just behind what was given out last.
    next: u32,
}

impl Allocator {
    /// The subnet with all free but its own, the broadcast and the gateway's address.
    pub(crate) fn new(subnet: Ipv4Net, gateway: Ipv4Addr) -> Self {
        let subnet = subnet.subnet();
        Self { subnet, gateway, used: HashSet::new(), next: subnet.first().to_bits() }
    }

    /// The next free address.
    ///
    /// # Errors
    /// [`AttachError::NoAddress`] when all are in use.
    pub(crate) fn allocate(&mut self) -> Result<Ipv4Addr, AttachError> {
        let usable = self.subnet.size().saturating_sub(3);
        if self.used.len() as u64 >= usable {
            return Err(AttachError::NoAddress(self.subnet));
        }
        let (first, last) = (self.subnet.first().to_bits(), self.subnet.last().to_bits());
        let mut candidate = self.next;
        loop {
            candidate = if candidate >= last { first } else { candidate + 1 };
            let address = Ipv4Addr::from_bits(candidate);
            if !self.is_reserved(address) && self.used.insert(candidate) {
                self.next = candidate;
                return Ok(address);
            }
        }
    }

    /// Exactly this address.
    ///
    /// # Errors
    /// [`AttachError::Address`] when it is used, reserved or not of this subnet.
    pub(crate) fn claim(&mut self, address: Ipv4Addr) -> Result<(), AttachError> {
        let refused = |reason| Err(AttachError::Address { address, reason, subnet: self.subnet });
        if !self.subnet.contains(address) {
            return refused("is outside of the subnet");
        }
        if self.is_reserved(address) {
            return refused("is reserved");
        }
        if !self.used.insert(address.to_bits()) {
            return refused("is in use");
        }
        Ok(())
    }

    /// Claims what is in use since before this engine, and goes on behind it.
    pub(crate) fn adopt(&mut self, address: Ipv4Addr) {
        if self.claim(address).is_ok() {
            self.next = self.next.max(address.to_bits());
        }
    }

    /// Gives an address back; one that isn't used is no error.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.used.remove(&address.to_bits());
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        [self.subnet.first(), self.subnet.last(), self.gateway].contains(&address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocator(subnet: &str) -> Allocator {
        let bridge: Ipv4Net = subnet.parse().unwrap();
        Allocator::new(bridge, bridge.address())
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_come_in_order_behind_the_gateway() {
        let mut pool = allocator("172.17.0.1/16");
        assert_eq!(pool.allocate().unwrap(), ip("172.17.0.2"));
        assert_eq!(pool.allocate().unwrap(), ip("172.17.0.3"));
    }

    #[test]
    fn a_released_address_is_the_last_to_be_used_again() {
        let mut pool = allocator("10.0.0.1/29");
        let first = pool.allocate().unwrap();
        pool.release(first);
        let rest: Vec<_> = (0..5).map(|_| pool.allocate().unwrap()).collect();
        assert_eq!(rest, ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"].map(ip));
        assert!(matches!(pool.allocate(), Err(AttachError::NoAddress(_))));
    }

    #[test]
    fn the_smallest_bridge_has_one_address() {
        let mut pool = allocator("10.0.0.2/30");
        assert_eq!(pool.allocate().unwrap(), ip("10.0.0.1"));
        assert!(pool.allocate().is_err());
    }

    #[test]
    fn a_chosen_address_must_be_free_and_of_the_subnet() {
        let mut pool = allocator("10.0.0.1/24");
        pool.claim(ip("10.0.0.9")).unwrap();
        for (address, reason) in [
            ("10.0.0.9", "in use"),
            ("10.0.0.1", "reserved"),
            ("10.0.0.255", "reserved"),
            ("10.0.1.1", "outside"),
        ] {
            let error = pool.claim(ip(address)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_lived_before_a_restart_keeps_its_address() {
        let mut pool = allocator("10.0.0.1/24");
        pool.adopt(ip("10.0.0.7"));
        pool.adopt(ip("10.0.0.3"));
        assert_eq!(pool.allocate().unwrap(), ip("10.0.0.8"));
    }
}
