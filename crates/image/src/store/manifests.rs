//! What an image's name stands for: the manifests of its index, those that are here and those that are not.

use minke_model::{Descriptor, Digest, Platform, Reference};

use super::ImageStore;
use crate::{Image, StoreError, content::io_error, manifest::Document};

/// A manifest of an image, or one that its index names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownManifest {
    /// Which.
    pub descriptor: Descriptor,
    /// Whether it and everything it names are in the store.
    pub available: bool,
    /// What it is.
    pub kind: ManifestKind,
    /// Bytes of its blobs (compressed, with the manifest and the configuration) that are in the store.
    pub content: u64,
}

/// What a manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestKind {
    /// An image for a platform. Its configuration's digest is known when the manifest is here.
    Image(Platform, Option<Digest>),
    /// An attestation about another manifest.
    Attestation(Option<Digest>),
    /// Something else.
    Unknown,
}

impl ImageStore {
    /// The manifests behind an image's names, as its index has them; the image's own where it came without one.
    ///
    /// # Errors
    /// [`StoreError`] when a document can't be read.
    pub fn manifests(&self, image: &Image) -> Result<Vec<KnownManifest>, StoreError> {
        let (own, index) = {
            let index = self.index();
            let Some(record) = index.record(&image.id) else { return Ok(Vec::new()) };
            let own: Vec<_> = record.manifests.iter().map(|manifest| manifest.descriptor.clone()).collect();
            (own, record.companions.iter().find(|companion| companion.is_index()).cloned())
        };
        let listed = match &index {
            Some(index) => match self.read_document(index)? {
                Some(Document::Index(index)) => index.manifests().to_vec(),
                _ => own,
            },
            None => own,
        };
        listed.into_iter().map(|descriptor| self.known(descriptor, image)).collect()
    }

    /// The manifest for a platform in the index that a name means.
    pub(crate) fn manifest_for(&self, name: &Reference, platform: &Platform) -> Option<Descriptor> {
        let descriptor = {
            let index = self.index();
            let (id, target) = (index.named(name)?, index.target(name)?);
            let is_target = |one: &&Descriptor| one.is_index() && one.digest == target;
            index.record(&id)?.companions.iter().find(is_target).cloned()?
        };
        let Document::Index(index) = self.read_document(&descriptor).ok()?? else { return None };
        index.best(platform).cloned()
    }

    fn known(&self, descriptor: Descriptor, image: &Image) -> Result<KnownManifest, StoreError> {
        let manifest = match self.index().has_blob(&descriptor.digest) {
            true => self.read_document(&descriptor)?,
            false => None,
        };
        let (mut available, mut content, mut config) = (false, 0, None);
        if let Some(Document::Manifest(manifest)) = &manifest {
            let index = self.index();
            let blobs: Vec<_> = std::iter::once(manifest.config()).chain(manifest.layers()).collect();
            let here = blobs.iter().filter(|blob| index.has_blob(&blob.digest));
            content = descriptor.size + here.map(|blob| blob.size).sum::<u64>();
            available = blobs.iter().all(|blob| index.has_blob(&blob.digest));
            config = Some(manifest.config().digest);
        }
        let kind = match &descriptor.platform {
            _ if descriptor.is_attestation() => ManifestKind::Attestation(descriptor.attests()),
            Some(platform) if descriptor.is_image() => ManifestKind::Image(platform.clone(), config),
            None if descriptor.is_image() => {
                let own = &image.config;
                let platform = Platform::normalised(&own.os, &own.architecture, own.variant.as_deref());
                ManifestKind::Image(platform, config)
            }
            _ => ManifestKind::Unknown,
        };
        Ok(KnownManifest { descriptor, available, kind, content })
    }

    /// A document of the store; `None` for one that is damaged.
    pub(crate) fn read_document(&self, descriptor: &Descriptor) -> Result<Option<Document>, StoreError> {
        let path = self.content().blob(&descriptor.digest);
        let bytes = std::fs::read(&path).map_err(io_error("read", &path))?;
        Ok(Document::parse(&descriptor.digest.to_string(), &descriptor.media_type, &bytes).ok())
    }
}
