//! What both sides of BuildKit's API say to each other, and how it goes over a connection.
//!
//! ```text
//!                 grpc: calls on an HTTP/2 connection that is there already, served or made
//!                  ▲                                  ▲
//!   pb: the messages, written by hand       files: folders, as fsutil sends them, by packets of pb
//! ```
//!
//! `minke-buildkit` is the engine's side of it, `minke-build-client` the one of who builds. Each is server and client: the
//! engine serves the control API and calls the client's session, the client calls the one and serves the other. Nothing here
//! opens a socket, and nothing here knows what a build is.

#![forbid(unsafe_code)]

pub mod files;
#[cfg(test)]
mod fuzz;
pub mod grpc;
#[expect(missing_docs, reason = "what a field means is the protocol's to say")]
pub mod pb;
