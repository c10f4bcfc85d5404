//! Manifests and indexes, as they stand in archives and registries.
//!
//! OCI image specification 1.1 ("Image Manifest", "Image Index", "Content Descriptors"; Docker's schema 2 has the
//! same fields) and docker-archive's `manifest.json`. Types of our own: only what minke acts upon is read, so a
//! strange annotation or an unknown algorithm elsewhere in a document is no reason to refuse an image.

use std::collections::{BTreeMap, BTreeSet};

use minke_model::{Descriptor, Digest, Platform, media_type};
use serde::{Deserialize, Serialize};

use crate::LoadError;

/// Most manifests in one index, and most images and names of one in an archive.
pub(crate) const MOST_MANIFESTS: usize = 10_000;
/// Most platforms in one message.
const MOST_SHOWN: usize = 20;

/// What a reference in a registry leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub enum Document {
    /// Several images.
    Index(Index),
    /// One.
    Manifest(Manifest),
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
    /// Written, and not read.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// Several images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: String,
    #[serde(default)]
    pub(crate) manifests: Vec<Descriptor>,
    /// Written, and not read.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Document {
    /// Reads a manifest or an index that came as `media_type` (empty where nobody said); `name` is what errors call it.
    ///
    /// # Errors
    /// [`LoadError::Json`], and [`LoadError::Invalid`] for one that could be read as both, that contradicts its type, or that
    /// is of Docker's schema 1.
    pub fn parse(name: &str, media_type: &str, bytes: &[u8]) -> Result<Self, LoadError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            #[serde(default)]
            schema_version: u32,
            #[serde(default)]
            media_type: String,
            config: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let json = |source| LoadError::Json { entry: name.to_owned(), source };
        let invalid = |problem: &str| Err(LoadError::Invalid(format!("{name:?} {problem}")));
        let shape: Shape = serde_json::from_slice(bytes).map_err(json)?;
        if shape.schema_version == 1 {
            return invalid(
                "is a manifest of Docker's schema 1, which is obsolete: push the image anew with a current tool",
            );
        }
        // One that can be read as both means different things to different clients (CVE-2021-41190).
        if shape.manifests.is_some() && (shape.config.is_some() || shape.layers.is_some()) {
            return invalid("is an image and an index at once");
        }
        if !media_type.is_empty() && !shape.media_type.is_empty() && media_type != shape.media_type {
            return invalid(&format!("came as {media_type:?}, but says that it is {:?}", shape.media_type));
        }
        let said = if media_type.is_empty() { &shape.media_type } else { media_type };
        let is_index = if said.is_empty() { shape.manifests.is_some() } else { media_type::is_index(said) };
        match is_index {
            true if shape.config.is_some() || shape.layers.is_some() => {
                invalid(&format!("came as {said:?}, but is one image"))
            }
            true => {
                let index: Index = serde_json::from_slice(bytes).map_err(json)?;
                index.check_count()?;
                Ok(Self::Index(index))
            }
            false if said.is_empty() || media_type::is_manifest(said) => {
                Ok(Self::Manifest(serde_json::from_slice(bytes).map_err(json)?))
            }
            false => invalid(&format!("is of type {said:?}, which is no image")),
        }
    }
}

impl Document {
    /// Its media type, as it says itself or as its shape implies.
    pub fn media_type(&self) -> &str {
        let (said, implied) = match self {
            Self::Index(index) => (&index.media_type, media_type::INDEX),
            Self::Manifest(manifest) => (&manifest.media_type, media_type::MANIFEST),
        };
        if said.is_empty() { implied } else { said }
    }
}

impl Manifest {
    /// The image's configuration.
    pub fn config(&self) -> &Descriptor {
        &self.config
    }

    /// Its layers' blobs, lowest first.
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }
}

impl Index {
    pub(crate) fn check_count(&self) -> Result<(), LoadError> {
        match self.manifests.len() > MOST_MANIFESTS {
            true => Err(LoadError::Invalid(format!("more than {MOST_MANIFESTS} manifests in one index"))),
            false => Ok(()),
        }
    }

    /// What it lists.
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// The image that `platform` runs best: a manifest, or a further index to look into. Among equals the first wins: that is
    /// the order its maker chose.
    pub fn best(&self, platform: &Platform) -> Option<&Descriptor> {
        let suitability = |offered: &&Descriptor| match &offered.platform {
            _ if !offered.is_index() && !offered.is_image() => 0,
            Some(offered) => platform.suitability(offered),
            None => 1,
        };
        self.manifests.iter().rev().max_by_key(suitability).filter(|best| suitability(best) > 0)
    }

    /// Attestations about a manifest: SBOM, provenance.
    pub fn attestations(&self, about: Digest) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(move |one| one.is_attestation() && one.attests() == Some(about))
    }

    /// Why nothing in it runs on `platform`.
    pub fn lacks(&self, name: &str, platform: &Platform) -> String {
        let platforms = self.manifests.iter().filter(|m| m.is_image()).filter_map(|m| m.platform.as_ref());
        let platforms: BTreeSet<String> = platforms.map(Platform::to_string).collect();
        let more = match platforms.len().saturating_sub(MOST_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let platforms: Vec<String> = platforms.into_iter().take(MOST_SHOWN).collect();
        match platforms.is_empty() {
            true => format!("{name:?} has no images"),
            false => format!("{name:?} has no image for {platform}, only for {}{more}", platforms.join(", ")),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: impl Iterator<Item = (String, String)>) -> Index {
        let manifests: Vec<_> = platforms
            .map(|(os, architecture)| Descriptor {
                platform: Some(Platform { os, architecture, variant: None }),
                ..Descriptor::new(media_type::MANIFEST, Digest::from_bytes([7; 32]), 7)
            })
            .collect();
        Index { schema_version: 2, media_type: String::new(), manifests, annotations: None }
    }

    #[test]
    fn what_an_image_is_does_not_depend_on_the_type_that_it_comes_as() {
        let text =
            format!(r#"{{"schemaVersion":2,"config":{{"digest":"sha256:{}","size":7}}}}"#, "0".repeat(64));
        let parse = |media_type| Document::parse("a", media_type, text.as_bytes());
        assert!(matches!(parse(""), Ok(Document::Manifest(_))));
        assert!(matches!(parse(media_type::DOCKER_MANIFEST), Ok(Document::Manifest(_))));
        let refusal = parse(media_type::INDEX).unwrap_err().to_string();
        assert!(refusal.ends_with("but is one image"), "{refusal}");
    }

    #[test]
    fn platforms_are_named_in_one_line_each_once_and_no_more_than_a_few() {
        let host = "linux/amd64".parse().unwrap();
        let hostile = index([("li\nnux".to_owned(), "x".to_owned())].into_iter());
        assert_eq!(hostile.lacks("a", &host), r#""a" has no image for linux/amd64, only for li\nnux/x"#);
        let many = index((0..60).map(|i| ("linux".to_owned(), format!("cpu{}", 10 + i % 30))));
        assert!(many.lacks("a", &host).ends_with("linux/cpu29 and 10 more"), "{}", many.lacks("a", &host));
    }
}
