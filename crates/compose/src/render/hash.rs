//! The hashes by which docker compose tells whether what runs is what the file says.
//!
//! It keeps the hash of a service, a network or a volume in a label. Ours are over the same bytes, so that the two can
//! take turns on one project and neither makes anew what the other made.

use sha2::{Digest as _, Sha256};

use super::json;
use crate::model::{
    Network, Service, Volume,
    attribute::{Attribute, Form},
};

/// The hash of a service (`com.docker.compose.config-hash`): over all but what doesn't change its containers.
#[must_use]
pub fn service_hash(service: &Service) -> String {
    let mut service = service.clone();
    service.build = None;
    service.pull_policy = String::new();
    service.scale = None;
    if let Some(deploy) = &mut service.deploy {
        deploy.replicas = None;
    }
    service.depends_on.clear();
    service.profiles.clear();
    digest(&service)
}

/// The hash of a network.
#[must_use]
pub fn network_hash(network: &Network) -> String {
    digest(network)
}

/// The hash of a volume.
#[must_use]
pub fn volume_hash(volume: &Volume) -> String {
    let mut volume = volume.clone();
    if volume.driver.is_empty() {
        volume.driver = "local".to_owned();
    }
    digest(&volume)
}

fn digest(object: &impl Attribute) -> String {
    let text = json::compact(&object.item(Form::Json));
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
