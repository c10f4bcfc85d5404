//! Bringing content in: staged where nobody sees it, then published with one sync and one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use minke_model::{Descriptor, Digest, ImageId, Reference};

use super::{Change, ImageRecord, ImageStore, LayerRecord, NameRecord, PinRecord, StoreError};
use crate::{
    LayerState,
    content::{StagedFolders, WriteError, io_error},
};

/// Content of one operation that is under way. Dropping it removes what was not committed.
pub(crate) struct Staging {
    store: ImageStore,
    folders: StagedFolders,
    blobs: BTreeSet<Digest>,
    layers: BTreeMap<Digest, LayerRecord>,
    /// Layers that were brought in elsewhere, perhaps for several operations at once.
    adopted: Vec<Arc<StagedLayer>>,
    /// What is in the store already and must stay there until the commit.
    leases: Vec<Digest>,
}

/// A layer that was unpacked, and its blob, before any image has them. Several operations may wait for it and share it;
/// the first to commit publishes it. Dropping the last handle removes what was not published.
pub struct StagedLayer {
    pub(crate) folders: StagedFolders,
    pub(crate) chain: Digest,
    pub(crate) record: LayerRecord,
    /// The blob, unless the store had it.
    pub(crate) blob: Option<Digest>,
}

impl std::fmt::Debug for StagedLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StagedLayer").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// An image to be committed.
pub(crate) struct NewImage {
    pub(crate) id: ImageId,
    pub(crate) record: ImageRecord,
    pub(crate) config: Arc<[u8]>,
    pub(crate) names: Vec<Reference>,
    /// What its names mean in their registry.
    pub(crate) target: Option<Digest>,
}

