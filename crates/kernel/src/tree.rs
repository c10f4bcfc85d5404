//! Deleting and measuring trees that others made: containers, builds and images decide how deep they are.

use std::{
    collections::HashSet,
    ffi::{CString, OsStr},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};

/// How many directories in each other are open at once. `std::fs::remove_dir_all` calls itself for each, and a process that has some
/// ten thousand of them to delete ends for lack of stack.
const DEEPEST: usize = 100;

/// How often a directory is read again that somebody has put something into meanwhile: a process that is just ending.
const MOST_REFILLS: usize = 100;

/// A directory that is being emptied.
struct Level {
    directory: OwnedFd,
    /// Its name in the one above; unused for the topmost.
    name: CString,
    /// What is still to be deleted, and whether it may be a directory.
    entries: Vec<(CString, bool)>,
}

/// Deletes a directory with all that is in it, of whatever depth. Links are deleted, not followed, also when somebody makes them meanwhile.
///
/// # Errors
/// `NotFound` when it isn't there, `NotADirectory` when it is none; otherwise what the kernel said of the first entry that can't be
/// deleted (`EBUSY`: something is mounted there; `ENOTEMPTY`: somebody goes on writing).
///
/// What lies deeper than some directories is moved to the top first, so that neither stack nor descriptors grow with the depth.
pub fn remove_all(path: &Path) -> io::Result<()> {
    let top = open(CWD, path.as_os_str())?;
    let (mut moved, mut refilled) = (0_u64, 0);
    let mut levels = vec![Level::new(top, CString::default())?];
    while let depth = levels.len()
        && let Some(level) = levels.last_mut()
    {
        let Some((name, may_be_directory)) = level.entries.pop() else {
            let Some(done) = levels.pop() else { break };
            let removed = match levels.last() {
                Some(above) => gone(rustix::fs::unlinkat(&above.directory, &done.name, AtFlags::REMOVEDIR)),
                None => rustix::fs::rmdir(path).map_err(io::Error::from),
            };
            match removed {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && refilled < MOST_REFILLS => {
                    refilled += 1;
                    levels.push(Level::new(done.directory, done.name)?);
                }
                result => result?,
            }
            continue;
        };
        if !may_be_directory {
            match rustix::fs::unlinkat(&level.directory, &name, AtFlags::empty()) {
                // Somebody has made a directory of it.
                Err(Errno::ISDIR) => level.entries.push((name, true)),
                result => gone(result)?,
            }
            continue;
        }
        match open(level.directory.as_fd(), OsStr::from_bytes(name.to_bytes())) {
            Ok(directory) if depth < DEEPEST => levels.push(Level::new(directory, name)?),
            Ok(_) => {
                let (Some(top), Some(level)) = (levels.first(), levels.last()) else { break };
                let new = move_up(&level.directory, &name, &top.directory, &mut moved)?;
                levels[0].entries.push((new, true));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => {}
                io::ErrorKind::NotADirectory => level.entries.push((name, false)),
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// Bytes of the files below a directory, each inode once; links are not followed, and what can't be read counts nothing.
pub fn usage(directory: &Path) -> u64 {
    let (mut seen, mut sum) = (HashSet::new(), 0);
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                directories.push(entry.path());
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())))
            {
                sum += metadata.len();
            }
        }
    }
    sum
}

impl Level {
    fn new(directory: OwnedFd, name: CString) -> io::Result<Self> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let may_be_directory = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
                entries.push((name.to_owned(), may_be_directory));
            }
        }
        Ok(Self { directory, name, entries })
    }
}

/// Moves a directory to the topmost, under a name that isn't taken there.
fn move_up(from: &OwnedFd, name: &CString, top: &OwnedFd, moved: &mut u64) -> io::Result<CString> {
    loop {
        let new = CString::new(format!(".moved-{moved}"))?;
        *moved += 1;
        match rustix::fs::renameat_with(from, name, top, &new, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(new),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens a directory that is none behind a link.
fn open(at: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

/// What somebody else deleted is as good.
fn gone(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes directories in each other, without a path that gets too long.
    fn nest(top: &Path, depth: usize) {
        let mut at = open(CWD, top.as_os_str()).unwrap();
        for _ in 0..depth {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o700)).unwrap();
            rustix::fs::openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o600))
                .unwrap();
            at = open(at.as_fd(), OsStr::new("d")).unwrap();
        }
    }

    #[test]
    fn a_tree_goes_with_all_that_is_in_it_and_nothing_behind_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, other) = (folder.path().join("tree"), folder.path().join("other"));
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "").unwrap();
        fs::write(tree.join("a/file"), "").unwrap();
        symlink(&other, tree.join("a/link")).unwrap();
        symlink("nowhere", tree.join("dangling")).unwrap();
        remove_all(&tree).unwrap();
        assert!(!tree.exists() && other.join("kept").exists());
        assert_eq!(remove_all(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
        symlink(&other, &tree).unwrap();
        assert_eq!(remove_all(&tree).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert!(other.join("kept").exists());
    }

    #[test]
    fn what_is_written_meanwhile_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("below")).unwrap();
        std::thread::scope(|scope| {
            for place in [tree.clone(), tree.join("below")] {
                scope.spawn(move || {
                    let mut numbers = 0..40;
                    while numbers
                        .next()
                        .is_some_and(|number| fs::write(place.join(number.to_string()), "").is_ok())
                    {
                        std::thread::yield_now();
                    }
                });
            }
            remove_all(&tree).unwrap();
        });
        assert!(!tree.exists());
    }

    #[test]
    fn a_file_of_several_names_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/one"), "12345").unwrap();
        fs::hard_link(folder.path().join("a/one"), folder.path().join("a/b/two")).unwrap();
        fs::write(folder.path().join("three"), "123").unwrap();
        symlink("/etc", folder.path().join("link")).unwrap();
        assert_eq!(usage(folder.path()), 8);
        assert_eq!(usage(&folder.path().join("missing")), 0);
    }

    #[test]
    fn a_tree_of_any_depth_goes_with_little_stack() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::create_dir(tree.join(".moved-0")).unwrap();
        nest(&tree, 5_000);
        let path = tree.clone();
        let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(move || remove_all(&path));
        thread.unwrap().join().unwrap().unwrap();
        assert!(!tree.exists());
    }
}
