//! Who builds: one worker, this engine.

use std::collections::BTreeMap;

use crate::EngineFacts;
use crate::pb::control::{BuildkitVersion, WorkerRecord};
use crate::pb::source::Platform;

/// Docker's clients look this up for `--add-host name:host-gateway`.
const HOST_GATEWAY: &str = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";
/// Its presence tells Docker's clients that images of several platforms, archives and pushes can be made here.
const SNAPSHOTTER: &str = "org.mobyproject.buildkit.worker.snapshotter";

/// The worker.
pub(crate) fn record(engine: &EngineFacts) -> WorkerRecord {
    let mut labels = BTreeMap::from([
        ("org.mobyproject.buildkit.worker.executor".to_owned(), "minke-oci".to_owned()),
        ("org.mobyproject.buildkit.worker.hostname".to_owned(), engine.hostname.clone()),
        (SNAPSHOTTER.to_owned(), "overlayfs".to_owned()),
    ]);
    if let Some(gateway) = engine.host_gateway {
        labels.insert(HOST_GATEWAY.to_owned(), gateway.to_string());
    }
    WorkerRecord {
        id: engine.id.clone(),
        labels,
        platforms: engine.platforms.iter().map(|text| platform(text)).collect(),
        gc_policy: Vec::new(),
        buildkit_version: Some(version(engine)),
    }
}

/// What this is.
pub(crate) fn version(engine: &EngineFacts) -> BuildkitVersion {
    BuildkitVersion {
        package: "minke".to_owned(),
        version: format!("v{}", engine.version),
        revision: String::new(),
        dockerfile_version: String::new(),
    }
}

/// `linux/arm64/v8`
fn platform(text: &str) -> Platform {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Platform { os: next(), architecture: next(), variant: next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_read_part_by_part() {
        let read = platform("linux/arm/v7");
        assert_eq!((&*read.os, &*read.architecture, &*read.variant), ("linux", "arm", "v7"));
        assert_eq!(platform("linux/amd64").variant, "");
    }
}
