//! An image as the blobs of an OCI layout, for whoever writes one elsewhere.

use std::{collections::BTreeMap, path::PathBuf};

use minke_model::{Descriptor, Digest};

use super::{Chosen, SaveError};
use crate::{FindError, ImageStore, store::Staging};

/// An image, of which nothing is removed as long as this is there.
pub struct HeldImage {
    held: Staging,
    root: Descriptor,
    blobs: BTreeMap<Digest, u64>,
}

impl ImageStore {
    /// Holds the image of an id, or all of the index of a digest.
    ///
    /// # Errors
    /// [`SaveError::Find`] when it isn't there.
    pub fn hold_image(&self, id: &Digest) -> Result<HeldImage, SaveError> {
        let mut held = self.stage()?;
        let missing = || FindError::NotFound(id.to_string());
        let chosen = self.choose(&[id.to_string()])?.pop().ok_or_else(missing)?;
        held.hold_all(&chosen)?;
        Ok(HeldImage { held, root: chosen.root().clone(), blobs: chosen.blobs().collect() })
    }
}

impl HeldImage {
    /// Its manifest, or its index.
    pub fn root(&self) -> &Descriptor {
        &self.root
    }

    /// All that it consists of: digests, lengths and files. What leads to the rest comes last.
    pub fn blobs(&self) -> impl Iterator<Item = (Digest, u64, PathBuf)> + '_ {
        let (root, rest): (Vec<_>, Vec<_>) =
            self.blobs.iter().partition(|(digest, _)| **digest == self.root.digest);
        rest.into_iter().chain(root).map(|(digest, size)| (*digest, *size, self.held.blob(digest)))
    }
}

impl Staging {
    /// Keeps all of an image in the store.
    pub(super) fn hold_all(&mut self, image: &Chosen) -> Result<(), FindError> {
        match image.record.blobs(image.id).all(|blob| self.hold_blob(blob)) {
            true => Ok(()),
            // Removed since it was chosen.
            false => Err(FindError::NotFound(image.id.to_string())),
        }
    }
}
