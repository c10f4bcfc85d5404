//! Copying files onto a root: what COPY and ADD do, once it is settled what is copied.
//!
//! The destination is the overlay of the layers so far, opened as a root: links in it lead where the container would go.
//! Sources are walked as [`crate::files`] does.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use minke_dockerfile::evaluate::Chmod;
use minke_kernel::path::Root;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid};

use crate::{
    BuildError,
    files::{DEEPEST, Match, has_included, names, open_in, stat_in, too_deep},
    walk::Walk,
};

/// Most links that a destination may lead through.
const MOST_LINKS: usize = 40;
/// Most bytes that are copied by one call: it can't be given up half-way.
const LONGEST_PIECE: u64 = 64 << 20;

/// How files are copied.
pub(crate) struct Copier<'a> {
    /// Where to.
    pub(crate) to: &'a Root,
    /// Whose they become; `None` keeps the source's.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) chmod: Option<&'a Chmod>,
    /// Whether a directory's own attributes come with what is in it. In BuildKit they do by `--parents` alone: else it is 0755,
    /// where it is new, and of the source it has the time.
    pub(crate) whole: bool,
    /// The time of directories that are made on the way, seconds since 1970.
    pub(crate) made_at: Option<i64>,
    /// Where the first copies of files with several names are, by the source's device and inode. Not handles: there may be more such
    /// files than descriptors.
    pub(crate) links: HashMap<(u64, u64), PathBuf>,
}

/// A directory whose entries are being copied.
struct Level {
    source: OwnedFd,
    target: OwnedFd,
    path: PathBuf,
    /// Where the target is in the destination.
    place: PathBuf,
    names: std::vec::IntoIter<OsString>,
    /// What it becomes in the end, where that is the copier's to say.
    stat: Option<Stat>,
}

impl Level {
    fn new(
        [source, target]: [OwnedFd; 2],
        path: PathBuf,
        place: PathBuf,
        stat: Option<Stat>,
    ) -> Result<Self, BuildError> {
        let names = names(&source).map_err(|error| refused(&path, &error))?.into_iter();
        Ok(Self { source, target, path, place, names, stat })
    }
}

