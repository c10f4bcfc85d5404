//! Layers that a builder makes before any image has them, and keeps for the next build: pins.
//!
//! ```text
//!   upper directory ─▶ pack ─▶ blob, hashed ─▶ the directory itself becomes the layer ─▶ one transaction: layer, pin
//! ```
//! A commit costs what the step wrote, once: nothing is unpacked again, and nothing waits for the disk. A pin that was not
//! synced is believed only within the boot that made it, so that a power cut costs cached steps and never a damaged layer;
//! composing an image syncs everything that it consists of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use minke_model::{Descriptor, Digest, ImageId};
use serde::{Deserialize, Serialize};

use crate::{
    CommitError, Image, ImageStore, LayerId, LoadError, StoreError,
    commit::stage_layer,
    content::io_error,
    layers::chain_id,
    load::Plan,
    store::{Change, LayerRecord, PinRecord, Staging, checked_name},
};

/// A layer with everything that an image needs to say of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltLayer {
    /// What names it together with all below.
    pub chain: LayerId,
    /// The digest of its uncompressed tar.
    pub diff_id: Digest,
    /// Its blob.
    pub blob: Descriptor,
}

/// Layers that stay though no image has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Its owner's name for it.
    pub key: Digest,
    /// All layers up to the pinned one, lowest first.
    pub layers: Vec<BuiltLayer>,
    /// Whatever its owner wants to remember.
    pub note: String,
    /// Bytes of the topmost layer's files.
    pub size: u64,
    /// Whether an image or another pin has the topmost layer too.
    pub is_shared: bool,
}

/// Keeps layers from being collected as long as it lives.
pub struct HeldLayers {
    _staging: Staging,
}

impl std::fmt::Debug for HeldLayers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldLayers").finish_non_exhaustive()
    }
}

/// An image to be composed of layers that are there.
#[derive(Debug, Clone)]
pub struct Composition<'a> {
    /// The configuration, byte for byte; its `rootfs` names the layers.
    pub config: &'a [u8],
    /// The layers, lowest first.
    pub layers: &'a [BuiltLayer],
    /// What it is to be called.
    pub names: &'a [String],
    /// The image that it was built on.
    pub parent: Option<ImageId>,
}

impl ImageStore {
    /// Makes `upper`, an overlay's upper directory below the store's own root, a layer on top of others, and pins it. The
    /// directory is moved away.
    ///
    /// # Errors
    /// [`CommitError`]; nothing is in the store then, and what is left of the directory is the caller's to delete.
    pub fn commit_layer(
        &self,
        upper: &Path,
        below: &[BuiltLayer],
        key: Digest,
        note: String,
    ) -> Result<BuiltLayer, CommitError> {
        let mut staging = self.stage()?;
        let root = File::open(upper).map_err(io_error("open", upper))?;
        let (packed, blob) = stage_layer(root.as_fd(), BTreeSet::new(), &mut staging)?;
        let chain = chain_id(below.last().map(|layer| layer.chain), blob.digest);
        let layer = BuiltLayer { chain, diff_id: blob.digest, blob };
        if !staging.hold_layer(chain) {
            if packed.skipped == 0 {
                staging.take_layer(upper, &chain)?;
                staging.add_layer(chain, LayerRecord::new(layer.diff_id, packed.bytes, false));
            } else {
                // Sockets: the layer is to have exactly what its blob has.
                let unpacked = self.unpack_staged(&layer, &staging)?;
                staging.add_layer(chain, LayerRecord::new(layer.diff_id, unpacked, false));
            }
        }
        let layers: Vec<BuiltLayer> = below.iter().cloned().chain([layer.clone()]).collect();
        staging.commit_pin(key, PinRecord::new(layers, note))?;
        Ok(layer)
    }

    /// Pins layers that are there.
    ///
    /// # Errors
    /// [`StoreError::LostLayer`] for one that is not; what the database says.
    pub fn pin(&self, key: Digest, layers: &[BuiltLayer], note: String) -> Result<(), StoreError> {
        let mut staging = self.stage()?;
        for layer in layers {
            if !staging.hold_layer(layer.chain) || !staging.hold_blob(layer.blob.digest) {
                return Err(StoreError::LostLayer { layer: layer.chain });
            }
        }
        staging.commit_pin(key, PinRecord::new(layers.to_vec(), note))
    }

    /// Replaces the notes of pins; unknown ones are left out.
    ///
    /// # Errors
    /// What the database says.
    pub fn annotate_pins(&self, notes: Vec<(Digest, String)>) -> Result<(), StoreError> {
        let _turn = self.write();
        let mut change = Change::default();
        for (key, note) in notes {
            let record = self.index().pin(&key).cloned();
            change.set_pins.extend(record.map(|record| (key, PinRecord { note, ..record })));
        }
        self.apply(change)
    }

    /// All pins.
    pub fn pins(&self) -> Vec<Pin> {
        let index = self.index();
        let pin = |(key, record): (&Digest, &PinRecord)| {
            let top = record.layers.last();
            Pin {
                key: *key,
                layers: record.layers.clone(),
                note: record.note.clone(),
                size: top.and_then(|top| index.layer(&top.chain)).map_or(0, |layer| layer.size),
                is_shared: top.is_some_and(|top| index.layer_users(&top.chain) > 1),
            }
        };
        index.pins().map(pin).collect()
    }

    /// The layers and the note of a pin.
    pub fn pinned(&self, key: &Digest) -> Option<(Vec<BuiltLayer>, String)> {
        let index = self.index();
        let record = index.pin(key)?;
        Some((record.layers.clone(), record.note.clone()))
    }

