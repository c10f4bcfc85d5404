//! The store itself: opening it, and the one road by which it changes.
//!
//! ```text
//!   request ─▶ pure decision on the index ─▶ Change ─▶ one database transaction ─▶ the same Change on the index
//! ```
//! All reads are answered from the index in memory, so `images` and `find` touch no disk. Writers take turns;
//! readers wait only while a finished change enters the index.

mod change;
mod error;
mod find;
mod history;
mod index;
mod manifests;
mod records;
mod remove;
mod stage;
mod tag;
mod usage;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use minke_model::Digest;

pub use error::{FindError, OpenError, RemoveError, StoreError, TagError};
pub(crate) use find::find;
pub(crate) use history::seconds;
pub(crate) use index::Index;
pub use manifests::{KnownManifest, ManifestKind};
pub(crate) use records::{ImageRecord, LayerRecord, ManifestRecord, NameRecord, PinRecord};
pub use stage::StagedLayer;
pub(crate) use stage::{NewImage, Staging};
pub(crate) use tag::checked as checked_name;

use crate::{Image, archive::Limits, content::Content};
pub(crate) use change::Change;

/// The image store of one engine. Clones share it.
#[derive(Clone)]
pub struct ImageStore(Arc<Inner>);

/// What a store allows.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// What one layer may hold.
    pub layer_limits: Limits,
}

struct Inner {
    content: Content,
    db: Arc<redb::Database>,
    index: RwLock<Index>,
    /// Held from a decision until the index has it.
    writing: Mutex<()>,
    options: StoreOptions,
}

impl ImageStore {
    /// Opens the store below `root` (the engine's `--root`) with the engine's database, and sweeps what a crash
    /// left half-written: the slow part of that in the background.
    ///
    /// # Errors
    /// [`OpenError`]: the folders cannot be made, or the database cannot be read.
    pub fn open(root: &Path, db: Arc<redb::Database>) -> Result<Self, OpenError> {
        Self::open_with(root, db, StoreOptions::default())
    }

    /// The same with limits of one's own.
    ///
    /// # Errors
    /// As [`ImageStore::open`].
    pub fn open_with(root: &Path, db: Arc<redb::Database>, options: StoreOptions) -> Result<Self, OpenError> {
        let content = Content::open(root)?;
        let index = records::read(&db)?;
        let trash = content.sweep(|blob| index.needs_blob(blob), |layer| index.needs_layer(layer))?;
        let inner = Inner { content, db, index: RwLock::new(index), writing: Mutex::new(()), options };
        let store = Self(Arc::new(inner));
        if trash {
            let sweeper = store.clone();
            let thread = std::thread::Builder::new().name("image-sweep".to_owned());
            if let Err(error) = thread.spawn(move || sweeper.0.content.empty_trash()) {
                tracing::warn!(%error, "could not start sweeping; the next start tries again");
            }
        }
        Ok(store)
    }

    /// All images, newest first.
    ///
    /// # Errors
    /// None today; drivers that read from disk would have some.
    pub fn list(&self) -> Result<Vec<Arc<Image>>, StoreError> {
        Ok(self.index().newest_first())
    }

    /// The folders that overlayfs mounts as lower directories, topmost first; for an image without layers one that is empty.
    ///
    /// # Errors
    /// [`StoreError::MissingLayer`] when somebody removed a layer's files behind the store's back.
    pub fn lower_dirs(&self, image: &Image) -> Result<Vec<PathBuf>, StoreError> {
        let mut folders = Vec::with_capacity(image.layers.len());
        for layer in image.layers.iter().rev() {
            let record = self.index().layer(layer).cloned();
            let folder = self.0.content.layer(layer);
            let Some(record) = record.filter(|_| folder.is_dir()) else {
                return Err(StoreError::MissingLayer { image: image.id, layer: *layer });
            };
            folders.push(folder);
            if record.opaque {
                // overlayfs ignores the mark on a layer's root, so what is below is left out here.
                break;
            }
        }
        if folders.is_empty() {
            folders.push(self.0.content.empty().to_owned());
        }
        Ok(folders)
    }

    pub(crate) fn content(&self) -> &Content {
        &self.0.content
    }

    pub(crate) fn options(&self) -> &StoreOptions {
        &self.0.options
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.0.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.0.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// One writer at a time, from its decision until the index has it.
    pub(crate) fn write(&self) -> MutexGuard<'_, ()> {
        self.0.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change durable, then visible. The caller holds [`ImageStore::write`].
    pub(crate) fn apply(&self, change: Change) -> Result<(), StoreError> {
        records::write(&self.0.db, &change)?;
        self.index_mut().apply(change);
        Ok(())
    }

    /// Removes the files of those `candidates` that nothing needs any more. The caller holds [`ImageStore::write`]
    /// and has already removed them from the database, so a failure only leaves work for the next start.
    pub(crate) fn collect(&self, candidates: &BTreeSet<Digest>) {
        let index = self.index();
        for digest in candidates {
            let blob = if index.needs_blob(digest) { Ok(()) } else { self.0.content.remove_blob(digest) };
            let layer = if index.needs_layer(digest) { Ok(()) } else { self.0.content.remove_layer(digest) };
            if let Err(error) = blob.and(layer) {
                tracing::warn!(%digest, error = &error as &dyn std::error::Error, "could not remove content");
            }
        }
    }
}

impl std::fmt::Debug for ImageStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageStore").finish_non_exhaustive()
    }
}
