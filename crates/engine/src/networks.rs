//! The calls about networks. There are Docker's three predefined ones; making others is work to come.

use bollard_stubs::models::{EndpointResource, Ipam, IpamConfig, NetworkInspect};
use minke_model::NetworkId;

use crate::{Engine, Error, Filters, container::Phase, engine::Inner, time_text};

/// Name and driver of every network.
const PREDEFINED: [(&str, &str); 3] = [("bridge", "bridge"), ("host", "host"), ("none", "null")];

impl Engine {
    /// The networks that match: `name`, `id`, `driver`, `scope`, `type`, `label`, `dangling`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for an unknown filter.
    pub async fn network_list(&self, filters: &Filters) -> Result<Vec<NetworkInspect>, Error> {
        filters.expect(&["dangling", "driver", "id", "label", "label!", "name", "scope", "type"])?;
        let dangling = filters.boolean("dangling")?;
        let inner = self.inner();
        let matches = |(name, driver): &&(&str, &str)| {
            filters.any("name", |part| name.contains(part))
                && filters.any("id", |prefix| inner.network_id(name).starts_with(prefix))
                && filters.any("driver", |wanted| wanted == *driver)
                && filters.any("scope", |scope| scope == "local")
                && filters.any("type", |kind| kind == "builtin")
                && filters.labels(|_| None)
                // The predefined ones are never left over.
                && dangling != Some(true)
        };
        Ok(PREDEFINED
            .iter()
            .filter(matches)
            .map(|(name, driver)| inner.network(name, driver, false))
            .collect())
    }

    /// A network with the containers on it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub async fn network_inspect(&self, name: &str) -> Result<NetworkInspect, Error> {
        let inner = self.inner();
        let known = PREDEFINED.iter().find(|(known, _)| *known == name);
        let by_id = || {
            let prefix = name.len() >= 4;
            PREDEFINED.iter().find(|(known, _)| prefix && inner.network_id(known).starts_with(name))
        };
        match known.or_else(by_id) {
            Some((name, driver)) => Ok(inner.network(name, driver, true)),
            None => Err(Error::not_found(format!("network {name} not found"))),
        }
    }
}

impl Inner {
    /// The id of a predefined network: made of this engine's own and the name, so that it stays.
    pub(crate) fn network_id(&self, name: &str) -> String {
        if !PREDEFINED.iter().any(|(known, _)| *known == name) {
            return String::new();
        }
        let seed = format!("{}-{name}", self.id);
        // FNV-1a four times over: an id only has to differ, nobody relies on it being hard to guess.
        let hash = |salt: u64| {
            seed.bytes()
                .fold(0xcbf2_9ce4_8422_2325 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15), |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                })
        };
        (1..=4).map(|salt| format!("{:016x}", hash(salt))).collect()
    }

    /// The id of the default network, `bridge`.
    pub(crate) fn default_network(&self) -> Option<NetworkId> {
        self.network_id("bridge").parse().ok()
    }

    fn network(&self, name: &str, driver: &str, containers: bool) -> NetworkInspect {
        let mut network = NetworkInspect {
            name: Some(name.to_owned()),
            id: Some(self.network_id(name)),
            created: Some(time_text::NEVER.to_owned()),
            scope: Some("local".to_owned()),
            driver: Some(driver.to_owned()),
            enable_ipv4: Some(true),
            enable_ipv6: Some(false),
            ipam: Some(Ipam { driver: Some("default".to_owned()), options: None, config: Some(Vec::new()) }),
            internal: Some(false),
            attachable: Some(false),
            ingress: Some(false),
            config_from: Some(bollard_stubs::models::ConfigReference { network: Some(String::new()) }),
            config_only: Some(false),
            containers: Some(std::collections::HashMap::new()),
            options: Some(std::collections::HashMap::new()),
            labels: Some(std::collections::HashMap::new()),
            ..NetworkInspect::default()
        };
        if name == "bridge" {
            let spec = self.default_network().and_then(|id| self.networks.spec(&id));
            let Some((spec, bridge)) = spec.as_ref().and_then(|spec| Some((spec, spec.bridge()?))) else {
                return network;
            };
            let config = spec.pools().map(|pool| IpamConfig {
                subnet: Some(pool.subnet.to_string()),
                gateway: pool.gateway.map(|gateway| gateway.to_string()),
                ..IpamConfig::default()
            });
            network.ipam =
                Some(Ipam { driver: Some("default".to_owned()), options: None, config: Some(config.collect()) });
            let options = [
                ("com.docker.network.bridge.default_bridge", "true".to_owned()),
                ("com.docker.network.bridge.enable_icc", "true".to_owned()),
                ("com.docker.network.bridge.enable_ip_masquerade", "true".to_owned()),
                ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0".to_owned()),
                ("com.docker.network.bridge.name", bridge.name.clone().unwrap_or_default()),
                ("com.docker.network.driver.mtu", bridge.mtu.unwrap_or_default().to_string()),
            ];
            network.options = Some(options.map(|(key, value)| (key.to_owned(), value)).into());
        }
        if containers {
            network.containers = Some(self.endpoints_of(name));
        }
        network
    }

    fn endpoints_of(&self, network: &str) -> std::collections::HashMap<String, EndpointResource> {
        let mut endpoints = std::collections::HashMap::new();
        for container in self.containers() {
            let (record, run) = (container.record(), container.run());
            if record.host.network_mode.as_deref() != Some(network)
                || run.phase == Phase::Created
                || !run.phase.is_alive()
            {
                continue;
            }
            let mut endpoint =
                EndpointResource { name: Some(record.name.clone()), ..EndpointResource::default() };
            let attachment = run.attachment.as_ref();
            if let Some(place) = attachment.and_then(|attachment| attachment.endpoints.first()) {
                endpoint.endpoint_id = Some(place.endpoint_id.clone());
                endpoint.mac_address = Some(place.mac.to_string());
                endpoint.ipv4_address = Some(place.ipv4.map(|net| net.to_string()).unwrap_or_default());
                endpoint.ipv6_address = Some(place.ipv6.map(|net| net.to_string()).unwrap_or_default());
            }
            endpoints.insert(record.id.to_string(), endpoint);
        }
        endpoints
    }
}
