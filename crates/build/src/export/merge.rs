//! The files of several platforms in one directory (`platform-split=false`).

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Timestamps},
    io::Errno,
};

use crate::BuildError;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Moves the files of one platform to those of others.
///
/// # Errors
/// When a file is there already: neither may be lost. When files can't be moved.
pub(super) fn into(to: BorrowedFd<'_>, from: BorrowedFd<'_>, platform: &str) -> Result<(), BuildError> {
    match directory(to, from, "") {
        Ok(None) => Ok(()),
        Ok(Some(path)) => Err(BuildError::Invalid(format!(
            "{path} of {platform} is in the files of another platform too: with platform-split=false all have to have names of their own"
        ))),
        Err(error) => Err(BuildError::Failed(format!("put the files of {platform} to the others: {error}"))),
    }
}

/// Gives the path that is there twice.
fn directory(to: BorrowedFd<'_>, from: BorrowedFd<'_>, path: &str) -> io::Result<Option<String>> {
    let before = rustix::fs::fstat(to)?;
    for name in entries(from)? {
        match rustix::fs::renameat_with(from, &name, to, &name, RenameFlags::NOREPLACE) {
            Ok(()) => continue,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let whole = format!("{path}/{}", name.to_string_lossy());
        let is_directory = |of| {
            let stat = rustix::fs::statat(of, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            io::Result::Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        };
        if !is_directory(from)? || !is_directory(to)? {
            return Ok(Some(whole));
        }
        let below = |of| rustix::fs::openat(of, &name, OPEN, Mode::empty());
        if let Some(twice) = directory(below(to)?.as_fd(), below(from)?.as_fd(), &whole)? {
            return Ok(Some(twice));
        }
    }
    // What came changed the directory's time, which is the image's.
    let time = |seconds, nanoseconds| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(before.st_atime, before.st_atime_nsec as _),
        last_modification: time(before.st_mtime, before.st_mtime_nsec as _),
    };
    rustix::fs::futimens(to, &times)?;
    Ok(None)
}

fn entries(directory: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            entries.push(entry.file_name().to_owned());
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn directories_become_one_and_files_that_are_there_twice_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let place = |path: &str| folder.path().join(path);
        for path in ["a/both/x", "b/both", "b/own"] {
            fs::create_dir_all(place(path)).unwrap();
        }
        for path in ["a/both/one", "b/both/two", "b/own/three"] {
            fs::write(place(path), path).unwrap();
        }
        let day = std::time::UNIX_EPOCH + std::time::Duration::from_secs(86400);
        File::open(place("a/both")).unwrap().set_modified(day).unwrap();
        let (a, b) = (File::open(place("a")).unwrap(), File::open(place("b")).unwrap());
        into(a.as_fd(), b.as_fd(), "linux/arm64").unwrap();
        for path in ["a/both/one", "a/both/two", "a/own/three", "a/both/x"] {
            assert!(place(path).exists(), "{path}");
        }
        assert_eq!(fs::metadata(place("a/both")).unwrap().modified().unwrap(), day);
        fs::write(place("b/both/one"), "other").unwrap();
        let told = into(a.as_fd(), b.as_fd(), "linux/arm64").unwrap_err().to_string();
        assert!(
            told.starts_with("/both/one of linux/arm64 is in the files of another platform too"),
            "{told}"
        );
        assert_eq!(fs::read_to_string(place("a/both/one")).unwrap(), "a/both/one");
    }
}
