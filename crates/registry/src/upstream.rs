//! What a registry needs of another one to be its cache.
//!
//! The client of the distribution API implements [`Upstream`]; this crate knows no HTTP client.

use std::io;

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};

use crate::{Digest, Reference, RepositoryName};

/// The registry behind a cache. Repositories have the same names there and here.
pub trait Upstream: Send + Sync + 'static {
    /// Which manifest a reference names now; `None` when there is none. A `HEAD` request where the registry
    /// gives digests with it. It is asked on every pull of a tag, so it should be cheap, and should not wait
    /// longer than a user does.
    fn resolve<'a>(
        &'a self,
        repository: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Option<Digest>, UpstreamError>>;

    /// A manifest by its digest; `None` when there is none. `limit` is the most bytes it may have.
    fn manifest<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
        limit: usize,
    ) -> BoxFuture<'a, Result<Option<UpstreamManifest>, UpstreamError>>;

    /// A blob; `None` when there is none.
    fn blob<'a>(
        &'a self,
        repository: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Option<UpstreamBlob>, UpstreamError>>;
}

/// A manifest as it came. Its digest is checked here, not by the upstream.
#[derive(Debug, Clone)]
pub struct UpstreamManifest {
    /// The `Content-Type`.
    pub media_type: String,
    /// Byte for byte.
    pub bytes: Bytes,
}

/// A blob that is coming. Its digest is checked here.
pub struct UpstreamBlob {
    /// Its length in bytes.
    pub size: u64,
    /// Its content. An error ends it.
    pub content: BoxStream<'static, io::Result<Bytes>>,
}

/// The upstream could not be asked, or answered with something else than content or "not found". Trying again
/// may help.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct UpstreamError {
    /// What was tried, with which object and where.
    pub action: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
