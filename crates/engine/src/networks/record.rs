//! What the engine remembers about a network, in engine.db; and how the API shows it.

use std::collections::BTreeMap;

use bollard_stubs::models::{ConfigReference, Ipam, IpamConfig, NetworkInspect};
use minke_model::NetworkId;
use minke_network::{GatewayMode, NetworkSpec, Pool};
use serde::{Deserialize, Serialize};

/// The version that this engine writes.
pub(crate) const VERSION: u32 = 1;

/// A network in engine.db.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NetworkRecord {
    /// [`VERSION`]; a newer one is refused.
    pub(crate) version: u32,
    pub(crate) id: NetworkId,
    pub(crate) name: String,
    /// RFC 3339.
    pub(crate) created: String,
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) enable_ipv4: bool,
    #[serde(default)]
    pub(crate) enable_ipv6: bool,
    #[serde(default)]
    pub(crate) attachable: bool,
    /// Where its configuration is from, `--config-from`.
    #[serde(default)]
    pub(crate) config_from: String,
    /// The address management that was asked for.
    #[serde(default)]
    pub(crate) ipam: Ipam,
    /// The driver's options, as they were given.
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// What is behind a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Interfaces in the kernel.
    Made(Box<NetworkSpec>),
    /// The host's own network.
    Host,
    /// No network at all.
    None,
    /// A configuration for others, `--config-only`.
    Config {
        /// The driver's name that was asked for.
        driver: String,
    },
}

/// The names of networks that are always there, and of modes that look like one: nobody may make or remove them.
pub(crate) fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none" | "default") || name.starts_with("container:")
}

impl NetworkRecord {
    /// Whether containers on it have names, aliases and chosen addresses.
    pub(crate) fn is_user_defined(&self) -> bool {
        !is_predefined(&self.name)
    }

    /// What is in the kernel.
    pub(crate) fn spec(&self) -> Option<&NetworkSpec> {
        match &self.kind {
            Kind::Made(spec) => Some(spec),
            _ => None,
        }
    }

    pub(crate) fn is_config(&self) -> bool {
        matches!(self.kind, Kind::Config { .. })
    }

    /// The driver's name.
    pub(crate) fn driver(&self) -> &'static str {
        match &self.kind {
            Kind::Made(spec) => spec.driver.name(),
            Kind::Host => "host",
            Kind::None | Kind::Config { .. } => "null",
        }
    }

    pub(crate) fn internal(&self) -> bool {
        self.spec().is_some_and(|spec| spec.internal)
    }

    /// Whether something of a container on it gets out of the host.
    pub(crate) fn has_a_way_out(&self) -> bool {
        let isolated = |spec: &NetworkSpec| {
            let families = [(true, spec.ipv4.is_some()), (false, spec.ipv6.is_some())];
            spec.bridge().is_some_and(|bridge| {
                let is_isolated = |ipv4| bridge.gateway_mode(ipv4) == GatewayMode::Isolated;
                families.iter().all(|(ipv4, has)| !has || is_isolated(*ipv4))
            })
        };
        !self.internal() && !self.spec().is_some_and(isolated)
    }

    /// As `inspect` shows it, without its containers. `spec` is what it is in the kernel at present.
    pub(crate) fn shown(&self, spec: Option<&NetworkSpec>) -> NetworkInspect {
        NetworkInspect {
            name: Some(self.name.clone()),
            id: Some(self.id.to_string()),
            created: Some(self.created.clone()),
            scope: Some("local".to_owned()),
            driver: Some(self.driver().to_owned()),
            enable_ipv4: Some(self.enable_ipv4),
            enable_ipv6: Some(self.enable_ipv6),
            ipam: Some(self.shown_ipam(spec)),
            internal: Some(self.internal()),
            attachable: Some(self.attachable),
            ingress: Some(false),
            config_from: Some(ConfigReference { network: Some(self.config_from.clone()) }),
            config_only: Some(self.is_config()),
            options: Some(self.options.clone().into_iter().collect()),
            labels: Some(self.labels.clone().into_iter().collect()),
            ..NetworkInspect::default()
        }
    }

    /// The subnets that it has, or those that were asked for where nothing is made of them.
    fn shown_ipam(&self, spec: Option<&NetworkSpec>) -> Ipam {
        let config = match spec {
            Some(spec) => Some(spec.pools().map(shown_pool).collect()),
            None => self.ipam.config.clone().filter(|config| !config.is_empty()),
        };
        Ipam {
            driver: Some(self.ipam.driver.clone().unwrap_or_else(|| "default".to_owned())),
            config,
            options: self.ipam.options.clone(),
        }
    }
}

fn shown_pool(pool: &Pool) -> IpamConfig {
    let auxiliary = pool.auxiliary.iter().map(|(name, address)| (name.clone(), address.to_string()));
    IpamConfig {
        subnet: Some(pool.subnet.to_string()),
        ip_range: pool.range.map(|range| range.to_string()),
        gateway: pool.gateway.map(|gateway| gateway.to_string()),
        auxiliary_addresses: (!pool.auxiliary.is_empty()).then(|| auxiliary.collect()),
    }
}
