//! Referrers: what says of itself that it belongs to a manifest (OCI distribution specification 1.1, "Listing Referrers").

use minke_model::{Descriptor, Digest, media_type::INDEX};
use serde::{Deserialize, Serialize};

use crate::{Error, Repository, Target};

/// A list of referrers; what only others understand stays in it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    #[serde(default = "two")]
    schema_version: u32,
    #[serde(default = "index")]
    media_type: String,
    #[serde(default)]
    manifests: Option<Vec<serde_json::Value>>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

impl Default for Index {
    fn default() -> Self {
        Self { schema_version: two(), media_type: index(), manifests: None, others: serde_json::Map::new() }
    }
}

fn two() -> u32 {
    2
}

fn index() -> String {
    INDEX.to_owned()
}

/// The tag in which clients keep a list.
fn tag(subject: &Digest) -> Target {
    Target::Tag(format!("sha256-{}", subject.hex()))
}

/// What a manifest belongs to, and how a list names the manifest; `None`: it belongs to nothing.
pub(crate) fn referrer(media_type: &str, digest: Digest, manifest: &[u8]) -> Option<(Digest, Descriptor)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Itself {
        subject: Option<Descriptor>,
        artifact_type: Option<String>,
        config: Option<Descriptor>,
        annotations: Option<std::collections::BTreeMap<String, String>>,
    }
    let itself: Itself = serde_json::from_slice(manifest).ok()?;
    let descriptor = Descriptor {
        artifact_type: itself
            .artifact_type
            .filter(|kind| !kind.is_empty())
            .or_else(|| itself.config.map(|config| config.media_type)),
        annotations: itself.annotations,
        ..Descriptor::new(media_type, digest, manifest.len() as u64)
    };
    Some((itself.subject?.digest, descriptor))
}

impl Repository {
    /// What says of itself that it belongs to a manifest: signatures, attestations, bills of materials. Where
    /// the registry has no list of its own, the one that clients keep in the tag `sha256-<hex>` is read.
    ///
    /// # Errors
    /// [`Error`] when the registry could not be asked.
    pub async fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        let session = self.itself().await?;
        let mut url = session.endpoint.url(self.name().path(), &format!("referrers/{digest}"));
        if let Some(kind) = artifact_type {
            url.query_pairs_mut().append_pair("artifactType", kind);
        }
        let mut found = Vec::new();
        let listed = session.pages(self, url, |page: Index, headers| {
            let is_filtered = headers
                .get("oci-filters-applied")
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"artifactType"));
            found.extend(read(page, artifact_type.filter(|_| !is_filtered)));
            found.len()
        });
        match listed.await {
            Ok(()) => Ok(found),
            Err(error) if error.refusal().is_some_and(|refusal| refusal.status == 404) => {
                self.tagged_referrers(digest, artifact_type).await
            }
            Err(error) => Err(error),
        }
    }

    async fn tagged_referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        Ok(self.kept(digest).await?.map_or_else(Vec::new, |index| read(index, artifact_type)))
    }

    /// Lists a manifest that was just written with the one that it belongs to, for a registry that keeps no such lists:
    /// in the index with the tag `sha256-<hex>` ("Pushing Manifests with Subject"). Who writes at the same time may win;
    /// registries know no way to prevent it.
    pub(crate) async fn keep_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<(), Error> {
        let (tag, name) = (tag(subject), format!("the list of what belongs to {subject}"));
        let mut index = self.kept(subject).await?.unwrap_or_default();
        let manifests = index.manifests.get_or_insert_default();
        let digest = referrer.digest.to_string();
        if manifests.iter().any(|entry| entry["digest"] == digest.as_str()) {
            return Ok(());
        }
        let wrong = |error: serde_json::Error| Error::answer(&name, error.to_string());
        manifests.push(serde_json::to_value(referrer).map_err(wrong)?);
        let index = serde_json::to_vec(&index).map_err(wrong)?;
        self.write_manifest(&tag, INDEX, index.into()).await.map(drop)
    }

    /// The index that clients keep in a tag.
    async fn kept(&self, subject: &Digest) -> Result<Option<Index>, Error> {
        match self.manifest(&tag(subject)).await {
            Ok(manifest) => serde_json::from_slice(&manifest.bytes)
                .map(Some)
                .map_err(|_| Error::answer(format!("the tag sha256-{}", subject.hex()), "it names no index")),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The entries that can be read; an algorithm or platform that nobody here knows is no reason to fail.
fn read(page: Index, artifact_type: Option<&str>) -> Vec<Descriptor> {
    let entries = page.manifests.unwrap_or_default().into_iter();
    let known = entries.filter_map(|entry| serde_json::from_value::<Descriptor>(entry).ok());
    known
        .filter(|entry| artifact_type.is_none_or(|kind| entry.artifact_type.as_deref() == Some(kind)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_filtered_and_strange_ones_are_left_out() {
        let digest = Digest::from_bytes([1; 32]);
        let page = serde_json::json!({ "manifests": [
            { "mediaType": "a/b", "digest": digest, "size": 1, "artifactType": "x/y" },
            { "mediaType": "a/b", "digest": digest, "size": 2 },
            { "mediaType": "a/b", "digest": "sha512:00", "size": 3, "artifactType": "x/y" },
            "nonsense",
        ] });
        let read = |kind| {
            let page = serde_json::from_value(page.clone()).unwrap();
            read(page, kind).iter().map(|entry| entry.size).collect::<Vec<_>>()
        };
        assert_eq!(read(None), [1, 2]);
        assert_eq!(read(Some("x/y")), [1]);
        let none = serde_json::from_str(r#"{"manifests":null}"#).unwrap();
        assert!(super::read(none, None).is_empty());
    }
}
