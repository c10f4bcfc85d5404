//! A file that is written beside, and appears at its place when it is whole.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use minke_model::Digest;
use sha2::{Digest as _, Sha256};

/// Numbers that this process has not used.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file in the making; dropped before its end, it is gone.
pub(crate) struct Unfinished {
    path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
}

impl Unfinished {
    /// A new one in a folder that is on the same disk as its place.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", std::process::id()));
            match File::options().write(true).create_new(true).open(&path) {
                // A process of this number was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return Ok(Self { path, file: opened?, hash: Sha256::new(), length: 0 }),
            }
        }
    }

    /// How long it is.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Of what was written so far.
    pub(super) fn digest(&self) -> Digest {
        Digest::from_bytes(self.hash.clone().finalize().into())
    }

    /// More of it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.hash, self.length) = (Sha256::new(), 0);
        Ok(())
    }

    /// Puts it to its place, on the disk and not only on its way there.
    pub(super) fn finish(self, place: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, place)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Where it was finished, it has another name by now.
        let _ = fs::remove_file(&self.path);
    }
}
