//! `load`: images from an archive, whichever of the two formats it has.
//!
//! ```text
//!   stream ─▶ spool (blobs staged and hashed) ─▶ plan (which images, which layers) ─▶ unpack ─▶ commit
//! ```
//! The stream cannot be rewound and either format may put its manifests last, so all blobs are staged first;
//! from then on everything is read from there.

mod docker_archive;
mod oci_layout;
mod plan;
mod spool;

use std::io::{self, Read};

use minke_model::{Digest, ImageId, Platform, Reference};

use crate::{
    ImageStore, StoreError,
    archive::{ReadError, UnpackError},
    changes::ChangeError,
    layers::{LayerTask, unpack_all},
    store::{ImageRecord, LayerRecord, NewImage, Staging, TagError},
};
pub(crate) use oci_layout::DEEPEST;
pub(crate) use plan::Plan;
use spool::Spool;

/// The most bytes that the configurations of an archive's images have together: they stay in memory. Real ones have some ten thousand each.
const MOST_CONFIGURED: usize = 32 << 20;

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: ImageId,
    /// The names it got, in familiar form.
    pub names: Vec<String>,
}

/// How far one layer is. Layers come side by side; those already in the store are not mentioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// The layer's diff id.
    pub layer: Digest,
    /// Bytes of its blob read so far.
    pub current: u64,
    /// Bytes of its blob in total.
    pub total: u64,
}

/// Why an archive was not loaded, or a root file system not imported. Nothing of it is left in the store.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The stream failed, or its decompression.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// The stream is not a tar, or a damaged one.
    #[error("damaged archive at byte {offset}: {problem}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        problem: String,
    },
    /// The archive contradicts itself or asks for what minke does not have.
    #[error("{0}")]
    Invalid(String),
    /// A document in the archive is malformed.
    #[error("{entry:?} in the archive is malformed")]
    Json {
        /// The document.
        entry: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A layer was not unpacked.
    #[error("unpack layer {layer}")]
    Layer {
        /// Its diff id.
        layer: Digest,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// A layer is not the one that the image's configuration names.
    #[error("layer {layer} is damaged: its content has digest {found}")]
    DiffId {
        /// The diff id it should have.
        layer: Digest,
        /// What it has.
        found: Digest,
    },
    /// A blob is not what its descriptor says.
    #[error("layer {layer} is damaged: {problem}")]
    Blob {
        /// The blob's digest.
        layer: Digest,
        /// What is wrong.
        problem: String,
    },
    /// A change to the configuration is none.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The image cannot have that name.
    #[error(transparent)]
    Name(#[from] TagError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LoadError {
    /// Whether the archive or the request is at fault (Docker's 400), not the store or the disk (500).
    pub fn is_callers_fault(&self) -> bool {
        match self {
            Self::Store(_) | Self::Name(TagError::Store(_)) => false,
            Self::Layer { source, .. } => source.is_archives_fault(),
            _ => true,
        }
    }
}

impl From<ReadError> for LoadError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(source) => Self::Read(source),
            ReadError::Damaged { offset, problem } => Self::Damaged { offset, problem },
        }
    }
}

