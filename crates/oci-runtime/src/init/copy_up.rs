//! `tmpcopyup`: a tmpfs that starts with what the image has at its place.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use minke_kernel::path::Root;
use rustix::fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};

/// How deep directories may be nested, so that a hostile image can't exhaust the stack.
const DEEPEST: usize = 256;

/// Copies the directory at `path` of `root` into the tmpfs that `mount` is. Devices, sockets and FIFOs are made anew.
pub(super) fn copy(root: &Root, path: &Path, mount: &OwnedFd) -> io::Result<()> {
    let from = root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let to = open_directory(mount, c".")?;
    copy_directory(&from, &to, 0)
}

fn open_directory(parent: impl AsFd, name: &std::ffi::CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(parent, name, flags, Mode::empty())?)
}

fn copy_directory(from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::other("directories are nested too deeply"));
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                fs::mkdirat(to, name, mode)?;
                copy_directory(&open_directory(from, name)?, &open_directory(to, name)?, depth + 1)?;
            }
            FileType::RegularFile => {
                // It may have become something else meanwhile: a FIFO must not hold this up.
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let mut source = File::from(fs::openat(from, name, flags, Mode::empty())?);
                if !source.metadata()?.is_file() {
                    return Err(io::Error::other("a file was exchanged while it was copied"));
                }
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                io::copy(&mut source, &mut File::from(fs::openat(to, name, flags, mode)?))?;
            }
            FileType::Symlink => {
                fs::symlinkat(fs::readlinkat(from, name, Vec::new())?, to, name)?;
            }
            other => fs::mknodat(to, name, other, mode, stat.st_rdev)?,
        }
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            // Changing the owner took set-id bits away.
            fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
    }
    Ok(())
}
