//! An IP address with its prefix length, `172.17.0.1/16` or `fd00:1::1/64`.
//!
//! One type serves both readings that Docker's options have: a subnet (`172.17.0.0/16`) and an
//! interface's own address inside it (`--bip 172.17.0.1/16`).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// An address and prefix length of either family. The host bits are kept as they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpNet {
    address: IpAddr,
    prefix_len: u8,
}

/// A string that is not an address with a prefix length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an IP network: want an address, a slash and a prefix length, as in 172.17.0.0/16 or fd00:1::/64"
)]
pub struct IpNetError(pub String);

impl IpNet {
    /// `address/prefix_len`; a longer prefix than the family has counts as its longest.
    pub const fn new(address: IpAddr, prefix_len: u8) -> Self {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix_len: if prefix_len > longest { longest } else { prefix_len } }
    }

    /// The address as it was given, host bits included.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that every address of the subnet shares.
    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// Whether it is of IPv4; else it is of IPv6.
    pub const fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// The same subnet with the host bits cleared.
    pub fn subnet(self) -> Self {
        Self { address: self.first(), prefix_len: self.prefix_len }
    }

    /// The lowest address of the subnet, which names the network itself.
    pub fn first(self) -> IpAddr {
        self.with_bits(bits(self.address) & self.mask())
    }

    /// The highest address of the subnet; in IPv4 its broadcast address.
    pub fn last(self) -> IpAddr {
        self.with_bits(bits(self.address) & self.mask() | self.host_mask())
    }

    /// The address at this place of the subnet, counted from its first; `None` behind its end.
    pub fn nth(self, place: u128) -> Option<IpAddr> {
        (place <= self.host_mask()).then(|| self.with_bits(bits(self.first()) + place))
    }

    /// The place of an address of this subnet.
    pub(crate) fn place(self, address: IpAddr) -> Option<u128> {
        self.contains(address).then(|| bits(address) & self.host_mask())
    }

    /// The place of the subnet's last address: one less than how many it has.
    pub(crate) fn last_place(self) -> u128 {
        self.host_mask()
    }

    /// Whether `address` is in the subnet.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && (bits(address) ^ bits(self.address)) & self.mask() == 0
    }

    /// Whether all of `other` is in this subnet.
    pub fn covers(self, other: Self) -> bool {
        self.prefix_len <= other.prefix_len && self.contains(other.address)
    }

    /// Whether the two subnets share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// How many bits of an address are the host's.
    pub(crate) fn host_bits(self) -> u8 {
        if self.is_ipv4() { 32 - self.prefix_len } else { 128 - self.prefix_len }
    }

    fn host_mask(self) -> u128 {
        1u128.checked_shl(self.host_bits().into()).map_or(u128::MAX, |bit| bit - 1)
    }

    fn mask(self) -> u128 {
        !self.host_mask()
    }

    fn with_bits(self, bits: u128) -> IpAddr {
        match self.address {
            // The upper bits are clear: an IPv4 address has none.
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        }
    }
}

/// An address as a number.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for IpNet {
    type Err = IpNetError;

    fn from_str(text: &str) -> Result<Self, IpNetError> {
        // The longest is an IPv6 address with an IPv4 tail and three digits.
        let error = || IpNetError(text.chars().take(64).collect());
        let (address, prefix_len) = text.split_once('/').ok_or_else(error)?;
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let digits = (1..=3).contains(&prefix_len.len()) && prefix_len.bytes().all(|b| b.is_ascii_digit());
        let prefix_len: u8 = prefix_len.parse().map_err(|_| error())?;
        if !digits || prefix_len > if address.is_ipv4() { 32 } else { 128 } {
            return Err(error());
        }
        Ok(Self { address, prefix_len })
    }
}

impl TryFrom<String> for IpNet {
    type Error = IpNetError;

    fn try_from(text: String) -> Result<Self, IpNetError> {
        text.parse()
    }
}

impl From<IpNet> for String {
    fn from(net: IpNet) -> Self {
        net.to_string()
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_subnet_knows_its_ends() {
        assert_eq!(net("172.17.0.1/16").subnet(), net("172.17.0.0/16"));
        assert_eq!(net("172.17.0.1/16").last().to_string(), "172.17.255.255");
        assert_eq!(net("fd00::1/64").last().to_string(), "fd00::ffff:ffff:ffff:ffff");
        assert_eq!(net("10.0.0.1/32").first(), net("10.0.0.1/32").last());
        assert_eq!(net("::/0").last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(net("10.0.0.0/24").nth(255).map(|a| a.to_string()).as_deref(), Some("10.0.0.255"));
        assert_eq!(net("10.0.0.0/24").nth(256), None);
    }

    #[test]
    fn overlap_is_symmetric_and_families_never_do() {
        for (a, b, overlap) in [
            ("10.0.0.0/8", "10.9.0.0/16", true),
            ("172.17.0.0/16", "172.18.0.0/16", false),
            ("0.0.0.0/0", "192.168.1.0/24", true),
            ("10.0.0.0/24", "10.0.1.0/24", false),
            ("::/0", "fd00::/64", true),
            ("::/0", "10.0.0.0/8", false),
        ] {
            assert_eq!(net(a).overlaps(net(b)), overlap, "{a} {b}");
            assert_eq!(net(b).overlaps(net(a)), overlap, "{b} {a}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
        ] {
            assert!(text.parse::<IpNet>().is_err(), "{text}");
        }
        assert_eq!(net("10.1.2.3/8").to_string(), "10.1.2.3/8");
    }
}
