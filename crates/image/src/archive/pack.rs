//! Packs a directory into a tar: by handles, in a fixed order, with everything a tar can hold.
//!
//! The tree may belong to a running, hostile container. So every directory is opened beneath the root without
//! following a link, and a file's type and content are taken from one handle on it.

mod read;

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsStr,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};

use read::{Xattrs, is_gone, list, mount_id, segments, xattrs};

use super::{
    PackError, Whiteouts,
    entry::{Entry, EntryKind, Moment, Segment},
    tree,
    unpack::{OPAQUE, WHITEOUT},
    writer::TarWriter,
};

/// Deepest path that is packed; a hostile container can make deeper ones, which no tar reader would take.
const LONGEST_PATH: usize = 4095;

/// How to pack.
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// Name of the packed path itself in the archive, everything in it below that name. Where absent, it is the
    /// path's last component, or `./` for the root, whose content then has names without a prefix.
    pub rename_root_to: Option<String>,
    /// How overlay's deletions are written.
    pub whiteouts: Whiteouts,
    /// Leave out what is mounted on directories and files below the path.
    pub one_mount: bool,
    /// Write holes of sparse files as holes (GNU's PAX format 1.0) instead of zeros.
    pub sparse: bool,
    /// Keep nanoseconds of modification times (PAX), not only seconds.
    pub exact_times: bool,
    /// Paths below the packed one (the empty path is itself) that get no entry; what lies in such a directory still does.
    pub leave_out: BTreeSet<PathBuf>,
}

/// What was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packed {
    /// Entries.
    pub entries: u64,
    /// Bytes of file content, holes included.
    pub bytes: u64,
    /// Sockets, and names that a layer cannot express, left out.
    pub skipped: u64,
}

/// Packs `path` below `root` (its parents resolved as a container would, the path itself not followed if it is a
/// link) and writes the end of the archive.
///
/// # Errors
/// [`PackError`]; what was written until then is no whole archive.
pub fn pack(
    root: BorrowedFd<'_>,
    path: &Path,
    to: impl Write,
    options: &PackOptions,
) -> Result<Packed, PackError> {
    let top =
        open_top(root, path).map_err(|source| read_error("open", path.as_os_str().as_bytes(), source))?;
    let mut packer = Packer {
        top: top.as_fd(),
        mount: mount_id(top.as_fd()).map_err(|e| read_error("look at", path.as_os_str().as_bytes(), e))?,
        out: TarWriter::new(to),
        options,
        links: HashMap::new(),
        packed: Packed::default(),
    };
    packer.all(&top_name(path, options))?;
    packer.out.finish().map_err(PackError::Write)?;
    Ok(packer.packed)
}

