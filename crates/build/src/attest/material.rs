//! What a result was made of, by its name and digest.

use std::collections::BTreeMap;

use minke_dockerfile::evaluate::GitSource;
use minke_model::{Digest, Platform, Reference};
use serde::Serialize;

use super::package_url::package_url;
use crate::git::redacted;

/// Something that a build was made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Material {
    /// A URL, or an image's package URL. No password is in it.
    pub uri: String,
    /// Digests by their algorithms; none where it isn't known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
}

impl Material {
    /// A commit of a repository, by the branch or tag that leads there where one was named.
    pub(crate) fn commit(source: &GitSource, id: &str) -> Self {
        let algorithm = if id.len() == 64 { "sha256" } else { "sha1" };
        let reference = Some(&source.reference).filter(|name| !name.is_empty());
        let reference = reference.map(|name| format!("#{name}")).unwrap_or_default();
        Self {
            uri: redacted(&source.remote) + &reference,
            digest: BTreeMap::from([(algorithm.to_owned(), id.to_owned())]),
        }
    }

    /// What a URL had.
    pub(crate) fn file(url: &str, digest: Option<&Digest>) -> Self {
        let digest = digest.map(|digest| ("sha256".to_owned(), digest.hex()));
        Self { uri: redacted(url), digest: digest.into_iter().collect() }
    }

    /// An image in a client's directory.
    pub(crate) fn layout(store: &str, platform: &Platform, digest: &Digest) -> Self {
        let uri = match store.trim_start_matches("oci:").parse::<Reference>() {
            Ok(name) => package_url("oci", &name.with_digest(*digest), platform),
            Err(_) => format!("oci-layout://{store}@{digest}"),
        };
        Self { uri, digest: BTreeMap::from([("sha256".to_owned(), digest.hex())]) }
    }

    /// An image of a registry.
    pub(crate) fn image(reference: &Reference, platform: &Platform, digest: &Digest) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), digest.hex())]);
        Self { uri: package_url("docker", reference, platform), digest }
    }
}
