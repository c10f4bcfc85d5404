//! Bringing content in: staged where nobody sees it, then published with one sync and one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::PathBuf,
    sync::Arc,
};

use minke_model::{Digest, ImageId, Reference};

use super::{Change, ImageRecord, ImageStore, LayerRecord, NameRecord, StoreError};
use crate::content::{StagedFolders, WriteError};

/// Content of one operation that is under way. Dropping it removes what was not committed.
pub(crate) struct Staging {
    store: ImageStore,
    folders: StagedFolders,
    blobs: BTreeMap<Digest, u64>,
    layers: BTreeMap<Digest, LayerRecord>,
    /// What is in the store already and must stay there until the commit.
    leases: Vec<Digest>,
}

/// An image to be committed.
pub(crate) struct NewImage {
    pub(crate) id: ImageId,
    pub(crate) record: ImageRecord,
    pub(crate) config: Arc<[u8]>,
    pub(crate) names: Vec<Reference>,
}

impl ImageStore {
    /// Begins an operation that brings content in, or reads content over some time.
    pub(crate) fn stage(&self) -> Result<Staging, StoreError> {
        Ok(Staging {
            store: self.clone(),
            folders: self.0.content.stage()?,
            blobs: BTreeMap::new(),
            layers: BTreeMap::new(),
            leases: Vec::new(),
        })
    }
}

impl Staging {
    pub(crate) fn folders(&self) -> &StagedFolders {
        &self.folders
    }

    /// Stages a blob from a stream.
    pub(crate) fn write_blob(&mut self, source: impl Read) -> Result<(Digest, u64), WriteError> {
        let (digest, size) = self.folders.write_blob(source)?;
        self.blobs.insert(digest, size);
        Ok((digest, size))
    }

    /// Stages a small blob.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> Result<(Digest, u64), StoreError> {
        self.write_blob(bytes).map_err(|error| match error {
            WriteError::Store(error) => error,
            WriteError::Read(source) => StoreError::Io { action: "read", path: PathBuf::new(), source },
        })
    }

    /// Whether the store has this blob; if so, it stays until this operation ends.
    pub(crate) fn hold_blob(&mut self, digest: Digest) -> bool {
        self.hold(digest, |store| store.index().has_blob(&digest))
    }

    /// Whether the store has this layer; if so, it stays until this operation ends.
    pub(crate) fn hold_layer(&mut self, chain: Digest) -> bool {
        self.hold(chain, |store| {
            store.index().layer(&chain).is_some() && store.content().layer(&chain).is_dir()
        })
    }

    fn hold(&mut self, digest: Digest, exists: impl Fn(&ImageStore) -> bool) -> bool {
        let _turn = self.store.write();
        if !exists(&self.store) {
            return false;
        }
        self.store.index_mut().lease(digest);
        self.leases.push(digest);
        true
    }

    /// Where a staged or held blob lies.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        match self.blobs.contains_key(digest) {
            true => self.folders.blob(digest),
            false => self.store.content().blob(digest),
        }
    }

    /// Registers a layer that was unpacked into this operation's folders.
    pub(crate) fn add_layer(&mut self, chain: Digest, record: LayerRecord) {
        self.layers.insert(chain, record);
    }

    /// Publishes the images and everything they need. After this returns they survive a crash.
    pub(crate) fn commit(&mut self, images: Vec<NewImage>) -> Result<(), StoreError> {
        // Before taking the turn: other operations go on while the disk works.
        self.store.content().sync()?;
        let store = self.store.clone();
        let _turn = store.write();
        let change = self.change(images);
        let added: BTreeSet<Digest> = self.publish(&change)?;
        let result = store.content().sync_names().and_then(|()| store.apply(change));
        if result.is_err() {
            store.collect(&added);
        }
        result
    }

    /// What the commit means for the database: only what is not there yet.
    fn change(&self, images: Vec<NewImage>) -> Change {
        let index = self.store.index();
        let mut change = Change::default();
        for image in images {
            change.set_names.extend(image.names.into_iter().map(|name| (name, NameRecord::now(image.id))));
            let twice = change.add_images.iter().any(|(id, ..)| *id == image.id);
            if index.image(&image.id).is_some() || twice {
                continue;
            }
            for chain in &image.record.layers {
                let new = self.layers.get(chain).filter(|_| index.layer(chain).is_none());
                if let Some(record) =
                    new.filter(|_| !change.add_layers.iter().any(|(added, _)| added == chain))
                {
                    change.add_layers.push((*chain, record.clone()));
                }
            }
            change.add_images.push((image.id, image.record, image.config));
        }
        change
    }

    fn publish(&mut self, change: &Change) -> Result<BTreeSet<Digest>, StoreError> {
        let content = self.store.content();
        let mut added = BTreeSet::new();
        for (chain, _) in &change.add_layers {
            content.publish_layer(&self.folders, chain)?;
            added.insert(*chain);
        }
        let blobs = change.add_images.iter().flat_map(|(id, record, _)| record.blobs(*id));
        for blob in blobs.collect::<BTreeSet<Digest>>() {
            if self.blobs.contains_key(&blob) && !self.store.index().has_blob(&blob) {
                content.publish_blob(&self.folders, &blob)?;
                added.insert(blob);
            }
        }
        Ok(added)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.leases.is_empty() {
            return;
        }
        let store = self.store.clone();
        {
            let _turn = store.write();
            store.index_mut().release(self.leases.drain(..).collect::<Vec<_>>().iter().copied());
        }
        // What was removed meanwhile stayed for this operation's sake.
        if let Err(error) = store.collect_unused() {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not remove layers");
        }
    }
}
