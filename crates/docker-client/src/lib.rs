//! A client of any Docker Engine API: minke's own engine, dockerd, podman's service or a Swarm endpoint.
//!
//! The command line and Compose speak to engines through this crate and nothing else, which is what lets the
//! same `minke compose up` run on all of them. One [`Client`] is an [`Endpoint`], the version agreed on with
//! the engine and at most one idle keep-alive connection: there is no pool, since a command makes a few
//! requests one after the other and the long streams (`logs -f`, `attach`) own their connection anyway.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use minke_docker_client::{Client, Endpoint};
//! let client = Client::new(Endpoint::parse("unix:///run/minke/docker.sock")?);
//! let containers: Vec<serde_json::Value> = client.get("/containers/json", &[("all", "1".into())]).await?;
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod body;
mod client;
mod connection;
mod encode;
mod endpoint;
mod error;
mod hijack;
mod json_lines;
mod ping;
mod resolve;
mod ssh;
pub mod stdcopy;
mod tls;
mod version;

pub use body::{Body, ByteStream, StreamResponse};
pub use client::{Changed, Client};
pub use endpoint::{Endpoint, EndpointError};
pub use error::Error;
pub use hijack::{Hijacked, HijackedIo};
pub use hyper::{HeaderMap, Method, StatusCode, header};
pub use json_lines::json_lines;
pub use ping::Ping;
pub use ssh::SshDestination;
pub use tls::{Tls, TlsError, TlsMaterial};
pub use version::{ApiVersion, ApiVersionError};
