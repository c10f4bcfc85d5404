//! Where blobs and layers lie on disk, and how they get there: staged, synced, renamed.
//!
//! ```text
//!  content/blobs/sha256/<hex>      a blob            content/ingest/<n>/<hex>     the same, staged
//!  layers/<chain id hex>/fs        a layer's files   layers/.staging/<n>/<hex>/fs the same, staged
//!  layers/.empty           what has no layers        layers/.trash/<n>            on its way out
//! ```
//! Nothing here decides what is needed; the index does. Names that are not in it are never trusted.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use minke_kernel::tree;
use minke_model::Digest;

use crate::{StoreError, hashing::HashWriter};

/// The folders of one store.
pub(crate) struct Content {
    blobs: PathBuf,
    ingest: PathBuf,
    layers: PathBuf,
    staging: PathBuf,
    trash: PathBuf,
    empty: PathBuf,
    next: AtomicU64,
}

/// Names an action and a path in an I/O error.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

impl Content {
    /// Makes the folders that are missing. Only root may look in: layers hold setuid files of strangers.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let content = Self {
            blobs: root.join("content/blobs/sha256"),
            ingest: root.join("content/ingest"),
            layers: root.join("layers"),
            staging: root.join("layers/.staging"),
            trash: root.join("layers/.trash"),
            empty: root.join("layers/.empty"),
            next: AtomicU64::new(0),
        };
        for folder in [&content.blobs, &content.ingest, &content.staging, &content.trash] {
            make_folder(folder)?;
        }
        // It is the root that a container sees.
        let empty = DirBuilder::new().recursive(true).mode(0o755).create(&content.empty);
        empty.map_err(io_error("make", &content.empty))?;
        Ok(content)
    }

    /// A folder without anything: overlayfs mounts no fewer than one.
    pub(crate) fn empty(&self) -> &Path {
        &self.empty
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// The folder that overlayfs mounts.
    pub(crate) fn layer(&self, chain: &Digest) -> PathBuf {
        self.layers.join(chain.hex()).join("fs")
    }

    /// Fresh folders for one operation's blobs and layers.
    pub(crate) fn stage(&self) -> Result<StagedFolders, StoreError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let folders = StagedFolders { blobs: self.ingest.join(&number), layers: self.staging.join(&number) };
        make_folder(&folders.blobs)?;
        make_folder(&folders.layers)?;
        Ok(folders)
    }

    /// Writes everything to disk that was staged, in one go instead of file by file: a layer has tens of thousands.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let mut devices = Vec::new();
        for folder in [&self.blobs, &self.layers] {
            let handle = File::open(folder).map_err(io_error("open", folder))?;
            let device =
                rustix::fs::fstat(&handle).map_err(|e| io_error("look at", folder)(e.into()))?.st_dev;
            if !devices.contains(&device) {
                rustix::fs::syncfs(&handle).map_err(|e| io_error("sync", folder)(e.into()))?;
                devices.push(device);
            }
        }
        Ok(())
    }

    /// Writes the renames to disk.
    pub(crate) fn sync_names(&self) -> Result<(), StoreError> {
        for folder in [&self.blobs, &self.layers] {
            File::open(folder).and_then(|handle| handle.sync_all()).map_err(io_error("sync", folder))?;
        }
        Ok(())
    }

    pub(crate) fn publish_blob(&self, staged: &StagedFolders, digest: &Digest) -> Result<(), StoreError> {
        let from = staged.blob(digest);
        fs::rename(&from, self.blob(digest)).map_err(io_error("rename", &from))
    }

    pub(crate) fn publish_layer(&self, staged: &StagedFolders, chain: &Digest) -> Result<(), StoreError> {
        let from = staged.layers.join(chain.hex());
        let to = self.layers.join(chain.hex());
        if to.exists() {
            self.discard(&to)?;
        }
        fs::rename(&from, &to).map_err(io_error("rename", &from))
    }

    /// Removes a blob; one that is not there is no error.
    pub(crate) fn remove_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Takes a layer out of sight at once; [`Content::empty_trash`] does the slow part.
    pub(crate) fn remove_layer(&self, chain: &Digest) -> Result<(), StoreError> {
        self.discard(&self.layers.join(chain.hex()))
    }

    fn discard(&self, path: &Path) -> Result<(), StoreError> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let to = self.trash.join(number.to_string());
            // The trash of a store that was killed may have the same numbers.
            if to.exists() {
                continue;
            }
            return match fs::rename(path, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(io_error("discard", path)(error))
                }
                _ => Ok(()),
            };
        }
    }

    /// Deletes what was discarded. A failure is logged: the next start tries again.
    pub(crate) fn empty_trash(&self) {
        for path in entries(&self.trash).unwrap_or_default() {
            remove_tree(&path);
        }
    }

    /// Discards what a crash left staged, and every blob and layer that is not needed. Returns whether there is
    /// trash to empty.
    pub(crate) fn sweep(
        &self,
        needs_blob: impl Fn(&Digest) -> bool,
        needs_layer: impl Fn(&Digest) -> bool,
    ) -> Result<bool, StoreError> {
        for path in entries(&self.ingest)?.into_iter().chain(entries(&self.staging)?) {
            self.discard(&path)?;
        }
        for path in entries(&self.blobs)?.iter().filter(|path| !named(path, &needs_blob)) {
            self.discard(path)?;
        }
        for path in entries(&self.layers)?.iter().filter(|path| !named(path, &needs_layer)) {
            self.discard(path)?;
        }
        Ok(!entries(&self.trash)?.is_empty())
    }
}

