//! An image for several platforms, composed of layers that are there: an index over one image for each.
//!
//! The store knows it as the image that the host runs, to which the index and everything else in it belong, just as it knows a
//! pulled image with its index. So it is saved and pushed whole.

use std::collections::BTreeMap;

use minke_model::{
    Descriptor, Digest, ImageId, Platform,
    media_type::{CONFIG, INDEX, MANIFEST},
};

use crate::{
    Attestations, BuiltLayer, CommitError, ImageStore, LoadError, StoreError,
    commit::oci_media_type,
    compressed::CompressedLayer,
    manifest::{Index, Manifest},
    store::{ImageRecord, ManifestRecord, NewImage, Staging, checked_name},
};

/// One platform's image of an index that is to be composed.
#[derive(Debug, Clone)]
pub struct PlatformImage {
    /// What it runs on.
    pub platform: Platform,
    /// Its configuration, byte for byte; its `rootfs` names the layers.
    pub config: Vec<u8>,
    /// Its layers, lowest first.
    pub layers: Vec<BuiltLayer>,
    /// What is said of it.
    pub attestations: Attestations,
}

/// What was composed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComposedIndex {
    /// The digest of the index.
    pub index: Digest,
    /// The image in it that the host runs, or the first where there is none.
    pub image: ImageId,
}

/// One platform's image, written.
struct Written {
    platform: Platform,
    id: ImageId,
    config: Vec<u8>,
    manifest: ManifestRecord,
    chains: Vec<Digest>,
    /// The manifest of what is said of it, and what that leads to.
    attested: Vec<Descriptor>,
    /// Keeps its layers' blobs.
    _layers: Vec<CompressedLayer>,
}

impl ImageStore {
    /// Makes an index over images of layers that are there. Their layers are compressed, so that the index can be pushed as it
    /// is.
    ///
    /// # Errors
    /// [`CommitError`]; for a bad name before anything is done.
    pub fn compose_index(
        &self,
        images: &[PlatformImage],
        names: &[String],
        host: &Platform,
    ) -> Result<ComposedIndex, CommitError> {
        let names = names.iter().map(|name| checked_name(name)).collect::<Result<Vec<_>, _>>()?;
        let mut staging = self.stage()?;
        let mut written = Vec::with_capacity(images.len());
        for image in images {
            written.push(self.write_platform(image, &mut staging)?);
        }
        let platforms = written.iter().map(|one| Descriptor {
            platform: Some(one.platform.clone()),
            ..one.manifest.descriptor.clone()
        });
        let manifests = platforms.chain(written.iter().filter_map(|one| one.attested.first().cloned()));
        let index = Index { schema_version: 2, media_type: INDEX.to_owned(), manifests: manifests.collect() };
        let index = write_json("the index", &index, INDEX, &mut staging)?;
        let suits = |one: &Written| host.suitability(&one.platform);
        // Among equals the first wins.
        let main = (0..written.len()).rev().max_by_key(|at| suits(&written[*at]));
        let main = main.ok_or_else(|| LoadError::Invalid("an index over no images".to_owned()))?;
        let mut companions = BTreeMap::from([(index.digest, index.clone())]);
        let attested = written.iter().flat_map(|one| one.attested.iter().cloned());
        companions.extend(attested.map(|blob| (blob.digest, blob)));
        let main = written.remove(main);
        for other in &written {
            let config = Descriptor::new(CONFIG, other.id, other.config.len() as u64);
            let blobs = other.manifest.layers.iter().cloned();
            let all = blobs.chain([config, other.manifest.descriptor.clone()]);
            companions.extend(all.map(|blob| (blob.digest, blob)));
        }
        let record = ImageRecord {
            companions: companions.into_values().collect(),
            ..ImageRecord::new(main.manifest.clone(), main.chains.clone())
        };
        let (id, target) = (main.id, Some(index.digest));
        staging.commit(vec![NewImage { id, record, config: main.config.clone().into(), names, target }])?;
        self.believe_pins()?;
        Ok(ComposedIndex { index: index.digest, image: id })
    }

    fn write_platform(&self, image: &PlatformImage, staging: &mut Staging) -> Result<Written, CommitError> {
        let mut layers = Vec::with_capacity(image.layers.len());
        for layer in &image.layers {
            if !staging.hold_layer(layer.chain) || !staging.hold_blob(layer.blob.digest) {
                return Err(StoreError::LostLayer { layer: layer.chain }.into());
            }
            layers.push(self.compressed_layer(layer)?);
        }
        let blobs: Vec<Descriptor> = layers.iter().map(|layer| as_oci(&layer.descriptor)).collect();
        let (id, size) = staging.write_bytes(&image.config)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config: Descriptor::new(CONFIG, id, size),
            layers: blobs.clone(),
        };
        let descriptor = write_json("a manifest", &manifest, MANIFEST, staging)?;
        let attested = match image.attestations.predicates.is_empty() {
            true => Vec::new(),
            false => image.attestations.write(&descriptor, staging)?,
        };
        Ok(Written {
            platform: image.platform.clone(),
            id,
            config: image.config.clone(),
            manifest: ManifestRecord { descriptor, layers: blobs },
            chains: image.layers.iter().map(|layer| layer.chain).collect(),
            attested,
            _layers: layers,
        })
    }
}

/// A blob under its type in OCI's words.
fn as_oci(blob: &Descriptor) -> Descriptor {
    let media_type = oci_media_type(&blob.media_type).map_or_else(|| blob.media_type.clone(), str::to_owned);
    Descriptor { media_type, ..blob.clone() }
}

pub(crate) fn write_json(
    what: &str,
    document: &impl serde::Serialize,
    media_type: &str,
    staging: &mut Staging,
) -> Result<Descriptor, CommitError> {
    let bytes =
        serde_json::to_vec(document).map_err(|source| LoadError::Json { entry: what.to_owned(), source })?;
    let (digest, size) = staging.write_bytes(&bytes)?;
    Ok(Descriptor::new(media_type, digest, size))
}
