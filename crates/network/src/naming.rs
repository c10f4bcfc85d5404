//! How links and the table of one engine are called, so that several engines share a host.

use minke_model::NetworkId;

use crate::OpenError;

/// The kernel's limit for an interface's name (IFNAMSIZ less its NUL).
const INTERFACE_NAME_LEN: usize = 15;
/// How much of an endpoint's id its interface's name carries: 2²⁸ values.
pub(crate) const ENDPOINT_DIGITS: usize = 7;
/// What marks a host's end of a veth pair, after the prefix.
const VETH: &str = "ve";

/// The names that carry an engine's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The default bridge, `<prefix>0`.
    pub(crate) bridge: String,
    /// The nftables table, `<prefix>`.
    pub(crate) table: String,
    /// What the host's ends of veth pairs begin with. Long prefixes are cut short here, so a name
    /// alone doesn't prove whose an interface is: being a port of our bridge does.
    veth: String,
}

impl Names {
    /// # Errors
    /// [`OpenError::Prefix`] when the prefix can't be part of these names.
    pub(crate) fn new(prefix: &str) -> Result<Self, OpenError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if prefix.len() >= INTERFACE_NAME_LEN
            || !prefix.starts_with(|c: char| c.is_ascii_alphabetic())
            || !prefix.chars().all(plain)
        {
            return Err(OpenError::Prefix(prefix.to_owned()));
        }
        let room = INTERFACE_NAME_LEN - ENDPOINT_DIGITS - VETH.len();
        let short = &prefix[..prefix.len().min(room)];
        Ok(Self { bridge: format!("{prefix}0"), table: prefix.to_owned(), veth: format!("{short}{VETH}") })
    }

    /// The bridge of a network that chose no name, as Docker's: `br-` and twelve digits of its id.
    pub(crate) fn network_bridge(id: &NetworkId) -> String {
        format!("br-{}", id.short())
    }

    /// The interface that a macvlan network without a parent is on top of.
    pub(crate) fn network_dummy(id: &NetworkId) -> String {
        format!("dm-{}", id.short())
    }

    /// The host's end of the veth pair of this endpoint.
    pub(crate) fn host_interface(&self, endpoint_id: &str) -> String {
        format!("{}{}", self.veth, &endpoint_id[..endpoint_id.len().min(ENDPOINT_DIGITS)])
    }

    /// Whether a port of our bridge has a name that we gave.
    pub(crate) fn is_host_interface(&self, name: &str) -> bool {
        name.strip_prefix(&self.veth).is_some_and(|rest| {
            rest.len() == ENDPOINT_DIGITS && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_fits_the_kernel_whatever_the_prefix() {
        for prefix in ["m", "minke", "minke-test-123"] {
            let names = Names::new(prefix).unwrap();
            let veth = names.host_interface("0123456789abcdef");
            assert!(names.bridge.len() <= 15 && veth.len() <= 15, "{names:?} {veth}");
            assert!(names.is_host_interface(&veth));
        }
    }

    #[test]
    fn a_prefix_that_would_not_fit_or_not_parse_is_refused() {
        for prefix in ["", "0minke", "minke-test-1234", "a b", "a/b", "größe", "a\0"] {
            assert!(Names::new(prefix).is_err(), "{prefix:?}");
        }
    }

    #[test]
    fn names_of_others_are_not_ours() {
        let names = Names::new("minke").unwrap();
        for name in ["veth0123456", "minkeve012345", "minkeve0123456x", "minkevexyz0000", "minke0"] {
            assert!(!names.is_host_interface(name), "{name}");
        }
    }
}
