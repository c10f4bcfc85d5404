//! An image of an archive, checked: what is left to do is to unpack its layers and to commit it.

use std::sync::Arc;

use minke_model::{
    Descriptor, Digest, ImageId, Platform, Reference,
    media_type::{CONFIG, MANIFEST},
};

use super::LoadError;
use crate::{
    ImageConfig, LayerId,
    layers::chain_ids,
    manifest::Manifest,
    store::{ManifestRecord, Staging},
};

/// Most layers of an image: what overlayfs mounts.
const MOST_LAYERS: usize = 500;

/// An image to be committed.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) id: ImageId,
    pub(crate) config: Arc<[u8]>,
    pub(crate) manifest: ManifestRecord,
    pub(crate) layers: Vec<PlannedLayer>,
    pub(crate) names: Vec<Reference>,
    /// The image that it was built on here.
    pub(crate) parent: Option<ImageId>,
}

/// One of its layers.
#[derive(Debug)]
pub(crate) struct PlannedLayer {
    pub(crate) chain: LayerId,
    pub(crate) diff_id: Digest,
    pub(crate) blob: Descriptor,
}

impl Plan {
    /// An image with a manifest of its own.
    pub(crate) fn with_manifest(
        entry: &str,
        manifest: Descriptor,
        layers: Vec<Descriptor>,
        config_digest: Digest,
        config: Vec<u8>,
    ) -> Result<Self, LoadError> {
        let parsed: ImageConfig = serde_json::from_slice(&config)
            .map_err(|source| LoadError::Json { entry: format!("configuration of {entry}"), source })?;
        let diff_ids = parsed.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            let (has, names) = (layers.len(), diff_ids.len());
            let problem = format!("{entry} has {has} layers, but its configuration names {names}");
            return Err(LoadError::Invalid(problem));
        }
        if layers.len() > MOST_LAYERS {
            let problem = format!(
                "{entry} has {} layers, more than the {MOST_LAYERS} that can be mounted",
                layers.len()
            );
            return Err(LoadError::Invalid(problem));
        }
        let planned = chain_ids(&diff_ids).into_iter().zip(&diff_ids).zip(&layers);
        Ok(Self {
            id: config_digest,
            config: config.into(),
            layers: planned
                .map(|((chain, diff_id), blob)| PlannedLayer { chain, diff_id: *diff_id, blob: blob.clone() })
                .collect(),
            manifest: ManifestRecord { descriptor: manifest, layers },
            names: Vec::new(),
            parent: None,
        })
    }

    /// An image without a manifest: it gets the OCI manifest that says the same, and always the same one.
    pub(crate) fn without_manifest(
        entry: &str,
        layers: Vec<Descriptor>,
        config_digest: Digest,
        config: Vec<u8>,
        staging: &mut Staging,
    ) -> Result<Self, LoadError> {
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config: Descriptor::new(CONFIG, config_digest, config.len() as u64),
            layers: layers.clone(),
            annotations: None,
        };
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|source| LoadError::Json { entry: format!("manifest of {entry}"), source })?;
        let (digest, size) = staging.write_bytes(&bytes)?;
        Self::with_manifest(entry, Descriptor::new(MANIFEST, digest, size), layers, config_digest, config)
    }

    /// What it runs on.
    pub(super) fn platform(&self) -> Result<Platform, LoadError> {
        let config: ImageConfig = serde_json::from_slice(&self.config)
            .map_err(|source| LoadError::Json { entry: format!("configuration {}", self.id), source })?;
        Ok(Platform::normalised(&config.os, &config.architecture, config.variant.as_deref()))
    }

    pub(super) fn add_name(&mut self, name: Reference) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}
