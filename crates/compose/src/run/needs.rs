//! What a container asks for that an older engine does not know, and would leave out without a word.

use minke_docker_client::ApiVersion;
use serde_json::Value;

use super::error::RunError;

/// An attribute of Compose and the first version of the API that has it (Docker's "Engine API version history").
type Need = (&'static str, ApiVersion);

const START_INTERVAL: Need = ("healthcheck.start_interval", ApiVersion::new(1, 44));
const ADDRESS: Need = ("networks.mac_address", ApiVersion::new(1, 44));
const ANNOTATIONS: Need = ("annotations", ApiVersion::new(1, 43));
const SUBPATH: Need = ("volumes.volume.subpath", ApiVersion::new(1, 45));
const IMAGE: Need = ("volumes.type: image", ApiVersion::new(1, 48));
const PRIORITY: Need = ("networks.gw_priority", ApiVersion::new(1, 48));

/// Whether an engine of this version has all that a container's request asks for.
///
/// # Errors
/// [`RunError::TooOld`] names the attribute.
pub(super) fn expect(service: &str, request: &Value, version: ApiVersion) -> Result<(), RunError> {
    match needs(request).find(|(_, first)| version < *first) {
        None => Ok(()),
        Some((attribute, first)) => {
            Err(RunError::TooOld { service: service.to_owned(), attribute, first, version })
        }
    }
}

fn needs(request: &Value) -> impl Iterator<Item = Need> {
    let given = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_i64() != Some(0),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let host = &request["HostConfig"];
    let mounts = host["Mounts"].as_array().into_iter().flatten().flat_map(move |mount| {
        let subpath = given(&mount["VolumeOptions"]["Subpath"]).then_some(SUBPATH);
        subpath.into_iter().chain((mount["Type"] == "image").then_some(IMAGE))
    });
    let endpoints = request["NetworkingConfig"]["EndpointsConfig"].as_object();
    let endpoints =
        endpoints.into_iter().flat_map(|endpoints| endpoints.values()).flat_map(move |endpoint| {
            let address = given(&endpoint["MacAddress"]).then_some(ADDRESS);
            address.into_iter().chain(given(&endpoint["GwPriority"]).then_some(PRIORITY))
        });
    let interval = given(&request["Healthcheck"]["StartInterval"]).then_some(START_INTERVAL);
    let annotations = given(&host["Annotations"]).then_some(ANNOTATIONS);
    interval.into_iter().chain(annotations).chain(mounts).chain(endpoints)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_engine_that_is_too_old_for_an_attribute_is_told_of() {
        let said = |request: Value, minor| {
            expect("web", &request, ApiVersion::new(1, minor)).err().map(|error| error.to_string())
        };
        let check = json!({"Healthcheck": {"StartInterval": 5}});
        let refused = "service \"web\": healthcheck.start_interval needs an engine of API version 1.44 or later, and this one has 1.41: remove the attribute, or use a newer engine";
        assert_eq!(said(check.clone(), 41).as_deref(), Some(refused));
        assert_eq!(said(check, 44), None);
        assert_eq!(said(json!({"Healthcheck": {"StartInterval": 0, "Interval": 7}}), 24), None);
        let mounts =
            |mount: Value| json!({"HostConfig": {"Mounts": [{"Type": "bind"}, mount], "Annotations": {}}});
        assert!(said(mounts(json!({"Type": "volume", "VolumeOptions": {"Subpath": "a"}})), 44).is_some());
        assert!(said(mounts(json!({"Type": "image"})), 47).is_some());
        assert_eq!(said(mounts(json!({"Type": "volume", "VolumeOptions": {}})), 24), None);
        let endpoint = |fields: Value| json!({"NetworkingConfig": {"EndpointsConfig": {"a": fields}}});
        assert!(said(endpoint(json!({"MacAddress": "02:00:00:00:00:01"})), 43).is_some());
        assert!(said(endpoint(json!({"GwPriority": 1})), 47).is_some());
        assert_eq!(said(endpoint(json!({"GwPriority": 0, "MacAddress": ""})), 24), None);
    }
}
