//! Archives: whatever they become, nothing outside the folder changes, it takes no more than it may, and a refused one
//! leaves nothing in the store.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use minke_image::{
    ImageStore, LayerState, LoadError, Loaded, PulledLayer, StoreOptions,
    archive::{AbsoluteNames, Limits, Parents, UnpackError, UnpackOptions, Unpacked, Whiteouts},
};
use minke_model::{Descriptor, Digest};
use minke_testkit::fuzz::{REFUSED, Run, TAKEN, Verdict, chain, folder, holds, shown, unpacked};

use super::quantity;
use crate::{
    hostile::Trap,
    support::{digest, on_disk, open, unpack_into},
};

/// More than anything in the corpus asks for, and soon reached by what lies about its size.
const LIMITS: Limits =
    Limits { bytes: 8 << 20, entries: 1_000, path_length: 4095, path_depth: 512, header: 1 << 20 };

/// A layer's blob: by way of the store as it is, and its tar by all the ways that tars are unpacked.
pub(super) fn layer() -> Run {
    let (trap, shelf) = (Trap::within(folder()), Shelf::new());
    Box::new(move |blob| {
        let tar = unpacked(blob);
        let stored = shelf.receive(blob, tar.as_deref())?;
        let Some(tar) = tar else { return refusal(&stored) };
        let [as_layer, copied_in, copied_out] = ways();
        let direct = unpack(&trap, &tar, &as_layer)?;
        let same = direct.is_ok() == stored.is_ok();
        holds("the store takes what the unpacker does", (&direct, &stored), same)?;
        let others = [unpack(&trap, &tar, &copied_in)?, unpack(&trap, &tar, &copied_out)?];
        let [inside, outside] = others.map(|result| result.unwrap_or_else(|error| error));
        match direct {
            Ok(made) => Ok(format!("{TAKEN}: {made}; {inside}; {outside}")),
            Err(error) => Ok(format!("{REFUSED}{error}")),
        }
    })
}

/// An image archive, loaded into a store.
pub(super) fn archive() -> Run {
    let shelf = Shelf::new();
    Box::new(move |bytes| match shelf.load(bytes)? {
        Ok(loaded) => {
            let names = loaded.iter().map(|image| image.names.len()).sum();
            Ok(format!("{TAKEN}: {} images, {} names", quantity(loaded.len()), quantity(names)))
        }
        refused => refusal(&refused),
    })
}

fn refusal<T>(result: &Result<T, String>) -> Verdict {
    match result {
        Ok(_) => Err("what is no tar was taken".to_owned()),
        Err(error) => Ok(format!("{REFUSED}{error}")),
    }
}

/// As a layer; as `docker cp` does into a container; as it does out of one.
fn ways() -> [UnpackOptions; 3] {
    let usual = UnpackOptions {
        limits: LIMITS,
        absolute_names: AbsoluteNames::UnderRoot,
        ..UnpackOptions::default()
    };
    [
        UnpackOptions { whiteouts: Whiteouts::Overlay, ..usual.clone() },
        UnpackOptions { parents: Parents::InRoot, ..usual.clone() },
        UnpackOptions { owner: Some((0, 0)), no_overwrite_dir_non_dir: true, ..usual },
    ]
}

/// Says what was made, or why not; the outer error is a broken promise.
fn unpack(trap: &Trap, tar: &[u8], options: &UnpackOptions) -> Result<Verdict, String> {
    let result = unpack_into(&trap.root(), tar, options);
    trap.check();
    let found = Found::below(&trap.root());
    trap.empty();
    holds("the folder is no larger than it may be", found.bytes, found.bytes <= LIMITS.bytes)?;
    match result {
        Ok(unpacked) => {
            within(&unpacked, &found)?;
            let Unpacked { opaque_root, dropped_xattrs, .. } = unpacked;
            let dropped = quantity(usize::try_from(dropped_xattrs).unwrap_or(usize::MAX));
            Ok(Ok(format!("{:?}, opaque {opaque_root}, {dropped} dropped", found.kinds)))
        }
        Err(error) => {
            let is_ours = matches!(error, UnpackError::Root { .. });
            holds("the folder is not at fault", &error, !is_ours)?;
            Ok(Err(shown(&error)?))
        }
    }
}

fn within(unpacked: &Unpacked, found: &Found) -> Result<(), String> {
    holds("entries are counted", unpacked, unpacked.entries <= LIMITS.entries)?;
    holds("bytes are counted", unpacked, unpacked.bytes <= LIMITS.bytes)?;
    holds("what is there was counted", (unpacked, found), found.bytes <= unpacked.bytes)
}

