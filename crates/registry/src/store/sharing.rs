//! Having a blob on the disk once that an engine's store has too.
//!
//! An upload is linked when it arrives, where the engine has its content already. What the engine gets later (it pulls from
//! here) is found by a look at what both have: [`Store::share`], now and then.

use std::{sync::PoisonError, time::SystemTime};

use super::{Store, StoreError};

impl Store {
    /// Links what the engine has as well, if its folder has changed since `seen`, which is brought up to date. Returns how
    /// many bytes were saved.
    ///
    /// # Errors
    /// [`StoreError`] when the own folder can't be listed.
    pub(crate) fn share(&self, seen: &mut Option<SystemTime>) -> Result<u64, StoreError> {
        let changed = self.content.twin_changed();
        if changed == *seen {
            return Ok(0);
        }
        let mut saved = 0;
        for digest in self.content.all()? {
            // Not while one is published or removed.
            let _publishing = self.publishing.write().unwrap_or_else(PoisonError::into_inner);
            saved += self.content.share(&digest);
        }
        *seen = changed;
        Ok(saved)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt, path::Path};

    use super::*;
    use crate::Digest;

    const HEX: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn store(root: &Path) -> Store {
        fs::create_dir_all(root.join("engine/sha256")).unwrap();
        let own = root.join("registry");
        fs::create_dir(&own).unwrap();
        Store::open(&own, Some(root.join("engine")), 1, 0).unwrap()
    }

    #[test]
    fn what_the_engine_gets_later_is_on_the_disk_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        store.content.write(&digest, b"hello").unwrap();
        let (own, engines) = (
            dir.path().join("registry/content/blobs/sha256").join(HEX),
            dir.path().join("engine/sha256").join(HEX),
        );
        let mut seen = None;
        assert_eq!(store.share(&mut seen).unwrap(), 0);
        fs::write(&engines, "hello").unwrap();
        assert_eq!(store.share(&mut seen).unwrap(), 5);
        assert_eq!(fs::metadata(&own).unwrap().ino(), fs::metadata(&engines).unwrap().ino());
        // Nothing new: not even a look.
        assert_eq!(store.share(&mut seen).unwrap(), 0);
        fs::remove_file(&engines).unwrap();
        assert_eq!(fs::read(&own).unwrap(), b"hello", "each removes its own name only");
    }

    #[test]
    fn a_file_of_another_length_is_another_blob() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        store.content.write(&digest, b"hello").unwrap();
        fs::write(dir.path().join("engine/sha256").join(HEX), "hell").unwrap();
        assert_eq!(store.share(&mut None).unwrap(), 0);
    }
}
