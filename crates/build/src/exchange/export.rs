//! `--cache-to`: layers, then the configuration that leads to them, then the manifest.

use std::{collections::HashMap, sync::Arc};

use base64::Engine as _;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use minke_dockerfile::plan::StageId;
use minke_image::{BuiltLayer, push::CompressedLayer};
use minke_model::{
    Descriptor, Digest, chain,
    media_type::{DOCKER_INDEX, INDEX, MANIFEST},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Content, ExchangeError, ExportTo, Kind, Place, Registry,
    collect::{Collected, CollectedLayer, Source, of_image},
    format::{CONFIG, CacheConfig, CacheLayer, LayerAnnotations, described},
    import::warn,
    local::Local,
    receive::stored,
};
use crate::{BuildError, LogStream, build::Build, cache::Key, progress::Node};

/// What clients are told of a cache that was written.
const MANIFEST_KEY: &str = "cache.manifest";
/// Layers that are sent at the same time.
const AT_ONCE: usize = 3;

/// A manifest whose layers are the blobs of a cache.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheManifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: &'a Descriptor,
    layers: &'a [Descriptor],
}

/// An index of the blobs of a cache and its configuration.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheIndex<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: &'a [Descriptor],
}

/// A blob that is ready to be sent.
struct Ready {
    descriptor: Descriptor,
    content: Content,
    /// Keeps its file.
    _layer: Option<CompressedLayer>,
}

/// The records of an image's own steps, as its configuration holds them.
pub(crate) fn inline(build: &Build, target: StageId, layers: &[BuiltLayer]) -> Result<String, BuildError> {
    let records = of_image(build, target, layers).write();
    let json = serde_json::to_vec(&records).map_err(|error| BuildError::Failed(error.to_string()))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(json))
}

/// Writes the cache of a build, of which there is one for each platform, wherever it is wanted. Gives what clients are told of it.
///
/// # Errors
/// The first that failed and was not to be ignored.
pub(crate) async fn export(
    builds: &[(Arc<Build>, StageId)],
    exports: &[ExportTo],
) -> Result<HashMap<String, String>, BuildError> {
    let mut response = HashMap::new();
    let Some((first, _)) = builds.first() else { return Ok(response) };
    for to in exports.iter().filter(|to| to.kind != Kind::Inline) {
        let node = node(first, to);
        node.start();
        match one(builds, to, &node).await {
            Ok(manifest) => {
                node.done(false, None);
                // A client names it in its directory; of a registry's it is only told.
                let is_needed = matches!(to.kind, Kind::Local(_)) || !response.contains_key(MANIFEST_KEY);
                let manifest = manifest.filter(|_| is_needed);
                response.extend(manifest.map(|manifest| (MANIFEST_KEY.to_owned(), manifest)));
            }
            Err(error) if to.ignore_error => {
                node.done(false, None);
                warn(&first.client, &node, format!("the cache was not written: {error}"));
            }
            Err(error) => {
                node.end(Some(&error));
                return Err(error);
            }
        }
    }
    Ok(response)
}

fn node(build: &Build, to: &ExportTo) -> Node {
    let (name, place) = match &to.kind {
        Kind::Registry(reference) => ("exporting cache to registry", reference.to_string()),
        Kind::Local(folder) => ("exporting cache to client directory", folder.clone()),
        Kind::Inline => ("preparing layers for inline cache", String::new()),
    };
    let digest = Key::new("export cache").and(name).and(place).digest();
    Node::new(&build.client.progress, digest, name.to_owned())
}

async fn one(
    builds: &[(Arc<Build>, StageId)],
    to: &ExportTo,
    node: &Node,
) -> Result<Option<String>, BuildError> {
    let Some((first, _)) = builds.first() else { return Ok(None) };
    let place: Arc<dyn Place> = match &to.kind {
        Kind::Registry(name) => Arc::new(Registry::open(&first.engine, &first.client, name).await?),
        Kind::Local(folder) => Arc::new(Local::cache(&first.client, folder, None)?),
        Kind::Inline => return Ok(None),
    };
    let mut collected = Collected::default();
    for (build, target) in builds {
        collected.add(build, *target, to.all);
    }
    if collected.layers.is_empty() {
        // Registries want manifests to have layers.
        node.log(LogStream::Stderr, b"no step has left a layer: there is no cache to be written\n");
        return Ok(None);
    }
    let written = write(first, &*place, &collected, to, node).await;
    written.map(Some).map_err(|error| BuildError::Failed(format!("export the cache: {}", chain(&error))))
}

