//! `/v2/<name>/manifests/<reference>` (end-3, end-7, end-9).

use hyper::{Method, Response, StatusCode, body::Body as _, header};
use minke_model::media_type;

use super::{
    Call, Service, digest_in_path,
    respond::{self, Body},
};
use crate::{
    Reference, RepositoryName, Tag,
    error::ApiError,
    manifest::{self, Document},
    patience::Paced,
};

/// Tags of one request.
const TAGS: usize = 256;

impl Service {
    pub(super) async fn get_manifest(
        &self,
        call: &Call,
        name: RepositoryName,
        reference: &str,
    ) -> Result<Response<Body>, ApiError> {
        let unknown = || ApiError::ManifestUnknown(reference.to_owned());
        // Nothing can be there.
        let Ok(wanted) = parse(reference) else { return Err(unknown()) };
        if let Some(cache) = &self.cache {
            cache.fetch_manifest(&name, &wanted, self.limits.manifest).await?;
        }
        let by_tag = matches!(wanted, Reference::Tag(_));
        let accept = Accept::of(call);
        let found = self
            .blocking(move |store| {
                let Some(digest) = store.resolve(&name, &wanted)? else { return Ok(None) };
                let Some((media_type, bytes)) = store.manifest(&name, &digest)? else { return Ok(None) };
                if by_tag && media_type::is_index(&media_type) && accept.wants_only_images(&media_type) {
                    let child = manifest::default_platform(&bytes);
                    let image =
                        child.as_ref().map(|child| store.manifest(&name, child)).transpose()?.flatten();
                    if let (Some(child), Some((media_type, bytes))) = (child, image) {
                        return Ok(Some((child, media_type, bytes)));
                    }
                }
                Ok(Some((digest, media_type, bytes)))
            })
            .await?;
        let (digest, media_type, bytes) = found.ok_or_else(unknown)?;
        let unchanged = call.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        if unchanged.is_some_and(|tags| respond::names(tags, &digest)) {
            return Ok(respond::empty(StatusCode::NOT_MODIFIED, &[("etag", &respond::etag(&digest))]));
        }
        let builder = Response::builder()
            .header(header::CONTENT_TYPE, media_type)
            .header(header::CONTENT_LENGTH, bytes.len())
            .header(header::ETAG, respond::etag(&digest))
            .header(header::VARY, "Accept")
            .header("docker-content-digest", digest.to_string());
        let body = if call.method == Method::HEAD { respond::full("") } else { respond::full(bytes) };
        Ok(respond::finish(builder, body))
    }

    pub(super) async fn put_manifest(
        &self,
        call: &mut Call,
        name: RepositoryName,
        reference: &str,
    ) -> Result<Response<Body>, ApiError> {
        let reference = parse(reference)?;
        let content_type = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type =
            content_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
        let tags = tags(call, &reference)?;
        let bytes = self.read_manifest(call).await?;
        let wanted = match &reference {
            Reference::Digest(digest) => Some(digest),
            Reference::Tag(_) => None,
        };
        let digest = manifest::digest_like(wanted, &bytes);
        if let Some(wanted) = wanted.filter(|wanted| **wanted != digest) {
            return Err(ApiError::DigestMismatch { wanted: wanted.clone(), actual: digest });
        }
        let document =
            Document::read(content_type.as_deref(), bytes, &digest).map_err(ApiError::ManifestInvalid)?;
        let subject = document.subject.clone();
        let (repository, named, given) = (name.clone(), digest.clone(), tags.clone());
        let complete = self.complete;
        let put = self
            .blocking(move |store| store.put_manifest(&repository, &named, &given, &document, complete))
            .await?;
        put.map_err(ApiError::ManifestBlobUnknown)?;
        let mut builder = Response::builder()
            .status(StatusCode::CREATED)
            .header(header::LOCATION, format!("/v2/{name}/manifests/{digest}"))
            .header("docker-content-digest", digest.to_string());
        if let Some(subject) = subject {
            builder = builder.header("oci-subject", subject.to_string());
        }
        if matches!(reference, Reference::Digest(_)) {
            builder = tags.iter().fold(builder, |builder, tag| builder.header("oci-tag", tag.as_str()));
        }
        Ok(respond::finish(builder, respond::full("")))
    }

    pub(super) async fn delete_manifest(
        &self,
        name: RepositoryName,
        reference: &str,
    ) -> Result<Response<Body>, ApiError> {
        self.allow_deletion()?;
        let unknown = || ApiError::ManifestUnknown(reference.to_owned());
        let wanted = parse(reference)?;
        let deleted = self
            .blocking(move |store| match store.knows(&name)? {
                true => store.delete(&name, &wanted).map(Some),
                false => Ok(None),
            })
            .await?;
        match deleted {
            Some(true) => Ok(respond::empty(StatusCode::ACCEPTED, &[])),
            Some(false) => Err(unknown()),
            None => Err(ApiError::NameUnknown),
        }
    }

    async fn read_manifest(&self, call: &mut Call) -> Result<Vec<u8>, ApiError> {
        let limit = self.limits.manifest;
        let too_long = ApiError::ManifestTooLong(limit);
        let Some(body) = &call.body else { return Ok(Vec::new()) };
        if body.size_hint().lower() > limit as u64 {
            return Err(too_long);
        }
        let Some(body) = call.body.take() else { return Ok(Vec::new()) };
        let mut body = Paced::new(body, &self.limits);
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await? {
            if bytes.len() + piece.len() > limit {
                return Err(too_long);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

/// A tag or a digest; what has a colon can only be the latter.
fn parse(text: &str) -> Result<Reference, ApiError> {
    match text.contains(':') {
        true => digest_in_path(text).map(Reference::Digest),
        false => text.parse().map(Reference::Tag).map_err(|_| ApiError::TagInvalid),
    }
}

/// The tags that a manifest gets: the one in the path, or those of the query.
fn tags(call: &Call, reference: &Reference) -> Result<Vec<Tag>, ApiError> {
    if let Reference::Tag(tag) = reference {
        return Ok(vec![tag.clone()]);
    }
    let tags: Vec<Tag> = call
        .query
        .all("tag")
        .map(|tag| tag.parse().map_err(|_| ApiError::TagInvalid))
        .collect::<Result<_, _>>()?;
    match tags.len() > TAGS {
        true => Err(ApiError::BadRequest("a request has at most 256 tags")),
        false => Ok(tags),
    }
}

/// What a client says it can read.
struct Accept(Vec<String>);

impl Accept {
    fn of(call: &Call) -> Self {
        let values = call.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let types = values.flat_map(|value| value.split(','));
        let types = types.map(|one| one.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        Self(types.filter(|one| !one.is_empty()).collect())
    }

    /// Whether this index is nothing to the client and an image is. One that says nothing, or anything, gets
    /// what is there.
    fn wants_only_images(&self, index: &str) -> bool {
        let any = |one: &String| one == "*/*" || one == "application/*" || one == index;
        !self.0.iter().any(any) && self.0.iter().any(|one| media_type::is_manifest(one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_with_a_colon_is_a_digest_or_nothing() {
        assert!(matches!(parse("latest"), Ok(Reference::Tag(_))));
        assert!(matches!(parse("sha256:x"), Err(ApiError::DigestInvalid(_))));
        assert!(matches!(parse(".x"), Err(ApiError::TagInvalid)));
        let digest = crate::Digest::of(crate::Algorithm::Sha512, b"").to_string();
        assert!(matches!(parse(&digest), Ok(Reference::Digest(_))));
    }
}
