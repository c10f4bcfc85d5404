//! Blobs and manifests as files, named by their digests.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use super::{OpenBlob, StoreError, error::io_error};
use crate::{Algorithm, Digest};

/// The folders of blobs.
pub(super) struct Content {
    blobs: PathBuf,
    incoming: PathBuf,
    next: AtomicU64,
    /// Somebody else's folder of blobs.
    twin: Option<PathBuf>,
}

impl Content {
    /// Makes the folders that are missing and drops what a crash left half-written.
    pub(super) fn open(root: &Path, twin: Option<PathBuf>) -> Result<Self, StoreError> {
        let content = Self {
            blobs: root.join("content/blobs"),
            incoming: root.join("content/incoming"),
            next: AtomicU64::new(0),
            twin,
        };
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            make_folder(&content.blobs.join(algorithm.name()))?;
        }
        make_folder(&content.incoming)?;
        for path in entries(&content.incoming)? {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        for folder in [&content.blobs, &root.join("content"), &root.to_path_buf()] {
            sync_folder(folder)?;
        }
        Ok(content)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.algorithm().name()).join(digest.hex())
    }

    /// A blob's file, or `None`.
    pub(super) fn read(&self, digest: &Digest) -> Result<Option<OpenBlob>, StoreError> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io_error("open", &path))?,
        };
        let size = file.metadata().map_err(io_error("look at", &path))?.len();
        Ok(Some(OpenBlob { file, size }))
    }

    /// All of a small one.
    pub(super) fn read_whole(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut blob) = self.read(digest)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(blob.size).unwrap_or(0));
        blob.file.read_to_end(&mut bytes).map_err(io_error("read", &self.path(digest)))?;
        Ok(Some(bytes))
    }

    /// Renames a checked and synced file to its digest. One that is there already is left alone: it has the
    /// same content.
    pub(super) fn publish(&self, from: &Path, digest: &Digest) -> Result<(), StoreError> {
        let to = self.path(digest);
        if !to.exists() && !self.link_twin(from, &to, digest) {
            fs::rename(from, &to).map_err(io_error("rename", from))?;
        }
        // Also for a file that was there: its folder may not have been synced yet by whoever made it.
        sync_folder(&self.blobs.join(digest.algorithm().name()))
    }

    /// Links the same blob of the other folder, which its owner checked before it had that name and never writes to again;
    /// one of another length is none. Returns whether it is linked: what stands in the way costs room and is no error.
    fn link_twin(&self, from: &Path, to: &Path, digest: &Digest) -> bool {
        self.twin_of(from, digest).is_some_and(|twin| fs::hard_link(&twin, to).is_ok())
    }

    /// The file in the other folder that has the content of `own` and is not the same file.
    fn twin_of(&self, own: &Path, digest: &Digest) -> Option<PathBuf> {
        let twin = self.twin.as_ref()?.join(digest.algorithm().name()).join(digest.hex());
        let file = |path: &Path| fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
        let (own, other) = (file(own)?, file(&twin)?);
        let is_same = (own.dev(), own.ino()) == (other.dev(), other.ino());
        (own.len() == other.len() && !is_same).then_some(twin)
    }

    /// When the other folder last gained or lost a blob; `None` where there is none.
    pub(super) fn twin_changed(&self) -> Option<SystemTime> {
        let folder = self.twin.as_ref()?.join(Algorithm::Sha256.name());
        fs::metadata(folder).ok()?.modified().ok()
    }

    /// Puts a link to the other folder's file in the place of a blob that both have. Returns the bytes saved; what stands in
    /// the way costs room and is no error.
    pub(super) fn share(&self, digest: &Digest) -> u64 {
        let (own, temporary) = (self.path(digest), self.incoming());
        let Some(twin) = self.twin_of(&own, digest) else { return 0 };
        let size = fs::metadata(&own).map_or(0, |metadata| metadata.len());
        let shared = fs::hard_link(twin, &temporary).and_then(|()| fs::rename(&temporary, &own));
        match shared {
            Ok(()) => size,
            Err(_) => {
                let _ = fs::remove_file(&temporary);
                0
            }
        }
    }

    /// A name that nobody else uses for a file on its way in.
    fn incoming(&self) -> PathBuf {
        self.incoming.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Writes a small blob whose digest was checked.
    pub(super) fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.incoming();
        let write = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        let result = write().map_err(io_error("write", &path)).and_then(|()| self.publish(&path, digest));
        // Gone already when it was renamed.
        let _ = fs::remove_file(&path);
        result
    }

    /// Removes a blob. Returns its size; 0 when it was gone.
    pub(super) fn remove(&self, digest: &Digest) -> Result<u64, StoreError> {
        let path = self.path(digest);
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            _ => Ok(size),
        }
    }

    /// Every blob that there is, named or not.
    pub(super) fn all(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for path in entries(&self.blobs.join(algorithm.name()))? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                // Files of other names are none of ours.
                digests.extend(format!("{}:{name}", algorithm.name()).parse::<Digest>().ok());
            }
        }
        Ok(digests)
    }
}

/// Makes a folder that only its owner may look into.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error("make", path))
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = fs::read_dir(folder).and_then(|list| list.map(|entry| Ok(entry?.path())).collect());
    list.map_err(io_error("list", folder))
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(io_error("sync", folder))
}