/// Writes everything. Gives the descriptor of the manifest, as JSON.
async fn write(
    build: &Build,
    place: &dyn Place,
    collected: &Collected,
    to: &ExportTo,
    node: &Node,
) -> Result<String, ExchangeError> {
    let mut unique: HashMap<Digest, &CollectedLayer> = HashMap::new();
    for layer in &collected.layers {
        unique.entry(layer.diff_id).or_insert(layer);
    }
    let sending: Vec<_> = unique.values().map(|layer| send(build, place, layer, to, node)).collect();
    let sent: HashMap<Digest, Descriptor> =
        stream::iter(sending).buffer_unordered(AT_ONCE).try_collect().await?;
    let (json, layers) = configuration(collected, &sent)?;
    let config = put(place, CONFIG, json, node, "writing config").await?;
    let root = match to.is_manifest {
        true => {
            let (config, layers) = (&config, &layers[..]);
            let manifest = CacheManifest { schema_version: 2, media_type: MANIFEST, config, layers };
            (MANIFEST, bytes(&manifest)?)
        }
        false => {
            let media_type = if to.is_oci { INDEX } else { DOCKER_INDEX };
            let manifests = &[layers, vec![config]].concat()[..];
            (media_type, bytes(&CacheIndex { schema_version: 2, media_type, manifests })?)
        }
    };
    let descriptor = describe(root.0, &root.1);
    let status = node.transfer(&format!("writing cache manifest {}", descriptor.digest), "", 0);
    place.put_root(&descriptor, root.1).await?;
    status.done();
    serde_json::to_string(&descriptor).map_err(|error| ExchangeError::Damaged(error.to_string()))
}

async fn send(
    build: &Build,
    place: &dyn Place,
    layer: &CollectedLayer,
    to: &ExportTo,
    node: &Node,
) -> Result<(Digest, Descriptor), ExchangeError> {
    let ready = ready(build, &layer.source, to).await?;
    let status = node.transfer(&format!("writing layer {}", ready.descriptor.digest), "", 0);
    place.put(&ready.descriptor, &ready.content).await?;
    status.done();
    let media_type = media_type(&ready.descriptor.media_type, to.is_oci);
    Ok((layer.diff_id, Descriptor { media_type, ..ready.descriptor }))
}

async fn ready(build: &Build, source: &Source, to: &ExportTo) -> Result<Ready, ExchangeError> {
    match source {
        Source::Elsewhere(place, descriptor) => Ok(Ready {
            descriptor: descriptor.clone(),
            content: Content::Elsewhere(Arc::clone(place), descriptor.clone()),
            _layer: None,
        }),
        Source::Here(layer) => {
            let (store, layer, form) = (build.engine.image_store().clone(), layer.clone(), to.layers);
            let work = tokio::task::spawn_blocking(move || store.layer_in_form(&layer, form));
            let layer = work.await.map_err(|error| stored(&error))?.map_err(|error| stored(&error))?;
            let (descriptor, content) = (layer.descriptor.clone(), Content::File(layer.path()));
            Ok(Ready { descriptor, content, _layer: Some(layer) })
        }
    }
}

/// The cache's configuration, and its layers as the manifest lists them, each blob once.
fn configuration(
    collected: &Collected,
    sent: &HashMap<Digest, Descriptor>,
) -> Result<(Bytes, Vec<Descriptor>), ExchangeError> {
    let mut config = CacheConfig { layers: Vec::new(), records: collected.records.write() };
    let mut listed: Vec<Descriptor> = Vec::new();
    for layer in &collected.layers {
        let Some(blob) = sent.get(&layer.diff_id) else { continue };
        if !listed.iter().any(|one| one.digest == blob.digest) {
            listed.push(described(blob, &layer.diff_id, layer.created.as_ref()));
        }
        let annotations = LayerAnnotations {
            media_type: blob.media_type.clone(),
            diff_id: Some(layer.diff_id),
            size: blob.size,
            created_at: layer.created.clone(),
        };
        config.layers.push(CacheLayer {
            blob: blob.digest,
            parent: layer.parent.and_then(|parent| i64::try_from(parent).ok()).unwrap_or(-1),
            annotations: Some(annotations),
        });
    }
    Ok((bytes(&config)?, listed))
}

async fn put(
    place: &dyn Place,
    media_type: &str,
    json: Bytes,
    node: &Node,
    action: &str,
) -> Result<Descriptor, ExchangeError> {
    let descriptor = describe(media_type, &json);
    let status = node.transfer(&format!("{action} {}", descriptor.digest), "", 0);
    place.put(&descriptor, &Content::Bytes(json)).await?;
    status.done();
    Ok(descriptor)
}

fn describe(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::from_bytes(Sha256::digest(bytes).into()), bytes.len() as u64)
}

fn bytes(document: &impl Serialize) -> Result<Bytes, ExchangeError> {
    let json = serde_json::to_vec(document);
    json.map(Bytes::from).map_err(|error| ExchangeError::Damaged(error.to_string()))
}

/// A layer's type in OCI's words or in Docker's.
fn media_type(media_type: &str, is_oci: bool) -> String {
    const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
    const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    let (compression, separator) = match media_type {
        text if text.ends_with("gzip") => ("gzip", if is_oci { "+" } else { "." }),
        text if text.ends_with("zstd") => ("zstd", if is_oci { "+" } else { "." }),
        _ => ("", ""),
    };
    format!("{}{separator}{compression}", if is_oci { OCI } else { DOCKER })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_layers_are_ocis_or_dockers() {
        let gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        assert_eq!(media_type(gzip, true), "application/vnd.oci.image.layer.v1.tar+gzip");
        assert_eq!(media_type(&media_type(gzip, true), false), gzip);
        assert_eq!(media_type("x", true), "application/vnd.oci.image.layer.v1.tar");
    }
}
