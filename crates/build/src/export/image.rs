//! Images in the engine's store: one, or an index over one for each platform; and their way to a registry.

use futures_util::StreamExt;
use minke_engine::{PushOptions, TransferEvent};
use minke_image::{Attestations, CommitError, Composition, PlatformImage};
use minke_model::{
    Digest, Platform, Reference,
    image_config::{HistoryRecord, ImageConfig},
};

use super::Finished;
use crate::{
    BuildError, BuildResult, Output,
    attest::{Attested, package_url},
    build::{Build, Stage, State, time_text},
    cache::{failed, now},
    exchange,
    progress::Node,
};

/// What was composed.
pub(super) struct Composed {
    /// What `docker save` is told: the image's id, or the digest of the index.
    pub(super) root: Digest,
}

/// Makes the image, or the images and their index with what was attested, and names them.
pub(super) async fn compose(
    finished: &[Finished],
    output: &Output,
    attested: &[Attested],
    names: &[String],
    result: &mut BuildResult,
) -> Result<Composed, BuildError> {
    let Some(first) = finished.first() else {
        return Err(BuildError::Failed("nothing was built".to_owned()));
    };
    let store = first.build.engine.image_store().clone();
    let mut images = Vec::with_capacity(finished.len());
    for (number, one) in finished.iter().enumerate() {
        let platform = &one.build.platform;
        images.push(PlatformImage {
            platform: platform.clone(),
            config: configuration(one)?,
            layers: one.state.layers.clone(),
            attestations: match attested.get(number) {
                Some(attested) => attestations(attested, platform, output, names),
                None => Attestations::default(),
            },
        });
    }
    let has_attestations = images.iter().any(|image| !image.attestations.predicates.is_empty());
    let (is_index, wanted) = (finished.len() > 1 || has_attestations, names.to_vec());
    let composed = tokio::task::spawn_blocking(move || match (is_index, images.first()) {
        (false, Some(PlatformImage { config, layers, .. })) => {
            store.compose(&Composition { config, layers, names: &wanted, parent: None })
        }
        _ => store
            .compose_index(&images, &wanted, &Platform::host())
            .map(|composed| (composed.image, composed.index)),
    });
    let composed = composed.await.map_err(|error| failed(&error))?;
    let (id, root) = composed.map_err(|error| match &error {
        CommitError::Name(_) => BuildError::Invalid(error.to_string()),
        _ => failed(&error),
    })?;
    first.build.engine.image_built(&id.to_string(), names);
    tell(&first.build, names, result, (id, root), is_index);
    Ok(Composed { root: if is_index { root } else { id } })
}

/// What was attested, as it is said of an image that will have these names.
fn attestations(attested: &Attested, platform: &Platform, output: &Output, names: &[String]) -> Attestations {
    let names = names.iter().filter_map(|name| name.parse::<Reference>().ok());
    Attestations {
        predicates: attested.wanted.iter().map(|(_, predicate)| predicate.clone()).collect(),
        names: names.map(|name| package_url("docker", &name, platform)).collect(),
        is_artifact: output.is_set("oci-artifact"),
    }
}

/// What clients are told of an image.
fn tell(build: &Build, names: &[String], result: &mut BuildResult, made: (Digest, Digest), is_index: bool) {
    let (id, root) = made;
    let known = build.engine.image_store().find(&id.to_string());
    let familiar = |name: &String| match name.parse::<Reference>() {
        Ok(reference) => reference.with_default_tag().familiar(),
        Err(_) => name.clone(),
    };
    result.names = names.iter().map(familiar).collect();
    result.image = Some(id.to_string());
    result.is_index = is_index;
    let manifest = match is_index {
        true => root,
        false => known.map_or(root, |image| image.manifest),
    };
    result.manifest = Some(manifest.to_string());
    let response = &mut result.exporter_response;
    if !is_index {
        response.insert("containerimage.config.digest".to_owned(), id.to_string());
    }
    response.insert("containerimage.digest".to_owned(), root.to_string());
    if !names.is_empty() {
        let full = names.iter().filter_map(|name| name.parse::<Reference>().ok());
        let full: Vec<String> = full.map(|name| name.with_default_tag().to_string()).collect();
        response.insert("image.name".to_owned(), full.join(","));
    }
}

