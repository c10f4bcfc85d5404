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
use crate::{manifest::ArchiveImage, store::Staging};

const INDEX: &str = "manifest.json";

/// The images of the archive.
pub(super) fn images(spool: &Spool, staging: &mut Staging) -> Result<Vec<Plan>, LoadError> {
    let images: Vec<ArchiveImage> = spool.json(INDEX, staging)?;
    let mut plans: Vec<Plan> = Vec::new();
    for image in images {
        let mut layers = Vec::new();
        for name in image.layers.iter().flatten() {
            let missing =
                || LoadError::Invalid(format!("layer {name:?} of {:?} is not in the archive", image.config));
            let blob = spool.find(name).ok_or_else(missing)?;
            let media_type = compression(blob, staging)?.layer_media_type();
            layers.push(Descriptor::new(media_type, blob.digest, blob.size));
        }
        let (config, blob) = spool.document(&image.config, staging)?;
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
    let parse = |name: &String| {
        let invalid = |error| LoadError::Invalid(format!("name of image {:?}: {error}", image.config));
        name.parse::<Reference>().map(Reference::with_default_tag).map_err(invalid)
    };
    image.repo_tags.iter().flatten().map(parse).collect()
}
