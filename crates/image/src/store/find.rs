//! From what a user writes to an image: a name, a name with a digest, an id or the beginning of one.

use minke_model::{AnyReference, Digest, ImageId, Reference};

use super::{FindError, ImageRecord, ImageStore, Index};
use crate::Image;

impl ImageStore {
    /// Finds an image by `redis`, `redis:7`, `name@sha256:…`, an id, or the beginning of an id (with or without
    /// `sha256:`). Names win over beginnings of ids, as in Docker.
    ///
    /// # Errors
    /// [`FindError`].
    pub fn find(&self, name_or_id: &str) -> Result<Image, FindError> {
        let index = self.index();
        let (id, _) = find(&index, name_or_id)?;
        index.image(&id).cloned().ok_or_else(|| FindError::NotFound(name_or_id.to_owned()))
    }

    /// All tags of a repository.
    pub fn tags(&self, repository: &Reference) -> Vec<Reference> {
        let index = self.index();
        index
            .repository(repository)
            .filter(|(name, _)| name.tag().is_some())
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The repositories of a registry in which images with this blob were found, each once: those in which the image is
    /// known by a digest, which is then part of the reference.
    pub fn repositories_with(&self, blob: &Digest, domain: &str) -> Vec<Reference> {
        let index = self.index();
        let has = |record: &ImageRecord| {
            record.manifests.iter().any(|manifest| manifest.layers.iter().any(|layer| layer.digest == *blob))
        };
        let names = index.digest_names().filter(|(name, record)| name.domain() == domain && has(record));
        let mut found: Vec<Reference> = names.map(|(name, _)| name.clone()).collect();
        found.dedup_by(|a, b| a.path() == b.path());
        found
    }
}

/// The image's id, and the name it was found by (`None` when it was an id).
pub(crate) fn find(index: &Index, text: &str) -> Result<(ImageId, Option<Reference>), FindError> {
    let reference = match text.parse::<AnyReference>()? {
        AnyReference::Digest(digest) => {
            let by_manifest = || index.with_manifest(digest).next().or_else(|| index.with_index(digest));
            return match index.image(&digest).or_else(by_manifest) {
                Some(image) => Ok((image.id, None)),
                None => Err(FindError::NotFound(digest.to_string())),
            };
        }
        AnyReference::Named(reference) => reference.with_default_tag(),
    };
    if let Some(found) = by_name(index, &reference) {
        return Ok((found, Some(reference)));
    }
    match by_prefix(index, text)? {
        Some(id) => Ok((id, None)),
        None => Err(FindError::NotFound(reference.familiar())),
    }
}

/// A tag, or a digest: recorded as a name, or that of a manifest or an id whose image has a tag in the repository.
fn by_name(index: &Index, reference: &Reference) -> Option<ImageId> {
    let Some(digest) = reference.digest() else { return index.named(reference) };
    if let Some(id) = index.named(&reference.with_digest(digest)) {
        return Some(id);
    }
    let same = |name: &&Reference| name.name() == reference.name();
    let candidates = index.image(&digest).into_iter().chain(index.with_manifest(digest));
    candidates.map(|image| image.id).find(|id| index.names_of(id).any(|name| same(&name)))
}

/// The one image whose id begins so, if any does.
fn by_prefix(index: &Index, text: &str) -> Result<Option<ImageId>, FindError> {
    let prefix = text.strip_prefix("sha256:").unwrap_or(text);
    let Some((first, last)) = range(prefix) else { return Ok(None) };
    let mut matches = index.between(first, last);
    match (matches.next(), matches.count()) {
        (None, _) => Ok(None),
        (Some(image), 0) => Ok(Some(image.id)),
        (Some(_), more) => Err(FindError::Ambiguous { prefix: text.to_owned(), matches: more + 1 }),
    }
}

/// The first and the last digest with this prefix.
fn range(prefix: &str) -> Option<(Digest, Digest)> {
    if prefix.is_empty() || prefix.len() > 64 {
        return None;
    }
    let filled = |digit: &str| Digest::from_hex(&format!("{prefix}{}", digit.repeat(64 - prefix.len()))).ok();
    Some((filled("0")?, filled("f")?))
}
