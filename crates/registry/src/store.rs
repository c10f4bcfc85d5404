//! What a registry keeps, and the rules by which it changes. Synchronous; async callers use a blocking
//! thread.
//!
//! ```text
//!  <root>/content/blobs/<algorithm>/<hex>   blobs and manifests, whole and checked, in OCI layout
//!  <root>/uploads/<uuid>.<repository hex>   what clients are sending
//!  <root>/links.db                          which repository has which blobs, manifests, tags and referrers
//! ```
//!
//! A blob is written under an upload's name, synced, renamed, its folder synced, and then linked by one
//! transaction. Only what is linked is ever served, so SIGKILL at any instant leaves at worst a file that
//! nothing names: garbage.
//!
//! Two threads meet in one place: an upload publishes a file that exists already while the collection of
//! garbage is about to remove it. So publishing holds `publishing` for reading until its link is committed,
//! and the collection holds it for writing while it looks at one file and removes it.

pub(crate) mod content;
pub(crate) mod error;
pub(crate) mod garbage;
pub(crate) mod links;
pub(crate) mod sharing;
pub(crate) mod uploads;

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

pub use error::StoreError;

use crate::{Digest, Reference, RepositoryName, Tag, manifest::Document};
use content::Content;
use links::{Links, ManifestRecord};
use uploads::{Upload, Uploads};

/// The store of one registry.
pub(crate) struct Store {
    content: Content,
    links: Links,
    pub(crate) uploads: Uploads,
    publishing: RwLock<()>,
    /// When each repository was last pushed to, or asked whether it has a blob as clients do before they
    /// push.
    active: Mutex<HashMap<RepositoryName, Instant>>,
}

/// More repositories than this are not remembered as active one by one: all of them are, until the oldest has
/// aged.
const ACTIVE_LIMIT: usize = 65_536;

/// A blob to read.
pub(crate) struct OpenBlob {
    pub(crate) file: File,
    pub(crate) size: u64,
}

impl Store {
    /// Opens the store below `root`, makes what is missing, and takes up the uploads that were under way.
    pub(crate) fn open(
        root: &Path,
        twin: Option<PathBuf>,
        uploads: usize,
        reserve: u64,
    ) -> Result<Self, StoreError> {
        let content = Content::open(root, twin)?;
        let links = Links::open(&root.join("links.db"))?;
        let uploads = Uploads::open(&root.join("uploads"), uploads, reserve)?;
        let active = Mutex::default();
        Ok(Self { content, links, uploads, publishing: RwLock::new(()), active })
    }

    /// A blob of this repository.
    pub(crate) fn blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<OpenBlob>, StoreError> {
        match self.links.has_blob(repository, digest)? {
            true => self.content.read(digest),
            false => Ok(None),
        }
    }

    /// Gives a repository a blob of another one, or of any other. Returns whether there was one.
    pub(crate) fn mount(
        &self,
        repository: &RepositoryName,
        from: Option<&RepositoryName>,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        self.touch(repository);
        self.links.mount(repository, from, digest)
    }

    /// Makes an upload a blob of its repository: checks, syncs, renames, links. The upload is gone
    /// afterwards, also when its digest is another one, which is then returned as the error.
    pub(crate) fn finish(
        &self,
        upload: &mut Upload,
        digest: &Digest,
    ) -> Result<Result<(), Digest>, StoreError> {
        self.touch(upload.repository());
        let actual = upload.digest(digest.algorithm())?;
        if actual != *digest {
            self.uploads.discard(upload);
            return Ok(Err(actual));
        }
        let result = self.publish(upload, digest);
        self.uploads.discard(upload);
        result.map(Ok)
    }

    fn publish(&self, upload: &Upload, digest: &Digest) -> Result<(), StoreError> {
        upload.sync()?;
        let _publishing = self.publishing.read().unwrap_or_else(PoisonError::into_inner);
        self.content.publish(upload.path(), digest)?;
        self.links.link_blob(upload.repository(), digest)
    }

