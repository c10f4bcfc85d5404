//! Tags and referrers (OCI distribution specification 1.1, "Content Discovery").

use minke_model::{Descriptor, Digest};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{
    Error, Repository, Target, link,
    scope::Scopes,
    session::{Ask, Session},
};

/// Bytes of one page.
const PAGE: usize = 8 << 20;
/// Pages of one list.
const PAGES: usize = 1000;
/// Entries of one list, over all pages.
const ENTRIES: usize = 1 << 20;
/// Entries of a page that are asked for.
const WANTED: &str = "1000";

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Referrers {
    #[serde(default)]
    manifests: Option<Vec<serde_json::Value>>,
}

impl Repository {
    /// All tags, in the registry's order.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such repository; [`Error`] otherwise.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        let session = self.itself().await?;
        let mut url = session.endpoint.url(self.name().path(), "tags/list");
        url.query_pairs_mut().append_pair("n", WANTED);
        let mut tags = Vec::new();
        session
            .pages(self, url, |page: Tags, _| {
                tags.extend(page.tags.unwrap_or_default());
                tags.len()
            })
            .await?;
        Ok(tags)
    }

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
        let listed = session.pages(self, url, |page: Referrers, headers| {
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
        let manifest = self.manifest(&Target::Tag(format!("sha256-{}", digest.hex()))).await;
        match manifest {
            Ok(manifest) => {
                let page = serde_json::from_slice(&manifest.bytes).map_err(|_| {
                    Error::answer(format!("the tag sha256-{}", digest.hex()), "it names no index")
                })?;
                Ok(read(page, artifact_type))
            }
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The entries that can be read; an algorithm or platform that nobody here knows is no reason to fail.
fn read(page: Referrers, artifact_type: Option<&str>) -> Vec<Descriptor> {
    let entries = page.manifests.unwrap_or_default().into_iter();
    let known = entries.filter_map(|entry| serde_json::from_value::<Descriptor>(entry).ok());
    known
        .filter(|entry| artifact_type.is_none_or(|kind| entry.artifact_type.as_deref() == Some(kind)))
        .collect()
}

impl Session {
    /// Reads pages until there is no next one. `take` returns how many entries there are so far.
    async fn pages<T: DeserializeOwned>(
        &self,
        repository: &Repository,
        first: Url,
        mut take: impl FnMut(T, &HeaderMap) -> usize,
    ) -> Result<(), Error> {
        let mut url = first;
        for _ in 0..PAGES {
            let (page, headers, next) = self.retrying(|| self.page(repository, &url)).await?;
            let request = || crate::answer::name(&Method::GET, &url);
            if take(page, &headers) > ENTRIES {
                return Err(Error::answer(request(), format!("the list has more than {ENTRIES} entries")));
            }
            url = match next {
                None => return Ok(()),
                Some(next) if self.endpoint.owns(&next) && next != url => next,
                Some(_) => return Err(Error::answer(request(), "its list goes on somewhere else")),
            };
        }
        let request = crate::answer::name(&Method::GET, &url);
        Err(Error::answer(request, format!("the list has more than {PAGES} pages")))
    }

    async fn page<T: DeserializeOwned>(
        &self,
        repository: &Repository,
        url: &Url,
    ) -> Result<(T, HeaderMap, Option<Url>), Error> {
        let ask = Ask::new(self, Method::GET, url.clone(), Scopes::pull(repository.name())).with(
            "accept",
            HeaderValue::from_static("application/json, application/vnd.oci.image.index.v1+json"),
        );
        let answer = self.attempt(&ask).await?;
        let next = link::next(answer.all("link"), &answer.url);
        let headers = answer.headers.clone();
        Ok((answer.json(PAGE).await?, headers, next))
    }
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
