//! What an engine has of a project: three listings, and one question for each image.
//!
//! Networks and volumes that the project names and that don't carry its labels (external ones, those of others) are asked for by
//! their names. So an `up` with nothing to do costs a handful of requests, all at the same time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::{try_join, try_join_all, try_join3};
use minke_docker_client::{Client, Error};
use serde::Deserialize;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::error::RunError;
use crate::{
    model::Project,
    plan::{self, Container, Image, Network, Observed, Volume, labels, names},
};

/// Reads all that there is of a project.
///
/// # Errors
/// When the engine refuses or is not there.
pub async fn observe(client: &Client, project: &Project) -> Result<Observed, RunError> {
    agree(client).await?;
    let (containers, networks, volumes) = try_join3(
        containers(client, Some(&project.name), true),
        networks(client, project),
        volumes(client, project),
    )
    .await?;
    let mut observed = Observed { containers, networks, volumes, images: BTreeMap::new() };
    observed.images = images(client, project).await?;
    Ok(observed)
}

/// Agrees on the API's version, so that requests at the same time don't each do.
async fn agree(client: &Client) -> Result<(), Error> {
    if client.version().is_none() {
        client.ping().await?;
    }
    Ok(())
}

/// The containers of a project, or of all projects.
///
/// # Errors
/// When the engine refuses or is not there.
pub async fn containers(
    client: &Client,
    project: Option<&str>,
    all: bool,
) -> Result<Vec<Container>, RunError> {
    let label = match project {
        Some(project) => format!("{}={project}", labels::PROJECT),
        None => labels::PROJECT.to_owned(),
    };
    let query = [("all", u8::from(all).to_string()), ("filters", json!({"label": [label]}).to_string())];
    let mut containers: Vec<Container> = client.get("/containers/json", &query).await?;
    // Only what Compose made has a hash (or is a hook): others may carry the project's label for reasons of their own.
    containers.retain(|container| !container.config_hash().is_empty() || container.is_before());
    Ok(containers)
}

async fn networks(client: &Client, project: &Project) -> Result<Vec<Network>, RunError> {
    let filters = json!({"label": [format!("{}={}", labels::PROJECT, project.name)]}).to_string();
    let mut networks: Vec<Network> = client.get("/networks", &[("filters", filters)]).await?;
    let known: BTreeSet<String> = networks.iter().map(|network| network.name.clone()).collect();
    let missing = project.networks.values().filter(|network| !known.contains(&network.name));
    let found = try_join_all(missing.map(async |network| {
        // By name alone: a path would also find ids that begin so.
        let filters = json!({"name": [network.name]}).to_string();
        let named: Vec<Network> = client.get("/networks", &[("filters", filters)]).await?;
        Ok::<_, Error>(named.into_iter().find(|found| found.name == network.name))
    }))
    .await?;
    networks.extend(found.into_iter().flatten());
    Ok(networks)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Volumes {
    volumes: Option<Vec<Volume>>,
}

async fn volumes(client: &Client, project: &Project) -> Result<Vec<Volume>, RunError> {
    let filters = json!({"label": [format!("{}={}", labels::PROJECT, project.name)]}).to_string();
    let listed: Volumes = client.get("/volumes", &[("filters", filters)]).await?;
    let mut volumes = listed.volumes.unwrap_or_default();
    let known: BTreeSet<String> = volumes.iter().map(|volume| volume.name.clone()).collect();
    let missing = project.volumes.values().filter(|volume| !known.contains(&volume.name));
    let found =
        try_join_all(missing.map(|volume| there::<Volume>(client, format!("/volumes/{}", volume.name))))
            .await?;
    volumes.extend(found.into_iter().flatten());
    Ok(volumes)
}

/// What a path has, or that there is nothing.
async fn there<T: serde::de::DeserializeOwned>(client: &Client, path: String) -> Result<Option<T>, Error> {
    match client.get(&path, &[]).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    id: String,
    config: Option<ImageConfig>,
    metadata: Option<Metadata>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Metadata {
    last_tag_time: Option<String>,
}

impl Metadata {
    /// How long ago that was, by this host's clock. Engines that don't know it write the year 1.
    fn age(&self) -> Option<Duration> {
        let tagged = OffsetDateTime::parse(self.last_tag_time.as_deref()?, &Rfc3339).ok()?;
        let age = OffsetDateTime::now_utc() - tagged;
        // An engine whose clock is ahead has just got it.
        (tagged.year() > 1).then(|| age.try_into().unwrap_or_default())
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageConfig {
    volumes: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

/// The images of a project's services that the engine has.
///
/// # Errors
/// When the engine refuses or is not there.
pub async fn images(client: &Client, project: &Project) -> Result<BTreeMap<String, Image>, RunError> {
    let services = project.services.values().filter(|service| service.provider.is_none());
    let wanted: BTreeSet<String> = services
        .flat_map(|service| {
            let before = service.pre_start.iter();
            let before = before.map(|hook| names::image_before(&project.name, service, hook));
            before.chain([names::image(&project.name, service)])
        })
        .collect();
    let found = try_join_all(wanted.into_iter().map(async |name| {
        let inspected = there::<Inspected>(client, format!("/images/{name}/json")).await?;
        Ok::<_, Error>(inspected.map(|inspected| {
            let volumes = inspected.config.and_then(|config| config.volumes).unwrap_or_default();
            let age = inspected.metadata.and_then(|metadata| metadata.age());
            (name, Image { id: inspected.id, volumes: volumes.into_keys().collect(), age })
        }))
    }))
    .await?;
    Ok(found.into_iter().flatten().collect())
}

/// What an engine has of a project of which only the name is known.
///
/// # Errors
/// When the engine refuses or is not there.
pub async fn projects(client: &Client, name: &str) -> Result<(Project, Observed), RunError> {
    agree(client).await?;
    let nothing = Project { name: name.to_owned(), ..Project::default() };
    let (containers, (networks, volumes)) = try_join(
        containers(client, Some(name), true),
        try_join(networks(client, &nothing), volumes(client, &nothing)),
    )
    .await?;
    let observed = Observed { containers, networks, volumes, images: BTreeMap::new() };
    Ok((plan::recall(name, &observed), observed))
}

/// Seccomp profiles that services name by their files, on one line each, as engines want them.
///
/// # Errors
/// When a file can't be read or isn't JSON.
pub fn profiles(project: &Project) -> Result<BTreeMap<String, String>, RunError> {
    let options = project.services.values().flat_map(|service| &service.security_opt);
    let named = options.filter_map(|option| {
        option
            .strip_prefix("seccomp=")
            .or_else(|| option.strip_prefix("seccomp:"))
            .filter(|profile| !matches!(*profile, "unconfined" | "builtin"))
    });
    let mut profiles = BTreeMap::new();
    for profile in named {
        let path = project.working_dir.join(profile);
        let failed = |source| RunError::File {
            what: "read the seccomp profile".to_owned(),
            path: path.clone(),
            source,
        };
        let text = std::fs::read(&path).map_err(failed)?;
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| failed(std::io::Error::other(error)))?;
        profiles.insert(profile.to_owned(), value.to_string());
    }
    Ok(profiles)
}
