//! `/v2/<name>/blobs/<digest>` (end-2 and end-10).

use hyper::{Method, Response, StatusCode, header};

use super::{
    Call, Service, digest_in_path,
    respond::{self, Body},
};
use crate::{
    Digest, RepositoryName,
    error::ApiError,
    range::{self, Wanted},
};

impl Service {
    pub(super) async fn get_blob(
        &self,
        call: &Call,
        name: RepositoryName,
        digest: &str,
    ) -> Result<Response<Body>, ApiError> {
        let digest = digest_in_path(digest)?;
        let (repository, wanted) = (name.clone(), digest.clone());
        let is_head = call.method == Method::HEAD;
        let found = self
            .blocking(move |store| {
                if is_head {
                    // Before a push clients ask what they need not send; it must not go before their manifest
                    // comes.
                    store.touch(&repository);
                }
                store.blob(&repository, &wanted)
            })
            .await?;
        let Some(blob) = found else {
            return match &self.cache {
                Some(cache) => self.get_cached_blob(cache, call, &name, &digest).await,
                None => Err(ApiError::BlobUnknown(digest)),
            };
        };
        let unchanged = call.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        if unchanged.is_some_and(|tags| respond::names(tags, &digest)) {
            return Ok(respond::empty(StatusCode::NOT_MODIFIED, &[("etag", &respond::etag(&digest))]));
        }
        let range = match call.headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
            Some(range) if !is_head && is_same(call, &digest) => range::wanted(range, blob.size),
            _ => Wanted::All,
        };
        let (status, part) = match range {
            Wanted::All => (StatusCode::OK, 0..blob.size),
            Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
            Wanted::Nothing => return Err(ApiError::RangeUnsatisfiable(blob.size)),
        };
        let mut builder = head(status, &digest, part.end - part.start);
        if status == StatusCode::PARTIAL_CONTENT {
            let text = format!("bytes {}-{}/{}", part.start, part.end - 1, blob.size);
            builder = builder.header(header::CONTENT_RANGE, text);
        }
        let body = match is_head {
            true => respond::full(""),
            false => respond::file(blob.file, part),
        };
        Ok(respond::finish(builder, body))
    }

    pub(super) async fn delete_blob(
        &self,
        name: RepositoryName,
        digest: &str,
    ) -> Result<Response<Body>, ApiError> {
        self.allow_deletion()?;
        let digest = digest_in_path(digest)?;
        let wanted = digest.clone();
        match self.blocking(move |store| store.unlink_blob(&name, &wanted)).await? {
            true => {
                Ok(respond::empty(StatusCode::ACCEPTED, &[("docker-content-digest", &digest.to_string())]))
            }
            false => Err(ApiError::BlobUnknown(digest)),
        }
    }
}

/// What a blob's answer begins with.
pub(super) fn head(status: StatusCode, digest: &Digest, length: u64) -> hyper::http::response::Builder {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, length)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, respond::etag(digest))
        .header(header::CACHE_CONTROL, "max-age=31536000, immutable")
        .header("docker-content-digest", digest.to_string())
}

/// Whether a range is of this very content, as far as `If-Range` says.
fn is_same(call: &Call, digest: &Digest) -> bool {
    let header = call.headers.get(header::IF_RANGE).map(|value| value.to_str().unwrap_or_default());
    header.is_none_or(|tag| respond::names(tag, digest))
}