    /// Removes pins, and the layers that only they had. Gives the bytes of files that went.
    ///
    /// # Errors
    /// What the database says.
    pub fn unpin(&self, keys: &[Digest]) -> Result<u64, StoreError> {
        let turn = self.write();
        let (change, candidates, bytes) = {
            let index = self.index();
            let doomed: BTreeMap<Digest, &PinRecord> =
                keys.iter().filter_map(|key| Some((*key, index.pin(key)?))).collect();
            let mut uses: BTreeMap<Digest, u32> = BTreeMap::new();
            let mut candidates = BTreeSet::new();
            for layer in doomed.values().flat_map(|record| &record.layers) {
                *uses.entry(layer.chain).or_default() += 1;
                candidates.extend([layer.chain, layer.blob.digest]);
            }
            let is_freed = |(chain, count): &(&Digest, &u32)| {
                index.layer_users(chain) == **count && !index.is_leased(chain)
            };
            let freed: Vec<Digest> = uses.iter().filter(is_freed).map(|(chain, _)| *chain).collect();
            let bytes = freed.iter().filter_map(|chain| index.layer(chain)).map(|layer| layer.size).sum();
            let remove_pins = doomed.into_keys().collect();
            (Change { remove_pins, remove_layers: freed, ..Change::default() }, candidates, bytes)
        };
        self.apply(change)?;
        self.collect(&candidates);
        drop(turn);
        self.content().empty_trash();
        Ok(bytes)
    }

    /// Keeps layers until the guard is dropped; `None` when one is not there.
    ///
    /// # Errors
    /// When the store's folders can't be written.
    pub fn hold_layers(&self, layers: &[BuiltLayer]) -> Result<Option<HeldLayers>, StoreError> {
        let mut staging = self.stage()?;
        let all = layers
            .iter()
            .all(|layer| staging.hold_layer(layer.chain) && staging.hold_blob(layer.blob.digest));
        Ok(all.then_some(HeldLayers { _staging: staging }))
    }

    /// The layers of an image.
    ///
    /// # Errors
    /// [`StoreError::MissingLayer`].
    pub fn built_layers(&self, image: &Image) -> Result<Vec<BuiltLayer>, StoreError> {
        let mut staging = self.stage()?;
        let blobs = self.held_blobs(image, &mut staging)?;
        let layers = image.layers.iter().zip(&image.diff_ids).zip(blobs);
        Ok(layers
            .map(|((chain, diff_id), blob)| BuiltLayer { chain: *chain, diff_id: *diff_id, blob })
            .collect())
    }

    /// The folders that overlayfs mounts as lower directories, topmost first.
    ///
    /// # Errors
    /// [`StoreError::LostLayer`].
    pub fn layer_dirs(&self, layers: &[BuiltLayer]) -> Result<Vec<PathBuf>, StoreError> {
        let mut folders = Vec::with_capacity(layers.len());
        for layer in layers.iter().rev() {
            let record = self.index().layer(&layer.chain).cloned();
            let folder = self.content().layer(&layer.chain);
            let Some(record) = record.filter(|_| folder.is_dir()) else {
                return Err(StoreError::LostLayer { layer: layer.chain });
            };
            folders.push(folder);
            if record.opaque {
                break;
            }
        }
        Ok(folders)
    }

    /// Makes an image of layers that are there. Gives its id and its manifest's digest.
    ///
    /// # Errors
    /// [`CommitError`]; for a bad name before anything is done.
    pub fn compose(&self, image: &Composition<'_>) -> Result<(ImageId, Digest), CommitError> {
        let names = image.names.iter().map(|name| checked_name(name)).collect::<Result<Vec<_>, _>>()?;
        let mut staging = self.stage()?;
        for layer in image.layers {
            if !staging.hold_layer(layer.chain) || !staging.hold_blob(layer.blob.digest) {
                return Err(StoreError::LostLayer { layer: layer.chain }.into());
            }
        }
        let (id, _) = staging.write_bytes(image.config)?;
        let blobs = image.layers.iter().map(|layer| layer.blob.clone()).collect();
        let mut plan =
            Plan::without_manifest("the new image", blobs, id, image.config.to_vec(), &mut staging)?;
        plan.names = names;
        plan.parent = image.parent;
        let manifest = plan.manifest.descriptor.digest;
        self.finish(&mut staging, vec![plan], &mut |_| {})?;
        self.believe_pins()?;
        Ok((id, manifest))
    }

    /// After a sync: what was pinned until now survives a power cut.
    pub(crate) fn believe_pins(&self) -> Result<(), StoreError> {
        let _turn = self.write();
        let unsynced = |(key, record): (&Digest, &PinRecord)| {
            record.unsynced.is_some().then(|| (*key, PinRecord { unsynced: None, ..record.clone() }))
        };
        let set_pins: Vec<_> = self.index().pins().filter_map(unsynced).collect();
        if set_pins.is_empty() { Ok(()) } else { self.apply(Change { set_pins, ..Change::default() }) }
    }

    /// Unpacks a layer whose blob was staged. Gives the bytes of its files.
    fn unpack_staged(&self, layer: &BuiltLayer, staging: &Staging) -> Result<u64, LoadError> {
        let blob = staging.blob(&layer.blob.digest);
        let source = File::open(&blob).map_err(io_error("open", &blob))?;
        let task = crate::layers::LayerTask {
            chain: layer.chain,
            diff_id: layer.diff_id,
            blob,
            size: layer.blob.size,
        };
        let limits = self.options().layer_limits;
        Ok(crate::layers::unpack_blob(&task, source, staging.folders(), limits)?.bytes)
    }
}

/// What names this boot; empty where the kernel doesn't say.
pub(crate) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
