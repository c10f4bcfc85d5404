//! The options of Docker's bridge driver, `com.docker.network.bridge.*`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

use super::{OptionError, bad, boolean, interface_name, mtu};

/// How a bridge network and the outside reach each other, in one family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// Out with the host's address, in by published ports.
    #[default]
    Nat,
    /// As `nat`, and other hosts may also reach every port of a container at its own address.
    NatUnprotected,
    /// Out with the containers' own addresses, in at these addresses to published ports.
    Routed,
    /// The bridge has no address in the host: for internal networks only.
    Isolated,
}

/// What a bridge network may be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BridgeOptions {
    /// The bridge's interface; chosen when absent. One that somebody else made is used and left.
    pub name: Option<String>,
    /// The MTU in bytes; the engine's default when absent.
    pub mtu: Option<u32>,
    /// Whether containers on it reach each other.
    pub icc: bool,
    /// Whether containers leave with the host's address.
    pub masquerade: bool,
    /// The host's address to publish on when none is named.
    pub host_binding_ipv4: Option<Ipv4Addr>,
    /// The same in IPv6.
    pub host_binding_ipv6: Option<Ipv6Addr>,
    /// The source address to leave with instead of the outgoing interface's.
    pub host_ipv4: Option<Ipv4Addr>,
    /// The same in IPv6.
    pub host_ipv6: Option<Ipv6Addr>,
    /// How IPv4 reaches the outside.
    pub gateway_mode_ipv4: GatewayMode,
    /// How IPv6 reaches the outside.
    pub gateway_mode_ipv6: GatewayMode,
    /// The bridge gets no IPv4 address.
    pub inhibit_ipv4: bool,
    /// What names of interfaces in containers begin with; `eth` when absent.
    pub container_iface_prefix: Option<String>,
    /// Interfaces of other hosts by which containers may be reached directly.
    pub trusted_host_interfaces: Vec<String>,
    /// Whether it is the engine's default network.
    pub default_bridge: bool,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self {
            name: None,
            mtu: None,
            icc: true,
            masquerade: true,
            host_binding_ipv4: None,
            host_binding_ipv6: None,
            host_ipv4: None,
            host_ipv6: None,
            gateway_mode_ipv4: GatewayMode::Nat,
            gateway_mode_ipv6: GatewayMode::Nat,
            inhibit_ipv4: false,
            container_iface_prefix: None,
            trusted_host_interfaces: Vec::new(),
            default_bridge: false,
        }
    }
}

