//! Giving names.

use minke_model::Reference;

use super::{Change, ImageStore, NameRecord, TagError, find::find};

impl ImageStore {
    /// Gives the image `source` another name; an image that had it loses it.
    ///
    /// # Errors
    /// [`TagError`].
    pub fn tag(&self, source: &str, name: &str) -> Result<(), TagError> {
        let reference = checked(name)?;
        let _turn = self.write();
        let (id, _) = find(&self.index(), source)?;
        let change = Change { set_names: vec![(reference, NameRecord::now(id))], ..Change::default() };
        Ok(self.apply(change)?)
    }
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
