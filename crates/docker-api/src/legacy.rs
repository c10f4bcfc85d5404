//! What older API versions carry besides: fields that the models of today have dropped and that clients in
//! use still read.

use serde_json::{Map, Value, json};

use crate::version::ApiVersion;

/// `VirtualSize`, which was the same as `Size` for years before API 1.44 removed it.
pub(crate) fn image(version: ApiVersion, image: &mut Value) {
    let Value::Object(fields) = image else { return };
    if version < ApiVersion(1, 44) {
        let size = fields.get("Size").cloned().unwrap_or_else(|| json!(0));
        fields.insert("VirtualSize".into(), size);
    }
}

/// Adds to an inspected image what was there before API 1.45 (`Container`, `ContainerConfig`) and before
/// 1.50: those fields of `Config` that only make sense for a container.
pub(crate) fn image_inspect(version: ApiVersion, value: &mut Value) {
    image(version, value);
    let Value::Object(fields) = value else { return };
    if version < ApiVersion(1, 45) {
        let mut config = empty_container_config();
        for name in ["Env", "Cmd", "Volumes", "Entrypoint", "OnBuild", "Labels"] {
            config.insert(name.into(), Value::Null);
        }
        config.insert("User".into(), json!(""));
        config.insert("WorkingDir".into(), json!(""));
        fields.insert("ContainerConfig".into(), Value::Object(config));
    }
    if version < ApiVersion(1, 50)
        && let Some(Value::Object(config)) = fields.get_mut("Config")
    {
        for (name, zero) in empty_container_config() {
            config.entry(name).or_insert(zero);
        }
    }
}

fn empty_container_config() -> Map<String, Value> {
    let mut config = Map::new();
    for name in ["Hostname", "Domainname", "Image"] {
        config.insert(name.into(), json!(""));
    }
    for name in ["AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"] {
        config.insert(name.into(), json!(false));
    }
    config
}

/// Repeats the default bridge's address at the top of `NetworkSettings`. Deprecated since API 1.21, still in
/// 1.51, and what half of the scripts in the world ask for (`{{.NetworkSettings.IPAddress}}`).
pub(crate) fn container_network(container: &mut Value) {
    const REPEATED: [&str; 8] = [
        "EndpointID",
        "Gateway",
        "GlobalIPv6Address",
        "GlobalIPv6PrefixLen",
        "IPAddress",
        "IPPrefixLen",
        "IPv6Gateway",
        "MacAddress",
    ];
    let Some(Value::Object(settings)) = container.get_mut("NetworkSettings") else { return };
    let Some(Value::Object(bridge)) = settings.get("Networks").and_then(|networks| networks.get("bridge"))
    else {
        return;
    };
    let repeated: Vec<_> =
        REPEATED.iter().filter_map(|name| Some(((*name).to_owned(), bridge.get(*name)?.clone()))).collect();
    settings.extend(repeated);
}

/// The hardware address that was asked for, which stood in a container's configuration before API 1.44. Docker shows it in
/// every version.
pub(crate) fn container_mac(asked: Option<String>, container: &mut Value) {
    if let (Some(Value::Object(config)), Some(address)) = (container.get_mut("Config"), asked) {
        config.insert("MacAddress".into(), address.into());
    }
}

/// The beginning of a container's id and its host name, which were among its aliases on user-defined networks before API
/// 1.45 gave it names of their own.
pub(crate) fn container_aliases(version: ApiVersion, container: &mut Value) {
    if version >= ApiVersion(1, 45) {
        return;
    }
    let id = container["Id"].as_str().and_then(|id| id.get(..12)).unwrap_or_default().to_owned();
    let hostname = container["Config"]["Hostname"].as_str().unwrap_or_default().to_owned();
    let Some(Value::Object(networks)) = container.pointer_mut("/NetworkSettings/Networks") else { return };
    for network in networks.values_mut().filter(|network| network["DNSNames"].is_array()) {
        let mut aliases = network["Aliases"].as_array().cloned().unwrap_or_default();
        for name in [&id, &hostname] {
            if !name.is_empty() && !aliases.iter().any(|alias| alias == name) {
                aliases.push(name.as_str().into());
            }
        }
        network["Aliases"] = aliases.into();
    }
}

/// Whether containers in a list are to be changed for a version: thousands may be, so others are left alone.
pub(crate) fn summaries_differ(version: ApiVersion) -> bool {
    version < ApiVersion(1, 46)
}

/// Takes off what a container in a list lacked before API 1.46.
pub(crate) fn container_summary(container: &mut Value) {
    if let Some(Value::Object(host)) = container.get_mut("HostConfig") {
        host.remove("Annotations");
    }
}

