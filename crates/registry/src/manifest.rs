//! What a registry reads of a manifest: its type, what it names, and what its referrers' list says of it.
//!
//! OCI image specification 1.1 ("Image Manifest", "Image Index"); Docker's schema 2 has the same fields.
//! Whatever else is in there is kept, byte for byte, and not looked at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use minke_model::media_type::{self, INDEX, MANIFEST};

use crate::{Algorithm, Digest};

/// Something that a repository must have before it accepts a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Needed {
    Blob(Digest),
    Manifest(Digest),
}

/// A manifest that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: String,
    /// Configuration and layers.
    pub(crate) blobs: Vec<Digest>,
    /// An index's manifests.
    pub(crate) manifests: Vec<Digest>,
    pub(crate) needed: Vec<Needed>,
    pub(crate) subject: Option<Digest>,
    /// Its descriptor in the list of its subject's referrers, as JSON; empty without a subject.
    pub(crate) referrer: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    #[serde(default)]
    urls: Vec<String>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: Option<String>,
    architecture: Option<String>,
}

/// A descriptor of the referrers API.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Referrer<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

impl Document {
    /// Reads a manifest that was sent as `content_type` and is named `digest`.
    ///
    /// # Errors
    /// What is wrong with it, in words for whoever pushed it.
    pub(crate) fn read(content_type: Option<&str>, bytes: Vec<u8>, digest: &Digest) -> Result<Self, String> {
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let media_type = media_type(content_type, &manifest)?.to_owned();
        if manifest.schema_version != 2 {
            return Err(format!("schemaVersion is {}, not 2", manifest.schema_version));
        }
        let is_index = media_type::is_index(&media_type);
        // One that can be read as both means different things to different clients.
        let ambiguous = match is_index {
            true => manifest.config.is_some() || manifest.layers.is_some(),
            false => manifest.manifests.is_some(),
        };
        if ambiguous {
            return Err("it is an index and an image at once".to_owned());
        }
        if !is_index && manifest.config.is_none() {
            return Err("an image manifest has a \"config\"".to_owned());
        }
        let children = manifest.manifests.as_deref().unwrap_or_default();
        // BuildKit's caches are indexes of blobs.
        let (children, blobs): (Vec<_>, Vec<_>) = children.iter().partition(|child| child.is_manifest());
        let parts = manifest.config.iter().chain(manifest.layers.iter().flatten());
        let parts: Vec<&Descriptor> = parts.chain(blobs).collect();
        let needed =
            parts.iter().filter(|part| !part.is_elsewhere()).map(|part| Needed::Blob(part.digest.clone()));
        let needed =
            needed.chain(children.iter().map(|child| Needed::Manifest(child.digest.clone()))).collect();
        let subject = manifest.subject.as_ref().map(|subject| subject.digest.clone());
        Ok(Self {
            referrer: if subject.is_some() {
                manifest.referrer(&media_type, digest, bytes.len())
            } else {
                String::new()
            },
            blobs: parts.iter().map(|part| part.digest.clone()).collect(),
            manifests: children.iter().map(|child| child.digest.clone()).collect(),
            media_type,
            needed,
            subject,
            bytes,
        })
    }
}

impl Manifest {
    fn referrer(&self, media_type: &str, digest: &Digest, size: usize) -> String {
        let own = self.artifact_type.as_deref().filter(|artifact| !artifact.is_empty());
        let artifact_type = own.or_else(|| self.config.as_ref().map(|config| config.media_type.as_str()));
        let referrer =
            Referrer { media_type, digest, size, artifact_type, annotations: self.annotations.as_ref() };
        serde_json::to_string(&referrer).unwrap_or_default()
    }
}

impl Descriptor {
    /// Whether it points to what is kept as a manifest here, as far as it says.
    fn is_manifest(&self) -> bool {
        let said = self.media_type.as_str();
        said.is_empty() || media_type::is_manifest(said) || media_type::is_index(said)
    }

    /// Whether its content may be fetched from somewhere else, so that it need not be here.
    fn is_elsewhere(&self) -> bool {
        !self.urls.is_empty()
            || self.media_type.contains(".nondistributable.")
            || self.media_type.contains(".foreign.")
    }
}

