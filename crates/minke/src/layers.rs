//! What an image's layers are made of, for `minke image tree` and `minke image explore`: what each adds, replaces, deletes
//! and wastes.
//!
//! ```text
//!   GET /images/NAME/get ──▶ archive: the entries of every layer ──▶ report: what became of each path ──▶ text, JSON, explorer
//!        (a stream)            (read once, kept are names alone)       (pure)
//! ```

pub(crate) mod archive;
mod image;
pub(crate) mod report;
mod state;
pub(crate) mod tree;

/// One entry of a layer's archive, as far as the report needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From the root, without slashes at either end; bytes, as Linux has them.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryKind,
}

/// What an entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A file of so many bytes.
    File(u64),
    Directory,
    /// Another name of a file, by its path.
    Hardlink(Vec<u8>),
    /// A symbolic link, a device, …
    Other,
    /// What lower layers have at this path is gone, with all below it.
    Whiteout,
    /// What lower layers have in this directory is gone.
    Opaque,
}

/// What made a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// The command of the build; empty where the image doesn't say.
    pub(crate) created_by: String,
    /// The digest of the layer's archive.
    pub(crate) diff_id: String,
}

/// A layer as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) step: Step,
    pub(crate) entries: Vec<Entry>,
}