fn open_top(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = path.as_os_str().as_bytes();
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    tree::open_beneath(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// The name of the packed path in the archive; empty for the root.
fn top_name(path: &Path, options: &PackOptions) -> Vec<u8> {
    match &options.rename_root_to {
        Some(name) if name == "/" => b"/".to_vec(),
        Some(name) => name.trim_end_matches('/').as_bytes().to_vec(),
        None => path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default(),
    }
}

struct Packer<'o, 'r, W> {
    top: BorrowedFd<'r>,
    mount: u64,
    out: TarWriter<W>,
    options: &'o PackOptions,
    /// First names of files with several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    packed: Packed,
}

/// A directory that is yet to be entered: its path below the packed one, and its name in the archive.
type Waiting = (Vec<u8>, Vec<u8>);

/// A file being looked at.
struct Found<'a> {
    /// Path below the packed one.
    path: &'a [u8],
    /// Name in the archive.
    name: Vec<u8>,
    handle: OwnedFd,
    stat: Stat,
    /// Whether something else is mounted on it.
    foreign: bool,
}

impl<W: Write> Packer<'_, '_, W> {
    /// The packed path itself, then directory after directory: no recursion, one directory open at a time.
    fn all(&mut self, name: &[u8]) -> Result<(), PackError> {
        let top = self.top.try_clone_to_owned().map_err(|source| read_error("open", b"", source))?;
        let mut waiting = Vec::new();
        if self.one(self.found(b"", name.to_vec(), top)?)? {
            waiting.push((Vec::new(), name.to_vec()));
        }
        while let Some((path, name)) = waiting.pop() {
            let below = self.directory(&path, &name)?;
            waiting.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// Packs what is in one directory. Returns the directories in it, which are yet to be entered.
    fn directory(&mut self, path: &[u8], name: &[u8]) -> Result<Vec<Waiting>, PackError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = tree::open_beneath(self.top, if path.is_empty() { b"." } else { path }, flags, resolve);
        let directory = match opened {
            Ok(directory) => directory,
            // Gone or replaced since its parent was read: so is life in a running container.
            Err(error) if is_gone(&error) => return Ok(Vec::new()),
            Err(source) => return Err(read_error("open", path, source)),
        };
        let names = list(&directory).map_err(|source| read_error("list", path, source))?;
        let mut below = Vec::new();
        for child in names {
            let child_path = join(path, &child);
            if child_path.len() > LONGEST_PATH {
                return Err(unsupported(path, "has names longer than 4095 bytes below it"));
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let handle = match rustix::fs::openat(&directory, &*child, flags, Mode::empty()) {
                Err(rustix::io::Errno::NOENT) => continue,
                result => result.map_err(|errno| read_error("open", &child_path, errno.into()))?,
            };
            let child_name = join(name, &child);
            if self.one(self.found(&child_path, child_name.clone(), handle)?)? {
                below.push((child_path, child_name));
            }
        }
        Ok(below)
    }

    fn found<'a>(&self, path: &'a [u8], name: Vec<u8>, handle: OwnedFd) -> Result<Found<'a>, PackError> {
        let stat = rustix::fs::fstat(&handle).map_err(|errno| read_error("look at", path, errno.into()))?;
        let foreign = self.options.one_mount
            && mount_id(handle.as_fd()).map_err(|source| read_error("look at", path, source))? != self.mount;
        Ok(Found { path, name, handle, stat, foreign })
    }

    /// Packs one file. Whether it is a directory to be entered.
    fn one(&mut self, found: Found<'_>) -> Result<bool, PackError> {
        let overlay = self.options.whiteouts == Whiteouts::Overlay;
        let xattrs = xattrs(&found.handle)
            .map_err(|source| read_error("read the extended attributes of", found.path, source))?;
        if overlay
            && (tree::is_whiteout(&found.stat)
                || xattrs.iter().any(|(key, _)| key == b"trusted.overlay.whiteout"))
        {
            self.empty(&whiteout_name(&found.name), &found.stat)?;
            return Ok(false);
        }
        if overlay && base(&found.name).starts_with(WHITEOUT) {
            self.packed.skipped += 1;
            return Ok(false);
        }
        let enter = tree::is_directory(&found.stat) && !found.foreign;
        if self.options.leave_out.contains(Path::new(OsStr::from_bytes(found.path))) {
            return Ok(enter);
        }
        let opaque = xattrs.iter().any(|(key, value)| key == tree::OPAQUE.as_bytes() && value == b"y");
        let Some(mut entry) = self.describe(&found, xattrs)? else {
            self.packed.skipped += 1;
            return Ok(false);
        };
        if entry.kind != EntryKind::Directory && found.stat.st_nlink > 1 {
            let file = (found.stat.st_dev, found.stat.st_ino);
            match self.links.get(&file) {
                Some(first) => {
                    entry = Entry {
                        kind: EntryKind::Hardlink,
                        link: first.clone(),
                        size: 0,
                        xattrs: Vec::new(),
                        ..entry
                    };
                }
                None => drop(self.links.insert(file, found.name.clone())),
            }
        }
        match entry.kind {
            EntryKind::File if found.foreign => self.begin(&Entry { size: 0, ..entry })?,
            EntryKind::File => self.content(&found, entry)?,
            _ => self.begin(&entry)?,
        }
        if opaque && overlay {
            self.empty(&join(&found.name, OPAQUE), &found.stat)?;
        }
        Ok(enter)
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), PackError> {
        self.packed.entries += 1;
        self.packed.bytes += entry.size;
        self.out.entry(entry).map_err(PackError::Write)
    }

    /// An empty file: how a layer's tar writes its marks.
    fn empty(&mut self, name: &[u8], like: &Stat) -> Result<(), PackError> {
        let mut entry = Entry::new(name, EntryKind::File);
        entry.mtime = Moment { seconds: like.st_mtime, nanoseconds: 0 };
        self.begin(&entry)
    }

    /// The entry for a file, or `None` for what a tar cannot hold.
    fn describe(&self, found: &Found<'_>, xattrs: Xattrs) -> Result<Option<Entry>, PackError> {
        let stat = &found.stat;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket | FileType::Unknown => return Ok(None),
        };
        let name = match (kind, found.name.is_empty()) {
            (EntryKind::Directory, true) => b"./".to_vec(),
            (EntryKind::Directory, false) if found.name == b"/" => found.name.clone(),
            (EntryKind::Directory, false) => [&found.name[..], b"/"].concat(),
            _ => found.name.clone(),
        };
        let mut entry = Entry::new(name, kind);
        entry.mode = stat.st_mode & 0o7777;
        (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
        let nanoseconds =
            if self.options.exact_times { u32::try_from(stat.st_mtime_nsec).unwrap_or(0) } else { 0 };
        entry.mtime = Moment { seconds: stat.st_mtime, nanoseconds };
        match kind {
            EntryKind::File => entry.size = u64::try_from(stat.st_size).unwrap_or(0),
            EntryKind::Symlink => {
                let target = rustix::fs::readlinkat(&found.handle, "", Vec::new());
                entry.link =
                    target.map_err(|e| read_error("read the link", found.path, e.into()))?.into_bytes();
            }
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            }
            _ => {}
        }
        entry.xattrs = self.kept_xattrs(found, xattrs)?;
        Ok(Some(entry))
    }

    fn kept_xattrs(&self, found: &Found<'_>, mut xattrs: Xattrs) -> Result<Xattrs, PackError> {
        if self.options.whiteouts == Whiteouts::Overlay {
            let has = |key: &[u8]| xattrs.iter().any(|(name, _)| name == key);
            if has(b"trusted.overlay.redirect") || has(b"trusted.overlay.metacopy") {
                return Err(unsupported(
                    found.path,
                    "overlayfs keeps its content elsewhere (redirect or metacopy)",
                ));
            }
        }
        // Labels and signatures of this host mean nothing on another; overlay's marks are not the image's.
        let prefixes: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
        let host: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];
        xattrs.retain(|(key, _)| !prefixes.iter().any(|p| key.starts_with(p)) && !host.contains(&&**key));
        Ok(xattrs)
    }

    fn content(&mut self, found: &Found<'_>, mut entry: Entry) -> Result<(), PackError> {
        let fail = |source| read_error("read", found.path, source);
        // Reopening by the handle reads exactly the file that was looked at, whatever its name means by now.
        let file = File::open(format!("/proc/self/fd/{}", found.handle.as_raw_fd())).map_err(fail)?;
        let blocks = u64::try_from(found.stat.st_blocks).unwrap_or(0);
        let holes = blocks.saturating_mul(512) < entry.size;
        let segments = if holes { segments(&file, entry.size).map_err(fail)? } else { None };
        match segments {
            Some(mut segments) if self.options.sparse => {
                if segments.last().is_none_or(|last| last.offset + last.length < entry.size) {
                    // GNU tar forgets a hole at the end unless the map says where the file ends.
                    segments.push(Segment { offset: entry.size, length: 0 });
                }
                entry.sparse = Some(segments.clone());
                self.begin(&entry)?;
                self.segments(found, &file, &segments, None)
            }
            segments => {
                self.begin(&entry)?;
                let whole = vec![Segment { offset: 0, length: entry.size }];
                self.segments(found, &file, &segments.unwrap_or(whole), Some(entry.size))
            }
        }
    }

    /// Writes the segments; up to `size`, with zeros for what lies between them.
    fn segments(
        &mut self,
        found: &Found<'_>,
        file: &File,
        segments: &[Segment],
        size: Option<u64>,
    ) -> Result<(), PackError> {
        let fail = |source| read_error("read", found.path, source);
        let mut file = BufReader::with_capacity(256 << 10, file);
        let mut position = 0;
        for segment in segments {
            if size.is_some() {
                self.zeros(segment.offset - position)?;
            }
            file.seek(SeekFrom::Start(segment.offset)).map_err(fail)?;
            let mut left = segment.length;
            while left > 0 {
                let buffer = file.fill_buf().map_err(fail)?;
                if buffer.is_empty() {
                    break;
                }
                let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.out.data().write_all(&buffer[..length]).map_err(PackError::Write)?;
                file.consume(length);
                left -= length as u64;
            }
            // It shrank while it was read: the header has promised its size.
            self.zeros(left)?;
            position = segment.offset + segment.length;
        }
        self.zeros(size.map_or(0, |size| size - position))
    }

    fn zeros(&mut self, length: u64) -> Result<(), PackError> {
        io::copy(&mut io::repeat(0).take(length), self.out.data()).map_err(PackError::Write)?;
        Ok(())
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path {
        b"" => name.to_vec(),
        b"/" => [path, name].concat(),
        _ => [path, b"/", name].concat(),
    }
}

fn base(name: &[u8]) -> &[u8] {
    super::name::split(name).1
}

fn whiteout_name(name: &[u8]) -> Vec<u8> {
    let (parent, last) = super::name::split(name);
    join(parent, &[WHITEOUT, last].concat())
}

fn read_error(action: &'static str, path: &[u8], source: io::Error) -> PackError {
    PackError::Read { action, path: display(path), source }
}

fn unsupported(path: &[u8], problem: &'static str) -> PackError {
    PackError::Unsupported { path: display(path), problem }
}

fn display(path: &[u8]) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(path))
}
