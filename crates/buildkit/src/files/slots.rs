//! Folders that keep what clients sent, so that the next build of the same files is sent only what changed.
//!
//! ```text
//!  contexts/<digest of who and what>-<n>/fs     used by one build at a time; a second at once gets the next n
//! ```
//!
//! The ones used last stay ([`KEPT`]); all of them may be removed at any time when nobody uses them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// How many folders stay.
const KEPT: usize = 32;

/// The folders of an engine.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    root: PathBuf,
    used: Arc<Mutex<HashSet<PathBuf>>>,
}

/// A folder that is in use.
#[derive(Debug)]
pub(crate) struct Slot {
    path: PathBuf,
    used: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Slots {
    /// Below `root`, which need not exist.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, used: Arc::default() }
    }

    /// A folder for what `key` names, with what it had the last time.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn take(&self, key: &[&str]) -> io::Result<Slot> {
        let name = digest(key);
        let slot = {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let mut number = 0;
            loop {
                let path = self.root.join(format!("{name}-{number}"));
                if used.insert(path.clone()) {
                    break Slot { path, used: self.used.clone() };
                }
                number += 1;
            }
        };
        std::fs::create_dir_all(slot.folder())?;
        std::fs::File::open(&slot.path)?.set_modified(SystemTime::now())?;
        self.forget_old();
        Ok(slot)
    }

    /// The same, with nothing in it.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn take_empty(&self, key: &[&str]) -> io::Result<Slot> {
        let slot = self.take(key)?;
        std::fs::remove_dir_all(slot.folder())?;
        std::fs::create_dir(slot.folder())?;
        Ok(slot)
    }

    /// All of them, with their sizes.
    pub(crate) fn usage(&self) -> Vec<(String, u64)> {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return Vec::new() };
        let entries = entries.flatten().map(|entry| entry.path());
        entries.map(|path| (name_of(&path), size_of(&path))).collect()
    }

    /// Removes those that nobody uses and whose names are meant; returns what that was, with their sizes.
    pub(crate) fn clear(&self, is_meant: impl Fn(&str) -> bool) -> Vec<(String, u64)> {
        let unused = self.unused().into_iter().map(|(_, path)| (name_of(&path), path));
        let removed =
            unused.filter(|(name, _)| is_meant(name)).map(|(name, path)| (name, self.remove(&path)));
        removed.collect()
    }

    fn forget_old(&self) {
        let mut unused = self.unused();
        unused.sort_unstable_by(|a, b| b.cmp(a));
        for (_, path) in unused.into_iter().skip(KEPT) {
            self.remove(&path);
        }
    }

    fn unused(&self) -> Vec<(SystemTime, PathBuf)> {
        let Ok(entries) = std::fs::read_dir(&self.root) else { return Vec::new() };
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = entries.flatten().filter(|entry| !used.contains(&entry.path()));
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect()
    }

    fn remove(&self, path: &Path) -> u64 {
        // Nobody may take it meanwhile.
        if !self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned()) {
            return 0;
        }
        let _slot = Slot { path: path.to_owned(), used: self.used.clone() };
        let size = size_of(path);
        match std::fs::remove_dir_all(path) {
            Ok(()) => size,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "removing the files of a build's context");
                0
            }
        }
    }
}

impl Slot {
    /// Where the files are.
    pub(crate) fn folder(&self) -> PathBuf {
        self.path.join("fs")
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

fn digest(key: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in key {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The bytes of all files below a folder.
fn size_of(path: &Path) -> u64 {
    let (mut sum, mut directories) = (0, vec![path.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => directories.push(entry.path()),
                Ok(metadata) => sum += metadata.len(),
                Err(_) => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gets_its_files_back_and_another_folder_while_they_are_used() {
        let root = tempfile::tempdir().unwrap();
        let slots = Slots::new(root.path().join("contexts"));
        let first = slots.take(&["a", "b"]).unwrap();
        std::fs::write(first.folder().join("x"), "1234").unwrap();
        let second = slots.take(&["a", "b"]).unwrap();
        assert_ne!(first.folder(), second.folder());
        drop(first);
        assert!(slots.take(&["a", "b"]).unwrap().folder().join("x").exists());
        assert_ne!(slots.take(&["ab", ""]).unwrap().folder(), second.folder());
        assert_eq!(slots.usage().len(), 3);
        assert_eq!(slots.clear(|_| true).iter().map(|(_, size)| size).sum::<u64>(), 4);
        assert!(second.folder().exists());
    }

    #[test]
    fn only_the_last_ones_stay() {
        let root = tempfile::tempdir().unwrap();
        let slots = Slots::new(root.path().to_owned());
        for number in 0..40 {
            slots.take(&[&number.to_string()]).unwrap();
        }
        assert!(std::fs::read_dir(root.path()).unwrap().count() <= KEPT + 1);
    }
}
