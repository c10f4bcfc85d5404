//! `moby.buildkit.v1.Control`, call by call.

pub(crate) mod cache;
pub(crate) mod content;
pub(crate) mod failure;
pub(crate) mod history;
pub(crate) mod session;
pub(crate) mod solve;
pub(crate) mod workers;