    /// Takes a blob from a repository; its file goes with the garbage. Returns whether it was there.
    pub(crate) fn unlink_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let found = self.links.unlink_blob(repository, digest)?;
        if found {
            self.remove_unlinked(digest)?;
        }
        Ok(found)
    }

    /// Stores a manifest and points `tags` to it. `Err` in the result: what the repository lacks of what it
    /// names.
    pub(crate) fn put_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
        document: &Document,
        complete: bool,
    ) -> Result<Result<(), Vec<Digest>>, StoreError> {
        self.touch(repository);
        self.uploads.check_room()?;
        let publishing = self.publishing.read().unwrap_or_else(PoisonError::into_inner);
        self.content.write(digest, &document.bytes)?;
        let record = ManifestRecord::new(document);
        let result = self.links.put_manifest(repository, digest, tags, &record, complete)?;
        drop(publishing);
        if result.is_err() {
            self.remove_unlinked(digest)?;
        }
        Ok(result)
    }

    /// The digest that a reference names, without a look whether there is such a manifest.
    pub(crate) fn resolve(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Digest>, StoreError> {
        match reference {
            Reference::Digest(digest) => Ok(Some(digest.clone())),
            Reference::Tag(tag) => self.links.tag(repository, tag),
        }
    }

    /// A manifest's media type and bytes.
    pub(crate) fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        let Some(record) = self.links.manifest(repository, digest)? else { return Ok(None) };
        Ok(self.content.read_whole(digest)?.map(|bytes| (record.media_type, bytes)))
    }

    /// Points a tag to a manifest that is there.
    pub(crate) fn tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        self.links.set_tag(repository, tag, digest)
    }

    /// Removes a tag alone, or a manifest with all its tags. Returns whether it was there.
    pub(crate) fn delete(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<bool, StoreError> {
        match reference {
            Reference::Tag(tag) => self.links.remove_tag(repository, tag),
            Reference::Digest(digest) => {
                let found = self.links.remove_manifest(repository, digest)?;
                if found {
                    self.remove_unlinked(digest)?;
                }
                Ok(found)
            }
        }
    }

    /// Whether anything was ever pushed to it.
    pub(crate) fn knows(&self, repository: &RepositoryName) -> Result<bool, StoreError> {
        self.links.knows(repository)
    }

    /// Tags after `last`, at most `limit`, and whether there are more.
    pub(crate) fn tags(
        &self,
        repository: &RepositoryName,
        last: &str,
        limit: usize,
    ) -> Result<(Vec<String>, bool), StoreError> {
        self.links.tags(repository, last, limit)
    }

    /// Repositories after `last`, at most `limit`, and whether there are more.
    pub(crate) fn repositories(&self, last: &str, limit: usize) -> Result<(Vec<String>, bool), StoreError> {
        self.links.repositories(last, limit)
    }

    /// Descriptors of the manifests with this subject, in the order of their digests after `last`.
    pub(crate) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        last: &str,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.links.referrers(repository, subject, last)
    }

    /// Notes that somebody is about to push here.
    pub(crate) fn touch(&self, repository: &RepositoryName) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if active.len() >= ACTIVE_LIMIT
            && !active.contains_key(repository)
            && let Some(oldest) = active.iter().min_by_key(|(_, when)| **when).map(|(name, _)| name.clone())
        {
            active.remove(&oldest);
        }
        active.insert(repository.clone(), Instant::now());
    }

    /// Whether somebody may be in the middle of a push, by what this process saw.
    fn is_active(&self, repository: &RepositoryName, grace: Duration) -> bool {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.retain(|_, when| when.elapsed() < grace);
        active.contains_key(repository) || self.uploads.has_any(repository)
    }

    /// Removes the file of a blob that no repository links.
    fn remove_unlinked(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let _publishing = self.publishing.write().unwrap_or_else(PoisonError::into_inner);
        match self.links.is_linked(digest)? {
            true => Ok(None),
            false => self.content.remove(digest).map(Some),
        }
    }
}
