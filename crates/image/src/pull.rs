//! `pull`: an image that is brought in part by part: its documents, then its layers, then one commit.
//!
//! ```text
//!   index ─▶ manifest ─▶ configuration ─▶ Pull::layers ─▶ ImageStore::receive_layer, several at a time ─▶ Pull::commit
//! ```
//! Where the parts come from is the caller's business: the engine asks a registry. What is in the store already, and
//! whatever the image needs, is leased until the commit, so that nobody's removal takes it away meanwhile.

use std::sync::Arc;

use minke_model::{Descriptor, Digest, ImageId, Platform, Reference};

use crate::{
    Image, ImageConfig, ImageStore, LoadError, StagedLayer, StoreError,
    content::{WriteError, io_error},
    hashing::digest_of,
    load::Plan,
    manifest::Manifest,
    receive::PulledLayer,
    store::{ImageRecord, NewImage, Staging},
};

/// Longest manifest, index or configuration (what registries allow is 4 MiB).
pub const LONGEST_DOCUMENT: usize = 8 << 20;
/// Indexes within indexes; more is no image but an attack.
pub const DEEPEST_INDEX: usize = crate::load::DEEPEST;

/// One image on its way in. Dropping it leaves nothing of what it brought.
pub struct Pull {
    staging: Staging,
    companions: Vec<Descriptor>,
}

/// What is left to do for an image whose documents are here.
#[derive(Debug)]
pub struct PullPlan {
    plan: Plan,
    /// Its layers, lowest first.
    pub layers: Vec<PulledLayer>,
    /// What it runs on, as its configuration says.
    pub platform: Platform,
}

impl ImageStore {
    /// Begins a pull.
    ///
    /// # Errors
    /// [`StoreError`] when no room for it can be made.
    pub fn begin_pull(&self) -> Result<Pull, StoreError> {
        Ok(Pull { staging: self.stage()?, companions: Vec::new() })
    }

    /// The image of a name, if the name was pulled as `target` (a manifest's or an index's digest) the last time: then
    /// there is nothing to pull.
    pub fn pulled(&self, name: &Reference, target: &Digest) -> Option<ImageId> {
        let index = self.index();
        index.named(name).filter(|_| index.target(name).as_ref() == Some(target))
    }

    /// Whether the name isn't known to mean an index, so that this image of it is the only one there is.
    pub fn is_sole(&self, name: &Reference, image: &Image) -> bool {
        self.index().target(name).is_none_or(|target| target == image.manifest)
    }
}

impl Pull {
    /// A document that the store has.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn known(&mut self, document: &Descriptor) -> Result<Option<Vec<u8>>, StoreError> {
        if document.size > LONGEST_DOCUMENT as u64 || !self.staging.hold_blob(document.digest) {
            return Ok(None);
        }
        let path = self.staging.blob(&document.digest);
        let bytes = std::fs::read(&path).map_err(io_error("read", &path))?;
        // One that was damaged on the disk is fetched again.
        Ok(Some(bytes).filter(|bytes| digest_of(bytes) == document.digest))
    }

    /// Takes in a document.
    ///
    /// # Errors
    /// [`LoadError::Blob`] when it hasn't that digest.
    pub fn document(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), LoadError> {
        let (found, _) = self.staging.write_bytes(bytes)?;
        match found == digest {
            true => Ok(()),
            false => {
                Err(LoadError::Blob { layer: digest, problem: format!("its content has digest {found}") })
            }
        }
    }

    /// Takes in a blob that is neither document nor layer, an attestation's.
    ///
    /// # Errors
    /// [`LoadError::Read`], [`LoadError::Blob`].
    pub fn blob(&mut self, blob: &Descriptor, source: impl std::io::Read) -> Result<(), LoadError> {
        let (found, size) = self.staging.write_blob(source).map_err(|error| match error {
            WriteError::Read(error) => LoadError::Read(error),
            WriteError::Store(error) => LoadError::Store(error),
        })?;
        match (found, size) == (blob.digest, blob.size) {
            true => Ok(()),
            false => {
                let problem = format!("{size} bytes with digest {found} came");
                Err(LoadError::Blob { layer: blob.digest, problem })
            }
        }
    }

    /// Says that a document or blob belongs to the image: the index it was found in, attestations. It is here, taken in or
    /// known.
    pub fn keep(&mut self, companion: Descriptor) {
        self.companions.push(companion);
    }

    /// What there is to do for the image of `manifest`, whose configuration is `config`. `descriptor` is the manifest's;
    /// both documents are here.
    ///
    /// # Errors
    /// [`LoadError`] when the documents contradict each other or themselves.
    pub fn plan(
        &mut self,
        descriptor: &Descriptor,
        manifest: &Manifest,
        config: Vec<u8>,
    ) -> Result<PullPlan, LoadError> {
        let entry = format!("manifest {}", descriptor.digest);
        if !manifest.config.is_config() {
            let problem =
                format!("{entry} is an artifact of type {:?}, not an image", manifest.config.media_type);
            return Err(LoadError::Invalid(problem));
        }
        let own = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size);
        let parsed: ImageConfig = serde_json::from_slice(&config)
            .map_err(|source| LoadError::Json { entry: format!("configuration of {entry}"), source })?;
        let platform = Platform::normalised(&parsed.os, &parsed.architecture, parsed.variant.as_deref());
        let mut plan = Plan::with_manifest(
            &entry,
            own,
            manifest.layers.clone(),
            manifest.config.digest,
            config.clone(),
        )?;
        let mut layers = Vec::with_capacity(plan.layers.len());
        let mut substituted = false;
        for layer in &mut plan.layers {
            let asked = layer.blob.digest;
            let state = self.staging.look_for(layer.chain, &mut layer.blob);
            substituted |= layer.blob.digest != asked;
            layers.push(PulledLayer {
                chain: layer.chain,
                diff_id: layer.diff_id,
                blob: layer.blob.clone(),
                state,
            });
        }
        if substituted {
            let blobs = layers.iter().map(|layer| layer.blob.clone()).collect();
            self.companions.push(descriptor.clone());
            plan = Plan::without_manifest(&entry, blobs, manifest.config.digest, config, &mut self.staging)?;
        }
        Ok(PullPlan { plan, layers, platform })
    }

    /// Makes the image and its names durable. `target` is what the names mean in the registry: the index's or the
    /// manifest's digest.
    ///
    /// # Errors
    /// [`LoadError::Store`].
    pub fn commit(
        mut self,
        plan: PullPlan,
        layers: Vec<Arc<StagedLayer>>,
        names: Vec<Reference>,
        target: Digest,
    ) -> Result<ImageId, LoadError> {
        for layer in layers {
            self.staging.adopt(layer);
        }
        let PullPlan { plan, .. } = plan;
        let chains = plan.layers.iter().map(|layer| layer.chain).collect();
        let mut record = ImageRecord::new(plan.manifest, chains);
        record.companions = std::mem::take(&mut self.companions);
        let image = NewImage { id: plan.id, record, config: plan.config, names, target: Some(target) };
        self.staging.commit(vec![image])?;
        Ok(plan.id)
    }
}

impl std::fmt::Debug for Pull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pull").finish_non_exhaustive()
    }
}
