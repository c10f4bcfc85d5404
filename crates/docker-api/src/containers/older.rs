//! What a request to create a container means in the API version it was sent in (Docker's API version history): fields that
//! the version did not have yet are not looked at, and defaults are those of its time.

use bollard_stubs::models::{ContainerCreateBody, HostConfigCgroupnsModeEnum, Mount, MountType};
use serde_json::Value;

use crate::error::ApiError;
use crate::json::UnknownField;
use crate::version::ApiVersion;

/// Translates a request into the newest version, and gives warnings about what has no effect.
///
/// # Errors
/// 400 where the version refuses what newer ones take.
pub(crate) fn translate(
    version: ApiVersion,
    body: &mut ContainerCreateBody,
    unknown: Vec<UnknownField>,
) -> Result<Vec<String>, ApiError> {
    let mut warnings = Vec::new();
    adapt_host(version, body)?;
    let mut mac = None;
    for field in unknown.into_iter().filter(|field| !is_zero(&field.value)) {
        match (field.path.as_str(), field.value) {
            ("MacAddress", Value::String(address)) => mac = Some(address),
            // Gone since 1.42, in silence; before, Docker told that the kernel forgot about it.
            ("HostConfig.KernelMemory" | "HostConfig.KernelMemoryTCP", _) if version >= ApiVersion(1, 42) => {
            }
            ("HostConfig.KernelMemory" | "HostConfig.KernelMemoryTCP", _) => warnings.push(
                "Kernel memory limits are deprecated and not supported by the kernel any more: discarded."
                    .to_owned(),
            ),
            (path, _) => {
                warnings.push(format!("{path} is not a field that this engine knows: it has no effect."));
            }
        }
    }
    warnings.extend(move_mac(version, body, mac)?);
    Ok(warnings)
}

fn adapt_host(version: ApiVersion, body: &mut ContainerCreateBody) -> Result<(), ApiError> {
    let before = |minor| version < ApiVersion(1, minor);
    let host = body.host_config.get_or_insert_default();
    if before(25) {
        // The client removed it itself.
        host.auto_remove = None;
    }
    if before(40) && host.ipc_mode.as_deref().is_none_or(str::is_empty) {
        host.ipc_mode = Some("shareable".to_owned());
    }
    if before(41) && host.cgroupns_mode == Some(HostConfigCgroupnsModeEnum::EMPTY) {
        host.cgroupns_mode = None;
    }
    if before(42) {
        host.console_size = None;
    }
    if before(43) {
        host.annotations = None;
    }
    host.mounts.iter_mut().flatten().try_for_each(|mount| adapt_mount(version, mount))?;
    if before(44) {
        if let Some(check) = &mut body.healthcheck {
            check.start_interval = None;
        }
        let networks =
            body.networking_config.iter().flat_map(|networking| networking.endpoints_config.iter().flatten());
        let mut names: Vec<_> = networks.map(|(name, _)| name.as_str()).collect();
        if names.len() > 1 {
            names.sort_unstable();
            return Err(ApiError::invalid(format!(
                "Container cannot be created with multiple network endpoints: {}",
                names.join(", ")
            )));
        }
    }
    Ok(())
}

fn adapt_mount(version: ApiVersion, mount: &mut Mount) -> Result<(), ApiError> {
    let before = |minor| version < ApiVersion(1, minor);
    let needs =
        |what: &str, since: &str| Err(ApiError::invalid(format!("{what} needs API v{since} or newer")));
    if before(48) && mount.typ == Some(MountType::IMAGE) {
        return needs("Mount type \"Image\"", "1.48");
    }
    let subpath = mount.volume_options.as_ref().and_then(|options| options.subpath.as_deref());
    if before(45) && subpath.is_some_and(|subpath| !subpath.is_empty()) {
        return needs("VolumeOptions.Subpath", "1.45");
    }
    if before(42) {
        // Combinations that nobody looked at.
        if mount.typ != Some(MountType::VOLUME) {
            mount.volume_options = None;
        }
        if mount.typ != Some(MountType::TMPFS) {
            mount.tmpfs_options = None;
        }
    }
    if mount.typ != Some(MountType::BIND) {
        return Ok(());
    }
    if before(44) && mount.bind_options.as_ref().and_then(|bind| bind.read_only_force_recursive) == Some(true)
    {
        return needs("BindOptions.ReadOnlyForceRecursive", "1.44");
    }
    if before(44) && mount.read_only == Some(true) {
        // Nothing else was there.
        mount.bind_options.get_or_insert_default().read_only_non_recursive = Some(true);
    }
    if let Some(bind) = &mut mount.bind_options {
        bind.non_recursive = bind.non_recursive.filter(|_| !before(40));
        bind.create_mountpoint = bind.create_mountpoint.filter(|_| !before(42));
    }
    Ok(())
}

