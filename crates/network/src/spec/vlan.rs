//! The options of Docker's macvlan and ipvlan drivers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{OptionError, bad, interface_name, mtu};

/// What a macvlan network may be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MacvlanOptions {
    /// The host's interface, `eth0`, or a VLAN of it, `eth0.10`, which is made where it is missing.
    /// Without one, the endpoints see only each other.
    pub parent: Option<String>,
    /// Who reaches whom.
    pub mode: MacvlanMode,
    /// The MTU in bytes; the parent's when absent.
    pub mtu: Option<u32>,
}

/// Who reaches whom on one parent (`macvlan_mode`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Endpoints reach each other.
    #[default]
    Bridge,
    /// They don't.
    Private,
    /// Only by a switch outside that reflects.
    Vepa,
    /// One endpoint has the parent for itself.
    Passthru,
}

/// What an ipvlan network may be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpvlanOptions {
    /// As a macvlan's.
    pub parent: Option<String>,
    /// On which layer packets find their way.
    pub mode: IpvlanMode,
    /// `ipvlan_flag`: `bridge`, `private` or `vepa`.
    pub flag: MacvlanMode,
    /// The MTU in bytes; the parent's when absent.
    pub mtu: Option<u32>,
}

/// On which layer packets find their way (`ipvlan_mode`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// As on a switch.
    #[default]
    L2,
    /// As through a router, without broadcasts.
    L3,
    /// As `l3`, and through the host's netfilter.
    L3s,
}

impl MacvlanOptions {
    pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut parsed = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "parent" => parsed.parent = interface_name(key, value)?,
                "macvlan_mode" => parsed.mode = mode(key, value, true)?,
                "com.docker.network.driver.mtu" => parsed.mtu = mtu(key, value)?,
                _ => {}
            }
        }
        Ok(parsed)
    }
}

impl IpvlanOptions {
    pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut parsed = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "parent" => parsed.parent = interface_name(key, value)?,
                "ipvlan_mode" => {
                    parsed.mode = match value.as_str() {
                        "" | "l2" => IpvlanMode::L2,
                        "l3" => IpvlanMode::L3,
                        "l3s" => IpvlanMode::L3s,
                        _ => return Err(bad(key, value, "want l2, l3 or l3s")),
                    }
                }
                "ipvlan_flag" => parsed.flag = mode(key, value, false)?,
                "com.docker.network.driver.mtu" => parsed.mtu = mtu(key, value)?,
                _ => {}
            }
        }
        Ok(parsed)
    }
}

fn mode(key: &str, value: &str, passthru: bool) -> Result<MacvlanMode, OptionError> {
    match value {
        "" | "bridge" => Ok(MacvlanMode::Bridge),
        "private" => Ok(MacvlanMode::Private),
        "vepa" => Ok(MacvlanMode::Vepa),
        "passthru" if passthru => Ok(MacvlanMode::Passthru),
        _ if passthru => Err(bad(key, value, "want bridge, private, vepa or passthru")),
        _ => Err(bad(key, value, "want bridge, private or vepa")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_parents_are_understood() {
        let options = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let parsed =
            MacvlanOptions::parse(&options(&[("parent", "eth0.10"), ("macvlan_mode", "passthru")])).unwrap();
        assert_eq!((parsed.parent.as_deref(), parsed.mode), (Some("eth0.10"), MacvlanMode::Passthru));
        assert!(MacvlanOptions::parse(&options(&[("macvlan_mode", "l2")])).is_err());
        assert_eq!(IpvlanOptions::parse(&options(&[("ipvlan_mode", "l3s")])).unwrap().mode, IpvlanMode::L3s);
        assert!(IpvlanOptions::parse(&options(&[("ipvlan_flag", "passthru")])).is_err());
    }
}
