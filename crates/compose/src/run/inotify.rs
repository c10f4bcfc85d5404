//! Changes below folders, told by the kernel (inotify(7)). Folders that appear later are watched too.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// What of a folder's entries is told: their content, names and modes.
const WANTED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ATTRIB);

/// Watched folders.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Read from as a pipe is; it is the kernel that writes.
    events: Receiver,
    folders: HashMap<i32, PathBuf>,
}

impl Watcher {
    pub(super) fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { events: Receiver::from_owned_fd_unchecked(fd)?, folders: HashMap::new() })
    }

    /// Watches a file's folder, or a folder with all below it that `skip` doesn't name.
    pub(super) fn watch(&mut self, path: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<()> {
        if !fs::metadata(path)?.is_dir() {
            // An editor puts a new file in the old one's place: the folder tells, the file itself would not.
            let folder = path.parent().unwrap_or(Path::new("/"));
            return self.add(folder);
        }
        self.tree(path, skip)
    }

    fn add(&mut self, folder: &Path) -> io::Result<()> {
        let watch = inotify::add_watch(&self.events, folder, WANTED | WatchFlags::ONLYDIR)?;
        self.folders.insert(watch, folder.to_owned());
        Ok(())
    }

    fn tree(&mut self, folder: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<()> {
        self.add(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && !skip(&entry.path()) {
                self.tree(&entry.path(), skip)?;
            }
        }
        Ok(())
    }

    /// The paths that have changed since the last question; waits for the first.
    pub(super) async fn changed(&mut self, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = self.events.read(&mut buffer).await?;
            let mut paths = Vec::new();
            for (watch, name) in parse(&buffer[..count]) {
                let Some(folder) = self.folders.get(&watch) else { continue };
                let path = folder.join(OsStr::from_bytes(&name));
                if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) && !skip(&path) {
                    self.appeared(&path, skip, &mut paths);
                }
                paths.push(path);
            }
            if !paths.is_empty() {
                return Ok(paths);
            }
        }
    }

    /// A folder that appeared is watched from now on; what is in it already came before the watch did.
    fn appeared(&mut self, folder: &Path, skip: &dyn Fn(&Path) -> bool, paths: &mut Vec<PathBuf>) {
        // It may be gone again.
        if self.tree(folder, skip).is_err() {
            return;
        }
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !skip(&path) {
                    folders.push(path.clone());
                }
                paths.push(path);
            }
        }
    }
}

/// The events in what the kernel wrote: each a head of four numbers, and a name that is filled up with zeroes.
fn parse(mut bytes: &[u8]) -> Vec<(i32, Vec<u8>)> {
    let mut events = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let number = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = (number(12) as usize).min(rest.len());
        let (name, after) = rest.split_at(length);
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(length);
        if number(4) & ReadFlags::IGNORED.bits() == 0 {
            events.push((number(0).cast_signed(), name[..end].to_vec()));
        }
        bytes = after;
    }
    events
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn changes_are_told_also_in_folders_that_appear() {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = Watcher::new().unwrap();
        watcher.watch(folder.path(), &|path| path.ends_with("skipped")).unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        assert!(watcher.changed(&|_| false).await.unwrap().contains(&folder.path().join("a")));
        fs::create_dir(folder.path().join("new")).unwrap();
        let mut told = watcher.changed(&|_| false).await.unwrap();
        fs::write(folder.path().join("new/b"), "1").unwrap();
        while !told.contains(&folder.path().join("new/b")) {
            told.extend(watcher.changed(&|_| false).await.unwrap());
        }
    }
}
