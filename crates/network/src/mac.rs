//! An Ethernet hardware address, `02:42:ac:11:00:02`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// The six bytes of an Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// A string that is not an address an interface may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address for one interface: want six hexadecimal bytes, as in 02:42:ac:11:00:02")]
pub struct MacError(pub String);

impl Mac {
    /// The locally administered address that belongs to `address`: `02:42` and its last four bytes.
    ///
    /// Tying the two means that an address used again keeps its hardware address, so no
    /// neighbour's ARP cache is ever wrong about it.
    pub fn of_address(address: IpAddr) -> Self {
        let [a, b, c, d] = match address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(address) => {
                let [.., a, b, c, d] = address.octets();
                [a, b, c, d]
            }
        };
        Self([0x02, 0x42, a, b, c, d])
    }

    /// The address of these bytes, which a kernel gave.
    pub(crate) fn from_octets(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// A locally administered address made of an id's first eight digits.
    pub(crate) fn of_id(id: &str) -> Self {
        let bits = id.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(1);
        let [a, b, c, d] = bits.to_be_bytes();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// The link-local address that an interface with this hardware address gives itself (RFC 4291,
    /// appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }

    /// The six bytes in the order they are written.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let error = || MacError(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(error)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        // The lowest bit of the first byte marks a group; the kernel refuses those and all zeros.
        if parts.next().is_some() || bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(error());
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_hardware_address() {
        let mac = Mac::of_address("172.17.0.2".parse().unwrap());
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!(mac.link_local().to_string(), "fe80::42:acff:fe11:2");
        assert_eq!(Mac::of_address("fd00::2".parse().unwrap()).to_string(), "02:42:00:00:00:02");
        assert_eq!("02-42-AC-11-00-02".parse(), Ok(mac));
    }

    #[test]
    fn groups_zeros_and_other_strings_are_refused() {
        for text in [
            "",
            "01:00:00:00:00:01",
            "00:00:00:00:00:00",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "+2:42:ac:11:00:02x",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}
