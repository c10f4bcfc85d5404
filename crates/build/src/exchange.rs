//! Cached steps from and for other engines: `--cache-from` and `--cache-to`, in BuildKit's own format.
//!
//! ```text
//!   --cache-from ─▶ Place ─▶ format: which keys lead to which layers ─▶ a step's key is among them ─▶ its layers are received
//!   --cache-to   ◀─ Place ◀─ format ◀─ keys of the build's steps, their layers compressed          and pinned as if made here
//! ```
//! A place is where such a cache is kept: a registry, or a directory of the client's. What comes from there is a stranger's: it is
//! bounded, its digests are checked, and what is wrong with it costs nothing but the steps that it would have saved.

mod collect;
mod endpoint;
mod export;
mod format;
mod import;
mod layout;
mod local;
mod place;
mod receive;

pub(crate) use endpoint::{ExportTo, Kind, check_exports, inline_wanted};
pub(crate) use export::{export, inline};
pub(crate) use format::WithCache;
pub(crate) use import::{Imports, imports};
pub(crate) use layout::image as layout_image;
pub(crate) use local::Local;
pub(crate) use place::{Content, Place, Registry};
pub(crate) use receive::Wanted;

/// Why a cache could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The registry, or the way there.
    #[error(transparent)]
    Registry(#[from] minke_distribution::Error),
    /// The client's directory.
    #[error(transparent)]
    Client(#[from] crate::ContextError),
    /// The engine's store.
    #[error("{0}")]
    Store(String),
    /// What is there is no cache, or a damaged one.
    #[error("{0}")]
    Damaged(String),
}
