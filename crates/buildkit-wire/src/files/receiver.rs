//! The receiving side, packet by packet, without a connection: what a packet does to the folder, and what to ask for next.
//!
//! Runs on a thread that may block. Whatever is announced, nothing is touched outside the folder: each entry is made by its
//! name alone in a descriptor of its folder, which was opened without following any link. Limits: [`ENTRIES`] entries, files
//! that grow by [`SLACK`] while they are sent, [`OPEN`] files at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{
    self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags,
};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::SyncError;
use super::entry::{Entry, Kind};
use super::order::Way;
use crate::pb::fsutil::{self, Packet};

/// The most entries of a folder, with all that is in it.
const ENTRIES: u32 = 4_000_000;
/// How many bytes more than announced a file may have: one that is being written grows.
const SLACK: u64 = 16 * 1024 * 1024;
/// The most bytes of extended attributes of files that are still to be received.
const WAITING: usize = 64 << 20;
/// The most files that are received at once.
const OPEN: usize = 64;
/// How much of a sender's complaint is repeated.
const MESSAGE: usize = 1000;

/// What becomes of what is in a folder beside what is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// It goes: the folder becomes what is sent, and what is the same already isn't asked for.
    Goes,
    /// It stays, and all that is sent is written anew: what was there may be anything.
    Stays,
}

/// A folder while it is received.
pub(crate) struct Receiver {
    root: OwnedFd,
    beside: Beside,
    began: Timespec,
    way: Way<Folder>,
    next_id: u32,
    all_announced: bool,
    /// Announced and wanted, not asked for yet.
    wanted: VecDeque<(u32, Entry)>,
    /// Bytes of extended attributes that wait with them.
    waiting: usize,
    open: HashMap<u32, Incoming>,
    /// Times of folders, which change until all is there.
    times: Vec<(String, Timespec)>,
    /// Names of files that are there once all is.
    links: Vec<Entry>,
}

/// A folder on the way to the entry that was announced last.
struct Folder {
    fd: OwnedFd,
    path: String,
    beside: Beside,
    /// What was in it before and may go, in descending order.
    before: Vec<OsString>,
}

/// A file whose content comes.
struct Incoming {
    file: File,
    entry: Entry,
    received: u64,
}

impl Receiver {
    /// Receives into `folder`.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(crate) fn new(folder: &Path, beside: Beside) -> Result<Self, SyncError> {
        let name = folder.to_string_lossy();
        let open = || fs::open(folder, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let root = open().map_err(|error| SyncError::io("open", &name, error))?;
        let top = Folder::of(open().map_err(|error| SyncError::io("open", &name, error))?, "", beside)?;
        Ok(Self {
            root,
            beside,
            began: clock_gettime(ClockId::RealtimeCoarse),
            way: Way::new(top),
            next_id: 0,
            all_announced: false,
            wanted: VecDeque::new(),
            waiting: 0,
            open: HashMap::new(),
            times: Vec::new(),
            links: Vec::new(),
        })
    }

    /// Takes a packet; returns the files to ask for now.
    ///
    /// # Errors
    /// What is wrong with it; the folder is in between then, and right again after the next time.
    pub(crate) fn packet(&mut self, packet: Packet) -> Result<Vec<u32>, SyncError> {
        match packet.kind() {
            fsutil::Kind::Stat => match packet.stat {
                Some(stat) => self.announced(Entry::read(stat)?)?,
                None => self.all_announced()?,
            },
            fsutil::Kind::Data => self.data(packet.id, &packet.data)?,
            fsutil::Kind::Error => {
                let text = String::from_utf8_lossy(&packet.data);
                let text = text.chars().take(MESSAGE).map(|c| if c.is_control() { ' ' } else { c });
                return Err(SyncError::Sender(text.collect()));
            }
            fsutil::Kind::Request => return Err(SyncError::Unasked(packet.id)),
            fsutil::Kind::End => {}
        }
        self.ask()
    }

