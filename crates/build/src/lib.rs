//! The builder: from a Dockerfile and a context to an image, on the engine's own layer store.
//!
//! Three doors lead here: the classic `POST /build` of the Docker Engine API, BuildKit's session, and the command line through
//! either. Each brings a [`BuildRequest`] and what only the client has, as traits: files ([`Context`]), secrets and agents
//! ([`Secrets`], [`SshAgents`]), credentials ([`Auth`]), and where the result goes ([`Destination`]). What happens is told to
//! a [`Progress`].

#![forbid(unsafe_code)]

mod client;
mod context;
mod error;
mod output;
mod progress;
mod request;

pub use client::{AgentStream, Auth, Client, Secrets, SshAgents};
pub use context::{Context, ContextError, Tree, Wanted};
pub use error::BuildError;
pub use output::{BuildResult, Destination, Output, OutputKind};
pub use progress::{Event, LogStream, Progress, Status, Step, Vertex, Warning};
pub use request::{BuildRequest, CacheEndpoint, NamedContext, NetworkMode, ResourceLimits};
