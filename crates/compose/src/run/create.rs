//! A container, as the engine's version of the API takes it.

use minke_docker_client::{ApiVersion, Client};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{error::RunError, needs, proxies::add_proxies};

/// The first version that takes all networks of a container at once.
const ALL_NETWORKS: ApiVersion = ApiVersion::new(1, 44);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

/// Creates a container of a service, with the user's proxies; an older engine puts it on its networks one after the other.
/// Returns its id.
///
/// # Errors
/// [`RunError::TooOld`] for what the engine would leave out without a word; [`RunError::Engine`].
pub async fn create_container(
    client: &Client,
    service: &str,
    mut request: Value,
    proxies: Vec<(String, String)>,
    query: &[(&str, String)],
) -> Result<String, RunError> {
    add_proxies(&mut request, proxies);
    if let Some(version) = client.version() {
        needs::expect(service, &request, version)?;
    }
    let one_network = client.version().is_some_and(|version| version < ALL_NETWORKS);
    let surplus = if one_network { surplus_networks(&mut request) } else { Map::new() };
    let created: Created = client.post("/containers/create", query, Some(&request)).await?;
    for (network, endpoint) in surplus {
        let body = json!({"Container": created.id, "EndpointConfig": endpoint});
        client.post::<_, ()>(&format!("/networks/{network}/connect"), &[], Some(&body)).await?;
    }
    Ok(created.id)
}

/// Takes all networks out of the request but the one that the mode names.
fn surplus_networks(request: &mut Value) -> Map<String, Value> {
    let first = request["HostConfig"]["NetworkMode"].as_str().unwrap_or_default().to_owned();
    let Some(endpoints) = request["NetworkingConfig"]["EndpointsConfig"].as_object_mut() else {
        return Map::new();
    };
    let (kept, surplus) = std::mem::take(endpoints).into_iter().partition(|(name, _)| *name == first);
    *endpoints = kept;
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_the_mode_stays_and_the_others_come_later() {
        let mut request = json!({
            "HostConfig": {"NetworkMode": "b"},
            "NetworkingConfig": {"EndpointsConfig": {"a": {"Aliases": ["x"]}, "b": {}}},
        });
        let surplus = surplus_networks(&mut request);
        assert_eq!(Value::from(surplus), json!({"a": {"Aliases": ["x"]}}));
        assert_eq!(request["NetworkingConfig"]["EndpointsConfig"], json!({"b": {}}));
        assert!(surplus_networks(&mut json!({"HostConfig": {}})).is_empty());
    }
}
