//! Manifests: asked for, fetched, written (OCI distribution specification 1.1, "Pulling manifests" and
//! "Pushing Manifests").

use bytes::Bytes;
use minke_model::{
    Descriptor, Digest,
    media_type::{DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST},
};
use reqwest::{Method, header::HeaderValue};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    Error, Repository, Target,
    answer::Answer,
    hosts_toml::Capability,
    referrers,
    scope::Scopes,
    session::{Ask, Payload, Session},
};

/// The header with the digest of a manifest.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// What begins the media types of Docker's first manifests, which nothing here can use.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// A manifest or an index, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedManifest {
    /// What it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}

impl FetchedManifest {
    /// What points to it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.bytes.len() as u64)
    }
}

impl Repository {
    /// What a tag or digest names now, without fetching it where the registry can say so.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such thing; [`Error`] otherwise.
    pub async fn resolve(&self, target: &Target) -> Result<Descriptor, Error> {
        let word = &target.word()?;
        self.first(capability(target), |session| async move {
            match session.head_manifest(self, target, word).await {
                Ok(Some(descriptor)) => Ok(descriptor),
                Err(error) if !may_refuse_only_head(&error) => Err(error),
                Ok(None) | Err(_) => Ok(session.get_manifest(self, target, word).await?.descriptor()),
            }
        })
        .await
    }

    /// The manifest that a tag or digest names now.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such thing; [`Error::Digest`] when something else came;
    /// [`Error`] otherwise.
    pub async fn manifest(&self, target: &Target) -> Result<FetchedManifest, Error> {
        let word = &target.word()?;
        self.first(
            capability(target),
            |session| async move { session.get_manifest(self, target, word).await },
        )
        .await
    }

    /// Writes a manifest, whose blobs and manifests have to be there already. Returns its digest. One that belongs to
    /// another manifest is listed with that, by the registry or else by us.
    ///
    /// # Errors
    /// [`Error::Digest`] when the bytes have not the digest that they should have; [`Error`] otherwise.
    pub async fn put_manifest(
        &self,
        target: &Target,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Digest, Error> {
        let (digest, is_listed) = self.write_manifest(target, media_type, bytes.clone()).await?;
        if !is_listed && let Some((subject, referrer)) = referrers::referrer(media_type, digest, &bytes) {
            self.keep_referrer(&subject, &referrer).await?;
        }
        Ok(digest)
    }

    /// Writes a manifest. Returns its digest, and whether the registry understood what it belongs to.
    pub(crate) async fn write_manifest(
        &self,
        target: &Target,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(Digest, bool), Error> {
        let word = target.word()?;
        let odd = |_| Error::Argument { what: "the media type", text: media_type.to_owned() };
        let content_type = HeaderValue::from_str(media_type).map_err(odd)?;
        let session = self.writer().await?;
        let url = session.endpoint.url(self.name().path(), &format!("manifests/{word}"));
        let digest = sha256(&bytes);
        let ask = Ask::new(&session, Method::PUT, url, Scopes::push(self.name()))
            .with("content-type", content_type)
            .sending(Payload::Bytes(bytes));
        let name = crate::answer::name(&ask.method, &ask.url);
        matches(&name, target.digest(), digest)?;
        let answer = session.ask(&ask).await?;
        matches(&answer.request, announced(&answer), digest)?;
        Ok((digest, answer.header("oci-subject").is_some()))
    }
}

impl Session {
    /// `None` where the registry doesn't say all of it.
    async fn head_manifest(
        &self,
        repository: &Repository,
        target: &Target,
        word: &str,
    ) -> Result<Option<Descriptor>, Error> {
        let answer = self.ask(&self.manifest(Method::HEAD, repository, word)).await?;
        let (digest, media_type) = (announced(&answer), answer.media_type().filter(|kind| is_kind(kind)));
        let (Some(digest), Some(media_type), Some(size)) = (digest, media_type, answer.length()) else {
            return Ok(None);
        };
        matches(&answer.request, target.digest(), digest)?;
        Ok(Some(Descriptor::new(media_type, digest, size)))
    }

    async fn get_manifest(
        &self,
        repository: &Repository,
        target: &Target,
        word: &str,
    ) -> Result<FetchedManifest, Error> {
        // The body may be cut as well, so all of it is repeated.
        self.retrying(|| async {
            let answer = self.attempt(&self.manifest(Method::GET, repository, word)).await?;
            let (request, announced) = (answer.request.clone(), announced(&answer));
            let media_type = answer.media_type().unwrap_or_default().to_owned();
            if media_type.starts_with(SCHEMA_1) {
                let reason =
                    "it is a manifest of Docker's first schema, which no registry should have any more";
                return Err(Error::answer(request, reason));
            }
            let bytes = answer.bytes(self.shared.settings.manifest_limit).await?;
            let digest = sha256(&bytes);
            matches(&request, target.digest(), digest)?;
            matches(&request, announced, digest)?;
            Ok(FetchedManifest { media_type: kind(&media_type, &bytes), digest, bytes })
        })
        .await
    }

    fn manifest(&self, method: Method, repository: &Repository, word: &str) -> Ask<'static> {
        let url = self.endpoint.url(repository.name().path(), &format!("manifests/{word}"));
        let mut ask = Ask::new(self, method, url, Scopes::pull(repository.name()));
        // The last is for artifacts.
        for media_type in [INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST, "*/*"] {
            ask = ask.with("accept", HeaderValue::from_static(media_type));
        }
        ask
    }
}

fn capability(target: &Target) -> Capability {
    match target {
        Target::Tag(_) => Capability::Resolve,
        Target::Digest(_) => Capability::Pull,
    }
}

/// Whether `GET` may fare better than `HEAD`: some registries don't have the second, and its refusals have no
/// words.
fn may_refuse_only_head(error: &Error) -> bool {
    error.refusal().is_some_and(|refusal| matches!(refusal.status, 400 | 403 | 405 | 406 | 429 | 501))
}

/// The digest that the registry announces, where it is one that can be compared.
fn announced(answer: &Answer) -> Option<Digest> {
    answer.header(CONTENT_DIGEST)?.parse().ok()
}

/// Whether a type says anything; some servers call all JSON just that.
fn is_kind(media_type: &str) -> bool {
    !matches!(media_type, "" | "application/json" | "application/octet-stream" | "text/plain")
}

/// The type of a manifest: the answer's, or else what it says of itself.
fn kind(media_type: &str, bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Itself {
        media_type: String,
    }
    match is_kind(media_type) {
        true => media_type.to_owned(),
        false => serde_json::from_slice(bytes)
            .map_or_else(|_| media_type.to_owned(), |Itself { media_type }| media_type),
    }
}

fn matches(request: &str, wanted: Option<Digest>, actual: Digest) -> Result<(), Error> {
    match wanted {
        Some(wanted) if wanted != actual => {
            Err(Error::Digest { request: request.to_owned(), wanted, actual })
        }
        _ => Ok(()),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_it_is_where_the_answer_does_not() {
        let json = format!(r#"{{"mediaType":"{INDEX}"}}"#);
        assert_eq!(kind("", json.as_bytes()), INDEX);
        assert_eq!(kind("application/json", json.as_bytes()), INDEX);
        assert_eq!(kind(MANIFEST, json.as_bytes()), MANIFEST);
        assert_eq!(kind("text/plain", b"{}"), "text/plain");
    }
}