/// The image's configuration byte for byte, with its own cache if that is wanted.
fn configuration(finished: &Finished) -> Result<Vec<u8>, BuildError> {
    let Finished { build, target, state } = finished;
    let config = image_config(finished)?;
    let json = match exchange::inline_wanted(&build.request) {
        true => {
            let cache = exchange::inline(build, *target, &state.layers)?;
            serde_json::to_vec(&exchange::WithCache { config: &config, cache })
        }
        false => serde_json::to_vec(&config),
    };
    json.map_err(|error| BuildError::Failed(error.to_string()))
}

/// The target's configuration.
pub(crate) fn image_config(finished: &Finished) -> Result<ImageConfig, BuildError> {
    let Finished { build, target, state } = finished;
    let stage = build.stages.get(target);
    let stage = stage.ok_or_else(|| BuildError::Failed("the target was not planned".to_owned()))?;
    Ok(config(build, stage, state))
}

/// The stage's configuration, with its layers, and the times of their making.
fn config(build: &Build, stage: &Stage, state: &State) -> ImageConfig {
    let mut config = build.config.clone();
    config.rootfs.diff_ids = state.layers.iter().map(|layer| layer.diff_id).collect();
    let base = build.base_image(stage).map(|image| image.config());
    let mut times = state.times.iter().cloned();
    let mut last = base.and_then(|base| base.created.clone());
    for entry in config.history.iter_mut().skip(base.map_or(0, |base| base.history.len())) {
        if !entry.empty_layer {
            last = times.next().or(last);
        }
        entry.created = last.clone();
    }
    let epoch = build.request.source_date_epoch.and_then(time_text);
    config.created = Some(epoch.or(last).unwrap_or_else(now));
    // A base may say less of its history than it has layers, and readers count.
    let told = base.map_or(0, |base| base.history.iter().filter(|entry| !entry.empty_layer).count());
    let untold = base.map_or(0, |base| base.rootfs.diff_ids.len()).saturating_sub(told);
    let created = base.and_then(|base| base.created.clone());
    let missing = HistoryRecord { created, ..HistoryRecord::default() };
    config.history.splice(..0, std::iter::repeat_n(missing, untold));
    // Steps before the first layer, on nothing.
    for entry in &mut config.history {
        entry.created = entry.created.take().or_else(|| config.created.clone());
    }
    config
}

/// Sends what was composed to the registries of its names, in the client's name.
pub(super) async fn push(
    build: &Build,
    names: &[String],
    result: &mut BuildResult,
    node: &Node,
) -> Result<(), BuildError> {
    if names.is_empty() {
        return Err(BuildError::Invalid(
            "a name is needed to push to a registry: --tag, or name=…".to_owned(),
        ));
    }
    for name in names {
        let digest = push_one(build, name, node).await?;
        if let Some(digest) = digest {
            result.exporter_response.insert("containerimage.digest".to_owned(), digest.clone());
            result.manifest = Some(digest);
        }
    }
    Ok(())
}

/// Gives the digest that the name has in its registry now.
async fn push_one(build: &Build, name: &str, node: &Node) -> Result<Option<String>, BuildError> {
    let invalid = |error: &dyn std::fmt::Display| BuildError::Invalid(format!("{name}: {error}"));
    let reference = name.parse::<Reference>().map_err(|error| invalid(&error))?.with_default_tag();
    let credentials = match &build.client.auth {
        Some(auth) => auth.credentials(reference.domain()).await?,
        None => None,
    };
    let options = PushOptions { image: reference.to_string(), credentials, ..PushOptions::default() };
    let transfer = node.transfer(&format!("pushing {}", reference.familiar()), "", 0);
    let mut stream = build.engine.image_push(options).await?;
    let mut digest = None;
    let mut layers = std::collections::HashMap::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(TransferEvent::Progress { id, action, current, total }) => {
                let layer = layers.entry(format!("{} {id}", action.to_ascii_lowercase()));
                let layer = layer.or_insert_with_key(|id| node.transfer(id, "", total));
                layer.at(current);
                if current == total {
                    layer.done();
                }
            }
            Ok(TransferEvent::Aux(aux)) => {
                digest = aux.get("Digest").and_then(serde_json::Value::as_str).map(str::to_owned);
            }
            Ok(TransferEvent::Status { .. }) => {}
            Err(error) => return Err(BuildError::Invalid(format!("failed to push {reference}: {error}"))),
        }
    }
    transfer.done();
    Ok(digest)
}
