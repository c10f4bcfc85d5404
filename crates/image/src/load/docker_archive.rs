//! docker-archive: what `docker save` has written since Docker 1.10, with `manifest.json` in the middle.
//!
//! Layers are plain tars (or compressed ones, which other writers put there); files that several images share may
//! be symbolic links in the oldest archives.

use minke_model::{Descriptor, Reference};

use super::{
    LoadError,
    plan::Plan,
    spool::{Spool, compression},
};
use crate::{
    ImageConfig, LayerId,
    layers::chain_ids,
    manifest::{ArchiveImage, MOST_MANIFESTS},
    store::Staging,
};

const INDEX: &str = "manifest.json";

/// The images of the archive.
pub(super) fn images(spool: &Spool, staging: &mut Staging) -> Result<Vec<Plan>, LoadError> {
    let images: Vec<ArchiveImage> = spool.json(INDEX, staging)?;
    if images.len() > MOST_MANIFESTS {
        return Err(LoadError::Invalid(format!("{INDEX} has more than {MOST_MANIFESTS} images")));
    }
    let mut plans: Vec<Plan> = Vec::new();
    for image in images {
        let (config, blob) = spool.document(&image.config, staging)?;
        let chain = chain_of(&image.config, &config)?;
        let mut layers = Vec::new();
        for (index, name) in image.layers.iter().flatten().enumerate() {
            let missing =
                || LoadError::Invalid(format!("layer {name:?} of {:?} is not in the archive", image.config));
            let layer = match spool.find(name) {
                Some(blob) => {
                    let media_type = compression(blob, staging)?.layer_media_type();
                    Descriptor::new(media_type, blob.digest, blob.size)
                }
                // Tools leave out what they know to be here.
                None => {
                    let chain = chain.get(index).copied().filter(|chain| staging.hold_layer(*chain));
                    chain.and_then(|chain| staging.hold_blob_of_layer(chain)).ok_or_else(missing)?
                }
            };
            layers.push(layer);
        }
        let mut plan = Plan::without_manifest(
            &format!("image {:?}", image.config),
            layers,
            blob.digest,
            config,
            staging,
        )?;
        names(&image)?.into_iter().for_each(|name| plan.add_name(name));
        match plans.iter_mut().find(|other| other.id == plan.id) {
            Some(other) => plan.names.into_iter().for_each(|name| other.add_name(name)),
            None => plans.push(plan),
        }
    }
    Ok(plans)
}

/// The layers' chain ids.
fn chain_of(entry: &str, config: &[u8]) -> Result<Vec<LayerId>, LoadError> {
    let config: ImageConfig = serde_json::from_slice(config)
        .map_err(|source| LoadError::Json { entry: format!("configuration {entry:?}"), source })?;
    Ok(chain_ids(&config.rootfs.diff_ids))
}

/// Adds the names that `manifest.json` knows to images found otherwise.
pub(super) fn add_names(spool: &Spool, plans: &mut [Plan], staging: &Staging) -> Result<(), LoadError> {
    let images: Vec<ArchiveImage> = spool.json(INDEX, staging)?;
    for image in images {
        let Some(config) = spool.find(&image.config) else { continue };
        if let Some(plan) = plans.iter_mut().find(|plan| plan.id == config.digest) {
            names(&image)?.into_iter().for_each(|name| plan.add_name(name));
        }
    }
    Ok(())
}

fn names(image: &ArchiveImage) -> Result<Vec<Reference>, LoadError> {
    if image.repo_tags.iter().flatten().count() > MOST_MANIFESTS {
        return Err(LoadError::Invalid(format!(
            "image {:?} has more than {MOST_MANIFESTS} names",
            image.config
        )));
    }
    let parse = |name: &String| {
        let invalid = |error| LoadError::Invalid(format!("name of image {:?}: {error}", image.config));
        name.parse::<Reference>().map(Reference::with_default_tag).map_err(invalid)
    };
    image.repo_tags.iter().flatten().map(parse).collect()
}