/// The type by header, by field, or by shape; the first two must agree.
fn media_type<'a>(content_type: Option<&'a str>, manifest: &'a Manifest) -> Result<&'a str, String> {
    let header = content_type.filter(|text| !text.is_empty());
    let field = manifest.media_type.as_deref().filter(|text| !text.is_empty());
    let media_type = match (header, field) {
        (Some(header), Some(field)) if header != field => {
            return Err(format!("its mediaType is {field:?} and its Content-Type {header:?}"));
        }
        (Some(media_type), _) | (None, Some(media_type)) => media_type,
        (None, None) if manifest.manifests.is_some() => INDEX,
        (None, None) => MANIFEST,
    };
    match media_type::is_index(media_type) || media_type::is_manifest(media_type) {
        true => Ok(media_type),
        false => Err(format!("manifests of type {media_type:?} are not kept here")),
    }
}

/// An index's manifest for linux/amd64: what Docker's registry gives to clients that know no indexes.
pub(crate) fn default_platform(index: &[u8]) -> Option<Digest> {
    let index: Manifest = serde_json::from_slice(index).ok()?;
    let of_default = |child: &&Descriptor| {
        let platform = child.platform.as_ref();
        platform.is_some_and(|platform| {
            platform.os.as_deref() == Some("linux") && platform.architecture.as_deref() == Some("amd64")
        })
    };
    index.manifests?.iter().find(of_default).map(|child| child.digest.clone())
}

/// The digest of what was sent, in the algorithm of the digest that it was sent under.
pub(crate) fn digest_like(wanted: Option<&Digest>, bytes: &[u8]) -> Digest {
    Digest::of(wanted.map_or(Algorithm::Sha256, Digest::algorithm), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minke_model::media_type::DOCKER_MANIFEST;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn read(content_type: Option<&str>, json: &str) -> Result<Document, String> {
        Document::read(content_type, json.as_bytes().to_vec(), &A.parse().unwrap())
    }

    #[test]
    fn a_type_comes_from_the_header_the_field_or_the_shape() {
        let image = format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{A}","size":1}}}}"#);
        assert_eq!(read(None, &image).unwrap().media_type, MANIFEST);
        assert_eq!(read(Some(DOCKER_MANIFEST), &image).unwrap().media_type, DOCKER_MANIFEST);
        assert_eq!(read(None, r#"{"schemaVersion":2,"manifests":[]}"#).unwrap().media_type, INDEX);
        let typed = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
        assert_eq!(read(None, &typed).unwrap().media_type, INDEX);
        assert!(read(Some(MANIFEST), &typed).unwrap_err().contains("Content-Type"));
        assert!(read(Some("text/plain"), &image).unwrap_err().contains("text/plain"));
    }

    #[test]
    fn what_is_neither_or_both_is_refused() {
        for json in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"schemaVersion":1,"manifests":[]}"#,
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"config":{"digest":"sha256:../../x"}}"#,
        ] {
            assert!(read(None, json).is_err(), "{json}");
        }
        let both = format!(r#"{{"schemaVersion":2,"config":{{"digest":"{A}"}},"manifests":[]}}"#);
        assert!(read(Some(MANIFEST), &both).is_err());
        assert!(read(Some(INDEX), &both).is_err());
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(None, &deep).is_err());
    }

    #[test]
    fn layers_with_urls_of_their_own_are_not_needed() {
        let layers = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{A}"}},"layers":[{{"digest":"{A}","urls":["https://example.com/"]}}]}}"#
        );
        let document = read(None, &layers).unwrap();
        assert_eq!((document.blobs.len(), document.needed.len()), (2, 1));
    }

    #[test]
    fn an_index_may_name_blobs() {
        let json = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}","digest":"{A}"}},
            {{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":"{A}"}}]}}"#
        );
        let document = read(None, &json).unwrap();
        assert_eq!((document.blobs.len(), document.manifests.len(), document.needed.len()), (1, 1, 2));
    }

    #[test]
    fn a_referrers_descriptor_has_its_type_and_annotations() {
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"text/c","digest":"{A}"}},"subject":{{"digest":"{A}"}},"annotations":{{"k":"v"}}}}"#
        );
        let referrer: serde_json::Value = serde_json::from_str(&read(None, &json).unwrap().referrer).unwrap();
        assert_eq!(referrer["artifactType"], "text/c");
        assert_eq!(referrer["annotations"]["k"], "v");
        assert_eq!(referrer["size"], json.len());
        let index = format!(r#"{{"schemaVersion":2,"manifests":[],"subject":{{"digest":"{A}"}}}}"#);
        let referrer: serde_json::Value =
            serde_json::from_str(&read(None, &index).unwrap().referrer).unwrap();
        assert!(referrer.get("artifactType").is_none());
    }
}
