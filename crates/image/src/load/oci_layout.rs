//! OCI image layout: `index.json`, and blobs named by their digests (OCI image specification, "Image Layout").

use minke_model::{
    Descriptor, Platform, Reference,
    descriptor::{IMAGE_NAME, REF_NAME},
};

use super::{
    LoadError,
    plan::Plan,
    spool::{Blob, Spool, blob_name},
};
use crate::{
    manifest::{Index, Manifest},
    store::Staging,
};

/// Where a reader of the layout begins.
const INDEX: &str = "index.json";
/// Indexes within indexes; more is no image but an attack.
pub(crate) const DEEPEST: usize = 4;

/// The images of the layout: of an index with several platforms the one that runs here.
pub(super) fn images(spool: &Spool, staging: &mut Staging, host: &Platform) -> Result<Vec<Plan>, LoadError> {
    let index: Index = spool.json(INDEX, staging)?;
    index.check_count()?;
    let mut plans: Vec<Plan> = Vec::new();
    for descriptor in &index.manifests {
        let Some(manifest) = choose(spool, staging, descriptor, host)? else { continue };
        let Some(mut plan) = image(spool, staging, &manifest)? else { continue };
        name(descriptor)?.into_iter().for_each(|name| plan.add_name(name));
        merge(&mut plans, plan, &manifest, host);
    }
    Ok(plans)
}

/// One image may have several names, and one name several platforms at the top level: the better one keeps it.
fn merge(plans: &mut Vec<Plan>, mut plan: Plan, manifest: &Descriptor, host: &Platform) {
    if let Some(same) = plans.iter_mut().find(|other| other.id == plan.id) {
        plan.names.into_iter().for_each(|name| same.add_name(name));
        return;
    }
    let foreign = manifest.platform.as_ref().is_some_and(|platform| host.suitability(platform) == 0);
    if foreign && plans.iter().any(|other| other.names.iter().any(|name| plan.names.contains(name))) {
        return;
    }
    plans.retain_mut(|other| {
        let named = !other.names.is_empty();
        other.names.retain(|name| !plan.names.contains(name));
        !named || !other.names.is_empty()
    });
    plan.names.dedup();
    plans.push(plan);
}

/// The manifest behind a descriptor: itself, or the best of the index it points to.
fn choose(
    spool: &Spool,
    staging: &mut Staging,
    descriptor: &Descriptor,
    host: &Platform,
) -> Result<Option<Descriptor>, LoadError> {
    let mut descriptor = descriptor.clone();
    let mut named_by = INDEX.to_owned();
    for _ in 0..DEEPEST {
        if !descriptor.is_index() && !descriptor.is_image() {
            return Ok(None);
        }
        check(spool, staging, &named_by, &descriptor)?;
        if !descriptor.is_index() {
            return Ok(Some(descriptor));
        }
        let entry = blob_name(&descriptor.digest);
        let index: Index = spool.json(&entry, staging)?;
        index.check_count()?;
        descriptor = match index.best(host) {
            Some(best) => best.clone(),
            None => return Err(LoadError::Invalid(index.lacks(&entry, host))),
        };
        named_by = entry;
    }
    Err(LoadError::Invalid(format!("more than {DEEPEST} image indexes within each other")))
}

/// The image of a manifest; `None` for an artifact that is none.
fn image(spool: &Spool, staging: &mut Staging, descriptor: &Descriptor) -> Result<Option<Plan>, LoadError> {
    let entry = blob_name(&descriptor.digest);
    let manifest: Manifest = spool.json(&entry, staging)?;
    if !manifest.config.is_config() {
        return Ok(None);
    }
    for layer in &manifest.layers {
        check(spool, staging, &entry, layer)?;
    }
    let blob = check(spool, staging, &entry, &manifest.config)?;
    let config = super::spool::read(&blob_name(&blob.digest), blob, staging)?;
    let entry = format!("manifest {:?}", descriptor.digest.to_string());
    Plan::with_manifest(&entry, own(descriptor, &manifest), manifest.layers, blob.digest, config).map(Some)
}

/// The manifest's descriptor without what only its place in the index said.
fn own(descriptor: &Descriptor, manifest: &Manifest) -> Descriptor {
    let media_type = match descriptor.media_type.is_empty() {
        true => &manifest.media_type,
        false => &descriptor.media_type,
    };
    Descriptor::new(media_type, descriptor.digest, descriptor.size)
}

/// The blob a descriptor points to: in the archive or already in the store, and of the size that was promised.
fn check(
    spool: &Spool,
    staging: &mut Staging,
    entry: &str,
    descriptor: &Descriptor,
) -> Result<Blob, LoadError> {
    let name = blob_name(&descriptor.digest);
    let size = match spool.find(&name) {
        Some(blob) => blob.size,
        None if staging.hold_blob(descriptor.digest) => {
            let path = staging.blob(&descriptor.digest);
            std::fs::metadata(&path).map_err(crate::content::io_error("look at", &path))?.len()
        }
        None => {
            return Err(LoadError::Invalid(format!("{name:?}, named by {entry:?}, is not in the archive")));
        }
    };
    match size == descriptor.size {
        true => Ok(Blob { digest: descriptor.digest, size }),
        false => {
            let problem = format!("{name:?} has {size} bytes, but {entry:?} says {}", descriptor.size);
            Err(LoadError::Invalid(problem))
        }
    }
}

/// The name in the annotations. A bare word in the specification's annotation is a tag without a repository, from
/// which no name can be made.
fn name(descriptor: &Descriptor) -> Result<Option<Reference>, LoadError> {
    let name = descriptor.annotation(IMAGE_NAME);
    let name = name.or_else(|| descriptor.annotation(REF_NAME).filter(|name| name.contains(['/', ':'])));
    let Some(name) = name else { return Ok(None) };
    let invalid = |error| LoadError::Invalid(format!("name in \"index.json\": {error}"));
    Ok(Some(name.parse::<Reference>().map_err(invalid)?.with_default_tag()))
}
