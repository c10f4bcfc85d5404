//! The builder: from a Dockerfile and a context to an image, on the engine's own layer store.
//!
//! Three doors lead here: the classic `POST /build` of the Docker Engine API, BuildKit's session, and the command line through
//! either. Each brings a [`BuildRequest`] and what only the client has, as traits: files ([`Context`]), secrets and agents
//! ([`Secrets`], [`SshAgents`]), credentials ([`Auth`]), and where the result goes ([`Destination`]). What happens is told to
//! a [`Progress`].

#![forbid(unsafe_code)]

mod arrivals;
mod attest;
mod build;
mod builder;
mod cache;
mod caches;
mod client;
mod context;
mod copy;
mod directory;
mod error;
mod exchange;
mod exclude;
mod export;
mod files;
mod git;
mod images;
mod output;
mod prepare;
mod progress;
mod remote;
mod request;
mod ssh;
mod walk;

pub use arrivals::Arrivals;
pub use attest::{Attest, Invocation, Material, Provenance, Sbom, Slsa};
pub use builder::{Builder, PruneOptions, Pruned};
pub use cache::{
    CacheEntry,
    filter::{CacheFacts, CacheFilter},
};
pub use client::{AgentStream, Auth, Client, ContentReader, ContentStores, Secrets, SshAgents};
pub use context::{Context, ContextError, Tree, Wanted};
pub use directory::{DirectoryContext, NoContext, Subdirectory};
pub use error::BuildError;
pub use output::{BuildResult, Destination, Output, OutputKind, ToldProvenance};
pub use prepare::{lower_case_dockerfile, outline, read_dockerfile};
pub use progress::{Event, LogStream, Progress, Status, Step, Vertex, Warning};
pub use remote::{RemoteContext, fetch};
pub use request::{
    BuildRequest, Built, CacheEndpoint, LinkedBuild, NamedContext, NetworkMode, ResourceLimits,
};
