//! What only the client has: secrets, ssh agents, credentials for registries. Asked for when a step needs it, never before.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use minke_engine::Credentials;
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