impl Copier<'_> {
    /// The directory of a destination, made with those above it where missing. As in BuildKit a mode in digits is theirs, too.
    pub(crate) fn directory(&self, path: &str) -> Result<OwnedFd, BuildError> {
        let failed = |error: io::Error| refused(Path::new(path), &error);
        let path = Path::new(path);
        if let Ok(found) = self.to.open_at(path, OFlags::PATH | OFlags::DIRECTORY) {
            return Ok(found);
        }
        // Which of them are new is only known by looking from the top down.
        let mut missing = Vec::new();
        for ancestor in path.ancestors() {
            match self.to.locate(ancestor) {
                Ok(_) => break,
                Err(_) => missing.push(ancestor.to_owned()),
            }
        }
        let made = self.to.mkdir_all(path).map_err(failed)?;
        for path in missing.iter().rev() {
            let handle = self.to.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
            if let Some(Chmod::Octal(mode)) = self.chmod {
                rustix::fs::fchmod(&handle, Mode::from_raw_mode(mode & 0o777))
                    .map_err(|error| failed(error.into()))?;
            }
            if let Some((uid, gid)) = self.owner {
                rustix::fs::fchown(&handle, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                    .map_err(|error| failed(error.into()))?;
            }
            if let Some(time) = self.made_at {
                set_times(&handle, time, 0).map_err(failed)?;
            }
        }
        Ok(made)
    }

    /// Makes a directory on the way to what is copied like the source's. As in BuildKit one that is there already has its mode alone.
    pub(crate) fn parent(&self, from: &Root, source: &Path, destination: &str) -> Result<(), BuildError> {
        let failed = |error: io::Error| refused(source, &error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let source = from.open_at(source, flags).map_err(failed)?;
        let stat = rustix::fs::fstat(&source).map_err(|error| failed(error.into()))?;
        let is_new = self.to.locate(Path::new(destination)).is_err();
        self.directory(destination)?;
        let target = self.to.open_at(Path::new(destination), flags).map_err(failed)?;
        match is_new {
            true => self.finish_directory(&source, &target, &stat).map_err(failed),
            false => rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777))
                .map_err(|error| failed(error.into())),
        }
    }

    /// Copies a match. `into` says that the destination is a directory which the file gets its name in.
    pub(crate) fn copy(
        &mut self,
        from: &Root,
        found: &Match,
        destination: &str,
        into: bool,
        walk: Walk<'_>,
    ) -> Result<(), BuildError> {
        let path = Path::new("/").join(&found.path);
        let failed = |error: io::Error| refused(&found.path, &error);
        let handle = from.locate(&path).map_err(failed)?;
        let stat = rustix::fs::fstat(&handle).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let source = from.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
            let target = self.directory(destination)?;
            let copied = source.try_clone().map_err(failed)?;
            self.contents([copied, target], &found.path, Path::new(destination), walk)?;
            let target = self.to.open_at(Path::new(destination), OFlags::RDONLY | OFlags::DIRECTORY);
            let target = target.map_err(failed)?;
            let finished = match self.whole {
                true => self.finish_directory(&source, &target, &stat),
                false => set_times(&target, stat.st_mtime, stat.st_mtime_nsec),
            };
            return finished.map_err(failed);
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        let source = from.open_at(parent, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
        let place = self.place(destination, into.then_some(found.name.as_path()))?;
        let (target, _) = self.open(&place)?;
        let name_there = path.file_name().unwrap_or_default();
        self.entry(&source, name_there, &target, &place, &found.path, walk).map(drop)
    }

    /// Writes a file with given content.
    pub(crate) fn write(
        &mut self,
        name: &str,
        content: &[u8],
        destination: &str,
        into: bool,
    ) -> Result<(), BuildError> {
        let place = self.place(destination, into.then_some(Path::new(name)))?;
        let (target, name) = self.open(&place)?;
        let failed = |error: io::Error| refused(Path::new(&name), &error);
        clear(&target, &name).map_err(failed)?;
        let mut file = create(&target, &name).map_err(failed)?;
        io::Write::write_all(&mut file, content).map_err(failed)?;
        self.own_and_mode(file.as_fd(), 0, 0, 0o644, false).map_err(failed)?;
        if let Some(time) = self.made_at {
            set_times(&file, time, 0).map_err(failed)?;
        }
        Ok(())
    }

    /// The path that a file's destination means, links at its end followed. Its directory is made.
    pub(crate) fn place(&self, destination: &str, name: Option<&Path>) -> Result<PathBuf, BuildError> {
        if let Some(name) = name {
            self.directory(destination)?;
            return Ok(Path::new(destination).join(name));
        }
        let mut path = PathBuf::from(destination);
        for _ in 0..MOST_LINKS {
            let Some(name) = path.file_name().map(OsStr::to_owned) else { break };
            let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
            let directory = self.directory(&parent.to_string_lossy())?;
            match rustix::fs::readlinkat(&directory, &name, Vec::new()) {
                Ok(target) => path = parent.join(OsString::from_vec(target.into_bytes())),
                Err(_) => return Ok(parent.join(name)),
            }
        }
        Err(BuildError::Invalid(format!("destination {destination:?} leads through too many links")))
    }

    /// The directory and name of a place.
    pub(crate) fn open(&self, place: &Path) -> Result<(OwnedFd, OsString), BuildError> {
        let parent = place.parent().unwrap_or(Path::new("/"));
        let directory = self.to.open_at(parent, OFlags::PATH | OFlags::DIRECTORY);
        let name = place.file_name().unwrap_or_default().to_owned();
        Ok((directory.map_err(|error| refused(parent, &error))?, name))
    }

    /// What a directory has, with all below it: no recursion, for whoever made it decides how deep it is.
    fn contents(
        &mut self,
        handles: [OwnedFd; 2],
        path: &Path,
        place: &Path,
        walk: Walk<'_>,
    ) -> Result<(), BuildError> {
        let mut levels = vec![Level::new(handles, path.to_owned(), place.to_owned(), None)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                if let Some(Level { source, target, path, stat: Some(stat), .. }) = levels.pop() {
                    let finished = self.finish_directory(&source, &target, &stat);
                    finished.map_err(|error| refused(&path, &error))?;
                }
                continue;
            };
            let (below, place) = (level.path.join(&name), level.place.join(&name));
            let entered = self.entry(&level.source, &name, &level.target, &place, &below, walk)?;
            if let Some((handles, stat)) = entered {
                if levels.len() > DEEPEST {
                    return Err(too_deep(&below));
                }
                levels.push(Level::new(handles, below, place, Some(stat))?);
            }
        }
        Ok(())
    }

    /// Copies an entry to a place in the directory `target`; of a directory, which is returned in both, only itself.
    fn entry(
        &mut self,
        source: &OwnedFd,
        name: &OsStr,
        target: &OwnedFd,
        place: &Path,
        path: &Path,
        walk: Walk<'_>,
    ) -> Result<Option<([OwnedFd; 2], Stat)>, BuildError> {
        let failed = |error: io::Error| refused(path, &error);
        let new_name = place.file_name().unwrap_or_default();
        let stat = stat_in(source, name).map_err(failed)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_left_out = walk.leaves_out(path).map_err(failed)?;
        if kind == FileType::Directory {
            let from = open_in(source, name, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
            if is_left_out && !has_included(&from, path, walk).map_err(failed)? {
                return Ok(None);
            }
            match rustix::fs::mkdirat(target, new_name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(failed(error.into())),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let to = open_in(target, new_name, flags).map_err(|error| match error.raw_os_error() {
                Some(code) if code == rustix::io::Errno::NOTDIR.raw_os_error() => {
                    BuildError::Invalid(format!("cannot copy to non-directory: {}", path.display()))
                }
                _ => failed(error),
            })?;
            return Ok(Some(([from, to], stat)));
        }
        if is_left_out || kind == FileType::Socket {
            return Ok(None);
        }
        clear(target, new_name).map_err(failed)?;
        self.file(source, name, target, place, &stat, walk).map_err(failed)?;
        Ok(None)
    }

    /// Everything that is no directory.
    fn file(
        &mut self,
        source: &OwnedFd,
        name: &OsStr,
        target: &OwnedFd,
        place: &Path,
        stat: &Stat,
        walk: Walk<'_>,
    ) -> io::Result<()> {
        let new_name = place.file_name().unwrap_or_default();
        let inode = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&inode) {
                let above = first.parent().unwrap_or(Path::new("/"));
                let directory = self.to.open_at(above, OFlags::PATH | OFlags::DIRECTORY)?;
                let name = first.file_name().unwrap_or_default();
                return Ok(rustix::fs::linkat(directory, name, target, new_name, AtFlags::empty())?);
            }
            self.links.insert(inode, place.to_owned());
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::RegularFile => {
                let from = File::from(open_in(source, name, OFlags::RDONLY)?);
                let mut to = create(target, new_name)?;
                let length = u64::try_from(stat.st_size).unwrap_or(0);
                copy_bytes(&from, &mut to, length, walk)?;
                self.own_and_mode(to.as_fd(), stat.st_uid, stat.st_gid, stat.st_mode, false)?;
                copy_xattrs(from.as_fd(), to.as_fd());
                return set_times(&to, stat.st_mtime, stat.st_mtime_nsec);
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(source, name, Vec::new())?;
                rustix::fs::symlinkat(link, target, new_name)?;
            }
            _ => rustix::fs::mknodat(target, new_name, kind, Mode::empty(), stat.st_rdev)?,
        }
        let (uid, gid) = self.owner.unwrap_or((stat.st_uid, stat.st_gid));
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(target, new_name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
        if kind != FileType::Symlink {
            let mode = Mode::from_raw_mode(self.mode(stat.st_mode, false));
            rustix::fs::chmodat(target, new_name, mode, AtFlags::empty())?;
        }
        let times = timestamps(stat.st_mtime, stat.st_mtime_nsec);
        Ok(rustix::fs::utimensat(target, new_name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn finish_directory(&self, from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> io::Result<()> {
        self.own_and_mode(to.as_fd(), stat.st_uid, stat.st_gid, stat.st_mode, true)?;
        copy_xattrs(from.as_fd(), to.as_fd());
        set_times(to, stat.st_mtime, stat.st_mtime_nsec)
    }

    /// The owner first: changing it takes setuid away.
    fn own_and_mode(
        &self,
        fd: BorrowedFd<'_>,
        uid: u32,
        gid: u32,
        mode: u32,
        directory: bool,
    ) -> io::Result<()> {
        let (uid, gid) = self.owner.unwrap_or((uid, gid));
        rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        Ok(rustix::fs::fchmod(fd, Mode::from_raw_mode(self.mode(mode, directory)))?)
    }

    fn mode(&self, of_source: u32, directory: bool) -> u32 {
        match self.chmod {
            Some(chmod) => chmod.apply(of_source & 0o7777, directory),
            None => of_source & 0o7777,
        }
    }
}

/// A new file; nothing is at its place.
fn create(directory: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?))
}

/// Makes place for a file. A directory stays, and is the error of what follows.
fn clear(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR) => {
            Err(io::Error::other(format!("cannot copy a file onto the directory {}", name.display())))
        }
        Err(error) => Err(error.into()),
    }
}

