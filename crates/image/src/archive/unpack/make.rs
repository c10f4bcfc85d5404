//! Makes what an entry describes: files, directories, links, devices, and their attributes.
//!
//! Attributes are set through a handle on the very object that was just made, never by its name: in a running
//! container (`docker cp`) somebody else may have replaced it in the meantime.

use std::{
    fs::File,
    io::{BufRead, Read, Seek, SeekFrom, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags},
    io::Errno,
};

use super::{
    Place, UnpackError, Unpacker, Whiteouts, clean, parent_error, refused, split, timestamps, write,
};
use crate::archive::{
    entry::{Entry, EntryKind, Segment},
    reader::TarReader,
    tree,
};

/// Longest target of a symbolic link that Linux takes.
const LONGEST_TARGET: usize = 4095;

impl Unpacker<'_, '_> {
    /// The entry for the root itself: its attributes only.
    pub(super) fn root_entry(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind != EntryKind::Directory {
            return Err(refused(entry, "the root must be a directory"));
        }
        let root = self.tree.directory(b"").map_err(|source| parent_error(entry, source))?;
        let root = open_directory(root.as_fd(), b".").map_err(write(entry, "open the root"))?;
        self.attributes(entry, root.as_fd())?;
        let due = self.times.keep(b"", entry.mtime);
        self.set_times(due)
    }

