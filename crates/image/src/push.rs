//! `push`: what of an image goes to a registry, kept in the store until it has arrived.
//!
//! A registry wants compressed layers. A pulled image goes as it came, with the index it came with when all of that is
//! here; layers that are kept uncompressed (imported, or loaded from docker-archives) are compressed once, and the image
//! remembers the manifest it was pushed with, so that it has the same digest the next time.

use std::{collections::BTreeSet, path::PathBuf};

use minke_model::{
    Descriptor, Digest, ImageId, Reference,
    media_type::{CONFIG, MANIFEST},
};

pub use crate::compressed::CompressedLayer;
use crate::{
    FindError, ImageStore, StoreError,
    compressed::is_plain,
    content::io_error,
    manifest::{Document, Index, Manifest},
    store::{ImageRecord, ManifestRecord, NewImage, Staging},
};

/// Why an image can't be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It is not there.
    #[error(transparent)]
    Find(#[from] FindError),
    /// There is nothing for the platform that was asked for.
    #[error("image {name} is for {has}, not for {wanted}")]
    Platform {
        /// The image.
        name: String,
        /// What it is for.
        has: String,
        /// What was asked for.
        wanted: String,
    },
    /// A document in the store is not what it was.
    #[error("document {digest} in the store is damaged: {problem}")]
    Damaged {
        /// Which.
        digest: Digest,
        /// What is wrong.
        problem: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An image on its way out: everything it needs stays in the store as long as this lives.
pub struct Push {
    pub(crate) held: Staging,
    pub(crate) id: ImageId,
    pub(crate) record: ImageRecord,
    pub(crate) config: std::sync::Arc<[u8]>,
    pub(crate) compressed: Vec<CompressedLayer>,
    /// Blobs to be sent before the documents, each once: configurations and layers.
    pub blobs: Vec<OutgoingBlob>,
    /// Documents to be sent after the blobs, in this order; the last is what the name will mean. For an image whose layers
    /// must be compressed first, [`Push::manifest`] makes the last one.
    pub documents: Vec<OutgoingDocument>,
}

/// A blob to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingBlob {
    /// What it is.
    pub descriptor: Descriptor,
    /// Whether it is an uncompressed layer, to be compressed first.
    pub is_plain: bool,
    /// Whether it is a layer, as opposed to a configuration.
    pub is_layer: bool,
}

/// A manifest or an index to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingDocument {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl ImageStore {
    /// Prepares the push of `name`: of all platforms that its index has, if they are here and `platform` names none; else of
    /// the one image.
    ///
    /// # Errors
    /// [`PushError`].
    pub fn prepare_push(
        &self,
        name: &Reference,
        platform: Option<&minke_model::Platform>,
    ) -> Result<Push, PushError> {
        let mut held = self.stage()?;
        let (id, record, config, target) = {
            let index = self.index();
            let missing = || FindError::NotFound(name.familiar());
            let id = index.named(name).ok_or_else(missing)?;
            let image = index.image(&id).ok_or_else(missing)?;
            if let Some(wanted) = platform {
                let config = &image.config;
                let has = minke_model::Platform::normalised(
                    &config.os,
                    &config.architecture,
                    config.variant.as_deref(),
                );
                if wanted.suitability(&has) == 0 {
                    let (has, wanted) = (has.to_string(), wanted.to_string());
                    return Err(PushError::Platform { name: name.familiar(), has, wanted });
                }
            }
            let record = index.record(&id).ok_or_else(missing)?.clone();
            (id, record, image.config_json.clone(), index.target(name))
        };
        if !record.blobs(id).all(|blob| held.hold_blob(blob)) {
            // Removed since it was found.
            return Err(FindError::NotFound(name.familiar()).into());
        }
        let mut push = Push {
            held,
            id,
            record,
            config,
            compressed: Vec::new(),
            blobs: Vec::new(),
            documents: Vec::new(),
        };
        if !(platform.is_none() && push.add_index(target)?) {
            push.add_image(target)?;
        }
        Ok(push)
    }
}