/// In the kernel where it can, which shares blocks on file systems that have that. What holds no data stays a hole.
pub(crate) fn copy_bytes(from: &File, to: &mut File, length: u64, walk: Walk<'_>) -> io::Result<()> {
    let mut at = 0;
    while at < length {
        walk.go_on()?;
        let begin = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            Err(rustix::io::Errno::NXIO) => return to.set_len(length),
            // The file system doesn't know of holes.
            Err(_) => at,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(begin)).unwrap_or(length).min(begin + LONGEST_PIECE);
        at = match copy_piece(from, to, begin, end)? {
            // It has become shorter.
            0 => return Ok(()),
            copied => begin + copied,
        };
    }
    Ok(())
}

/// Copies what is between two places of a file, or a part of it; gives its length.
fn copy_piece(from: &File, to: &mut File, begin: u64, end: u64) -> io::Result<u64> {
    let (mut read_at, mut write_at) = (begin, begin);
    let length = usize::try_from(end - begin).unwrap_or(usize::MAX);
    match rustix::fs::copy_file_range(from, Some(&mut read_at), &*to, Some(&mut write_at), length) {
        Ok(length) => Ok(length as u64),
        Err(
            rustix::io::Errno::XDEV
            | rustix::io::Errno::INVAL
            | rustix::io::Errno::OPNOTSUPP
            | rustix::io::Errno::NOSYS,
        ) => {
            let mut from = from;
            from.seek(io::SeekFrom::Start(begin))?;
            to.seek(io::SeekFrom::Start(begin))?;
            io::copy(&mut from.take(end - begin), to)
        }
        Err(error) => Err(error.into()),
    }
}

