//! An IPv4 address with its prefix length, `172.17.0.1/16`.
//!
//! One type serves both readings that Docker's options have: a subnet (`172.17.0.0/16`) and the
//! bridge's own address inside it (`--bip 172.17.0.1/16`).

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

/// An IPv4 address and prefix length. The host bits are kept as they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Net {
    address: Ipv4Addr,
    prefix_len: u8,
}

/// A string that is not an IPv4 address with a prefix length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 network: want an address, a slash and 0 to 32, as in 172.17.0.0/16")]
pub struct Ipv4NetError(pub String);

impl Ipv4Net {
    /// `address/prefix_len`; a prefix longer than 32 counts as 32.
    pub const fn new(address: Ipv4Addr, prefix_len: u8) -> Self {
        Self { address, prefix_len: if prefix_len > 32 { 32 } else { prefix_len } }
    }

    /// The address as it was given, host bits included.
    pub const fn address(self) -> Ipv4Addr {
        self.address
    }

    /// The number of leading bits that every address of the subnet shares, 0 to 32.
    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The same subnet with the host bits cleared.
    pub fn subnet(self) -> Self {
        Self { address: Ipv4Addr::from_bits(self.first_bits()), prefix_len: self.prefix_len }
    }

    /// The lowest address of the subnet, which names the network itself.
    pub fn first(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first_bits())
    }

    /// The highest address of the subnet, its broadcast address.
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first_bits() | !self.mask())
    }

    /// How many addresses the subnet spans, network and broadcast included.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix_len))
    }

    /// Whether `address` is in the subnet.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.first_bits()
    }

    /// Whether the two subnets share an address.
    pub fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.address.to_bits() & mask == other.address.to_bits() & mask
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0)
    }

    fn first_bits(self) -> u32 {
        self.address.to_bits() & self.mask()
    }
}

impl FromStr for Ipv4Net {
    type Err = Ipv4NetError;

    fn from_str(text: &str) -> Result<Self, Ipv4NetError> {
        let error = || Ipv4NetError(text.to_owned());
        let (address, prefix_len) = text.split_once('/').ok_or_else(error)?;
        let prefix_len: u8 = prefix_len.parse().map_err(|_| error())?;
        if prefix_len > 32 {
            return Err(error());
        }
        Ok(Self { address: address.parse().map_err(|_| error())?, prefix_len })
    }
}

impl TryFrom<String> for Ipv4Net {
    type Error = Ipv4NetError;

    fn try_from(text: String) -> Result<Self, Ipv4NetError> {
        text.parse()
    }
}

impl From<Ipv4Net> for String {
    fn from(net: Ipv4Net) -> Self {
        net.to_string()
    }
}

impl fmt::Display for Ipv4Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_knows_its_ends() {
        let bridge = net("172.17.0.1/16");
        assert_eq!(bridge.subnet(), net("172.17.0.0/16"));
        assert_eq!(bridge.last(), Ipv4Addr::new(172, 17, 255, 255));
        assert_eq!(bridge.size(), 65536);
        assert_eq!(net("0.0.0.0/0").size(), 1 << 32);
        assert_eq!(net("10.0.0.1/32").first(), net("10.0.0.1/32").last());
    }

    #[test]
    fn overlap_is_symmetric_and_sees_the_wider_network() {
        for (a, b, overlap) in [
            ("10.0.0.0/8", "10.9.0.0/16", true),
            ("172.17.0.0/16", "172.18.0.0/16", false),
            ("0.0.0.0/0", "192.168.1.0/24", true),
            ("10.0.0.0/24", "10.0.1.0/24", false),
        ] {
            assert_eq!(net(a).overlaps(net(b)), overlap, "{a} {b}");
            assert_eq!(net(b).overlaps(net(a)), overlap, "{b} {a}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/0", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert!(text.parse::<Ipv4Net>().is_err(), "{text}");
        }
        assert_eq!(net("10.1.2.3/8").to_string(), "10.1.2.3/8");
    }
}