/// Whether the file's name is a digest that is needed, or a folder of the store's own.
fn named(path: &Path, needed: impl Fn(&Digest) -> bool) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.') || Digest::from_hex(name).is_ok_and(|digest| needed(&digest))
}

/// The staged blobs and layers of one operation; removed when it is dropped.
pub(crate) struct StagedFolders {
    blobs: PathBuf,
    layers: PathBuf,
}

impl StagedFolders {
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Where a blob is written whose digest is not known yet.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.blobs.join("incoming")
    }

    /// Stages a blob from a stream. Returns its digest and its size.
    pub(crate) fn write_blob(&self, mut source: impl Read) -> Result<(Digest, u64), WriteError> {
        let temporary = self.incoming();
        let file =
            File::create(&temporary).map_err(|e| WriteError::Store(io_error("make", &temporary)(e)))?;
        let mut writer = HashWriter::new(file);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(WriteError::Read(error)),
            };
            writer
                .write_all(&buffer[..length])
                .map_err(|e| WriteError::Store(io_error("write", &temporary)(e)))?;
        }
        let (_, digest, length) = writer.finish();
        fs::rename(&temporary, self.blob(&digest))
            .map_err(|e| WriteError::Store(io_error("rename", &temporary)(e)))?;
        Ok((digest, length))
    }

    /// An empty folder to unpack a layer into.
    pub(crate) fn new_layer(&self, chain: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.layers.join(chain.hex()).join("fs");
        DirBuilder::new().recursive(true).mode(0o755).create(&path).map_err(io_error("make", &path))?;
        Ok(path)
    }
}

impl Drop for StagedFolders {
    fn drop(&mut self) {
        remove_tree(&self.blobs);
        remove_tree(&self.layers);
    }
}

/// Why a blob was not staged: the source's fault or the store's.
pub(crate) enum WriteError {
    Read(io::Error),
    Store(StoreError),
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error("make", path))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = fs::read_dir(folder).and_then(|list| list.map(|entry| Ok(entry?.path())).collect());
    list.map_err(io_error("list", folder))
}

fn remove_tree(path: &Path) {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => tree::remove_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove; the next start tries again");
    }
}
