//! Removes cgroup directories: all of them, with what is below, patiently but not for ever.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    CgroupError,
    dir::{self, Dir},
};

/// How long ending processes may keep a cgroup busy. A killed process with much memory takes this
/// long to end; on a loaded host the usual is some milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
const FIRST_DELAY: Duration = Duration::from_micros(200);
const LONGEST_DELAY: Duration = Duration::from_millis(50);

pub(super) fn remove_all(paths: Vec<&Path>) -> Result<(), CgroupError> {
    let deadline = Instant::now() + PATIENCE;
    let mut delay = FIRST_DELAY;
    let mut pending = paths;
    let mut failures = Vec::new();
    loop {
        let mut busy = Vec::new();
        for path in pending {
            match remove_tree(path) {
                Ok(()) => {}
                Err(Errno::BUSY | Errno::NOTEMPTY) => busy.push(path),
                Err(errno) => failures.push((path.to_owned(), errno.into())),
            }
        }
        if busy.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            failures.extend(busy.into_iter().map(|path| (path.to_owned(), io::Error::from(Errno::BUSY))));
            break;
        }
        thread::sleep(delay);
        delay = (delay * 2).min(LONGEST_DELAY);
        pending = busy;
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CgroupError::Remove { failures }),
    }
}

/// Removes one directory; only if that fails are there children to look for.
pub(super) fn remove_tree(path: &Path) -> Result<(), Errno> {
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(errno) => return Err(errno),
    }
    let mut tree = vec![path.to_owned()];
    let mut at = 0;
    while at < tree.len() {
        let children = child_paths(&tree[at])?;
        tree.extend(children);
        at += 1;
    }
    for path in tree.iter().rev() {
        match rustix::fs::rmdir(path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn child_paths(path: &Path) -> Result<Vec<PathBuf>, Errno> {
    let names = Dir::open(path.to_owned()).and_then(|dir| dir::children(dir.fd()));
    match names {
        Ok(names) => Ok(names.iter().map(|name| path.join(OsStr::from_bytes(name))).collect()),
        Err(error) if dir::is_gone(&error) => Ok(Vec::new()),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_go_and_what_is_gone_already_is_no_failure() {
        let top = std::env::temp_dir().join(format!("minke-cgroup-remove-{}", std::process::id()));
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::create_dir_all(top.join("c")).unwrap();
        let missing = top.join("missing");
        remove_all(vec![&top, &missing]).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn every_failure_is_named() {
        let error = remove_all(vec![Path::new("/dev/null"), Path::new("/proc/self/status")]).unwrap_err();
        assert!(matches!(error, CgroupError::Remove { failures } if failures.len() == 2));
    }
}
