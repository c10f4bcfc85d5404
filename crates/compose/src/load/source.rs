//! Where files come from: the one thing here that touches the world.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, or what can be read like one.
    File,
    /// A folder.
    Folder,
}

/// What the loader reads files through. Paths are absolute.
pub trait Source {
    /// The bytes of a file, at most `most` of them and one more.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>>;

    /// What stands on the standard input, at most `most` bytes and one more.
    ///
    /// # Errors
    /// Those of the system.
    fn stdin(&self, most: usize) -> io::Result<Vec<u8>>;

    /// What the path names, links followed; `None` for nothing.
    fn kind(&self, path: &Path) -> Option<Kind>;

    /// Where the links in a path lead to; the path itself where it is none or nothing is there.
    fn resolved(&self, path: &Path) -> PathBuf;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Source for Disk {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        limited(fs::File::open(path)?, most)
    }

    fn stdin(&self, most: usize) -> io::Result<Vec<u8>> {
        limited(io::stdin().lock(), most)
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        let metadata = fs::metadata(path).ok()?;
        Some(if metadata.is_dir() { Kind::Folder } else { Kind::File })
    }

    #[expect(clippy::disallowed_methods, reason = "a path of the user's own files, not of a container's")]
    fn resolved(&self, path: &Path) -> PathBuf {
        fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
    }
}

fn limited(from: impl io::Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A path joined to a folder, without `.` and `..`; what is absolute stays.
pub(crate) fn join(folder: &Path, path: &str) -> PathBuf {
    clean(&folder.join(path))
}

/// A path without `.`, `..` and doubled slashes, by its words alone.
pub(crate) fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match cleaned.components().next_back() {
                Some(Component::Normal(_)) => {
                    cleaned.pop();
                }
                Some(Component::RootDir) => {}
                _ => cleaned.push(".."),
            },
            other => cleaned.push(other),
        }
    }
    if cleaned.as_os_str().is_empty() { PathBuf::from(".") } else { cleaned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_by_their_words() {
        let joined = |path| join(Path::new("/srv/app"), path).display().to_string();
        assert_eq!(joined("./a//b/../c"), "/srv/app/a/c");
        assert_eq!(joined("../../../x"), "/x");
        assert_eq!(joined("/etc/./x"), "/etc/x");
        assert_eq!(clean(Path::new("../a/..")).display().to_string(), "..");
    }
}
