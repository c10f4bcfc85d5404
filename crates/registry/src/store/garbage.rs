//! Removing what nothing names any more.
//!
//! Two steps, each safe by itself. First links: a blob that no manifest of its repository names, in a
//! repository that nobody has pushed to for a while; the transaction that takes it is the one that a
//! manifest's acceptance would have to pass. Then files: those that no repository links, each looked at again
//! while nobody publishes.

use std::time::Duration;

use super::{Store, StoreError};

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Links of repositories to blobs that their manifests don't name.
    pub links: usize,
    /// Files.
    pub blobs: usize,
    /// Bytes of these files.
    pub bytes: u64,
}

impl Store {
    /// Removes what nothing names. A repository that was pushed to, asked for a blob as before a push, or has
    /// an upload under way within `grace` is left as it is.
    pub(crate) fn collect_garbage(&self, grace: Duration) -> Result<Collected, StoreError> {
        let links = self.links.collect(grace, |repository| !self.is_active(repository, grace))?;
        let mut collected = Collected { links, ..Collected::default() };
        for digest in self.content.all()? {
            if let Some(bytes) = self.remove_unlinked(&digest)? {
                collected.blobs += 1;
                collected.bytes += bytes;
            }
        }
        Ok(collected)
    }
}
