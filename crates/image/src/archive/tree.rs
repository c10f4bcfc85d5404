//! A directory tree that is only ever entered through handles.
//!
//! Every directory is opened with openat2 relative to the root's handle, so that the kernel itself refuses to
//! leave it (openat2(2), RESOLVE_BENEATH and RESOLVE_IN_ROOT; Linux 5.6). The handles of the directories in use
//! are kept: entries of one directory usually follow each other, and then cost no lookup at all.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags},
    io::Errno,
};

use super::name::split;

/// Directories kept open; far below any descriptor limit, far above what an ordered archive needs.
const KEPT: usize = 64;

/// Overlay's mark on a directory that hides the one below it.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// As many links as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;
/// Several times what the longest name needs (2,048 directories, three steps each): what takes longer is made to, or a race with
/// somebody who removes them.
const STEPS: usize = 32 * 1024;

/// Search-only handle on a directory.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A tree below a root directory.
pub(crate) struct Tree<'r> {
    root: BorrowedFd<'r>,
    resolve: ResolveFlags,
    kept: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// Whether a whiteout in the way of a directory gives way to it.
    replace_whiteouts: bool,
}

impl<'r> Tree<'r> {
    pub(crate) fn new(root: BorrowedFd<'r>, resolve: ResolveFlags, replace_whiteouts: bool) -> Self {
        let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
        Self { root, resolve, kept: HashMap::new(), replace_whiteouts }
    }

    /// The directory at a clean name, which must exist.
    pub(crate) fn directory(&mut self, name: &[u8]) -> io::Result<Rc<OwnedFd>> {
        if let Some(fd) = self.kept.get(name) {
            return Ok(Rc::clone(fd));
        }
        let fd = self.open(name, DIRECTORY)?;
        Ok(self.keep(name, fd))
    }

    /// The directory at a clean name; it and its parents are made where they are missing.
    pub(crate) fn directory_or_new(&mut self, name: &[u8]) -> io::Result<Rc<OwnedFd>> {
        if let Some(fd) = self.kept.get(name) {
            return Ok(Rc::clone(fd));
        }
        let fd = self.open_or_make(name)?;
        Ok(self.keep(name, fd))
    }

    /// Remembers an open directory under its clean name.
    pub(crate) fn keep(&mut self, name: &[u8], fd: OwnedFd) -> Rc<OwnedFd> {
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        let fd = Rc::new(fd);
        self.kept.insert(name.to_vec(), Rc::clone(&fd));
        fd
    }

    /// Forgets all handles: to be called whenever a directory was removed or replaced.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    fn open(&self, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let name: &[u8] = if name.is_empty() { b"." } else { name };
        open_beneath(self.root, name, flags, self.resolve)
    }

    fn open_or_make(&self, name: &[u8]) -> io::Result<OwnedFd> {
        let mut links = LINKS;
        // What is to be made for what comes before it: parents, and what links on the way lead to. Not by recursion, for names
        // and links are the archive's.
        let mut names = vec![name.to_vec()];
        for _ in 0..STEPS {
            let Some(name) = names.last() else { break };
            let error = match self.open(name, DIRECTORY) {
                Ok(fd) if names.len() == 1 => return Ok(fd),
                Ok(_) => {
                    names.pop();
                    continue;
                }
                Err(error) => error,
            };
            let missing = error.raw_os_error() == Some(Errno::NOENT.raw_os_error());
            let in_the_way =
                error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) && self.replace_whiteouts;
            if name.is_empty() || !(missing || in_the_way) {
                return Err(error);
            }
            let (parent_name, last) = split(name);
            let parent = match self.open(parent_name, DIRECTORY) {
                Ok(parent) => parent,
                Err(_) => {
                    let parent_name = parent_name.to_vec();
                    names.push(parent_name);
                    continue;
                }
            };
            let mode = Mode::from_raw_mode(0o755);
            match rustix::fs::mkdirat(&parent, last, mode) {
                Ok(()) => {}
                // A program of the container's was faster, or a link is there that leads to nothing.
                Err(Errno::EXIST) if missing => {
                    let Ok(target) = rustix::fs::readlinkat(&parent, last, Vec::new()) else { continue };
                    if links == 0 || !self.resolve.contains(ResolveFlags::IN_ROOT) {
                        return Err(Errno::EXIST.into());
                    }
                    links -= 1;
                    names.push(match target.as_bytes() {
                        [b'/', rest @ ..] => rest.to_vec(),
                        relative => [parent_name, b"/", relative].concat(),
                    });
                }
                Err(Errno::EXIST) if in_the_way && is_whiteout(&stat(parent.as_fd(), last)?) => {
                    rustix::fs::unlinkat(&parent, last, AtFlags::empty())?;
                    rustix::fs::mkdirat(&parent, last, mode)?;
                    set_xattr(parent.as_fd(), last, OPAQUE.as_bytes(), b"y")?;
                }
                Err(_) if in_the_way => return Err(error),
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::EXIST.into())
    }
}

/// openat2 that never leaves `root`. A rename elsewhere can make the kernel unsure (EAGAIN): try again.
pub(crate) fn open_beneath(
    root: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    const TRIES: usize = 64;
    for _ in 1..TRIES {
        match rustix::fs::openat2(root, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
    Ok(rustix::fs::openat2(root, name, flags, Mode::empty(), resolve)?)
}

/// What is at `name` in `directory`, no link followed.
pub(crate) fn stat(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Stat> {
    Ok(rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Overlay's deletion mark: a character device with number 0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Sets an extended attribute on `name` in `directory`, no link followed. The way through /proc is the one that
/// works for links, devices and directories alike; only the handle's own magic link is followed.
pub(crate) fn set_xattr(directory: BorrowedFd<'_>, name: &[u8], key: &[u8], value: &[u8]) -> io::Result<()> {
    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
    Ok(rustix::fs::lsetxattr(path, key, value, XattrFlags::empty())?)
}

/// Sets an extended attribute on the directory behind a handle of any kind.
pub(crate) fn set_own_xattr(directory: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    Ok(rustix::fs::setxattr(path, key, value, XattrFlags::empty())?)
}

/// Removes whatever is at `name` in `directory`; a directory with everything in it, no link followed.
pub(crate) fn remove(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {
            use std::os::unix::ffi::OsStrExt;
            let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
            minke_kernel::tree::remove_all(std::path::Path::new(std::ffi::OsStr::from_bytes(&path)))
        }
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Barrier, thread};

    use super::*;

    #[test]
    fn a_directory_that_a_program_makes_meanwhile_is_as_good() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::File::open(folder.path()).unwrap();
        let begin = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..2000 {
                    begin.wait();
                    let _ = fs::create_dir(folder.path().join(turn.to_string()));
                }
            });
            let fails = |turn: &i32| {
                let mut tree = Tree::new(root.as_fd(), ResolveFlags::BENEATH, false);
                begin.wait();
                tree.directory_or_new(turn.to_string().as_bytes()).is_err()
            };
            assert_eq!((0..2000).filter(fails).count(), 0);
        });
    }
}
