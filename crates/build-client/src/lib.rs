//! A client of BuildKit's API behind any Docker endpoint.

#![forbid(unsafe_code)]

mod event;

pub use event::{BuildEvent, Log, LogStream, Source, Status, Vertex, Warning};