/// Extended attributes, capabilities among them; overlayfs's own describe another overlay, and what the file system refuses is
/// left out.
fn copy_xattrs(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    let mut list = vec![0; 16 << 10];
    let Ok(length) = rustix::fs::flistxattr(from, &mut list) else { return };
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let name = OsStr::from_bytes(name);
        if let Ok(length) = rustix::fs::fgetxattr(from, name, &mut value) {
            let _ = rustix::fs::fsetxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty());
        }
    }
}

fn timestamps(seconds: i64, nanoseconds: impl TryInto<i64>) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.try_into().unwrap_or(0) };
    Timestamps { last_access: time, last_modification: time }
}

pub(crate) fn set_times(fd: impl AsFd, seconds: i64, nanoseconds: impl TryInto<i64>) -> io::Result<()> {
    Ok(rustix::fs::futimens(fd, &timestamps(seconds, nanoseconds))?)
}

/// Sets every time below a directory that is later than `latest` to it: what was written during the build.
///
/// # Errors
/// What the kernel said; also for more than [`DEEPEST`] directories in each other.
pub(crate) fn clamp_times(directory: &OwnedFd, latest: i64) -> io::Result<()> {
    let mut levels = vec![(directory.try_clone()?, names(directory)?.into_iter())];
    while let Some((directory, rest)) = levels.last_mut() {
        let Some(name) = rest.next() else {
            // After what is in it: that changes its time.
            let stat = rustix::fs::fstat(&*directory)?;
            if stat.st_mtime >= latest {
                set_times(&*directory, latest, 0)?;
            }
            levels.pop();
            continue;
        };
        let directory = &*directory;
        let stat = stat_in(directory, &name)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let below = open_in(directory, &name, OFlags::RDONLY | OFlags::DIRECTORY)?;
            if levels.len() > DEEPEST {
                return Err(io::Error::other(format!("more than {DEEPEST} directories in each other")));
            }
            let names = names(&below)?.into_iter();
            levels.push((below, names));
        } else if stat.st_mtime >= latest {
            let times = timestamps(latest, 0);
            rustix::fs::utimensat(directory, &name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

fn refused(path: &Path, error: &io::Error) -> BuildError {
    BuildError::Invalid(format!("failed to copy {}: {error}", path.display()))
}

/// A path of this process's for a handle.
pub(crate) fn handle_path(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}
