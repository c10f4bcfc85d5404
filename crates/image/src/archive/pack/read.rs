//! What packing reads of files: names, holes, extended attributes, mounts.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{AtFlags, StatxFlags};

use crate::archive::entry::Segment;

/// Most extents of a sparse file that are kept apart; a file with more is written whole.
const MOST_SEGMENTS: usize = 16_384;

/// Extended attributes: names and values.
pub(super) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Where the file's data is, or `None` when that cannot be told or is too finely cut.
pub(super) fn segments(file: &File, size: u64) -> io::Result<Option<Vec<Segment>>> {
    use rustix::{fs::SeekFrom as At, io::Errno};
    let mut segments = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match rustix::fs::seek(file, At::Data(position)) {
            Ok(start) => start.min(size),
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(file, At::Hole(start))?.min(size);
        if end > start {
            segments.push(Segment { offset: start, length: end - start });
        }
        position = end.max(start + 1);
        if segments.len() > MOST_SEGMENTS {
            return Ok(None);
        }
    }
    Ok(Some(segments))
}

pub(super) fn list(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

pub(super) fn xattrs(handle: &OwnedFd) -> io::Result<Xattrs> {
    use rustix::io::Errno;
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let names = match grown(|buffer| rustix::fs::listxattr(&*path, buffer)) {
        // Sockets, links and some file systems have none.
        Err(Errno::OPNOTSUPP | Errno::PERM) => return Ok(Vec::new()),
        result => result?,
    };
    let mut xattrs = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match grown(|buffer| rustix::fs::getxattr(&*path, name, buffer)) {
            Ok(value) => xattrs.push((name.to_vec(), value)),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    xattrs.sort_unstable();
    Ok(xattrs)
}

/// Calls `read` with a growing buffer until the answer fits.
fn grown(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1024];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(rustix::io::Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 8, 0),
            Err(errno) => return Err(errno),
        }
    }
}

pub(super) fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

pub(super) fn mount_id(handle: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::fs::statx(handle, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}
