//! The OCI distribution API 1.1 as a server: a registry that pulls, pushes and deletes, and may be another
//! one's cache.
//!
//! ```text
//!   TcpListener ─▶ server (limits, TLS) ─▶ auth ─▶ route ─▶ api::{blobs, uploads, manifests, lists} ─▶ store
//!                                                                     │ not here, and a cache            ▲
//!                                                                     └─▶ cache ─▶ Upstream ─────────────┘
//! ```
//!
//! [`Registry::open`] takes a [`RegistryConfig`], [`Registry::serve`] serves listeners until it is told to
//! stop. Blobs lie in OCI layout below the registry's own folder; who has which is in a database of its own
//! (`store`).

#![forbid(unsafe_code)]

mod api;
mod auth;
mod cache;
mod config;
mod digest;
mod error;
mod manifest;
mod name;
mod patience;
mod range;
mod registry;
mod route;
mod server;
mod store;
mod upstream;

pub use auth::HtpasswdError;
pub use config::{GarbageOptions, Limits, RegistryConfig};
pub use digest::{Algorithm, Digest, DigestError};
pub use minke_tls::{TlsError, TlsFiles};
pub use name::{NameError, Reference, RepositoryName, Tag};
pub use registry::{OpenError, Registry};
pub use store::{StoreError, garbage::Collected};
pub use upstream::{Upstream, UpstreamBlob, UpstreamError, UpstreamManifest};