impl ImageStore {
    /// Begins an operation that brings content in, or reads content over some time.
    pub(crate) fn stage(&self) -> Result<Staging, StoreError> {
        Ok(Staging {
            store: self.clone(),
            folders: self.0.content.stage()?,
            blobs: BTreeSet::new(),
            layers: BTreeMap::new(),
            adopted: Vec::new(),
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
        self.blobs.insert(digest);
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

    /// What the store has of a layer; all of that stays until this operation ends. `blob` becomes the one that is here, where
    /// that is another: what came with a loaded image, or was made by a build, may be compressed otherwise.
    pub(crate) fn look_for(&mut self, chain: Digest, blob: &mut Descriptor) -> LayerState {
        self.lease(blob.digest);
        let unpacked = self.hold_layer(chain);
        let stored = self.hold_blob(blob.digest);
        self.lease(chain);
        match (unpacked, stored) {
            (true, true) => LayerState::Unpacked,
            (false, true) => LayerState::Stored,
            (false, false) => LayerState::Absent,
            (true, false) => match self.hold_blob_of_layer(chain) {
                Some(here) => {
                    *blob = here;
                    LayerState::Unpacked
                }
                None => LayerState::Absent,
            },
        }
    }

    /// The blob that the store has of a layer; it stays until this operation ends.
    pub(crate) fn hold_blob_of_layer(&mut self, chain: Digest) -> Option<Descriptor> {
        let blob = self.store.index().blobs_of_layer(&chain).next()?.clone();
        self.hold_blob(blob.digest).then_some(blob)
    }

    /// Keeps a blob or a layer until this operation ends, whether it is there yet or another operation brings it.
    pub(crate) fn lease(&mut self, digest: Digest) {
        self.hold(digest, |_| true);
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
        match self.blobs.contains(digest) {
            true => self.folders.blob(digest),
            false => self.store.content().blob(digest),
        }
    }

    /// Takes over a layer that was brought in elsewhere.
    pub(crate) fn adopt(&mut self, layer: Arc<StagedLayer>) {
        self.layers.insert(layer.chain, layer.record.clone());
        self.adopted.push(layer);
    }

    /// Gives a synced file its name in the store before any image needs it; it stays until this operation ends, and longer
    /// only if an image has it by then.
    pub(crate) fn publish_leased(&mut self, file: &Path, digest: Digest) -> Result<(), StoreError> {
        self.lease(digest);
        std::fs::rename(file, self.store.content().blob(&digest)).map_err(io_error("rename", file))
    }

    /// Registers a layer that was unpacked into this operation's folders.
    pub(crate) fn add_layer(&mut self, chain: Digest, record: LayerRecord) {
        self.layers.insert(chain, record);
    }

    /// Moves a folder of the same file system in as a layer.
    pub(crate) fn take_layer(&self, folder: &Path, chain: &Digest) -> Result<(), StoreError> {
        let to = self.folders.new_layer(chain)?;
        std::fs::rename(folder, &to).map_err(io_error("rename", folder))
    }

    /// Publishes the layers that were staged for a pin, and the pin. Killing the engine loses nothing of it; a power cut
    /// loses the pin.
    pub(crate) fn commit_pin(&mut self, key: Digest, pin: PinRecord) -> Result<(), StoreError> {
        let store = self.store.clone();
        let _turn = store.write();
        let content = store.content();
        let mut change = Change::default();
        let mut added = BTreeSet::new();
        for (chain, record) in &self.layers {
            if store.index().layer(chain).is_none() {
                content.publish_layer(self.staged_layer(chain), chain)?;
                added.insert(*chain);
                change.add_layers.push((*chain, record.clone()));
            }
        }
        let adopted = self.adopted.iter().filter_map(|layer| layer.blob);
        for blob in self.blobs.iter().copied().chain(adopted).collect::<BTreeSet<Digest>>() {
            if let Some(folders) = self.staged_blob(&blob).filter(|_| !content.blob(&blob).exists()) {
                content.publish_blob(folders, &blob)?;
                added.insert(blob);
            }
        }
        change.set_pins.push((key, pin));
        let result = store.apply(change);
        if result.is_err() {
            store.collect(&added);
        }
        result
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

    /// After a commit: what was staged is the store's, and stays until this operation ends.
    pub(crate) fn hold_what_was_staged(&mut self) {
        for blob in std::mem::take(&mut self.blobs) {
            self.hold_blob(blob);
        }
    }

    /// What the commit means for the database: only what is not there yet.
    fn change(&self, images: Vec<NewImage>) -> Change {
        let index = self.store.index();
        let mut change = Change::default();
        for image in images {
            let record = NameRecord::now(image.id);
            let record = image.target.map_or(record.clone(), |target| record.of(target));
            change.set_names.extend(image.names.into_iter().map(|name| (name, record.clone())));
            if change.add_images.iter().any(|(id, ..)| *id == image.id) {
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
            match index.record(&image.id) {
                None => change.add_images.push((image.id, image.record, image.config)),
                Some(known) => {
                    let merged = known.merged(image.record);
                    if merged != *known {
                        change.add_images.push((image.id, merged, image.config));
                    }
                }
            }
        }
        change
    }

    /// The folders in which a layer was staged.
    fn staged_layer(&self, chain: &Digest) -> &StagedFolders {
        let adopted = self.adopted.iter().find(|layer| layer.chain == *chain);
        adopted.map_or(&self.folders, |layer| &layer.folders)
    }

    /// The folders in which a blob was staged.
    fn staged_blob(&self, blob: &Digest) -> Option<&StagedFolders> {
        if self.blobs.contains(blob) {
            return Some(&self.folders);
        }
        let mut layers = self.adopted.iter().filter_map(|layer| Some((layer.blob?, &layer.folders)));
        layers.find(|(digest, _)| digest == blob).map(|(_, folders)| folders)
    }

    fn publish(&self, change: &Change) -> Result<BTreeSet<Digest>, StoreError> {
        let content = self.store.content();
        let mut added = BTreeSet::new();
        for (chain, _) in &change.add_layers {
            content.publish_layer(self.staged_layer(chain), chain)?;
            added.insert(*chain);
        }
        let blobs = change.add_images.iter().flat_map(|(id, record, _)| record.blobs(*id));
        for blob in blobs.collect::<BTreeSet<Digest>>() {
            // Another operation may have published a shared one, and its image may be gone again: the lease kept the file.
            let folders = match self.staged_blob(&blob) {
                Some(folders) if !content.blob(&blob).exists() => folders,
                _ => continue,
            };
            content.publish_blob(folders, &blob)?;
            added.insert(blob);
        }
        Ok(added)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let released: BTreeSet<Digest> = self.leases.iter().copied().collect();
        if released.is_empty() {
            return;
        }
        let store = self.store.clone();
        {
            let _turn = store.write();
            store.index_mut().release(self.leases.drain(..).collect::<Vec<_>>().iter().copied());
        }
        // What was removed meanwhile stayed for this operation's sake.
        if let Err(error) = store.collect_released(&released) {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not remove layers");
        }
    }
}
