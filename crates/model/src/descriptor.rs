//! Content descriptors: how manifests, indexes and registries point to content (OCI image specification 1.1,
//! "Content Descriptors"; Docker's image manifest, version 2, schema 2, has the same fields).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Digest, Platform,
    media_type::{self, CONFIG, DOCKER_CONFIG},
};

/// containerd's and Docker's annotation with the full name of an image.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// The specification's annotation with a name, often only a tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The specification's annotation with when something was made (RFC 3339).
pub const CREATED: &str = "org.opencontainers.image.created";

/// Marks manifests that hold attestations, not images (BuildKit).
pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// What the mark says.
pub const ATTESTATION_MANIFEST: &str = "attestation-manifest";
/// The manifest that an attestation is about.
pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// A pointer to content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the content is; empty where an old writer did not say.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What an image runs on, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Whatever else is to be said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// The type of an artifact, where the content is an artifact's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Where else the content can be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
}

impl Descriptor {
    /// A pointer to content of this type, digest and length.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: None,
            artifact_type: None,
            urls: None,
        }
    }

    /// The annotation of that name.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Whether it points to an index.
    pub fn is_index(&self) -> bool {
        media_type::is_index(&self.media_type)
    }

    /// Whether it may be an image: a manifest, and no attestation.
    pub fn is_image(&self) -> bool {
        (self.media_type.is_empty() || media_type::is_manifest(&self.media_type))
            && !self.is_attestation()
            && self.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
    }

    /// Whether it points to an image's configuration, not to an artifact's.
    pub fn is_config(&self) -> bool {
        matches!(self.media_type.as_str(), CONFIG | DOCKER_CONFIG | "")
    }

    /// Whether it is an attestation: SBOM, provenance.
    pub fn is_attestation(&self) -> bool {
        self.annotation(REFERENCE_TYPE).is_some()
    }

    /// The manifest that an attestation is about.
    pub fn attests(&self) -> Option<Digest> {
        self.annotation(REFERENCE_DIGEST)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations_are_no_images_and_know_what_they_are_about() {
        let digest = Digest::from_bytes([7; 32]);
        let json = format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":1,"platform":{{"os":"unknown","architecture":"unknown"}},
            "annotations":{{"{REFERENCE_TYPE}":"attestation-manifest","{REFERENCE_DIGEST}":"{digest}"}}}}"#,
            media_type::MANIFEST
        );
        let descriptor: Descriptor = serde_json::from_str(&json).unwrap();
        assert!(!descriptor.is_image() && descriptor.is_attestation());
        assert_eq!(descriptor.attests(), Some(digest));
        assert!(Descriptor::new(media_type::MANIFEST, digest, 1).is_image());
    }
}
