//! TLS with rustls and ring, for everything in minke that speaks or serves it: the client of registries, the registry,
//! the Docker API and its client.
//!
//! Two halves: [`client_config`] for whom a client trusts and who it is, [`server_config`] for who a server is and whom
//! it lets in. No I/O but reading a server's files.

#![forbid(unsafe_code)]

mod client;
mod server;

pub use rustls::{ClientConfig, ServerConfig};

pub use client::{Identity, Trust, client_config};
pub use server::{Clients, ServerTls, TlsError, TlsFiles, server_config};
