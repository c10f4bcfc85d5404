//! Unpacks a tar into a directory, writing nothing outside it whatever the tar says.

mod make;
mod times;
mod whiteout;

use std::{
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, OFlags, ResolveFlags, Timespec, Timestamps},
    io::Errno,
};

use super::{
    Limits, UnpackError, Whiteouts,
    entry::{Entry, EntryKind, Moment, printable},
    name::{clean, split},
    reader::{ReadError, TarReader},
    tree::{self, Tree},
};

use times::Times;

/// What a name that begins with `/` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AbsoluteNames {
    /// An error.
    #[default]
    Refuse,
    /// The same name under the root. Layers need it: `ko` and other builders write `/ko-app/…`.
    UnderRoot,
}

/// How symbolic links on the way to an entry are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parents {
    /// Followed while they stay beneath the root; one that is absolute or climbs out is an error.
    #[default]
    Beneath,
    /// Followed as if the root were `/`, as the container itself would.
    InRoot,
}

/// How to unpack.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// What `.wh.` names mean.
    pub whiteouts: Whiteouts,
    /// What counts as a bomb.
    pub limits: Limits,
    /// Give everything to this user and group instead of the archive's.
    pub owner: Option<(u32, u32)>,
    /// What names that begin with `/` mean.
    pub absolute_names: AbsoluteNames,
    /// How links on the way are treated.
    pub parents: Parents,
    /// Refuse to replace a directory by something else and the reverse (`noOverwriteDirNonDir` of the Docker
    /// Engine API's `PUT /containers/{id}/archive`).
    pub no_overwrite_dir_non_dir: bool,
    /// Leave the attributes of the directory itself as they are, whatever an entry `./` says.
    pub keep_root: bool,
    /// Unpack into this directory within the root (resolved as the container would) instead of the root.
    pub subdirectory: Option<PathBuf>,
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Bytes of file content, holes included.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Whether the archive says that its root hides everything below (`.wh..wh..opq` at the top).
    pub opaque_root: bool,
    /// Extended attributes that the file system does not support, left out.
    pub dropped_xattrs: u64,
}

/// Prefix of a deletion in a layer's tar (OCI image specification, "Whiteouts").
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// Marks a directory whose lower content is hidden.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Prefix of what aufs kept for itself in Docker's early layers.
const AUFS: &[u8] = b".wh..wh.";

/// Unpacks an uncompressed tar into the directory `into`, reading the stream to its end.
///
/// Existing files are replaced, directories merged. Owners, modes, times, extended attributes, links and devices
/// are the archive's; that needs root. A failure leaves what was unpacked so far: callers unpack into a folder
/// that they throw away, or tell the user.
///
/// # Errors
/// [`UnpackError`]; trying again does not help unless the stream or the disk was the cause.
pub fn unpack(
    tar: impl Read,
    into: BorrowedFd<'_>,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let base = open_base(into, options)?;
    let resolve = match options.parents {
        Parents::Beneath => ResolveFlags::BENEATH,
        Parents::InRoot => ResolveFlags::IN_ROOT,
    };
    let mut unpacker = Unpacker {
        tree: Tree::new(base.as_fd(), resolve, options.whiteouts == Whiteouts::Overlay),
        options,
        times: Times::default(),
        done: Unpacked::default(),
    };
    // Headers and padding come on top of the content; small archives are mostly that.
    let stream_limit = options.limits.bytes.saturating_mul(2).saturating_add(64 << 20);
    let mut reader = TarReader::new(tar, options.limits.header, stream_limit);
    while let Some(entry) = reader.next()? {
        unpacker.count(&entry)?;
        unpacker.entry(&entry, &mut reader)?;
    }
    reader.drain()?;
    let left = unpacker.times.take();
    unpacker.set_times(left)?;
    Ok(unpacker.done)
}

fn open_base(into: BorrowedFd<'_>, options: &UnpackOptions) -> Result<OwnedFd, UnpackError> {
    let path = options.subdirectory.as_deref().unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    tree::open_beneath(into, path.as_os_str().as_bytes(), flags, resolve)
        .map_err(|source| UnpackError::Root { path: path.to_owned(), source })
}

