//! One engine per root: an exclusive lock that the kernel releases when the engine ends, however it ends.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::OpenError;

/// How long the lock of an engine that was killed may outlive it: a process that it was just starting has all descriptors until
/// it executes its program.
const INHERITED: Duration = Duration::from_secs(1);

/// Takes the lock.
///
/// # Errors
/// [`OpenError::InUse`] while another engine has it.
pub(super) fn take(root: &Path) -> Result<File, OpenError> {
    let path = root.join("engine.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| OpenError::Io { action: "open", path: path.clone(), source })?;
    let deadline = Instant::now() + INHERITED;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(INHERITED / 100);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse { root: root.to_owned() }),
            Err(errno) => return Err(OpenError::Io { action: "lock", path, source: errno.into() }),
        }
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
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(INHERITED / 20);
            drop(first);
        });
        assert!(take(dir.path()).is_ok(), "one that goes is waited for");
        leaving.join().unwrap();
    }
}