    /// Whether all that was announced is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.all_announced && self.wanted.is_empty() && self.open.is_empty()
    }

    /// Gives folders their times, and files their other names.
    ///
    /// # Errors
    /// When the host refuses it.
    pub(crate) fn finish(mut self) -> Result<(), SyncError> {
        for entry in std::mem::take(&mut self.links) {
            self.link(&entry)?;
        }
        for (path, modified) in self.times.iter().rev() {
            let folder = self.folder(path)?;
            let times = Timestamps { last_access: *modified, last_modification: *modified };
            fs::futimens(&folder, &times).map_err(|error| SyncError::io("set the time of", path, error))?;
        }
        Ok(())
    }

    fn announced(&mut self, entry: Entry) -> Result<(), SyncError> {
        if self.all_announced {
            return Err(SyncError::Entry { path: entry.path, reason: "announced after the end" });
        }
        let id = self.next_id;
        self.next_id += 1;
        if id >= ENTRIES {
            return Err(SyncError::TooMuch { what: "files in a context", most: ENTRIES.into() });
        }
        for left in self.way.go_to(&entry)? {
            left.remove_rest()?;
        }
        let Some(here) = self.way.here() else { return Ok(()) };
        let is_there = here.make_way_for(&entry, self.began)?;
        match entry.kind {
            Kind::Directory => self.directory(entry, is_there)?,
            // The file's own attributes are its first name's.
            Kind::File if !entry.has_content() => {
                self.links.push(Entry { xattrs: BTreeMap::new(), ..entry });
            }
            Kind::File if is_there => {}
            Kind::File => {
                self.waiting += attributes_of(&entry);
                if self.waiting > WAITING {
                    return Err(SyncError::TooMuch {
                        what: "bytes of extended attributes at once",
                        most: WAITING as u64,
                    });
                }
                self.wanted.push_back((id, entry));
            }
            Kind::Link | Kind::Fifo if is_there => {}
            Kind::Link => here.symlink(&entry)?,
            Kind::Fifo => here.fifo(&entry)?,
        }
        Ok(())
    }

    fn directory(&mut self, entry: Entry, is_there: bool) -> Result<(), SyncError> {
        let Some(here) = self.way.here() else { return Ok(()) };
        let name = entry.split().1;
        if !is_there {
            fs::mkdirat(&here.fd, name, Mode::RWXU)
                .map_err(|error| SyncError::io("make", &entry.path, error))?;
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&here.fd, name, flags, Mode::empty())
            .map_err(|error| SyncError::io("open", &entry.path, error))?;
        fs::fchmod(&fd, Mode::from_bits_retain(entry.mode))
            .map_err(|error| SyncError::io("set the mode of", &entry.path, error))?;
        set_xattrs(&fd, &entry);
        let folder = Folder::of(fd, &entry.path, self.beside)?;
        self.way.enter(&entry.path, folder);
        self.times.push((entry.path, entry.modified));
        Ok(())
    }

    fn all_announced(&mut self) -> Result<(), SyncError> {
        self.all_announced = true;
        self.way.leave_all().into_iter().try_for_each(Folder::remove_rest)
    }

    /// Opens files to receive, as many as may be open.
    fn ask(&mut self) -> Result<Vec<u32>, SyncError> {
        let mut asked = Vec::new();
        while self.open.len() < OPEN {
            let Some((id, entry)) = self.wanted.pop_front() else { break };
            self.waiting -= attributes_of(&entry);
            let file = self.create(&entry)?;
            self.open.insert(id, Incoming { file, entry, received: 0 });
            asked.push(id);
        }
        Ok(asked)
    }

    fn create(&self, entry: &Entry) -> Result<File, SyncError> {
        let (folder, name) = entry.split();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(self.folder(folder)?, name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(|error| SyncError::io("create", &entry.path, error))
    }

    fn data(&mut self, id: u32, data: &[u8]) -> Result<(), SyncError> {
        let incoming = self.open.get_mut(&id).ok_or(SyncError::Unasked(id))?;
        if !data.is_empty() {
            return incoming.write(data);
        }
        match self.open.remove(&id) {
            Some(incoming) => incoming.finish(),
            None => Ok(()),
        }
    }

    /// Another name for a file that is there.
    fn link(&self, entry: &Entry) -> Result<(), SyncError> {
        let error = |error| SyncError::io("link", &entry.path, error);
        let (folder, name) = entry.split();
        let (target_folder, target) = entry.target.rsplit_once('/').unwrap_or(("", &entry.target));
        let (folder, target_folder) = (self.folder(folder)?, self.folder(target_folder)?);
        let stat = fs::statat(&target_folder, target, AtFlags::SYMLINK_NOFOLLOW).map_err(error)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(SyncError::Entry {
                path: entry.path.clone(),
                reason: "another name for what is no file",
            });
        }
        match fs::unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(other) => return Err(error(other)),
        }
        fs::linkat(&target_folder, target, &folder, name, AtFlags::empty()).map_err(error)
    }

    /// A folder by its path from the root, without following any link.
    fn folder(&self, path: &str) -> Result<OwnedFd, SyncError> {
        let path = if path.is_empty() { "." } else { path };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
            .map_err(|error| SyncError::io("open", path, error))
    }
}