struct Unpacker<'o, 'r> {
    tree: Tree<'r>,
    options: &'o UnpackOptions,
    times: Times,
    done: Unpacked,
}

impl Unpacker<'_, '_> {
    fn count(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let limits = &self.options.limits;
        self.done.entries += 1;
        self.done.bytes = self.done.bytes.saturating_add(entry.size);
        if self.done.entries > limits.entries {
            return Err(too_much(entry, limits.entries, "entries"));
        }
        if self.done.bytes > limits.bytes {
            return Err(too_much(entry, limits.bytes, "bytes"));
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, reader: &mut TarReader<impl Read>) -> Result<(), UnpackError> {
        // As dockerd, which takes it for the root. In a layer nothing is left out.
        if entry.name.is_empty() && self.options.whiteouts == Whiteouts::Plain {
            return Ok(());
        }
        let name = clean(&entry.name, self.options.absolute_names, &self.options.limits)
            .map_err(|problem| refused(entry, problem))?;
        if self.options.whiteouts == Whiteouts::Overlay {
            self.refuse_forgeries(entry)?;
            if self.whiteout(entry, &name)? {
                return Ok(());
            }
        }
        if name.is_empty() {
            return if self.options.keep_root { Ok(()) } else { self.root_entry(entry) };
        }
        let (parent_name, last) = split(&name);
        let parent = self.tree.directory_or_new(parent_name).map_err(|source| parent_error(entry, source))?;
        let place = Place { entry, name: &name, parent: parent.as_fd(), last };
        match entry.kind {
            EntryKind::Directory => self.directory(&place),
            EntryKind::File => self.file(&place, reader),
            EntryKind::Symlink => self.symlink(&place),
            EntryKind::Hardlink => self.hardlink(&place),
            EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => self.node(&place),
        }
    }

    fn set_times(&mut self, directories: Vec<(Vec<u8>, Moment)>) -> Result<(), UnpackError> {
        for (name, time) in directories {
            let entry = Entry::new(name.clone(), EntryKind::Directory);
            let (parent, last) = match split(&name) {
                (_, b"") => (&b""[..], &b"."[..]),
                parts => parts,
            };
            let parent = self.tree.directory(parent).map_err(|source| parent_error(&entry, source))?;
            rustix::fs::utimensat(&parent, last, &timestamps(time), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(write(&entry, "set the times of the directory"))?;
        }
        Ok(())
    }
}

/// An entry and where it goes.
#[derive(Clone, Copy)]
struct Place<'a> {
    entry: &'a Entry,
    /// Its clean name.
    name: &'a [u8],
    parent: BorrowedFd<'a>,
    /// The last component of the name.
    last: &'a [u8],
}

fn timestamps(time: Moment) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}

fn refused(entry: &Entry, problem: impl Into<String>) -> UnpackError {
    UnpackError::Refused { entry: printable(&entry.name), problem: problem.into() }
}

fn too_much(entry: &Entry, limit: u64, unit: &'static str) -> UnpackError {
    UnpackError::TooMuch { entry: printable(&entry.name), limit, unit }
}

/// Names entry and action in an error of the file system.
fn write<E: Into<io::Error>>(entry: &Entry, action: &'static str) -> impl FnOnce(E) -> UnpackError {
    move |source| UnpackError::Write { entry: printable(&entry.name), action, source: source.into() }
}

/// A parent that openat2 would not enter: the reasons that an archive can cause get words of their own.
fn parent_error(entry: &Entry, source: io::Error) -> UnpackError {
    match source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::XDEV) => refused(entry, "a symbolic link on its way leads out of the root"),
        Some(Errno::LOOP) => refused(entry, "too many symbolic links on its way"),
        Some(Errno::NOTDIR) => refused(entry, "something on its way is not a directory"),
        // A directory can neither be opened nor made there.
        Some(Errno::EXIST) => refused(entry, "a symbolic link on its way leads to nothing"),
        _ => write(entry, "open its directory")(source),
    }
}

impl From<ReadError> for UnpackError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(source) => Self::Read(source),
            ReadError::Damaged { offset, problem } => Self::Damaged { offset, problem },
        }
    }
}
