//! What an engine and its containers do and use, served to Prometheus.
//!
//! This crate is a face like the Docker API: it gives the engine's numbers the names that dashboards know, dockerd's for the
//! engine and cAdvisor's for containers, and writes them in the text formats that Prometheus reads. It holds nothing: a scrape
//! measures, writes and forgets. All names are in docs/metrics.md, which a test compares with the tables here.
//!
//! ```text
//!  GET /metrics ─▶ server ─▶ accept: which format?
//!                    └─▶ engine measures every container, on a thread that may block
//!                          └─▶ page: families of engine, process, containers ─▶ exposition ─▶ chunks, as fast as they are read
//! ```
//!
//! A scrape of a thousand containers is some tens of thousands of lines. They are written family by family while the other
//! side reads, so neither the page nor the time is the engine's to hold.

#![forbid(unsafe_code)]

mod accept;
mod containers;
mod engine;
mod exposition;
mod page;
mod process;
mod scrape;
mod server;

pub use server::serve;
