//! Giving names.

use minke_model::{AnyReference, Digest, ImageId, Reference};

use super::{Change, ImageStore, Index, NameRecord, TagError, find::find};

impl ImageStore {
    /// Gives the image `source` another name; an image that had it loses it.
    ///
    /// # Errors
    /// [`TagError`].
    pub fn tag(&self, source: &str, name: &str) -> Result<(), TagError> {
        let reference = checked(name)?;
        let _turn = self.write();
        let (id, found) = find(&self.index(), source)?;
        let record = match index_meant(&self.index(), id, source, found) {
            Some(target) => NameRecord::now(id).of(target),
            None => NameRecord::now(id),
        };
        Ok(self.apply(Change { set_names: vec![(reference, record)], ..Change::default() })?)
    }
}

/// The index that a source means, which another name is to mean, too: with it go the images of other platforms, and attestations.
fn index_meant(index: &Index, id: ImageId, source: &str, found: Option<Reference>) -> Option<Digest> {
    let meant = match (found, source.parse::<AnyReference>()) {
        (Some(name), _) => index.target(&name).or(name.digest()),
        (None, Ok(AnyReference::Digest(digest))) => Some(digest),
        (None, _) => None,
    };
    meant.filter(|meant| index.with_index(*meant).is_some_and(|image| image.id == id))
}

/// A name that an image may be given.
pub(crate) fn checked(name: &str) -> Result<Reference, TagError> {
    let reference: Reference = name.parse()?;
    if reference.digest().is_some() {
        return Err(TagError::Refused("refusing to create a tag with a digest reference"));
    }
    if reference.familiar_name() == "sha256" {
        return Err(TagError::Refused("refusing to create an ambiguous tag using digest algorithm as name"));
    }
    Ok(reference.with_default_tag())
}