impl Push {
    /// Where a blob of the store lies.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.held.blob(digest)
    }

    /// Makes the manifest that has the compressed layers in the place of the plain ones, if there are any.
    pub fn manifest(&mut self, compressed: Vec<CompressedLayer>) -> Result<(), PushError> {
        if compressed.is_empty() {
            return Ok(());
        }
        self.compressed = compressed;
        let plain = &self.record.manifests[0].layers;
        let layers: Vec<Descriptor> = plain.iter().map(|layer| self.in_place_of(layer)).collect();
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config: Descriptor::new(CONFIG, self.id, self.config.len() as u64),
            layers: layers.clone(),
            annotations: None,
        };
        let damaged =
            |error: serde_json::Error| PushError::Damaged { digest: self.id, problem: error.to_string() };
        let bytes = serde_json::to_vec(&manifest).map_err(damaged)?;
        let (digest, size) = self.held.write_bytes(&bytes)?;
        let descriptor = Descriptor::new(MANIFEST, digest, size);
        self.record.manifests.push(ManifestRecord { descriptor: descriptor.clone(), layers });
        self.documents.push(OutgoingDocument { descriptor, bytes });
        Ok(())
    }

    fn in_place_of(&self, layer: &Descriptor) -> Descriptor {
        let compressed = self.compressed.iter().find(|compressed| compressed.plain == layer.digest);
        compressed.map_or(layer, |compressed| &compressed.descriptor).clone()
    }

    /// Remembers what was pushed: the tag means `target` in its registry, and the image is known by that digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn commit(mut self, tag: &Reference, target: Digest) -> Result<(), StoreError> {
        let names = vec![tag.clone(), tag.with_digest(target)];
        let image = NewImage {
            id: self.id,
            record: self.record.clone(),
            config: self.config.clone(),
            names,
            target: Some(target),
        };
        self.held.commit(vec![image])
    }

    /// Adds the index that the name meant in its registry, and everything in it, if all of that is here.
    fn add_index(&mut self, target: Option<Digest>) -> Result<bool, PushError> {
        let is_target = |companion: &&Descriptor| companion.is_index() && Some(companion.digest) == target;
        let Some(descriptor) = self.record.companions.iter().find(is_target).cloned() else {
            return Ok(false);
        };
        let (bytes, index) = match self.document(&descriptor)? {
            (bytes, Document::Index(index)) => (bytes, index),
            _ => return Ok(false),
        };
        let Some(manifests) = self.whole(&index)? else { return Ok(false) };
        for (descriptor, bytes, manifest) in manifests {
            // The index names them as they are.
            self.add_blobs(&manifest, &BTreeSet::new());
            self.documents.push(OutgoingDocument { descriptor, bytes });
        }
        self.documents.push(OutgoingDocument { descriptor, bytes });
        Ok(true)
    }

    /// All manifests of an index, if they and all their blobs are here and can be pushed as they are.
    #[expect(clippy::type_complexity, reason = "used once, right above")]
    fn whole(&mut self, index: &Index) -> Result<Option<Vec<(Descriptor, Vec<u8>, Manifest)>>, PushError> {
        let mut manifests = Vec::new();
        for descriptor in index.manifests() {
            if descriptor.is_index() || !self.held.hold_blob(descriptor.digest) {
                return Ok(None);
            }
            let (bytes, Document::Manifest(manifest)) = self.document(descriptor)? else { return Ok(None) };
            let blobs = std::iter::once(&manifest.config).chain(&manifest.layers);
            if !blobs.into_iter().all(|blob| self.held.hold_blob(blob.digest)) {
                return Ok(None);
            }
            manifests.push((descriptor.clone(), bytes, manifest));
        }
        Ok(Some(manifests))
    }

    /// Adds the one image: with the manifest that the name means, or the first whose layers are compressed, else with plain layers.
    fn add_image(&mut self, target: Option<Digest>) -> Result<(), PushError> {
        let is_meant = |manifest: &&ManifestRecord| Some(manifest.descriptor.digest) == target;
        let mut ready = self.record.manifests.iter().find(is_meant);
        for manifest in &self.record.manifests {
            if ready.is_none() && self.plain_layers(manifest)?.is_empty() {
                ready = Some(manifest);
            }
        }
        let chosen = ready.unwrap_or(&self.record.manifests[0]).clone();
        let is_ready = ready.is_some();
        let manifest = Manifest {
            schema_version: 2,
            media_type: String::new(),
            config: Descriptor::new(CONFIG, self.id, self.config.len() as u64),
            layers: chosen.layers.clone(),
            annotations: None,
        };
        // What the name means goes as it is, compressed or not.
        let plain = if is_ready { BTreeSet::new() } else { self.plain_layers(&chosen)? };
        self.add_blobs(&manifest, &plain);
        if is_ready {
            let (bytes, document) = self.document(&chosen.descriptor)?;
            if let Document::Manifest(manifest) = document
                && let Some(config) = self.blobs.iter_mut().find(|blob| blob.descriptor.digest == self.id)
            {
                config.descriptor = manifest.config;
            }
            self.documents.push(OutgoingDocument { descriptor: chosen.descriptor, bytes });
        }
        Ok(())
    }

    fn add_blobs(&mut self, manifest: &Manifest, plain: &BTreeSet<Digest>) {
        let mut known: BTreeSet<Digest> = self.blobs.iter().map(|blob| blob.descriptor.digest).collect();
        for layer in &manifest.layers {
            if known.insert(layer.digest) {
                let is_plain = plain.contains(&layer.digest);
                self.blobs.push(OutgoingBlob { descriptor: layer.clone(), is_plain, is_layer: true });
            }
        }
        if known.insert(manifest.config.digest) {
            let descriptor = manifest.config.clone();
            self.blobs.push(OutgoingBlob { descriptor, is_plain: false, is_layer: false });
        }
    }

    /// The layers that are uncompressed tars, by their type and, since types are often wrong, by their first bytes.
    fn plain_layers(&self, manifest: &ManifestRecord) -> Result<BTreeSet<Digest>, StoreError> {
        let mut plain = BTreeSet::new();
        for layer in &manifest.layers {
            if is_plain(layer, &self.held.blob(&layer.digest))? {
                plain.insert(layer.digest);
            }
        }
        Ok(plain)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<(Vec<u8>, Document), PushError> {
        let path = self.held.blob(&descriptor.digest);
        let bytes = std::fs::read(&path).map_err(io_error("read", &path))?;
        let damaged = |problem: String| PushError::Damaged { digest: descriptor.digest, problem };
        if crate::hashing::digest_of(&bytes) != descriptor.digest {
            return Err(damaged("its content has another digest".to_owned()));
        }
        let name = descriptor.digest.to_string();
        let document =
            Document::parse(&name, &descriptor.media_type, &bytes).map_err(|e| damaged(e.to_string()))?;
        Ok((bytes, document))
    }
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push").field("id", &self.id).finish_non_exhaustive()
    }
}