impl ImageStore {
    /// Loads every image of a docker-archive or an OCI layout (plain, gzip or zstd), all or none; of an image for several
    /// platforms the one for this host.
    ///
    /// `progress` is called on this thread while layers are unpacked.
    ///
    /// # Errors
    /// [`LoadError`]; it names the entry or the layer at fault.
    pub fn load(
        &self,
        archive: impl Read + Send,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Vec<Loaded>, LoadError> {
        self.load_for(None, archive, progress)
    }

    /// As [`ImageStore::load`], of the images that are for a platform; there has to be one.
    ///
    /// # Errors
    /// As for [`ImageStore::load`].
    pub fn load_for(
        &self,
        platform: Option<&Platform>,
        archive: impl Read + Send,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Vec<Loaded>, LoadError> {
        let mut staging = self.stage()?;
        let spool = Spool::read(archive, &mut staging, &self.options().layer_limits)?;
        let mut plans = images(&spool, &mut staging, platform.unwrap_or(&Platform::host()))?;
        if let Some(wanted) = platform {
            plans = of_platform(plans, wanted)?;
        }
        let loaded = plans.iter().map(|plan| Loaded { id: plan.id, names: familiar(&plan.names) }).collect();
        self.finish(&mut staging, plans, progress)?;
        Ok(loaded)
    }

    /// Unpacks the layers of planned images and commits the images.
    pub(crate) fn finish(
        &self,
        staging: &mut Staging,
        plans: Vec<Plan>,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<(), LoadError> {
        let mut tasks = Vec::new();
        for layer in plans.iter().flat_map(|plan| &plan.layers) {
            if !staging.hold_layer(layer.chain) {
                let blob = staging.blob(&layer.blob.digest);
                tasks.push(LayerTask {
                    chain: layer.chain,
                    diff_id: layer.diff_id,
                    blob,
                    size: layer.blob.size,
                });
            }
        }
        let unpacked = unpack_all(tasks.clone(), staging.folders(), self.options().layer_limits, progress)?;
        for task in tasks {
            if let Some(done) = unpacked.get(&task.chain) {
                staging.add_layer(task.chain, LayerRecord::new(task.diff_id, done.bytes, done.opaque_root));
            }
        }
        let images = plans.into_iter().map(|plan| NewImage {
            id: plan.id,
            record: ImageRecord {
                parent: plan.parent,
                ..ImageRecord::new(plan.manifest, plan.layers.iter().map(|layer| layer.chain).collect())
            },
            config: plan.config,
            names: plan.names,
            target: None,
        });
        Ok(staging.commit(images.collect())?)
    }
}

fn of_platform(plans: Vec<Plan>, wanted: &Platform) -> Result<Vec<Plan>, LoadError> {
    let mut others = Vec::new();
    let mut matching = Vec::new();
    for plan in plans {
        let has = plan.platform()?;
        match wanted.suitability(&has) {
            0 => others.push(has.to_string()),
            _ => matching.push(plan),
        }
    }
    match matching.is_empty() {
        true => {
            let others = others.join(", ");
            Err(LoadError::Invalid(format!("the archive has nothing for {wanted}, only for {others}")))
        }
        false => Ok(matching),
    }
}

/// The images of an archive. Docker's own archives are both formats at once: the layout has the manifests that
/// their digests come from, `manifest.json` may know more names.
fn images(spool: &Spool, staging: &mut Staging, wanted: &Platform) -> Result<Vec<Plan>, LoadError> {
    let mut plans = match spool.has("index.json") {
        true => oci_layout::images(spool, staging, wanted)?,
        false => Vec::new(),
    };
    if spool.has("manifest.json") {
        match plans.is_empty() {
            true => plans = docker_archive::images(spool, staging)?,
            false => docker_archive::add_names(spool, &mut plans, staging)?,
        }
    }
    let configured: usize = plans.iter().map(|plan| plan.config.len()).sum();
    if configured > MOST_CONFIGURED {
        let problem =
            format!("the configurations of its images have {configured} bytes, more than {MOST_CONFIGURED}");
        return Err(LoadError::Invalid(problem));
    }
    match plans.is_empty() {
        false => Ok(plans),
        true if spool.has("index.json") || spool.has("manifest.json") => {
            Err(LoadError::Invalid("the archive has no images".to_owned()))
        }
        true => Err(LoadError::Invalid(
            "not an image archive: it has neither manifest.json (docker save) nor index.json (OCI layout); \
             to make an image of a root file system, use import"
                .to_owned(),
        )),
    }
}

fn familiar(names: &[Reference]) -> Vec<String> {
    names.iter().map(Reference::familiar).collect()
}
