//! Why operations of the store fail: one type per operation, one variant per thing a caller may do about it.

use std::path::PathBuf;

use minke_model::{Digest, ImageId, ReferenceError};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A record in the database is not readable: it is from a newer minke, or damaged.
    #[error("read record {key:?} of table {table:?} in the engine's database")]
    Record {
        /// The table.
        table: &'static str,
        /// The record's key.
        key: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A record has a version that this minke does not know.
    #[error("record {key:?} of table {table:?} has version {version}; this minke knows versions up to 1")]
    Version {
        /// The table.
        table: &'static str,
        /// The record's key.
        key: String,
        /// Its version.
        version: u32,
    },
    /// Folders or the database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the store's own files or tables could not be read or written. Trying again helps once the disk does.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The database failed.
    #[error("{action} in the engine's database")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<redb::Error>,
    },
    /// A layer's files are gone.
    #[error(
        "layer {layer} of image {image} is missing from the store: remove the image and load or pull it again"
    )]
    MissingLayer {
        /// The image.
        image: ImageId,
        /// The layer.
        layer: Digest,
    },
    /// A layer of a build is gone.
    #[error("layer {layer} is missing from the store: build again")]
    LostLayer {
        /// The layer.
        layer: Digest,
    },
}

/// Why an image was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No image has that name or id: Docker's 404.
    #[error("No such image: {0}")]
    NotFound(String),
    /// Several ids begin so: Docker's 404 as well.
    #[error("image id prefix {prefix:?} is ambiguous: {matches} images begin with it")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many there are.
        matches: usize,
    },
    /// Not a name at all: Docker's 400.
    #[error(transparent)]
    Invalid(#[from] ReferenceError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an image was not tagged.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// The source is not there.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The new name follows no grammar: Docker's 400.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The new name is not allowed: Docker's 400.
    #[error("{0}")]
    Refused(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an image was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The image is not there.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Something needs it: Docker's 409, in Docker's words.
    #[error("{0}")]
    Conflict(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