    pub(super) fn directory(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
        let Place { entry, name, parent, last } = *place;
        let mut replaced_whiteout = false;
        let mode = self.first_mode(entry, 0o700);
        match rustix::fs::mkdirat(parent, last, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let found = tree::stat(parent, last).map_err(write(entry, "look at what is there"))?;
                if !tree::is_directory(&found) {
                    replaced_whiteout =
                        self.options.whiteouts == Whiteouts::Overlay && tree::is_whiteout(&found);
                    self.clear(place)?;
                    rustix::fs::mkdirat(parent, last, mode).map_err(write(entry, "make the directory"))?;
                }
            }
            Err(errno) => return Err(write(entry, "make the directory")(errno)),
        }
        let directory = open_directory(parent, last).map_err(write(entry, "open the directory"))?;
        self.attributes(entry, directory.as_fd())?;
        if replaced_whiteout {
            // Deleted below and made anew here: what is below must stay hidden.
            tree::set_own_xattr(directory.as_fd(), tree::OPAQUE.as_bytes(), b"y")
                .map_err(write(entry, "hide the directory below"))?;
        }
        self.tree.keep(name, directory);
        let due = self.times.keep(name, entry.mtime);
        self.set_times(due)
    }

    pub(super) fn file(
        &mut self,
        place: &Place<'_>,
        reader: &mut TarReader<impl Read>,
    ) -> Result<(), UnpackError> {
        let Place { entry, parent, last, .. } = *place;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = self.first_mode(entry, 0o600);
        let open = || rustix::fs::openat(parent, last, flags, mode);
        let opened = match open() {
            Err(Errno::EXIST) => {
                self.clear(place)?;
                open()
            }
            result => result,
        };
        let mut file = File::from(opened.map_err(write(entry, "make the file"))?);
        match &entry.sparse {
            None => copy(entry, reader, &mut file, u64::MAX)?,
            Some(segments) => sparse(entry, segments, reader, &mut file)?,
        }
        self.attributes(entry, file.as_fd())?;
        rustix::fs::futimens(&file, &timestamps(entry.mtime)).map_err(write(entry, "set the times"))
    }

    pub(super) fn symlink(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
        let Place { entry, parent, last, .. } = *place;
        if entry.link.is_empty() || entry.link.len() > LONGEST_TARGET || entry.link.contains(&0) {
            return Err(refused(
                entry,
                "the target of the symbolic link is empty, too long or has a NUL byte",
            ));
        }
        self.make(place, "make the symbolic link", || rustix::fs::symlinkat(&*entry.link, parent, last))?;
        let (uid, gid) = self.owner(entry);
        rustix::fs::chownat(parent, last, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(write(entry, "set the owner"))?;
        for (key, value) in &entry.xattrs {
            let result = tree::set_xattr(parent, last, key, value);
            self.xattr_result(entry, key, result)?;
        }
        rustix::fs::utimensat(parent, last, &timestamps(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(write(entry, "set the times"))
    }

    /// A hard link. Its attributes are those of the file it names, which came earlier.
    pub(super) fn hardlink(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
        let Place { entry, name, parent, last } = *place;
        let target = clean(&entry.link, self.options.absolute_names, &self.options.limits)
            .map_err(|problem| refused(entry, format!("target of the hard link: {problem}")))?;
        if target.is_empty() || target == name {
            return Err(refused(entry, "a hard link to itself or to the root"));
        }
        let (directory, target_last) = split(&target);
        let directory = self.tree.directory(directory).map_err(|source| {
            match source.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOENT) => refused(entry, "the target of the hard link is not in the archive"),
                _ => parent_error(entry, source),
            }
        })?;
        let found = tree::stat(directory.as_fd(), target_last).map_err(|source| {
            match source.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOENT) => refused(entry, "the target of the hard link is not in the archive"),
                _ => write(entry, "look at the target of the hard link")(source),
            }
        })?;
        let forged = self.options.whiteouts == Whiteouts::Overlay && tree::is_whiteout(&found);
        if forged || tree::is_directory(&found) {
            return Err(refused(entry, "the target of the hard link is not a file"));
        }
        let link = || rustix::fs::linkat(&directory, target_last, parent, last, AtFlags::empty());
        self.make(place, "make the hard link", link)
    }

    pub(super) fn node(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
        let Place { entry, parent, last, .. } = *place;
        let kind = match entry.kind {
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let device = rustix::fs::makedev(entry.device.0, entry.device.1);
        let node = || rustix::fs::mknodat(parent, last, kind, Mode::from_raw_mode(0o600), device);
        self.make(place, "make the device", node)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = rustix::fs::openat(parent, last, flags, Mode::empty())
            .map_err(write(entry, "open the device"))?;
        // A device must not be opened (that would act on it), and a search-only handle takes attributes only by
        // way of its magic link.
        let (uid, gid) = self.owner(entry);
        let path = format!("/proc/self/fd/{}", node.as_raw_fd());
        rustix::fs::chownat(&node, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
            .map_err(write(entry, "set the owner"))?;
        rustix::fs::chmod(&path, Mode::from_raw_mode(entry.mode)).map_err(write(entry, "set the mode"))?;
        for (key, value) in &entry.xattrs {
            let result = tree::set_own_xattr(node.as_fd(), key, value);
            self.xattr_result(entry, key, result)?;
        }
        rustix::fs::utimensat(parent, last, &timestamps(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(write(entry, "set the times"))
    }

    /// Runs `make`; if something is in the way, clears it and runs it again.
    fn make(
        &mut self,
        place: &Place<'_>,
        action: &'static str,
        make: impl Fn() -> rustix::io::Result<()>,
    ) -> Result<(), UnpackError> {
        let result = match make() {
            Err(Errno::EXIST) => {
                self.clear(place)?;
                make()
            }
            result => result,
        };
        result.map_err(write(place.entry, action))
    }

    /// Removes what is at the entry's place, a whole directory if need be.
    fn clear(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
        let Place { entry, name, parent, last } = *place;
        let found = tree::stat(parent, last).map_err(write(entry, "look at what is there"))?;
        let was_directory = tree::is_directory(&found);
        if self.options.no_overwrite_dir_non_dir && was_directory != (entry.kind == EntryKind::Directory) {
            let problem = match was_directory {
                true => "would replace a directory by something else",
                false => "would replace something else by a directory",
            };
            return Err(refused(entry, problem));
        }
        tree::remove(parent, last).map_err(write(entry, "remove what is there"))?;
        // The handles kept may be on what was just removed, or on what a removed link led to.
        self.tree.forget();
        if was_directory {
            self.times.forget(name);
        }
        Ok(())
    }

    fn owner(&self, entry: &Entry) -> (Uid, Gid) {
        let (uid, gid) = self.options.owner.unwrap_or((entry.uid, entry.gid));
        (Uid::from_raw(uid), Gid::from_raw(gid))
    }

    /// The mode to make something with. What is not root's starts closed: it is root's until its owner is set.
    fn first_mode(&self, entry: &Entry, closed: u32) -> Mode {
        let (uid, gid) = self.owner(entry);
        Mode::from_raw_mode(if uid.is_root() && gid.is_root() { entry.mode & 0o777 } else { closed })
    }

    /// Owner, mode, extended attributes: in this order, since chown(2) clears setuid and capabilities. Looking first
    /// is much cheaper than setting what is right already: each set is a transaction of the file system's journal.
    fn attributes(&mut self, entry: &Entry, file: BorrowedFd<'_>) -> Result<(), UnpackError> {
        let (uid, gid) = self.owner(entry);
        let look = || rustix::fs::fstat(file).map_err(write(entry, "look at it"));
        let mut found = look()?;
        if (found.st_uid, found.st_gid) != (uid.as_raw(), gid.as_raw()) {
            rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(write(entry, "set the owner"))?;
            found = look()?;
        }
        if found.st_mode & 0o7777 != entry.mode {
            rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))
                .map_err(write(entry, "set the mode"))?;
        }
        for (key, value) in &entry.xattrs {
            let result = rustix::fs::fsetxattr(file, &**key, value, XattrFlags::empty());
            self.xattr_result(entry, key, result.map_err(Into::into))?;
        }
        Ok(())
    }

    /// A file system without extended attributes of a kind is no reason to refuse an image; the loss is counted. Nor are
    /// users' attributes on what cannot have them: links and devices (xattr(7)).
    fn xattr_result(
        &mut self,
        entry: &Entry,
        key: &[u8],
        result: std::io::Result<()>,
    ) -> Result<(), UnpackError> {
        let errno = result.as_ref().err().and_then(Errno::from_io_error);
        match errno {
            Some(Errno::OPNOTSUPP) => {}
            Some(Errno::PERM) if key.starts_with(b"user.") => {}
            _ => return result.map_err(write(entry, "set an extended attribute")),
        }
        self.done.dropped_xattrs += 1;
        Ok(())
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Copies at most `length` bytes of the entry's data straight from the read buffer.
fn copy(
    entry: &Entry,
    reader: &mut TarReader<impl Read>,
    file: &mut File,
    mut length: u64,
) -> Result<(), UnpackError> {
    let mut data = reader.data();
    while length > 0 && data.left() > 0 {
        let left = data.left();
        let buffer = data.fill_buf().map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                refused(entry, format!("the archive ends {left} bytes before it does"))
            }
            _ => UnpackError::Read(error),
        })?;
        let part = buffer.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        file.write_all(&buffer[..part]).map_err(write(entry, "write the file"))?;
        data.consume(part);
        length -= part as u64;
    }
    Ok(())
}

fn sparse(
    entry: &Entry,
    segments: &[Segment],
    reader: &mut TarReader<impl Read>,
    file: &mut File,
) -> Result<(), UnpackError> {
    file.set_len(entry.size).map_err(write(entry, "set the size of the file"))?;
    for segment in segments.iter().filter(|segment| segment.length > 0) {
        file.seek(SeekFrom::Start(segment.offset)).map_err(write(entry, "write the file"))?;
        copy(entry, reader, file, segment.length)?;
    }
    Ok(())
}
