//! An open cgroup directory: reading and writing its files, making, listing and removing directories.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};

use super::CgroupError;

/// An open cgroup directory; files are opened relative to it, so a path is walked only once.
#[derive(Debug)]
pub(super) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    pub(super) fn open(path: PathBuf) -> io::Result<Dir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Dir { fd, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Writes a file in one write(2), as cgroup files want it.
    pub(super) fn write(&self, file: &str, value: &str) -> io::Result<()> {
        self.open_for_writing(file)?.write(value)
    }

    /// Opens a file that takes several values, one after the other.
    pub(super) fn open_for_writing(&self, file: &str) -> io::Result<Writable> {
        let fd = rustix::fs::openat(&self.fd, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Writable(fd))
    }

    pub(super) fn read(&self, file: &str) -> io::Result<String> {
        let mut text = String::with_capacity(512);
        // Asking for the size first, as a file is read else, is of no use here: it is always 0.
        self.open_file(file)?.take(u64::MAX).read_to_string(&mut text)?;
        Ok(text)
    }

    /// A file's content if there is such a file.
    pub(super) fn read_if_present(&self, file: &str) -> io::Result<Option<String>> {
        match self.read(file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn open_file(&self, file: &str) -> io::Result<File> {
        let fd = rustix::fs::openat(&self.fd, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(File::from(fd))
    }

    pub(super) fn has(&self, file: &str) -> bool {
        rustix::fs::statat(&self.fd, file, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// As [`read`](Dir::read), with an error that names the file.
    pub(super) fn read_named(&self, file: &str) -> Result<String, CgroupError> {
        self.read(file).map_err(|source| CgroupError::Io {
            action: "read",
            path: self.path.join(file),
            source,
        })
    }

    /// As [`write`](Dir::write), with an error that names the file.
    pub(super) fn write_named(&self, file: &str, value: &str) -> Result<(), CgroupError> {
        self.write(file, value).map_err(|source| CgroupError::Io {
            action: "write",
            path: self.path.join(file),
            source,
        })
    }
}

/// A file that is open for writing.
#[derive(Debug)]
pub(super) struct Writable(OwnedFd);

impl Writable {
    /// Writes one value, in one write(2).
    pub(super) fn write(&self, value: &str) -> io::Result<()> {
        match rustix::io::write(&self.0, value.as_bytes())? {
            written if written == value.len() => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::WriteZero)),
        }
    }
}

/// The directories in a cgroup directory. The link count says whether there are any, which
/// saves the usual container the listing of some fifty files.
pub(super) fn children(dir: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let fd =
        rustix::fs::openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    if rustix::fs::fstat(&fd)?.st_nlink == 2 {
        return Ok(names);
    }
    for entry in rustix::fs::Dir::new(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if entry.file_type() == rustix::fs::FileType::Directory && name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Calls `visit` with the cgroup and all that are below it, parents first.
///
/// Cgroups that vanish meanwhile are passed over.
pub(super) fn walk(top: &Dir, visit: &mut dyn FnMut(&Dir) -> io::Result<()>) -> io::Result<()> {
    visit(top)?;
    let mut pending = child_paths(top)?;
    while let Some(path) = pending.pop() {
        let dir = match Dir::open(path) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        visit(&dir)?;
        pending.extend(child_paths(&dir)?);
    }
    Ok(())
}

fn child_paths(dir: &Dir) -> io::Result<Vec<PathBuf>> {
    match children(dir.fd()) {
        Ok(names) => Ok(names.iter().map(|name| dir.path.join(OsStr::from_bytes(name))).collect()),
        Err(error) if is_gone(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Whether an error says that the cgroup was removed (ENODEV from files that were open by then).
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NODEV))
}

/// Makes `below` and what is missing above it, under `root`; returns what was made, parents first.
///
/// Another process may undo its own failed attempt and remove a parent at the same time, so
/// a missing parent is made again a few times.
pub(super) fn make_dirs(root: &Path, below: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let leaf = root.join(below);
    let mut made = Vec::new();
    for _ in 0..4 {
        match make_dir(&leaf, &mut made) {
            Ok(()) => return Ok(made),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed_making(leaf, source, &made)),
        }
        let mut path = root.to_owned();
        for name in below.parent().unwrap_or(Path::new("")) {
            path.push(name);
            match make_dir(&path, &mut made) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.parent() != Some(root) => break,
                Err(source) => return Err(failed_making(path, source, &made)),
            }
        }
    }
    Err(failed_making(leaf, io::Error::from(io::ErrorKind::NotFound), &made))
}

fn make_dir(path: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) => {
            made.push(path.to_owned());
            Ok(())
        }
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn failed_making(path: PathBuf, source: io::Error, made: &[PathBuf]) -> CgroupError {
    unmake(made);
    CgroupError::Io { action: "create", path, source }
}

/// Removes what [`make_dirs`] made; what others use by now stays.
pub(super) fn unmake(made: &[PathBuf]) {
    for path in made.iter().rev() {
        // A parent that got other children meanwhile is theirs.
        let _in_use = rustix::fs::rmdir(path);
    }
}
