//! The order in which entries come: each after its folder, and the names in a folder ascending.
//!
//! With it, no more has to be remembered than the folders on the way to the entry.

use super::SyncError;
use super::entry::{Entry, Kind};

/// The deepest folder.
const DEPTH: usize = 256;

/// The folders on the way to the last entry, and what their owner keeps for each.
#[derive(Debug)]
pub(crate) struct Way<T> {
    folders: Vec<Folder<T>>,
}

#[derive(Debug)]
struct Folder<T> {
    path: String,
    last: String,
    kept: T,
}

impl<T> Way<T> {
    /// At the root.
    pub(crate) fn new(root: T) -> Self {
        Self { folders: vec![Folder { path: String::new(), last: String::new(), kept: root }] }
    }

    /// Goes to the folder of `entry`; returns what was kept for those that were left, innermost first.
    ///
    /// # Errors
    /// When its folder was not announced, or a name comes twice or late.
    pub(crate) fn go_to(&mut self, entry: &Entry) -> Result<Vec<T>, SyncError> {
        let refuse = |reason| SyncError::Entry { path: entry.path.clone(), reason };
        let (folder, name) = entry.split();
        let found = self.folders.iter().rposition(|known| known.path == folder);
        let found = found.ok_or_else(|| refuse("its folder was not announced before it"))?;
        let left = self.folders.drain(found + 1..).rev().map(|folder| folder.kept).collect();
        let here = &mut self.folders[found];
        if here.last.as_str() >= name {
            return Err(refuse("it comes twice or out of order"));
        }
        here.last = name.to_owned();
        if entry.kind == Kind::Directory && found + 1 >= DEPTH {
            return Err(refuse("folders are nested too deeply"));
        }
        Ok(left)
    }

    /// Enters the folder that was announced last.
    pub(crate) fn enter(&mut self, path: &str, kept: T) {
        self.folders.push(Folder { path: path.to_owned(), last: String::new(), kept });
    }

    /// What is kept for the folder of the last entry.
    pub(crate) fn here(&mut self) -> Option<&mut T> {
        self.folders.last_mut().map(|folder| &mut folder.kept)
    }

    /// Leaves all folders, innermost first.
    pub(crate) fn leave_all(&mut self) -> Vec<T> {
        self.folders.drain(..).rev().map(|folder| folder.kept).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::fsutil::Stat;

    fn walk(paths: &[&str]) -> Result<Vec<String>, SyncError> {
        let mut way = Way::new(String::new());
        let mut left = Vec::new();
        for path in paths {
            let (path, mode) = match path.strip_suffix('/') {
                Some(path) => (path, 1 << 31),
                None => (*path, 0),
            };
            let entry = Entry::read(Stat { path: path.into(), mode, ..Stat::default() })?;
            left.extend(way.go_to(&entry)?);
            if entry.kind == Kind::Directory {
                way.enter(path, path.to_owned());
            }
        }
        left.extend(way.leave_all());
        Ok(left)
    }

    #[test]
    fn folders_are_left_when_the_walk_goes_on_elsewhere() {
        assert_eq!(walk(&["a/", "a/b/", "a/b/c", "a/d", "a.txt"]).unwrap(), ["a/b", "a", ""]);
    }

    #[test]
    fn what_comes_twice_late_or_without_its_folder_is_refused() {
        for paths in [&["a", "a"][..], &["b", "a"], &["a/b"], &["a", "a/b"], &["a/", "b/", "a/c"]] {
            assert!(walk(paths).is_err(), "{paths:?}");
        }
    }

    #[test]
    fn folders_end_somewhere() {
        let paths: Vec<String> = (1..=300).map(|depth| format!("{}/", vec!["d"; depth].join("/"))).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert!(walk(&paths[..200]).is_ok());
        assert!(walk(&paths).is_err());
    }
}
