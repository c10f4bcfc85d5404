//! What goes wrong in keeping things.

use std::{io, path::Path, path::PathBuf};

use crate::error::is_full;

/// The disk or the database failed. Trying again helps when there is room again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be made, read, written or removed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The database of links could not be opened, read or written.
    #[error("{action} the registry's database")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<redb::Error>,
    },
}

impl StoreError {
    /// Whether it failed for want of room.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full(source),
            Self::Database { source, .. } => match source.as_ref() {
                redb::Error::Io(error) => is_full(error),
                _ => false,
            },
        }
    }
}

/// Names an action and a path in an I/O error.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}
