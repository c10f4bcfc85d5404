//! One engine per root: an exclusive lock that the kernel releases when the engine ends, however it ends.

use std::{fs::File, path::Path};

use rustix::fs::{FlockOperation, flock};

use crate::OpenError;

/// Takes the lock.
///
/// # Errors
/// [`OpenError::InUse`] while another engine has it.
pub(super) fn take(root: &Path) -> Result<File, OpenError> {
    let path = root.join("engine.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| OpenError::Io { action: "open", path: path.clone(), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { root: root.to_owned() }),
        Err(errno) => Err(OpenError::Io { action: "lock", path, source: errno.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_for_one_engine() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path()).unwrap();
        assert!(matches!(take(dir.path()), Err(OpenError::InUse { .. })));
        drop(first);
        assert!(take(dir.path()).is_ok());
    }
}
