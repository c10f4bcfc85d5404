//! A walk through a folder in the order in which its entries are announced, by descriptors: whatever moves or becomes a link
//! meanwhile, nothing outside the folder is seen.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};

use super::SyncError;

/// The deepest folder.
const DEPTH: usize = 256;

/// What becomes of an entry, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// Neither it nor what is in it.
    Leave,
    /// It is a folder that is taken if something in it is.
    Below,
    /// It is taken, and if it is a folder, what is in it is asked about.
    Take,
}

/// Whoever decides which entries of a folder count. A folder is asked about before what is in it.
pub trait Choose: Send {
    /// Decides; the path is relative to the top.
    fn choose(&mut self, path: &str, is_folder: bool) -> Choice;
}

/// All entries.
#[derive(Debug, Clone, Copy)]
pub struct Everything;

impl Choose for Everything {
    fn choose(&mut self, _: &str, _: bool) -> Choice {
        Choice::Take
    }
}

/// An entry that is taken.
#[derive(Debug, Clone)]
pub struct Found {
    /// Relative to the top.
    pub path: String,
    /// What the host says of it, not of what it leads to.
    pub stat: Stat,
    /// Where a link leads.
    pub target: String,
}

impl Found {
    /// What it is.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// Walks through the folder and tells of each entry that is taken, folders before what is in them.
///
/// # Errors
/// When something can't be read, and what `tell` says. What vanishes meanwhile was never there.
pub fn walk(
    root: impl AsFd,
    choose: &mut dyn Choose,
    tell: &mut dyn FnMut(Found) -> Result<(), SyncError>,
) -> Result<(), SyncError> {
    let top = open(&root, "", OFlags::DIRECTORY)?;
    Walk { choose, tell, waiting: Vec::new() }.folder(top.as_fd(), "", 0)
}

/// Opens what is below `root` at a path without links, to read it; the empty path is `root` itself.
///
/// # Errors
/// When it isn't there, can't be read, or there is a link on the way.
pub fn open(root: impl AsFd, path: &str, flags: OFlags) -> Result<OwnedFd, SyncError> {
    let path = if path.is_empty() { "." } else { path };
    // Not blocking: it may have become a FIFO.
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    fs::openat2(root, path, flags, Mode::empty(), resolve).map_err(|error| SyncError::io("open", path, error))
}

struct Walk<'a> {
    choose: &'a mut dyn Choose,
    tell: &'a mut dyn FnMut(Found) -> Result<(), SyncError>,
    /// The folders on the way that are told of once something in them is.
    waiting: Vec<Found>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &str, depth: usize) -> Result<(), SyncError> {
        if depth > DEPTH {
            return Err(SyncError::TooMuch { what: "folders in each other", most: DEPTH as u64 });
        }
        let mut names = names(folder).map_err(|error| SyncError::io("list", path, error))?;
        names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (name, kind) in names {
            // A name that is no text can't be sent.
            let Ok(name) = name.into_string() else { continue };
            let inner = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            self.entry(folder, &name, kind, inner, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &str,
        kind: FileType,
        path: String,
        depth: usize,
    ) -> Result<(), SyncError> {
        // What isn't taken isn't looked at, as long as the listing says what it is.
        let listed = (kind != FileType::Unknown).then_some(kind == FileType::Directory);
        let choice = listed.map(|is_folder| self.choose.choose(&path, is_folder));
        if choice == Some(Choice::Leave) {
            return Ok(());
        }
        let Some(found) = look(folder, name, path)? else { return Ok(()) };
        let is_folder = found.kind() == FileType::Directory;
        if listed.is_some_and(|listed| listed != is_folder) {
            // Replaced this very moment: what was asked about is gone.
            return Ok(());
        }
        match choice.unwrap_or_else(|| self.choose.choose(&found.path, is_folder)) {
            Choice::Take => self.take(found.clone())?,
            Choice::Below if is_folder => self.waiting.push(found.clone()),
            Choice::Below | Choice::Leave => return Ok(()),
        }
        if is_folder {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            let inner = fs::openat(folder, name, flags, Mode::empty())
                .map_err(|error| SyncError::io("open", &found.path, error))?;
            self.folder(inner.as_fd(), &found.path, depth + 1)?;
            self.waiting.pop_if(|waiting| waiting.path == found.path);
        }
        Ok(())
    }

    fn take(&mut self, found: Found) -> Result<(), SyncError> {
        for folder in self.waiting.drain(..) {
            (self.tell)(folder)?;
        }
        (self.tell)(found)
    }
}

/// What an entry is; `None` when it is gone.
fn look(folder: BorrowedFd<'_>, name: &str, path: String) -> Result<Option<Found>, SyncError> {
    let stat = match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(SyncError::io("look at", &path, error)),
    };
    let target = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            let target = fs::readlinkat(folder, name, Vec::new());
            let target = target.map_err(|error| SyncError::io("read", &path, error))?;
            target.to_string_lossy().into_owned()
        }
        _ => String::new(),
    };
    Ok(Some(Found { path, stat, target }))
}

fn names(folder: BorrowedFd<'_>) -> rustix::io::Result<Vec<(OsString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push((OsString::from_vec(name), entry.file_type()));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Takes what has this name, and nothing else.
    struct Named(&'static str);

    impl Choose for Named {
        fn choose(&mut self, path: &str, is_folder: bool) -> Choice {
            match (path.rsplit('/').next() == Some(self.0), is_folder) {
                (true, _) => Choice::Take,
                (false, true) => Choice::Below,
                (false, false) => Choice::Leave,
            }
        }
    }

    fn paths(root: &std::path::Path, choose: &mut dyn Choose) -> Vec<String> {
        let root = std::fs::File::open(root).unwrap();
        let mut paths = Vec::new();
        walk(root, choose, &mut |found| {
            paths.push(found.path);
            Ok(())
        })
        .unwrap();
        paths
    }

    #[test]
    fn folders_are_told_of_when_something_in_them_is_and_links_are_not_entered() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["a/b/c", "d", "e"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in ["a/b/x", "a/b/y", "d/y", "x"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        symlink("a", root.path().join("l")).unwrap();
        assert_eq!(paths(root.path(), &mut Named("x")), ["a", "a/b", "a/b/x", "x"]);
        assert_eq!(
            paths(root.path(), &mut Everything),
            ["a", "a/b", "a/b/c", "a/b/x", "a/b/y", "d", "d/y", "e", "l", "x"]
        );
    }

    #[test]
    fn nothing_is_opened_through_a_link_or_outside() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/x"), "").unwrap();
        symlink("a", root.path().join("l")).unwrap();
        let folder = std::fs::File::open(root.path()).unwrap();
        assert!(open(&folder, "a/x", OFlags::empty()).is_ok());
        for path in ["l/x", "../etc/passwd", "/etc/passwd", "l"] {
            assert!(open(&folder, path, OFlags::empty()).is_err(), "{path}");
        }
    }
}
