//! What a network is: its driver, its options, its pools. Pure, and what the engine stores.
//!
//! A [`NetworkRequest`] is what a user asks for; [`Networks::create`](crate::Networks::create) checks
//! and completes it to a [`NetworkSpec`], which says all that must be known to make the network again.

mod bridge;
mod vlan;

use std::{collections::BTreeMap, net::IpAddr};

use minke_model::NetworkId;
use serde::{Deserialize, Serialize};

use crate::IpNet;
pub use bridge::{BridgeOptions, GatewayMode};
pub use vlan::{IpvlanMode, IpvlanOptions, MacvlanMode, MacvlanOptions};

/// The auxiliary address of a bridge network that is the way out of it, where that isn't the bridge: Docker's name.
pub(crate) const GATEWAY_IPV4: &str = "DefaultGatewayIPv4";
/// The same in IPv6.
pub(crate) const GATEWAY_IPV6: &str = "DefaultGatewayIPv6";

/// All that must be known to make a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its id.
    pub id: NetworkId,
    /// How its endpoints are joined.
    pub driver: Driver,
    /// `--internal`: no way out of it and none in, but to the host itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// The pool of IPv4 addresses; without one, the network has no IPv4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Pool>,
    /// The pool of IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Pool>,
    /// Pools of either family that macvlan and ipvlan networks have besides; used when those before are full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Pool>,
}

/// How the endpoints of a network are joined. `host` and `none` are the engine's own affair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the host's, with address translation or routing to the outside.
    Bridge(BridgeOptions),
    /// Interfaces of their own on one of the host's.
    Macvlan(MacvlanOptions),
    /// Interfaces that share the hardware address of one of the host's.
    Ipvlan(IpvlanOptions),
}

/// The addresses of one family. All of its addresses are of that family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The subnet, host bits clear.
    pub subnet: IpNet,
    /// `--ip-range`: addresses that aren't chosen come from this part of the subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<IpNet>,
    /// The gateway. A bridge network's is the bridge itself; an internal macvlan network has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// `--aux-address`: names of addresses that others have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// One family of a network that is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolRequest {
    /// `--subnet`; by default the next free one of the default address pools.
    pub subnet: Option<IpNet>,
    /// `--ip-range`.
    pub range: Option<IpNet>,
    /// `--gateway`; by default the first free address of the range or the subnet.
    pub gateway: Option<IpAddr>,
    /// `--aux-address`.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// A network that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRequest {
    /// The id it is to have.
    pub id: NetworkId,
    /// Its driver with the options as asked, see [`Driver::parse`].
    pub driver: Driver,
    /// `--internal`.
    pub internal: bool,
    /// IPv4, unless `--ipv4=false`.
    pub ipv4: Option<PoolRequest>,
    /// IPv6, with `--ipv6`.
    pub ipv6: Option<PoolRequest>,
    /// Further subnets of a family that it has, all of them named.
    pub further: Vec<PoolRequest>,
}

/// A driver's name or option that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// There is no such driver.
    #[error("could not find a network driver named {0:?}: want bridge, macvlan or ipvlan")]
    Driver(String),
    /// A value that the option can't have.
    #[error("invalid value {value:?} for option {option}: {want}")]
    Value {
        /// The option.
        option: String,
        /// What it was given.
        value: String,
        /// What it takes.
        want: &'static str,
    },
    /// Two options that can't be together.
    #[error("option {0} conflicts with {1}")]
    Conflict(&'static str, &'static str),
}

impl Driver {
    /// The driver of this name (empty: bridge) with Docker's options, `-o key=value`. Options of no
    /// meaning here are kept by the engine and ignored, as Docker ignores them.
    ///
    /// # Errors
    /// [`OptionError`].
    pub fn parse(name: &str, options: &BTreeMap<String, String>) -> Result<Self, OptionError> {
        match name {
            "" | "default" | "bridge" => BridgeOptions::parse(options).map(Self::Bridge),
            "macvlan" => MacvlanOptions::parse(options).map(Self::Macvlan),
            "ipvlan" => IpvlanOptions::parse(options).map(Self::Ipvlan),
            _ => Err(OptionError::Driver(name.chars().take(64).collect())),
        }
    }

    /// The name that Docker gives it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(_) => "ipvlan",
        }
    }
}

impl NetworkSpec {
    /// The bridge's options, if it is a bridge network.
    pub fn bridge(&self) -> Option<&BridgeOptions> {
        match &self.driver {
            Driver::Bridge(options) => Some(options),
            _ => None,
        }
    }

    /// The pools that it has, IPv4 first.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        let further = |ipv4| self.further.iter().filter(move |pool| pool.subnet.is_ipv4() == ipv4);
        self.ipv4.iter().chain(further(true)).chain(&self.ipv6).chain(further(false))
    }

    /// Whether an address of a family is a gateway's where nobody says which: not where nothing leads out by it, as with Docker.
    pub(crate) fn needs_gateway(&self, ipv4: bool) -> bool {
        match &self.driver {
            Driver::Bridge(options) => {
                let has_none = ipv4 && options.inhibit_ipv4 && self.internal;
                options.gateway_mode(ipv4) != GatewayMode::Isolated && !has_none
            }
            // In layer 3 it is none's, but what says that there is a way out.
            Driver::Macvlan(_) | Driver::Ipvlan(_) => !self.internal,
        }
    }

    /// The pool that an address is of.
    pub(crate) fn pool_with(&self, address: IpAddr) -> Option<&Pool> {
        self.pools().find(|pool| pool.subnet.contains(address))
    }
}

/// `true`, `false` and what else Go's ParseBool takes.
fn boolean(option: &str, value: &str) -> Result<bool, OptionError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(option, value, "want true or false")),
    }
}

fn mtu(option: &str, value: &str) -> Result<Option<u32>, OptionError> {
    match value.parse::<u32>() {
        Ok(0) => Ok(None),
        Ok(mtu) if (68..=65_535).contains(&mtu) => Ok(Some(mtu)),
        _ => Err(bad(option, value, "want 68 to 65535 bytes")),
    }
}

/// A name that the kernel takes for an interface (dev_valid_name) and that is no pattern to us.
pub(crate) fn is_interface_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && !matches!(name, "." | ".." | "all" | "default")
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%'))
}

fn interface_name(option: &str, value: &str) -> Result<Option<String>, OptionError> {
    match value {
        "" => Ok(None),
        _ if is_interface_name(value) => Ok(Some(value.to_owned())),
        _ => Err(bad(option, value, "want the name of an interface, at most 15 characters")),
    }
}

fn bad(option: &str, value: &str, want: &'static str) -> OptionError {
    OptionError::Value { option: option.to_owned(), value: value.chars().take(64).collect(), want }
}