/// The address of a container's interface stood beside its host name before networks had their own.
fn move_mac(
    version: ApiVersion,
    body: &mut ContainerCreateBody,
    mac: Option<String>,
) -> Result<Option<String>, ApiError> {
    let old = version < ApiVersion(1, 44);
    let endpoints = body.networking_config.get_or_insert_default().endpoints_config.get_or_insert_default();
    if old {
        endpoints.values_mut().for_each(|endpoint| endpoint.mac_address = None);
    }
    let Some(mac) = mac else { return Ok(None) };
    let mode = body.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
    let network = match mode.unwrap_or_default() {
        "" | "default" => "bridge",
        "host" | "none" => "",
        mode if mode.starts_with("container:") => "",
        mode => mode,
    };
    let deprecated = "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.";
    if network.is_empty() {
        return match old {
            true => Err(ApiError::invalid("conflicting options: mac-address and the network mode")),
            false => Ok(Some(deprecated.to_owned())),
        };
    }
    let name = if endpoints.contains_key("default") && network == "bridge" { "default" } else { network };
    let endpoint = endpoints.entry(name.to_owned()).or_default();
    match endpoint.mac_address.as_deref().filter(|known| !known.is_empty()) {
        Some(known) if known != mac => Err(ApiError::invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
        )),
        _ => {
            endpoint.mac_address = Some(mac);
            Ok((!old).then(|| deprecated.to_owned()))
        }
    }
}

/// Go's zero values, which say nothing.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_zero),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn translated(minor: u16, body: Value) -> Result<(ContainerCreateBody, Vec<String>), String> {
        let text = serde_json::to_vec(&body).unwrap();
        let (mut body, unknown) = crate::json::parse::<ContainerCreateBody>(&text).unwrap();
        let warnings = translate(ApiVersion(1, minor), &mut body, unknown).map_err(|error| error.message)?;
        Ok((body, warnings))
    }

    #[test]
    fn a_field_that_nobody_knows_is_told_unless_it_says_nothing() {
        let body =
            json!({"Wings": 2, "Feathers": "", "HostConfig": {"Fuel": {"Kind": "jp1"}, "Tank": {"Left": 0}}});
        let (_, mut warnings) = translated(51, body).unwrap();
        warnings.sort();
        assert_eq!(
            warnings,
            [
                "HostConfig.Fuel is not a field that this engine knows: it has no effect.",
                "Wings is not a field that this engine knows: it has no effect."
            ]
        );
        let kernel = json!({"HostConfig": {"KernelMemory": 1 << 20}});
        assert!(translated(41, kernel.clone()).unwrap().1[0].contains("Kernel memory"));
        assert!(translated(51, kernel).unwrap().1.is_empty());
    }

    #[test]
    fn the_containers_own_mac_address_becomes_its_networks() {
        let mac = |body: &ContainerCreateBody, network: &str| {
            let endpoints = body.networking_config.clone().unwrap().endpoints_config.unwrap();
            endpoints[network].mac_address.clone()
        };
        let body = json!({"MacAddress": "02:42:ac:11:00:09"});
        let (old, warnings) = translated(43, body.clone()).unwrap();
        assert_eq!((mac(&old, "bridge").as_deref(), warnings.len()), (Some("02:42:ac:11:00:09"), 0));
        let (new, warnings) = translated(51, body).unwrap();
        assert_eq!(mac(&new, "bridge").as_deref(), Some("02:42:ac:11:00:09"));
        assert!(warnings[0].contains("deprecated"));
        let other = json!({"MacAddress": "02:42:ac:11:00:09",
            "NetworkingConfig": {"EndpointsConfig": {"bridge": {"MacAddress": "02:42:ac:11:00:01"}}}});
        assert!(translated(51, other.clone()).unwrap_err().contains("must match"));
        // The old API had no such field in networks.
        assert_eq!(mac(&translated(43, other).unwrap().0, "bridge").as_deref(), Some("02:42:ac:11:00:09"));
        let host = json!({"MacAddress": "02:42:ac:11:00:09", "HostConfig": {"NetworkMode": "host"}});
        assert!(translated(43, host).unwrap_err().contains("conflicting options"));
    }

    #[test]
    fn defaults_are_those_of_the_requests_time() {
        let host = |minor, host: Value| {
            translated(minor, json!({"HostConfig": host})).unwrap().0.host_config.unwrap()
        };
        assert_eq!(host(39, json!({})).ipc_mode.as_deref(), Some("shareable"));
        assert_eq!(host(40, json!({})).ipc_mode, None);
        assert_eq!(host(24, json!({"AutoRemove": true})).auto_remove, None);
        assert_eq!(host(42, json!({"Annotations": {"a": "b"}})).annotations, None);
        assert!(host(43, json!({"Annotations": {"a": "b"}})).annotations.is_some());
        let bind = |minor| {
            let mount = json!({"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true});
            host(minor, json!({"Mounts": [mount]})).mounts.unwrap().remove(0).bind_options
        };
        assert_eq!(bind(43).unwrap().read_only_non_recursive, Some(true));
        assert_eq!(bind(44), None);
    }

    #[test]
    fn what_a_version_cannot_mean_is_refused_by_name() {
        let refused =
            |minor, mount: Value| translated(minor, json!({"HostConfig": {"Mounts": [mount]}})).unwrap_err();
        assert_eq!(
            refused(47, json!({"Type": "image", "Source": "a", "Target": "/b"})),
            "Mount type \"Image\" needs API v1.48 or newer"
        );
        let subpath =
            json!({"Type": "volume", "Source": "a", "Target": "/b", "VolumeOptions": {"Subpath": "x"}});
        assert_eq!(refused(44, subpath), "VolumeOptions.Subpath needs API v1.45 or newer");
        let two = json!({"NetworkingConfig": {"EndpointsConfig": {"b": {}, "a": {}}}});
        assert_eq!(
            translated(43, two).unwrap_err(),
            "Container cannot be created with multiple network endpoints: a, b"
        );
    }
}