impl Folder {
    fn of(fd: OwnedFd, path: &str, beside: Beside) -> Result<Self, SyncError> {
        if beside == Beside::Stays {
            return Ok(Self { fd, path: path.to_owned(), beside, before: Vec::new() });
        }
        let names = |fd: &OwnedFd| -> Result<Vec<OsString>, Errno> {
            let mut names = Vec::new();
            for entry in Dir::read_from(fd)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.push(OsString::from_vec(name));
                }
            }
            Ok(names)
        };
        let mut before = names(&fd).map_err(|error| SyncError::io("list", path, error))?;
        before.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self { fd, path: path.to_owned(), beside, before })
    }

    /// Removes what was there before and comes no more up to `entry`, and what stands in its place unless it is the same.
    /// Returns whether it is the same. `began`: when the first of it came.
    fn make_way_for(&mut self, entry: &Entry, began: Timespec) -> Result<bool, SyncError> {
        let name = entry.split().1;
        if self.beside == Beside::Stays {
            return self.replace(name, entry);
        }
        while let Some(before) = self.before.pop_if(|before| before.as_os_str() <= name) {
            if before != name {
                self.remove(&before)?;
                continue;
            }
            let stat = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| SyncError::io("look at", &entry.path, error))?;
            if self.is_same(&stat, entry, began) {
                return Ok(true);
            }
            self.remove(&before)?;
        }
        Ok(false)
    }

    /// Removes what has the entry's name, but a folder where there is to be one.
    fn replace(&self, name: &str, entry: &Entry) -> Result<bool, SyncError> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(SyncError::io("look at", &entry.path, error)),
            Ok(stat) => {
                let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                if is_folder && entry.kind == Kind::Directory {
                    return Ok(true);
                }
                self.remove(&name.into())?;
                Ok(false)
            }
        }
    }

    fn is_same(&self, stat: &fs::Stat, entry: &Entry, began: Timespec) -> bool {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mode = stat.st_mode & 0o7777 == entry.mode;
        let time = stat.st_mtime == entry.modified.tv_sec
            && i64::try_from(stat.st_mtime_nsec).is_ok_and(|nanos| nanos == entry.modified.tv_nsec);
        match entry.kind {
            Kind::Directory => kind == FileType::Directory,
            Kind::File => {
                // A file of several names is sent anew: which names it has now is told later. So is one that had another name until
                // that was removed just now: its change then set its ctime.
                let untouched = (stat.st_ctime, stat.st_ctime_nsec)
                    < (began.tv_sec, u64::try_from(began.tv_nsec).unwrap_or_default());
                let size = u64::try_from(stat.st_size).is_ok_and(|size| size == entry.size);
                kind == FileType::RegularFile && mode && time && size && untouched && stat.st_nlink == 1
            }
            Kind::Link => {
                let target = fs::readlinkat(&self.fd, entry.split().1, Vec::new());
                kind == FileType::Symlink
                    && time
                    && target.is_ok_and(|target| target.as_bytes() == entry.target.as_bytes())
            }
            Kind::Fifo => kind == FileType::Fifo && mode && time,
        }
    }

    fn remove_rest(mut self) -> Result<(), SyncError> {
        while let Some(name) = self.before.pop() {
            self.remove(&name)?;
        }
        Ok(())
    }

    fn remove(&self, name: &OsString) -> Result<(), SyncError> {
        remove_all(self.fd.as_fd(), name).map_err(|error| {
            SyncError::io("remove", &format!("{}/{}", self.path, name.to_string_lossy()), error)
        })
    }

    fn symlink(&self, entry: &Entry) -> Result<(), SyncError> {
        let name = entry.split().1;
        fs::symlinkat(&*entry.target, &self.fd, name)
            .and_then(|()| self.set_times(name, entry))
            .map_err(|error| SyncError::io("make the link", &entry.path, error))
    }

    fn fifo(&self, entry: &Entry) -> Result<(), SyncError> {
        let name = entry.split().1;
        fs::mknodat(&self.fd, name, FileType::Fifo, Mode::from_bits_retain(entry.mode), 0)
            .and_then(|()| fs::chmodat(&self.fd, name, Mode::from_bits_retain(entry.mode), AtFlags::empty()))
            .and_then(|()| self.set_times(name, entry))
            .map_err(|error| SyncError::io("make the fifo", &entry.path, error))
    }

    fn set_times(&self, name: &str, entry: &Entry) -> Result<(), Errno> {
        let times = Timestamps { last_access: entry.modified, last_modification: entry.modified };
        fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }
}

