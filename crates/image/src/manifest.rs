//! Manifests, indexes and descriptors, as they stand in archives and registries.
//!
//! OCI image specification 1.1 ("Image Manifest", "Image Index", "Content Descriptors"; Docker's schema 2 has the
//! same fields) and docker-archive's `manifest.json`. Types of our own: only what minke acts upon is read, so a
//! strange annotation or an unknown algorithm elsewhere in a document is no reason to refuse an image.

use std::collections::BTreeMap;

use minke_model::{
    Digest, Platform,
    media_type::{self, CONFIG, DOCKER_CONFIG},
};
use serde::{Deserialize, Serialize};

/// containerd's and Docker's annotation with the full name of an image.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// The specification's annotation with a name, often only a tag.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Marks manifests that hold attestations, not images.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// A pointer to content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    pub(crate) fn is_index(&self) -> bool {
        media_type::is_index(&self.media_type)
    }

    /// Whether it may be an image: a manifest, and no attestation.
    pub(crate) fn is_image(&self) -> bool {
        (self.media_type.is_empty() || media_type::is_manifest(&self.media_type))
            && self.annotation(REFERENCE_TYPE).is_none()
            && self.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
    }

    /// Whether it points to an image's configuration, not to an artifact's.
    pub(crate) fn is_config(&self) -> bool {
        matches!(self.media_type.as_str(), CONFIG | DOCKER_CONFIG | "")
    }
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
}

/// Several images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    #[serde(default)]
    pub(crate) manifests: Vec<Descriptor>,
}

/// One image of docker-archive's `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ArchiveImage {
    /// Path of the configuration in the archive.
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    /// Paths of the layers, lowest first.
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
}
