//! A container's networks, its names in them, and its ports.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Origin, fields::Fields, host::shared};
use crate::{
    model::{Service, ServiceNetwork},
    plan::{PlanError, names},
};

/// How a container is on the net.
#[derive(Debug, Default)]
pub(super) struct Networking {
    /// `NetworkMode`
    pub(super) mode: String,
    /// `EndpointsConfig`
    pub(super) endpoints: Map<String, Value>,
    /// `CONTAINER:ALIAS`
    pub(super) links: Vec<String>,
}

/// The driver's option with the name of a container's interface.
const INTERFACE: &str = "com.docker.network.endpoint.ifname";

/// The networks of a container with this name; `aliases` says whether the service's names lead to it.
pub(super) fn of(
    origin: Origin<'_>,
    service: &Service,
    container: &str,
    aliases: bool,
) -> Result<Networking, PlanError> {
    let links = links(origin, service);
    if !service.network_mode.is_empty() {
        let mode = shared(origin, service, "network_mode", &service.network_mode)?;
        return Ok(Networking { mode, links, ..Networking::default() });
    }
    let keys = by_priority(service);
    let mut networking = Networking { mode: "none".to_owned(), links, ..Networking::default() };
    for (at, key) in keys.into_iter().enumerate() {
        let network = origin.project.networks.get(key).ok_or_else(|| {
            PlanError::attribute(&service.name, format!("networks.{key}"), "the project has no such network")
        })?;
        let settings = service.networks.get(key).and_then(Option::as_ref);
        let endpoint = endpoint(service, container, settings, aliases, at == 0, &networking.links)?;
        if at == 0 {
            networking.mode.clone_from(&network.name);
        }
        networking.endpoints.insert(network.name.clone(), endpoint);
    }
    Ok(networking)
}

/// The keys of a service's networks: the highest priority first, then by name.
pub(crate) fn by_priority(service: &Service) -> Vec<&str> {
    let priority = |network: &Option<ServiceNetwork>| network.as_ref().map_or(0, |network| network.priority);
    let mut keys: Vec<_> =
        service.networks.iter().map(|(key, network)| (-priority(network), key.as_str())).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, key)| key).collect()
}

fn endpoint(
    service: &Service,
    container: &str,
    settings: Option<&ServiceNetwork>,
    aliases: bool,
    is_first: bool,
    links: &[String],
) -> Result<Value, PlanError> {
    let none = ServiceNetwork::default();
    let settings = settings.unwrap_or(&none);
    let mut names = vec![container.to_owned()];
    if aliases {
        names.push(service.name.clone());
        names.extend(settings.aliases.iter().cloned());
    }
    let mut mac = &settings.mac_address;
    if is_first && !service.mac_address.is_empty() {
        if !mac.is_empty() && *mac != service.mac_address {
            let problem = "the service-level mac_address should have the same value as its first network's";
            return Err(PlanError::attribute(&service.name, "mac_address", problem));
        }
        mac = &service.mac_address;
    }
    let mut options = settings.driver_opts.clone();
    if !settings.interface_name.is_empty() {
        options.entry(INTERFACE.to_owned()).or_insert_with(|| settings.interface_name.clone());
    }
    let mut addresses = Fields::default();
    addresses.set("IPv4Address", &settings.ipv4_address);
    addresses.set("IPv6Address", &settings.ipv6_address);
    addresses.set("LinkLocalIPs", &settings.link_local_ips);
    let mut fields = Fields::default();
    fields.set("Aliases", names);
    fields.set("Links", links);
    fields.set("IPAMConfig", Value::from(addresses));
    fields.set("MacAddress", mac);
    fields.set("DriverOpts", options);
    fields.set("GwPriority", settings.gw_priority);
    Ok(fields.into())
}

/// Each container of a linked service under the alias, the service's name and number, and its own name.
fn links(Origin { project, .. }: Origin<'_>, service: &Service) -> Vec<String> {
    let mut links = Vec::new();
    for link in &service.links {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        let Some(linked) = project.services.get(name) else { continue };
        for (at, container) in names::containers(project, linked).iter().enumerate() {
            let number = at + 1;
            links.push(format!("{container}:{alias}"));
            links.push(format!("{container}:{name}-{number}"));
            links.push(format!("{container}:{}-{name}-{number}", project.name));
        }
    }
    for link in &service.external_links {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        links.push(format!("{name}:{alias}"));
    }
    links
}

/// `ExposedPorts`: those that are published, and those that the file exposes.
pub(super) fn exposed(service: &Service) -> Result<BTreeMap<String, Value>, PlanError> {
    let published =
        service.ports.iter().map(|port| (format!("{}/{}", port.target, protocol(&port.protocol)), json!({})));
    let mut ports: BTreeMap<String, Value> = published.collect();
    for entry in &service.expose {
        let (range, protocol) = entry.split_once('/').unwrap_or((entry, "tcp"));
        let invalid =
            || PlanError::attribute(&service.name, "expose", format!("{entry:?} is no port and no range"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<u16>().map_err(|_| invalid());
        for port in number(first)?..=number(last)? {
            ports.insert(format!("{port}/{protocol}"), json!({}));
        }
    }
    Ok(ports)
}

/// `PortBindings`
pub(super) fn bindings(service: &Service) -> Result<BTreeMap<String, Vec<Value>>, PlanError> {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for port in &service.ports {
        if port.target == 0 || port.target > u32::from(u16::MAX) {
            let problem = format!("{} is no port", port.target);
            return Err(PlanError::attribute(&service.name, "ports", problem));
        }
        let key = format!("{}/{}", port.target, protocol(&port.protocol));
        let binding = json!({"HostIp": port.host_ip, "HostPort": port.published});
        bindings.entry(key).or_default().push(binding);
    }
    Ok(bindings)
}

fn protocol(protocol: &str) -> &str {
    if protocol.is_empty() { "tcp" } else { protocol }
}
