//! Images in the engine's store: one, or an index over one for each platform; and their way to a registry.

use std::sync::Arc;

use base64::Engine as _;
use futures_util::StreamExt;
use minke_engine::{Credentials, PushOptions, TransferEvent, TransferStream};
use minke_image::{Attestations, CommitError, Composed, Composition, PlatformImage};
use minke_model::{
    Digest, Platform, Reference,
    image_config::{HistoryRecord, ImageConfig},
};

use super::{Finished, form::ImageForm};
use crate::{
    BuildError, BuildResult,
    attest::{Attested, package_url},
    build::{Build, Stage, State, time_text},
    cache::{failed, now},
    exchange,
    progress::Node,
};

/// Makes the image, or the images and their index with what was attested: in the store, or in a registry, or both.
pub(super) async fn export(
    finished: &[Finished],
    form: &ImageForm,
    attested: &[Attested],
    names: &[String],
    result: &mut BuildResult,
    node: &Node,
) -> Result<(), BuildError> {
    let build = first(finished)?;
    let has_attestations = attested.iter().any(|attested| !attested.wanted.is_empty());
    if finished.len() == 1 && !has_attestations && form.is_usual() {
        let made = store(finished, names).await?;
        tell(build, names, result, made);
        say_written(names, result, node);
        return if form.push { push(build, names, result, node).await } else { Ok(()) };
    }
    let mut composed = compose(finished, form, attested, names).await?;
    tell_of(&composed, names, result)?;
    if !form.unstored {
        let (store, wanted, by_digest) = (build.engine.image_store().clone(), names.to_vec(), form.by_digest);
        let committed = tokio::task::spawn_blocking(move || {
            composed.commit(&store, &wanted, by_digest).map(|()| composed)
        });
        composed = committed.await.map_err(|error| failed(&error))?.map_err(|error| refused(&error))?;
        let tags = if form.by_digest { &[] } else { names };
        build.engine.image_built(&composed.image().to_string(), tags);
        say_written(tags, result, node);
    }
    match (form.push, form.unstored || form.by_digest) {
        (false, _) => Ok(()),
        (true, false) => push(build, names, result, node).await,
        (true, true) => push_composed(build, composed, form.by_digest, names, node).await,
    }
}

fn first(finished: &[Finished]) -> Result<&Build, BuildError> {
    let first = finished.first().ok_or_else(|| BuildError::Failed("nothing was built".to_owned()))?;
    Ok(&first.build)
}

fn refused(error: &CommitError) -> BuildError {
    match error {
        CommitError::Name(_) => BuildError::Invalid(error.to_string()),
        _ => failed(error),
    }
}

fn say_written(names: &[String], result: &BuildResult, node: &Node) {
    let written = result.manifest.as_ref().filter(|_| result.is_index).or(result.image.as_ref());
    node.told(&format!("writing image {}", written.cloned().unwrap_or_default()));
    for name in names.iter().filter_map(|name| name.parse::<Reference>().ok()) {
        node.told(&format!("naming to {}", name.with_default_tag()));
    }
}

/// An image as the store has it best: with its layers as they are. Gives its id and its manifest's digest.
async fn store(finished: &[Finished], names: &[String]) -> Result<(Digest, Digest), BuildError> {
    let [one] = finished else { return Err(BuildError::Failed("more than one image".to_owned())) };
    let store = one.build.engine.image_store().clone();
    let (config, layers, wanted) = (configuration(one)?, one.state.layers.clone(), names.to_vec());
    let composed = tokio::task::spawn_blocking(move || {
        store.compose(&Composition { config: &config, layers: &layers, names: &wanted, parent: None })
    });
    let (id, manifest) = composed.await.map_err(|error| failed(&error))?.map_err(|error| refused(&error))?;
    one.build.engine.image_built(&id.to_string(), names);
    Ok((id, manifest))
}

/// An image, or an index with what was attested, as others are to have it.
pub(super) async fn compose(
    finished: &[Finished],
    form: &ImageForm,
    attested: &[Attested],
    names: &[String],
) -> Result<Composed, BuildError> {
    let store = first(finished)?.engine.image_store().clone();
    let mut images = Vec::with_capacity(finished.len());
    for (number, one) in finished.iter().enumerate() {
        let platform = &one.build.platform;
        let [annotations, descriptor_annotations] = form.annotations(platform);
        images.push(PlatformImage {
            platform: platform.clone(),
            config: configuration(one)?,
            layers: one.state.layers.clone(),
            attestations: match attested.get(number) {
                Some(attested) => attestations(attested, platform, form, names),
                None => Attestations::default(),
            },
            annotations,
            descriptor_annotations,
        });
    }
    let has_attestations = images.iter().any(|image| !image.attestations.predicates.is_empty());
    form.check_index(finished.len() > 1 || has_attestations)?;
    let mut form = form.form.clone();
    // Docker's documents have no place for them.
    form.docker_types &= !has_attestations;
    let composed =
        tokio::task::spawn_blocking(move || store.compose_for_others(&images, &form, &Platform::host()));
    composed.await.map_err(|error| failed(&error))?.map_err(|error| refused(&error))
}

