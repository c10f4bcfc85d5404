//! The image for another platform behind a name. The name itself leads to one image; others of its index may be here as well, as images
//! of their own (pulled before) or as blobs (composed here), and become images when a build stands on them.

use std::sync::Arc;

use minke_model::{Platform, Reference};

use crate::{Image, ImageStore, LayerState, LoadError, manifest::Document};

impl ImageStore {
    /// The image for a platform behind a name that means an index; `None` when not all of it is here. Blocking: its layers may
    /// have to be unpacked.
    ///
    /// # Errors
    /// [`LoadError`] when its documents or its layers are damaged.
    pub fn image_for(&self, name: &Reference, platform: &Platform) -> Result<Option<Image>, LoadError> {
        let Some(descriptor) = self.manifest_for(name, platform) else { return Ok(None) };
        if let Some(image) = self.index().with_manifest(descriptor.digest).next() {
            return Ok(Some(image.clone()));
        }
        let mut pull = self.begin_pull()?;
        let Some(bytes) = pull.known(&descriptor)? else { return Ok(None) };
        let entry = descriptor.digest.to_string();
        let Document::Manifest(manifest) = Document::parse(&entry, &descriptor.media_type, &bytes)? else {
            return Ok(None);
        };
        let Some(config) = pull.known(manifest.config())? else { return Ok(None) };
        let plan = pull.plan(&descriptor, &manifest, config)?;
        let mut layers = Vec::new();
        for layer in &plan.layers {
            match layer.state {
                LayerState::Unpacked => {}
                LayerState::Stored => layers.push(Arc::new(self.unpack_stored(layer)?)),
                LayerState::Absent => return Ok(None),
            }
        }
        let id = pull.commit(plan, layers, Vec::new(), descriptor.digest)?;
        Ok(self.index().image(&id).cloned())
    }
}
