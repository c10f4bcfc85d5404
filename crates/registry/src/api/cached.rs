//! A blob that is not here yet, from the registry that is cached.

use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{Method, Response, StatusCode, body::Frame};

use super::{
    Call, Service,
    blobs::head,
    respond::{self, Body},
};
use crate::{Digest, RepositoryName, cache::Cache, error::ApiError};

impl Service {
    /// All of it: what part a client wants does not matter until it is here.
    pub(super) async fn get_cached_blob(
        &self,
        cache: &Cache,
        call: &Call,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Response<Body>, ApiError> {
        let unknown = || ApiError::BlobUnknown(digest.clone());
        if call.method == Method::HEAD {
            let size = cache.size(name, digest).await?.ok_or_else(unknown)?;
            return Ok(respond::finish(head(StatusCode::OK, digest, size), respond::full("")));
        }
        let fetch = cache.fetch_blob(name, digest).await?.ok_or_else(unknown)?;
        let builder = head(StatusCode::OK, digest, fetch.size);
        let body = StreamBody::new(fetch.pieces().map_ok(Frame::data)).boxed_unsync();
        Ok(respond::finish(builder, body))
    }
}
