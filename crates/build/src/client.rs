//! What only the client has: secrets, ssh agents, credentials for registries. Asked for when a step needs it, never before.

use std::{pin::Pin, sync::Arc};

use futures_util::future::BoxFuture;
use minke_engine::{ByteStream, Credentials};
use minke_model::Digest;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Context, ContextError, Progress};

/// Everything that a build gets from its client besides the request.
#[derive(Clone)]
pub struct Client {
    /// The main context; `None` for a Dockerfile that needs none.
    pub context: Option<Arc<dyn Context>>,
    /// `RUN --mount=type=secret`.
    pub secrets: Option<Arc<dyn Secrets>>,
    /// `RUN --mount=type=ssh`.
    pub ssh: Option<Arc<dyn SshAgents>>,
    /// Credentials for registries.
    pub auth: Option<Arc<dyn Auth>>,
    /// Directories with caches and images.
    pub stores: Option<Arc<dyn ContentStores>>,
    /// Is told what happens.
    pub progress: Arc<dyn Progress>,
}

/// Secrets by their ids.
pub trait Secrets: Send + Sync {
    /// A secret; `None` when the client has none of this id.
    ///
    /// # Errors
    /// [`ContextError`] when the client can't be asked.
    fn secret(&self, id: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, ContextError>>;
}

/// A connection to an ssh agent.
pub trait AgentStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> AgentStream for T {}

/// ssh agents by their ids (`default` where none is named).
pub trait SshAgents: Send + Sync {
    /// Whether the client forwards this agent.
    ///
    /// # Errors
    /// [`ContextError`] when the client can't be asked.
    fn has(&self, id: &str) -> BoxFuture<'_, Result<bool, ContextError>>;

    /// A new connection to the agent; one for each that a step makes.
    ///
    /// # Errors
    /// [`ContextError`].
    fn connect(&self, id: &str) -> BoxFuture<'_, Result<Box<dyn AgentStream>, ContextError>>;
}

/// Credentials for registries.
pub trait Auth: Send + Sync {
    /// Those for a registry by its host name (`docker.io`, `localhost:5000`); `None` is anonymous.
    ///
    /// # Errors
    /// [`ContextError`] when the client can't be asked.
    fn credentials(&self, registry: &str) -> BoxFuture<'_, Result<Option<Credentials>, ContextError>>;
}

/// Content that is read once.
pub type ContentReader = Pin<Box<dyn AsyncRead + Send + Sync>>;

/// Directories of the client's that hold content by its digests, by the names that clients give them: `local:PATH` for a cache
/// (`--cache-to type=local`), `export` for an image (`--output type=oci,tar=false`).
pub trait ContentStores: Send + Sync {
    /// How long content is; `None` when there is none of this digest.
    ///
    /// # Errors
    /// [`ContextError`] when the client can't be asked.
    fn size<'a>(
        &'a self,
        store: &'a str,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Option<u64>, ContextError>>;

    /// Content, as the client has it: whoever reads it checks it.
    fn read(&self, store: &str, digest: &Digest) -> ByteStream;

    /// Keeps content.
    ///
    /// # Errors
    /// [`ContextError`] when the client can't write it.
    fn write<'a>(
        &'a self,
        store: &'a str,
        digest: &'a Digest,
        size: u64,
        content: ContentReader,
    ) -> BoxFuture<'a, Result<(), ContextError>>;
}
