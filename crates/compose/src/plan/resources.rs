//! Networks and volumes of a project as requests to an engine.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{labels, request::fields::Fields};
use crate::{
    model::{Ipam, Mapping, Network, Volume},
    render,
};

fn labelled(own: &Mapping, project: &str, kind: &str, key: &str, hash: String) -> BTreeMap<String, String> {
    let mut all = own.clone();
    let ours = [
        (kind, key.to_owned()),
        (labels::PROJECT, project.to_owned()),
        (labels::VERSION, labels::SPOKEN_VERSION.to_owned()),
        (labels::CONFIG_HASH, hash),
    ];
    all.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    all
}

/// The body of `POST /networks/create`.
pub(super) fn network(project: &str, key: &str, network: &Network) -> Value {
    let mut fields = Fields::default();
    fields.set("Name", &network.name);
    fields.set("Driver", &network.driver);
    fields.set("Options", &network.driver_opts);
    fields.set("Internal", network.internal);
    fields.set("Attachable", network.attachable);
    fields.set("IPAM", ipam(&network.ipam));
    fields.given("EnableIPv4", network.enable_ipv4);
    fields.given("EnableIPv6", network.enable_ipv6);
    fields.set(
        "Labels",
        labelled(&network.labels, project, labels::NETWORK, key, render::network_hash(network)),
    );
    fields.into()
}

fn ipam(ipam: &Ipam) -> Value {
    let pools = ipam.config.iter().map(|pool| {
        let mut fields = Fields::default();
        fields.set("Subnet", &pool.subnet);
        fields.set("IPRange", &pool.ip_range);
        fields.set("Gateway", &pool.gateway);
        fields.set("AuxiliaryAddresses", &pool.aux_addresses);
        Value::from(fields)
    });
    let mut fields = Fields::default();
    fields.set("Driver", &ipam.driver);
    fields.set("Config", pools.collect::<Vec<_>>());
    fields.into()
}

/// The body of `POST /volumes/create`.
pub(super) fn volume(project: &str, key: &str, volume: &Volume) -> Value {
    let mut fields = Fields::default();
    fields.set("Name", &volume.name);
    fields.set("Driver", &volume.driver);
    fields.set("DriverOpts", &volume.driver_opts);
    fields.set(
        "Labels",
        json!(labelled(&volume.labels, project, labels::VOLUME, key, render::volume_hash(volume))),
    );
    fields.into()
}