/// The fields of an event that were there before actors were (API 1.22), for containers and images only.
pub(crate) fn event(event: &mut Value) {
    let (kind, action) = (event["Type"].as_str(), event["Action"].clone());
    let id = event["Actor"]["ID"].clone();
    let from = event["Actor"]["Attributes"].get("image").cloned();
    let is_container = kind == Some("container");
    if !is_container && kind != Some("image") {
        return;
    }
    let Value::Object(fields) = event else { return };
    fields.insert("status".into(), action);
    fields.insert("id".into(), id);
    if let Some(from) = from.filter(|_| is_container) {
        fields.insert("from".into(), from);
    }
}

/// What `GET /info` lost in API 1.50.
pub(crate) fn info(version: ApiVersion, info: &mut Value) {
    let Value::Object(fields) = info else { return };
    if version < ApiVersion(1, 50) {
        for name in ["BridgeNfIptables", "BridgeNfIp6tables"] {
            fields.entry(name).or_insert(json!(false));
        }
    }
    if version < ApiVersion(1, 49) {
        fields.remove("FirewallBackend");
        for name in ["ContainerdCommit", "RuncCommit", "InitCommit"] {
            let Some(Value::Object(commit)) = fields.get_mut(name) else { continue };
            let id = commit.get("ID").cloned().unwrap_or_default();
            commit.insert("Expected".into(), id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_see_the_virtual_size() {
        let mut old = json!({"Size": 7});
        image(ApiVersion(1, 43), &mut old);
        assert_eq!(old["VirtualSize"], 7);
        let mut new = json!({"Size": 7});
        image(ApiVersion(1, 44), &mut new);
        assert!(new.get("VirtualSize").is_none());
    }

    #[test]
    fn an_inspected_image_has_its_old_configuration_only_for_old_versions() {
        let inspect = |version| {
            let mut value = json!({"Size": 1, "Config": {"Cmd": ["sh"]}});
            image_inspect(version, &mut value);
            value
        };
        assert_eq!(inspect(ApiVersion(1, 44))["ContainerConfig"]["Cmd"], Value::Null);
        assert_eq!(inspect(ApiVersion(1, 49))["Config"]["Hostname"], "");
        assert_eq!(inspect(ApiVersion(1, 51)), json!({"Size": 1, "Config": {"Cmd": ["sh"]}}));
    }

    #[test]
    fn the_bridges_address_is_repeated_at_the_top() {
        let mut container = json!({"NetworkSettings": {"Networks": {"bridge": {"IPAddress": "10.0.0.2"}}}});
        container_network(&mut container);
        assert_eq!(container["NetworkSettings"]["IPAddress"], "10.0.0.2");
        let mut host = json!({"NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}});
        container_network(&mut host);
        assert!(host["NetworkSettings"].get("IPAddress").is_none());
    }

    #[test]
    fn a_mac_address_that_was_asked_for_is_shown_and_old_versions_see_no_annotations() {
        let mut container = json!({"Config": {}});
        container_mac(None, &mut container);
        assert_eq!(container["Config"], json!({}));
        container_mac(Some("02:42:ac:11:00:02".to_owned()), &mut container);
        assert_eq!(container["Config"]["MacAddress"], "02:42:ac:11:00:02");
        let mut listed = json!({"HostConfig": {"NetworkMode": "host", "Annotations": {"a": "b"}}});
        assert!(summaries_differ(ApiVersion(1, 45)) && !summaries_differ(ApiVersion(1, 46)));
        container_summary(&mut listed);
        assert_eq!(listed["HostConfig"], json!({"NetworkMode": "host"}));
    }

    #[test]
    fn old_versions_see_id_and_host_name_among_the_aliases() {
        let networks = json!({"Networks": {"bridge": {}, "mine": {"Aliases": ["db"], "DNSNames": ["web"]}}});
        let container =
            json!({"Id": "5".repeat(64), "Config": {"Hostname": "whale"}, "NetworkSettings": networks});
        let mut old = container.clone();
        container_aliases(ApiVersion(1, 44), &mut old);
        let seen = &old["NetworkSettings"]["Networks"];
        assert_eq!(seen["mine"]["Aliases"], json!(["db", "555555555555", "whale"]));
        assert!(seen["bridge"].get("Aliases").is_none());
        let mut new = container.clone();
        container_aliases(ApiVersion(1, 45), &mut new);
        assert_eq!(new, container);
    }

    #[test]
    fn events_of_containers_and_images_have_their_old_fields() {
        let mut value = json!({"Type": "container", "Action": "start", "Actor": {"ID": "x", "Attributes": {"image": "i"}}});
        event(&mut value);
        assert_eq!(
            (&value["status"], &value["id"], &value["from"]),
            (&json!("start"), &json!("x"), &json!("i"))
        );
        let mut value = json!({"Type": "volume", "Action": "create", "Actor": {"ID": "v", "Attributes": {}}});
        event(&mut value);
        assert!(value.get("status").is_none());
    }
}