/// What lies in a folder.
#[derive(Debug, Default)]
struct Found {
    /// Bytes of files, each once.
    bytes: u64,
    kinds: BTreeSet<&'static str>,
    seen: BTreeSet<u64>,
}

impl Found {
    fn below(folder: &Path) -> Self {
        let mut found = Self::default();
        found.walk(folder);
        found
    }

    fn walk(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            self.kinds.insert(kind(metadata.file_type()));
            if metadata.is_file() && self.seen.insert(metadata.ino()) {
                self.bytes += metadata.len();
            }
            if metadata.is_dir() {
                self.walk(&path);
            }
        }
    }
}

fn kind(kind: fs::FileType) -> &'static str {
    match kind {
        _ if kind.is_file() => "file",
        _ if kind.is_dir() => "directory",
        _ if kind.is_symlink() => "link",
        _ => "device",
    }
}

/// An empty store whose neighbours are watched.
struct Shelf {
    trap: Trap,
    store: ImageStore,
}

impl Shelf {
    fn new() -> Self {
        let trap = Trap::within(folder());
        let store = open(&trap.root(), StoreOptions { layer_limits: LIMITS });
        Self { trap, store }
    }

    /// Takes in a layer whose descriptor is right.
    fn receive(&self, blob: &[u8], tar: Option<&[u8]>) -> Result<Result<(), String>, String> {
        let read = |bytes: &[u8]| digest(bytes).parse::<Digest>().unwrap();
        let diff_id = read(tar.unwrap_or_default());
        let layer = PulledLayer {
            chain: diff_id,
            diff_id,
            blob: Descriptor::new("application/vnd.oci.image.layer.v1.tar", read(blob), blob.len() as u64),
            state: LayerState::Absent,
        };
        let result = self.store.receive_layer(&layer, blob, &|_| {}).map(drop);
        self.expect_nothing()?;
        told(result)
    }

    /// Loads an archive; what was loaded is whole, can be saved and loaded again, and is removed.
    fn load(&self, bytes: &[u8]) -> Result<Result<Vec<Loaded>, String>, String> {
        let result = self.store.load(bytes, &mut |_| {});
        if let Ok(loaded) = &result {
            loaded.iter().try_for_each(|image| self.expect_whole(image))?;
            let ids: Vec<String> = loaded.iter().map(|image| image.id.to_string()).collect();
            let mut saved = Vec::new();
            self.store
                .save(&ids)
                .and_then(|saving| saving.write(&mut saved))
                .map_err(|error| format!("it can be saved: {}", chain(&error)))?;
            self.remove_all()?;
            let again = self.store.load(&saved[..], &mut |_| {});
            let again = again.map_err(|error| format!("what was saved can be loaded: {}", chain(&error)))?;
            let found: Vec<String> = again.iter().map(|image| image.id.to_string()).collect();
            holds("what was saved is the same", (&ids, &found), ids == found)?;
        }
        self.remove_all()?;
        self.expect_nothing()?;
        told(result)
    }

    fn remove_all(&self) -> Result<(), String> {
        for image in self.store.list().map_err(|error| error.to_string())? {
            self.store.remove(&image.id.to_string(), true, &|_| None).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn expect_whole(&self, loaded: &Loaded) -> Result<(), String> {
        let id = loaded.id.to_string();
        let image = self.store.find(&id).map_err(|error| format!("what was loaded is there: {error}"))?;
        for name in &loaded.names {
            let found = self.store.find(name).map(|image| image.id);
            holds("its names lead to it", (name, &found), matches!(found, Ok(id) if id == image.id))?;
        }
        let layers = self.store.lower_dirs(&image).map_err(|error| error.to_string())?;
        holds("its layers are there", &layers, layers.iter().all(|layer| layer.is_dir()))?;
        let history = self.store.history(&id).map_err(|error| error.to_string())?;
        holds("it has its history", history.len(), history.len() == image.config.history.len())
    }

    /// Nothing is left, staged or not, and nothing outside the store has changed.
    fn expect_nothing(&self) -> Result<(), String> {
        self.trap.check();
        let root = self.trap.root();
        let left = on_disk(&root);
        holds("nothing is left", &left, left.0.is_empty() && left.1.is_empty())?;
        for folder in ["content/ingest", "layers/.staging", "layers/.trash"] {
            let count = fs::read_dir(root.join(folder)).unwrap().count();
            holds("nothing stays half-made", (folder, count), count == 0)?;
        }
        Ok(())
    }
}

/// The archive is at fault, never the store; the outer error is a broken promise.
fn told<T>(result: Result<T, LoadError>) -> Result<Result<T, String>, String> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => {
            let text = shown(&error)?;
            holds("the archive is at fault", &text, error.is_callers_fault())?;
            Ok(Err(text))
        }
    }
}
