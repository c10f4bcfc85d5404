//! Which networks a new container is to be on, and what it asks of each.

use std::collections::BTreeMap;

use bollard_stubs::models::{EndpointSettings, HostConfig, NetworkingConfig};

use super::{Kind, NetworkRecord, NetworkTable, endpoint};
use crate::{Error, spec::modes::NetworkMode};

/// The settings by the networks' names. Without any, the container is on the network of its mode; with some, it is on these
/// alone, as in Docker. A network that is not there yet keeps the name it was given, and is looked for at the start.
///
/// # Errors
/// `InvalidParameter` and `NotImplemented` name the network and what is wrong.
pub(crate) fn wanted(
    table: &NetworkTable,
    mode: &NetworkMode,
    host: &mut HostConfig,
    networking: NetworkingConfig,
) -> Result<BTreeMap<String, EndpointSettings>, Error> {
    let own = match mode {
        NetworkMode::Container(_) => return Ok(BTreeMap::new()),
        NetworkMode::Bridge => "bridge",
        NetworkMode::Host => "host",
        NetworkMode::None => "none",
        NetworkMode::Named(name) => name,
    };
    let name_of = |term: &str| match term {
        "" | "default" => "bridge".to_owned(),
        _ => table.find(term).map_or_else(|_| term.to_owned(), |network| network.name.clone()),
    };
    let mut networks = BTreeMap::new();
    for (term, mut settings) in networking.endpoints_config.into_iter().flatten() {
        let name = name_of(&term);
        if let Some(other) = networks.remove(&name) {
            settings = with_address(settings, other)
                .ok_or_else(|| Error::invalid(format!("network {name:?} is specified multiple times")))?;
        }
        networks.insert(name, settings);
    }
    if networks.is_empty() {
        networks.insert(name_of(own), EndpointSettings::default());
    }
    if let NetworkMode::Named(name) = mode
        && let Some(links) = host.links.take_if(|links| !links.is_empty())
        && let Some(settings) = networks.get_mut(&name_of(name))
    {
        settings.links.get_or_insert_default().extend(links);
    }
    for (name, settings) in &networks {
        let network = table.find(name).ok();
        endpoint::check(name, network.as_deref(), settings).map_err(|error| {
            Error::new(error.kind(), format!("invalid config for network {name}: {error}"))
        })?;
    }
    let found: Vec<_> = networks.keys().filter_map(|name| table.find(name).ok()).collect();
    for (at, network) in found.iter().enumerate() {
        check_together(mode, found[..at].iter().map(AsRef::as_ref), network)?;
    }
    Ok(networks)
}

/// One and the same network's settings, where either is nothing but the hardware address that older clients ask of the container
/// as a whole: their mode may name the network by its id, and the settings by its name.
fn with_address(one: EndpointSettings, other: EndpointSettings) -> Option<EndpointSettings> {
    let has_address =
        |settings: &EndpointSettings| settings.mac_address.as_ref().is_some_and(|mac| !mac.is_empty());
    let is_address = |settings: &EndpointSettings| {
        has_address(settings)
            && EndpointSettings { mac_address: None, ..settings.clone() } == EndpointSettings::default()
    };
    let (address, settings) = match is_address(&one) {
        true => (one, other),
        false if is_address(&other) => (other, one),
        false => return None,
    };
    (!has_address(&settings)).then_some(EndpointSettings { mac_address: address.mac_address, ..settings })
}

/// Whether a container of this mode that is on `others` may be on `network` too.
///
/// # Errors
/// `InvalidParameter` in Docker's words; `Forbidden` for a configuration.
pub(crate) fn check_together<'a>(
    mode: &NetworkMode,
    others: impl IntoIterator<Item = &'a NetworkRecord>,
    network: &NetworkRecord,
) -> Result<(), Error> {
    const SHARED: &str = "container sharing network namespace with another container or host cannot be connected to any other network";
    let is = |network: &NetworkRecord, kind: &Kind| network.kind == *kind;
    if network.is_config() {
        return Err(Error::new(
            crate::ErrorKind::Forbidden,
            format!("cannot use network {}: it is a configuration for others", network.name),
        ));
    }
    match mode {
        NetworkMode::Container(_) => return Err(Error::invalid(SHARED)),
        NetworkMode::Host => {}
        _ if is(network, &Kind::Host) => {
            return Err(Error::invalid(
                "cannot connect container to host network - container must be created in host network mode",
            ));
        }
        _ => {}
    }
    for other in others.into_iter().filter(|other| other.id != network.id) {
        if is(other, &Kind::Host) || is(network, &Kind::Host) {
            return Err(Error::invalid(SHARED));
        }
        if is(other, &Kind::None) || is(network, &Kind::None) {
            return Err(Error::invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_json(mode: &NetworkMode, json: &str) -> Result<BTreeMap<String, EndpointSettings>, String> {
        let networking = serde_json::from_str(json).unwrap();
        let mut host = HostConfig { links: Some(vec!["db:base".to_owned()]), ..HostConfig::default() };
        wanted(&NetworkTable::default(), mode, &mut host, networking).map_err(|error| error.to_string())
    }

    #[test]
    fn without_settings_the_mode_decides_and_with_settings_they_alone() {
        let names = |mode: &NetworkMode, json: &str| -> Vec<String> {
            wanted_json(mode, json).unwrap().into_keys().collect()
        };
        assert_eq!(names(&NetworkMode::Bridge, "{}"), ["bridge"]);
        assert_eq!(names(&NetworkMode::Host, "{}"), ["host"]);
        assert_eq!(names(&NetworkMode::Named("blue".into()), "{}"), ["blue"]);
        let two = r#"{"EndpointsConfig":{"red":{},"blue":{}}}"#;
        assert_eq!(names(&NetworkMode::Bridge, two), ["blue", "red"]);
        assert_eq!(names(&NetworkMode::Container("x".into()), two), Vec::<String>::new());
        assert_eq!(names(&NetworkMode::Bridge, r#"{"EndpointsConfig":{"default":{}}}"#), ["bridge"]);
    }

    #[test]
    fn links_of_the_container_belong_to_the_network_of_its_mode() {
        let networks = wanted_json(&NetworkMode::Named("blue".into()), "{}").unwrap();
        assert_eq!(networks["blue"].links, Some(vec!["db:base".to_owned()]));
        assert_eq!(wanted_json(&NetworkMode::Bridge, "{}").unwrap()["bridge"].links, None);
    }

    #[test]
    fn the_containers_hardware_address_may_name_the_network_otherwise() {
        let both = |first: &str, second: &str| {
            let json = format!(r#"{{"EndpointsConfig":{{"default":{first},"bridge":{second}}}}}"#);
            wanted_json(&NetworkMode::Bridge, &json)
        };
        let networks = both(r#"{"MacAddress":"02:42:ac:11:00:42"}"#, r#"{"GwPriority":1}"#).unwrap();
        let found = &networks["bridge"];
        assert_eq!((found.mac_address.as_deref(), found.gw_priority), (Some("02:42:ac:11:00:42"), Some(1)));
        for second in ["{}", r#"{"GwPriority":1}"#] {
            assert!(both("{}", second).unwrap_err().contains("specified multiple times"));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_network() {
        let json = r#"{"EndpointsConfig":{"default":{"Aliases":["x"]}}}"#;
        let told = wanted_json(&NetworkMode::Bridge, json).unwrap_err();
        assert!(
            told.starts_with("invalid config for network bridge: invalid endpoint settings:\n"),
            "{told}"
        );
    }
}