/// What was attested, as it is said of an image that will have these names.
fn attestations(
    attested: &Attested,
    platform: &Platform,
    form: &ImageForm,
    names: &[String],
) -> Attestations {
    let names = names.iter().filter_map(|name| name.parse::<Reference>().ok());
    Attestations {
        predicates: attested.wanted.iter().map(|(_, predicate)| predicate.clone()).collect(),
        names: names.map(|name| package_url("docker", &name, platform)).collect(),
        is_artifact: form.is_artifact,
    }
}

/// What clients are told of an image of the store.
fn tell(build: &Build, names: &[String], result: &mut BuildResult, (id, manifest): (Digest, Digest)) {
    // It may be known by another one from before.
    let known = build.engine.image_store().find(&id.to_string());
    let known = known.map_or(manifest, |image| image.manifest);
    tell_names(names, result);
    result.image = Some(id.to_string());
    result.is_index = false;
    result.manifest = Some(known.to_string());
    let response = &mut result.exporter_response;
    response.insert("containerimage.config.digest".to_owned(), id.to_string());
    response.insert("containerimage.digest".to_owned(), manifest.to_string());
}

/// What clients are told of what was composed.
pub(super) fn tell_of(
    composed: &Composed,
    names: &[String],
    result: &mut BuildResult,
) -> Result<(), BuildError> {
    let (id, root) = (composed.image(), composed.root());
    tell_names(names, result);
    result.image = Some(id.to_string());
    result.is_index = root.is_index();
    result.manifest = Some(root.digest.to_string());
    let response = &mut result.exporter_response;
    if !root.is_index() {
        response.insert("containerimage.config.digest".to_owned(), id.to_string());
    }
    response.insert("containerimage.digest".to_owned(), root.digest.to_string());
    let descriptor = serde_json::to_vec(root).map_err(|error| failed(&error))?;
    let descriptor = base64::engine::general_purpose::STANDARD.encode(descriptor);
    response.insert("containerimage.descriptor".to_owned(), descriptor);
    Ok(())
}

fn tell_names(names: &[String], result: &mut BuildResult) {
    let familiar = |name: &String| match name.parse::<Reference>() {
        Ok(reference) => reference.with_default_tag().familiar(),
        Err(_) => name.clone(),
    };
    result.names = names.iter().map(familiar).collect();
    if !names.is_empty() {
        let full = names.iter().filter_map(|name| name.parse::<Reference>().ok());
        let full: Vec<String> = full.map(|name| name.with_default_tag().to_string()).collect();
        result.exporter_response.insert("image.name".to_owned(), full.join(","));
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

/// Sends an image of the store to the registries of its names, in the client's name.
async fn push(
    build: &Build,
    names: &[String],
    result: &mut BuildResult,
    node: &Node,
) -> Result<(), BuildError> {
    for reference in to_push(names)? {
        let credentials = credentials(build, &reference).await?;
        let options = PushOptions { image: reference.to_string(), credentials, ..PushOptions::default() };
        let stream = build.engine.image_push(options).await?;
        if let Some(digest) = pushed(stream, &reference, node).await? {
            result.exporter_response.insert("containerimage.digest".to_owned(), digest.clone());
            result.manifest = Some(digest);
        }
    }
    Ok(())
}

/// The same for what the store doesn't have so, or not under these names.
async fn push_composed(
    build: &Build,
    composed: Composed,
    by_digest: bool,
    names: &[String],
    node: &Node,
) -> Result<(), BuildError> {
    let push = Arc::new(composed.push().map_err(|error| failed(&error))?);
    for reference in to_push(names)? {
        let credentials = credentials(build, &reference).await?;
        let stream =
            build.engine.push_composed(Arc::clone(&push), reference.clone(), by_digest, credentials)?;
        pushed(stream, &reference, node).await?;
    }
    Ok(())
}

fn to_push(names: &[String]) -> Result<Vec<Reference>, BuildError> {
    if names.is_empty() {
        return Err(BuildError::Invalid(
            "a name is needed to push to a registry: --tag, or name=…".to_owned(),
        ));
    }
    let parsed = names.iter().map(|name| match name.parse::<Reference>() {
        Ok(reference) => Ok(reference.with_default_tag()),
        Err(error) => Err(BuildError::Invalid(format!("{name}: {error}"))),
    });
    parsed.collect()
}

async fn credentials(build: &Build, reference: &Reference) -> Result<Option<Credentials>, BuildError> {
    match &build.client.auth {
        Some(auth) => Ok(auth.credentials(reference.domain()).await?),
        None => Ok(None),
    }
}

/// Shows how a push goes on. Gives the digest that was sent.
async fn pushed(
    mut stream: TransferStream,
    reference: &Reference,
    node: &Node,
) -> Result<Option<String>, BuildError> {
    let transfer = node.transfer(&format!("pushing {}", reference.familiar()), "", 0);
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
            Ok(TransferEvent::Status { .. } | TransferEvent::Image(_)) => {}
            Err(error) => return Err(BuildError::Invalid(format!("failed to push {reference}: {error}"))),
        }
    }
    transfer.done();
    Ok(digest)
}
