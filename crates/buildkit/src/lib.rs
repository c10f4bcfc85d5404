//! BuildKit's control and session API as `docker buildx` speaks it to dockerd, in front of the builder.
//!
//! ```text
//!  docker buildx build
//!    │ POST /grpc ─────▶ docker-api ─▶ h2c ─▶ service ─┬▶ control: solve, status, cache, history, workers
//!    │                                                 └▶ gateway: a client that drives its build
//!    │                                                       │
//!    │                                    frontend: attributes → minke_build::BuildRequest ─▶ Builder
//!    │                                                       │                                   │ tells
//!    │ POST /session ──▶ docker-api ─▶ h2c ─▶ session ◀──────┘  folders, secrets, agents,        ▼
//!    └◀──────────────────────────────────────── │ credentials, what is written to disk      progress ─▶ status
//!
//!  docker build (without buildx)
//!      POST /build ───▶ docker-api ─▶ posted ─▶ control: solve
//! ```
//!
//! The Dockerfile frontend is the engine's own; graphs of other frontends are refused. Nothing here opens a socket: whoever
//! wires the engine hands over connections.

#![forbid(unsafe_code)]

mod builder;
mod builds;
mod control;
mod files;
mod frontend;
mod gateway;
mod posted;
mod progress;
mod service;
mod session;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::HeaderMap;
use minke_buildkit_wire::{grpc, pb};
use tokio::io::{AsyncRead, AsyncWrite};

pub use builder::{Builder, CacheRecord, EngineBuilder, PruneOptions};
pub use frontend::sources::Source;
pub use minke_buildkit_wire::pb::control::{CacheOptions, CacheOptionsEntry, SolveRequest};
pub use posted::Told;

/// What clients are told of the engine.
#[derive(Debug, Clone, Default)]
pub struct EngineFacts {
    /// What names it.
    pub id: String,
    /// The host's name.
    pub hostname: String,
    /// Its version, without a `v`.
    pub version: String,
    /// What can be built, the host's own first: `linux/amd64`.
    pub platforms: Vec<String>,
    /// The host's address as containers see it.
    pub host_gateway: Option<IpAddr>,
}

/// BuildKit's API in front of a builder. Clones are the same.
#[derive(Clone)]
pub struct BuildKit(Arc<Shared>);

/// What all connections share.
pub(crate) struct Shared {
    builder: Arc<dyn Builder>,
    engine: EngineFacts,
    sessions: session::Sessions,
    builds: builds::Builds,
    history: control::history::History,
    slots: files::slots::Slots,
}

impl BuildKit {
    /// In front of `builder`; what clients send is kept below `folder` for their next build.
    pub fn new(builder: Arc<dyn Builder>, engine: EngineFacts, folder: PathBuf) -> Self {
        Self(Arc::new(Shared {
            builder,
            engine,
            sessions: session::Sessions::default(),
            builds: builds::Builds::default(),
            history: control::history::History::default(),
            slots: files::slots::Slots::new(folder),
        }))
    }

    /// Serves the control API on a connection until it ends.
    pub async fn control(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send) {
        if let Err(error) = grpc::serve(io, service::Calls(self.0.clone())).await {
            tracing::debug!(%error, "a connection of BuildKit's control API ended");
        }
    }

    /// Looks at what a client says of the session that it offers.
    ///
    /// # Errors
    /// Why it can't be had, in a sentence.
    pub fn check_session(&self, headers: &HeaderMap) -> Result<(), String> {
        self.0.sessions.check(headers)
    }

    /// Keeps a client's session until its connection ends.
    pub async fn session(
        &self,
        headers: HeaderMap,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        self.0.sessions.run(&headers, io).await;
    }
}