impl Incoming {
    fn write(&mut self, data: &[u8]) -> Result<(), SyncError> {
        self.received += data.len() as u64;
        let most = self.entry.size.saturating_add(SLACK);
        if self.received > most {
            return Err(SyncError::TooMuch { what: "bytes of a file that grows while it is sent", most });
        }
        self.file.write_all(data).map_err(|error| SyncError::io("write", &self.entry.path, error))
    }

    /// Mode and time come last: what breaks off before looks different the next time.
    fn finish(self) -> Result<(), SyncError> {
        let Self { file, entry, .. } = self;
        set_xattrs(&file, &entry);
        let times = Timestamps { last_access: entry.modified, last_modification: entry.modified };
        fs::fchmod(&file, Mode::from_bits_retain(entry.mode))
            .and_then(|()| fs::futimens(&file, &times))
            .map_err(|error| SyncError::io("finish", &entry.path, error))
    }
}

/// Bytes of an entry's extended attributes.
fn attributes_of(entry: &Entry) -> usize {
    entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Sets the attributes that mean something in an image. A file system without them is no reason to fail.
fn set_xattrs(file: impl AsFd, entry: &Entry) {
    for (name, value) in &entry.xattrs {
        let _ = fs::fsetxattr(&file, &**name, value, XattrFlags::empty());
    }
}

/// Removes an entry with all that is in it, without following links.
fn remove_all(folder: std::os::fd::BorrowedFd<'_>, name: &OsString) -> Result<(), Errno> {
    match fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return other,
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = fs::openat(folder, name, flags, Mode::empty())?;
    for entry in Dir::read_from(&inner)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            remove_all(inner.as_fd(), &OsString::from_vec(name))?;
        }
    }
    fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

#[cfg(test)]
mod tests;
