//! `oci-layout://` contexts: an image in a directory of the client's, of which only the layers are brought that aren't here.

use std::sync::Arc;

use minke_image::{
    ImageConfig,
    manifest::{Document, Manifest},
};
use minke_model::{Descriptor, Digest, Platform, chain};

use super::{ExchangeError, Local, Place, Wanted, format::damaged, receive::receive};
use crate::{
    BuildError, Builder, Client, ContextError, Material,
    cache::{Cached, Key},
    images::BaseImage,
    progress::Node,
};

/// The image of an index or manifest in a client's directory, for a platform where it is for several.
///
/// # Errors
/// When the client offers no such directory, or what is in it is no image; its digests are checked.
pub(crate) async fn image(
    builder: &Builder,
    client: &Client,
    store: &str,
    digest: Digest,
    platform: &Platform,
) -> Result<BaseImage, BuildError> {
    let name = format!("oci-layout://{store}@{digest}");
    let node = Node::new(
        &client.progress,
        Key::new("layout").and(&name).and(platform.to_string()).digest(),
        format!("[internal] load {name}"),
    );
    node.start();
    let place = Local::image(client, store, digest)?;
    let brought = bring(builder, &place, &name, digest, platform, &node)
        .await
        .map_err(|error| BuildError::Client(ContextError::invalid(format!("{name}: {}", chain(&error)))));
    node.end(brought.as_ref().err());
    let (config, cached) = brought?;
    let material = Material::layout(store, platform, &digest);
    Ok(BaseImage::of_cached(Arc::new(config), cached, name, material))
}

async fn bring(
    builder: &Builder,
    place: &Local,
    name: &str,
    digest: Digest,
    platform: &Platform,
    node: &Node,
) -> Result<(ImageConfig, Cached), ExchangeError> {
    let (digest, manifest) = manifest(place, name, digest, platform).await?;
    let json = place.document(manifest.config()).await?;
    let config: ImageConfig = serde_json::from_slice(&json).map_err(|error| damaged(&error))?;
    let (diff_ids, blobs) = (&config.rootfs.diff_ids, manifest.layers());
    if diff_ids.len() != blobs.len() {
        return Err(damaged(&format!(
            "its configuration has {} layers and its manifest {}",
            diff_ids.len(),
            blobs.len()
        )));
    }
    let layers: Vec<(Digest, Descriptor)> = diff_ids.iter().copied().zip(blobs.iter().cloned()).collect();
    let key = Key::new("layout image").and(digest.hex()).digest();
    let wanted = Wanted { key, definition: None, base: &[], title: name, node };
    let cached = receive(builder.engine(), builder.cache(), place, &wanted, &layers, Vec::new()).await?;
    Ok((config, cached))
}

/// The manifest, and its digest.
async fn manifest(
    place: &Local,
    name: &str,
    digest: Digest,
    platform: &Platform,
) -> Result<(Digest, Manifest), ExchangeError> {
    let (media_type, bytes) = place.root().await?;
    let index = match Document::parse(name, &media_type, &bytes).map_err(|error| damaged(&error))? {
        Document::Manifest(manifest) => return Ok((digest, manifest)),
        Document::Index(index) => index,
    };
    let best = index.best(platform).ok_or_else(|| damaged(&index.lacks(name, platform)))?;
    let bytes = place.document(best).await?;
    match Document::parse(name, &best.media_type, &bytes).map_err(|error| damaged(&error))? {
        Document::Manifest(manifest) => Ok((best.digest, manifest)),
        Document::Index(_) => Err(damaged(&format!("{} is an index in an index", best.digest))),
    }
}
