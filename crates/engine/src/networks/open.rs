//! The networks that there are when an engine opens: the predefined ones, made when the root is first used, and those that
//! users have made.

use bollard_stubs::models::Ipam;
use minke_model::NetworkId;
use minke_network::Networks;

use super::{Kind, NetworkRecord, NetworkTable, record::VERSION};
use crate::{Error, random, store::Store, time_text};

/// Reads the networks and has the network crate know them. The default bridge is as the configuration has it; without one it
/// keeps its id for later.
///
/// # Errors
/// `Internal`; `InvalidParameter` when the configuration of the default bridge can't be.
pub(crate) fn open(store: &Store, networks: &Networks, has_default: bool) -> Result<NetworkTable, Error> {
    let mut records = store.networks()?;
    let mut changed = Vec::new();
    for (name, kind) in [("host", Kind::Host), ("none", Kind::None)] {
        if !records.iter().any(|record| record.name == name) {
            changed.push(predefined(name, kind)?);
        }
    }
    // The others first, so that the default bridge keeps off their subnets.
    for record in &records {
        let Some(spec) = record.spec().filter(|_| record.name != "bridge") else { continue };
        if let Err(error) = networks.adopt(spec.clone()) {
            tracing::warn!(%error, network = record.name, "take over a network");
        }
    }
    if has_default {
        let known = records.iter().find(|record| record.name == "bridge");
        let bridge = default_bridge(networks, known)?;
        if known != Some(&bridge) {
            changed.push(bridge);
        }
    }
    if !changed.is_empty() {
        store.put_networks(&changed.iter().collect::<Vec<_>>())?;
    }
    records.retain(|record| {
        changed.iter().all(|other| other.name != record.name) && (has_default || record.name != "bridge")
    });
    Ok(NetworkTable::new(records.into_iter().chain(changed)))
}

/// The default bridge as it is from now on.
fn default_bridge(networks: &Networks, known: Option<&NetworkRecord>) -> Result<NetworkRecord, Error> {
    let bridge = match known {
        Some(known) => known.clone(),
        None => predefined("bridge", Kind::None)?,
    };
    let spec = networks.default_bridge(bridge.id.clone()).map_err(|error| {
        Error::caused(crate::ErrorKind::InvalidParameter, "plan the default bridge", &error)
    })?;
    Ok(NetworkRecord {
        options: shown_options(&spec),
        enable_ipv6: spec.ipv6.is_some(),
        kind: Kind::Made(Box::new(spec)),
        ..bridge
    })
}

fn predefined(name: &str, kind: Kind) -> Result<NetworkRecord, Error> {
    Ok(NetworkRecord {
        version: VERSION,
        id: NetworkId::from_random(random::bytes()?),
        name: name.to_owned(),
        created: time_text::now(),
        kind,
        enable_ipv4: true,
        enable_ipv6: false,
        attachable: false,
        config_from: String::new(),
        ipam: Ipam::default(),
        options: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
    })
}

/// What Docker shows of its default bridge.
fn shown_options(spec: &minke_network::NetworkSpec) -> std::collections::BTreeMap<String, String> {
    let Some(bridge) = spec.bridge() else { return std::collections::BTreeMap::new() };
    let binding =
        bridge.host_binding_ipv4.map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string());
    let options = [
        ("com.docker.network.bridge.default_bridge", "true".to_owned()),
        ("com.docker.network.bridge.enable_icc", bridge.icc.to_string()),
        ("com.docker.network.bridge.enable_ip_masquerade", bridge.masquerade.to_string()),
        ("com.docker.network.bridge.host_binding_ipv4", binding),
        ("com.docker.network.bridge.name", bridge.name.clone().unwrap_or_default()),
        ("com.docker.network.driver.mtu", bridge.mtu.unwrap_or(1500).to_string()),
    ];
    options.map(|(key, value)| (key.to_owned(), value)).into()
}