impl BridgeOptions {
    /// Docker's options. What isn't the bridge driver's is ignored.
    ///
    /// # Errors
    /// [`OptionError`].
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        let mut parsed = Self::default();
        for (key, value) in options {
            parsed.set(key, value)?;
        }
        Ok(parsed)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        match key.strip_prefix("com.docker.network.").unwrap_or_default() {
            "bridge.name" => self.name = interface_name(key, value)?,
            "bridge.enable_icc" => self.icc = boolean(key, value)?,
            "bridge.enable_ip_masquerade" => self.masquerade = boolean(key, value)?,
            "bridge.inhibit_ipv4" => self.inhibit_ipv4 = boolean(key, value)?,
            "bridge.gateway_mode_ipv4" => self.gateway_mode_ipv4 = gateway_mode(key, value)?,
            "bridge.gateway_mode_ipv6" => self.gateway_mode_ipv6 = gateway_mode(key, value)?,
            "bridge.trusted_host_interfaces" => {
                let names = value.split(':').filter(|name| !name.is_empty());
                self.trusted_host_interfaces = names
                    .filter_map(|name| interface_name(key, name).transpose())
                    .collect::<Result<_, _>>()?;
            }
            "bridge.host_binding_ipv4" | "bridge.host_binding_ip" => match address(key, value)? {
                Some(IpAddr::V4(address)) => self.host_binding_ipv4 = Some(address),
                Some(IpAddr::V6(address)) if key.ends_with("_ip") => self.host_binding_ipv6 = Some(address),
                Some(IpAddr::V6(_)) => return Err(bad(key, value, "want an IPv4 address")),
                None => self.host_binding_ipv4 = None,
            },
            "bridge.host_binding_ipv6" => match address(key, value)? {
                Some(IpAddr::V4(_)) => return Err(bad(key, value, "want an IPv6 address")),
                Some(IpAddr::V6(address)) => self.host_binding_ipv6 = Some(address),
                None => self.host_binding_ipv6 = None,
            },
            "host_ipv4" => match address(key, value)? {
                Some(IpAddr::V6(_)) => return Err(bad(key, value, "want an IPv4 address")),
                Some(IpAddr::V4(address)) => self.host_ipv4 = Some(address),
                None => self.host_ipv4 = None,
            },
            "host_ipv6" => match address(key, value)? {
                Some(IpAddr::V4(_)) => return Err(bad(key, value, "want an IPv6 address")),
                Some(IpAddr::V6(address)) => self.host_ipv6 = Some(address),
                None => self.host_ipv6 = None,
            },
            "driver.mtu" => self.mtu = mtu(key, value)?,
            "container_iface_prefix" | "container_interface_prefix" => {
                // Digits follow it.
                self.container_iface_prefix = interface_name(key, value)?;
                if value.len() > 12 {
                    return Err(bad(key, value, "want at most 12 characters"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The mode of a family.
    pub fn gateway_mode(&self, ipv4: bool) -> GatewayMode {
        if ipv4 { self.gateway_mode_ipv4 } else { self.gateway_mode_ipv6 }
    }
}

fn gateway_mode(option: &str, value: &str) -> Result<GatewayMode, OptionError> {
    match value {
        "" | "nat" => Ok(GatewayMode::Nat),
        "nat-unprotected" => Ok(GatewayMode::NatUnprotected),
        "routed" => Ok(GatewayMode::Routed),
        "isolated" => Ok(GatewayMode::Isolated),
        _ => Err(bad(option, value, "want nat, nat-unprotected, routed or isolated")),
    }
}

fn address(option: &str, value: &str) -> Result<Option<IpAddr>, OptionError> {
    match value {
        "" => Ok(None),
        _ => value.parse().map(Some).map_err(|_| bad(option, value, "want an IP address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<BridgeOptions, OptionError> {
        BridgeOptions::parse(&options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn docker_s_options_are_understood() {
        let options = parse(&[
            ("com.docker.network.bridge.name", "br0"),
            ("com.docker.network.bridge.enable_icc", "false"),
            ("com.docker.network.bridge.gateway_mode_ipv6", "routed"),
            ("com.docker.network.bridge.host_binding_ipv4", "192.0.2.1"),
            ("com.docker.network.driver.mtu", "1400"),
            ("com.docker.network.container_iface_prefix", "net"),
            ("com.example.other", "x"),
        ])
        .unwrap();
        assert_eq!((options.name.as_deref(), options.icc, options.mtu), (Some("br0"), false, Some(1400)));
        assert_eq!(options.gateway_mode_ipv6, GatewayMode::Routed);
        assert_eq!(options.host_binding_ipv4, Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(options.container_iface_prefix.as_deref(), Some("net"));
        assert!(options.masquerade);
    }

    #[test]
    fn values_that_can_t_be_are_named() {
        for (option, value) in [
            ("com.docker.network.bridge.name", "a/b"),
            ("com.docker.network.bridge.name", "sixteen-chars-xx"),
            ("com.docker.network.bridge.enable_icc", "maybe"),
            ("com.docker.network.bridge.gateway_mode_ipv4", "magic"),
            ("com.docker.network.bridge.host_binding_ipv4", "::1"),
            ("com.docker.network.driver.mtu", "-1"),
            ("com.docker.network.driver.mtu", "67"),
        ] {
            let error = parse(&[(option, value)]).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains(value), "{error}");
        }
    }
}
