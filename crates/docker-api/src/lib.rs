//! The Docker Engine API, served from the engine.
//!
//! This crate is a face: it turns HTTP requests into calls of [`minke_engine::Engine`] and the answers into
//! what Docker's own clients expect, for every version from 1.24 to 1.51. It holds no state of its own
//! besides counters, and knows nothing of how containers work. Every call that exists is a line in
//! [`routes`]; there is no other way in.
//!
//! ```text
//!  socket ─▶ server ─▶ connection ──────────▶ hyper ─▶ dispatch ─▶ routes ─▶ containers, exec, images, …
//!            accepts    │ old hijack requests             version, headers     │ one file per resource
//!                       └▶ raw hijack ───────────────────▶ (same dispatch)     ▼
//!                                                          shapes fill in Docker's zero values
//! ```
//!
//! Own HTTP routing instead of a framework's: image names contain slashes in the middle of paths, old clients
//! hijack connections without asking for an upgrade, and the table of routes is also what the tests and the
//! documentation read.

#![forbid(unsafe_code)]

mod activity;
mod body;
mod build;
mod buildkit;
mod call;
mod connection;
mod containers;
mod dispatch;
mod error;
mod events;
mod exec;
#[cfg(test)]
mod fuzz;
mod hijack;
mod images;
mod json;
mod legacy;
mod listener;
mod networks;
mod path;
mod platform;
mod query;
mod refusals;
mod respond;
pub mod routes;
mod server;
mod shape;
mod shapes;
mod sniff;
mod system;
mod version;
mod volumes;
mod websocket;

pub use activity::Activity;
pub use build::session::{BuildTold, SessionBuild};
pub use buildkit::BuildKit;
pub use hijack::{BoxIo, Io};
pub use hyper::HeaderMap;
pub use listener::Listener;
pub use server::{Server, serve};
pub use version::ApiVersion;
