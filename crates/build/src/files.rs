//! Files of a context, a stage or an image: which of them a source means, and a digest of their content.
//!
//! The tree is a stranger's. Paths are resolved with its top as `/`; below, every name is opened without following links.
//! The digest covers what a copy has of a file but the time: a touched file is the same file, as in BuildKit.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use minke_dockerfile::ignore::Glob;
use minke_kernel::path::Root;
use minke_model::Digest;
use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use sha2::{Digest as _, Sha256};

use crate::{BuildError, walk::Walk};

/// More than any honest source has.
const MOST_MATCHES: usize = 100_000;
/// The deepest directories that are entered.
pub(crate) const DEEPEST: usize = 1024;

/// A file or directory that a source means: its path in the tree, free of links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Match {
    /// Relative to the tree's top; empty for the top itself.
    pub(crate) path: PathBuf,
    /// Its name in a destination that is a directory.
    pub(crate) name: PathBuf,
    /// Where the name is the way from; may lead through links.
    pub(crate) pivot: PathBuf,
}

impl Match {
    /// The directories on its way, by their names, the topmost first.
    pub(crate) fn parents(&self) -> Vec<&Path> {
        let above = self.name.ancestors().skip(1).filter(|name| !name.as_os_str().is_empty());
        let mut parents: Vec<_> = above.collect();
        parents.reverse();
        parents
    }
}

/// What a source path with wildcards means in a tree, sorted.
pub(crate) fn matches(root: &Root, pattern: &str, walk: Walk<'_>) -> Result<Vec<Match>, BuildError> {
    let parts = parts(pattern);
    if !parts.iter().any(|part| is_pattern(part)) {
        return Ok(one(root, Path::new(&format!("/{}", parts.join("/"))), walk)?.into_iter().collect());
    }
    let mut matches = Vec::new();
    for path in expanded(root, Path::new("/"), pattern, false, walk)? {
        matches.extend(one(root, &path, walk)?);
    }
    Ok(matches)
}

/// What a source of `--parents` means: what `pattern` does below each place that `pivot` means. Its name is the way from there,
/// and `**` is any number of directories.
pub(crate) fn matches_below(
    root: &Root,
    pivot: &str,
    pattern: &str,
    walk: Walk<'_>,
) -> Result<Vec<Match>, BuildError> {
    let mut matches = Vec::new();
    for place in expanded(root, Path::new("/"), pivot, true, walk)? {
        for path in expanded(root, &place, pattern, true, walk)? {
            let name = path.strip_prefix(&place).unwrap_or(&path).to_owned();
            matches.extend(one(root, &path, walk)?.map(|found| Match {
                name,
                pivot: place.clone(),
                ..found
            }));
        }
        if matches.len() > MOST_MATCHES {
            return Err(too_many(pattern));
        }
    }
    Ok(matches)
}

/// The paths below `from` that a pattern means, sorted. `**` means what `*` does, unless it is `deep`: then it is any number of
/// directories. Links are followed up to the first wildcard, as in BuildKit: what that matches is gone through as it is.
fn expanded(
    root: &Root,
    from: &Path,
    pattern: &str,
    deep: bool,
    walk: Walk<'_>,
) -> Result<Vec<PathBuf>, BuildError> {
    let mut found = vec![from.to_owned()];
    let mut is_matched = false;
    for part in parts(pattern) {
        if is_matched {
            found.retain(|path| {
                root.open_at(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW).is_ok()
            });
        }
        let mut next = Vec::new();
        let is_deep = deep && part == "**";
        let glob = (is_pattern(part) && !is_deep).then(|| Glob::new(part)).transpose();
        let glob = glob.map_err(|error| BuildError::Invalid(format!("{pattern:?}: {error}")))?;
        for directory in &found {
            if is_deep {
                below(root, directory, &mut next, walk)?;
                continue;
            }
            let Some(glob) = &glob else {
                next.push(directory.join(part));
                continue;
            };
            walk.go_on().map_err(|error| unreadable(directory, &error))?;
            let Ok(handle) = root.open_at(directory, OFlags::RDONLY | OFlags::DIRECTORY) else { continue };
            let names = names(&handle).map_err(|error| unreadable(directory, &error))?;
            let matching = names.iter().filter(|name| glob.matches(&name.to_string_lossy()));
            next.extend(matching.map(|name| directory.join(name)));
        }
        is_matched = is_matched || is_deep || glob.is_some();
        // Several ways lead to the same directory through `**`.
        next.sort_unstable();
        next.dedup();
        if next.len() > MOST_MATCHES {
            return Err(too_many(pattern));
        }
        found = next;
    }
    Ok(found)
}

/// The names that a path goes through.
fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect()
}

fn too_many(what: impl std::fmt::Debug) -> BuildError {
    BuildError::Invalid(format!("{what:?} matches more than {MOST_MATCHES} files"))
}

/// A directory and all below it, links not followed.
fn below(root: &Root, directory: &Path, found: &mut Vec<PathBuf>, walk: Walk<'_>) -> Result<(), BuildError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let deepest = directory.components().count() + DEEPEST;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        let Ok(handle) = root.open_at(&directory, flags) else { continue };
        if found.len() >= MOST_MATCHES || directory.components().count() > deepest {
            return Err(too_many(directory));
        }
        let failed = |error: io::Error| unreadable(&directory, &error);
        walk.go_on().map_err(failed)?;
        for name in names(&handle).map_err(failed)? {
            let stat = stat_in(&handle, &name).map_err(failed)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                waiting.push(directory.join(name));
            }
        }
        found.push(directory);
    }
    Ok(())
}

/// Whether a name has wildcards.
fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '\\'])
}

/// What is at a path, links followed within the tree.
fn one(root: &Root, path: &Path, walk: Walk<'_>) -> Result<Option<Match>, BuildError> {
    let handle = match root.locate(path) {
        Ok(handle) => handle,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(path, &error)),
    };
    let real = real_path(root, &handle).map_err(|error| unreadable(path, &error))?;
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    // Without its links the path may be one that is left out; both must be there.
    let stat = rustix::fs::fstat(&handle).map_err(|error| unreadable(path, &error.into()))?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let relative = path.strip_prefix("/").unwrap_or(path);
    if !is_directory {
        for path in [relative, &real] {
            if walk.leaves_out(path).map_err(|error| unreadable(path, &error))? {
                return Ok(None);
            }
        }
    }
    let pivot = path.parent().unwrap_or(path).to_owned();
    Ok(Some(Match { path: real, name, pivot }))
}

/// The path of a handle below a root, by the kernel's word.
fn real_path(root: &Root, handle: &OwnedFd) -> io::Result<PathBuf> {
    let of = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}"));
    let (top, path) = (of(root.as_fd().as_raw_fd())?, of(handle.as_raw_fd())?);
    let below = path.strip_prefix(&top).map_err(|_| io::Error::other("it is outside of its tree"))?;
    Ok(below.to_owned())
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: &OwnedFd) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(std::ffi::OsString::from_vec(name));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens a name in a directory without following it.
pub(crate) fn open_in(directory: impl AsFd, name: &std::ffi::OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, rustix::fs::Mode::empty())?)
}

pub(crate) fn stat_in(directory: impl AsFd, name: &std::ffi::OsStr) -> io::Result<Stat> {
    Ok(rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> BuildError {
    BuildError::Invalid(format!("can't read {}: {error}", path.display()))
}

/// Digests of files.
pub(crate) struct ContentHash<'a> {
    hash: Sha256,
    walk: Walk<'a>,
    /// Whether owners count: those of a client's context don't, since a copy doesn't have them.
    owners: bool,
}

impl<'a> ContentHash<'a> {
    pub(crate) fn new(walk: Walk<'a>, owners: bool) -> Self {
        Self { hash: Sha256::new(), walk, owners }
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_bytes(self.hash.finalize().into())
    }

    fn text(&mut self, text: &[u8]) {
        self.hash.update((text.len() as u64).to_le_bytes());
        self.hash.update(text);
    }

    /// Adds a match with all that is below it, and what the directories on its way are themselves.
    pub(crate) fn add(&mut self, root: &Root, found: &Match) -> Result<(), BuildError> {
        let path = Path::new("/").join(&found.path);
        self.text(found.name.as_os_str().as_bytes());
        let failed = |error: io::Error| unreadable(&found.path, &error);
        for parent in found.parents() {
            let handle = root.locate(&found.pivot.join(parent)).map_err(failed)?;
            self.head(b"..", &rustix::fs::fstat(&handle).map_err(|error| failed(error.into()))?);
        }
        let handle = root.locate(&path).map_err(failed)?;
        let stat = rustix::fs::fstat(&handle).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let directory = root.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
            self.head(b".", &stat);
            return self.directory(directory, &found.path);
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        let directory = root.open_at(parent, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
        let name = path.file_name().unwrap_or_default();
        self.entry(&directory, name, &found.path).map(drop)
    }

    fn head(&mut self, name: &[u8], stat: &Stat) {
        self.text(name);
        self.hash.update(stat.st_mode.to_le_bytes());
        if self.owners {
            self.hash.update(stat.st_uid.to_le_bytes());
            self.hash.update(stat.st_gid.to_le_bytes());
        }
    }

    fn directory(&mut self, directory: OwnedFd, path: &Path) -> Result<(), BuildError> {
        let level = |directory, path: &Path| {
            Level::new(directory, path.to_owned()).map_err(|error| unreadable(path, &error))
        };
        let mut levels = vec![level(directory, path)?];
        while let Some(top) = levels.last_mut() {
            let Some((name, path)) = top.next() else {
                self.hash.update(b"/");
                levels.pop();
                continue;
            };
            if let Some(entered) = self.entry(&top.directory, &name, &path)? {
                if levels.len() > DEEPEST {
                    return Err(too_deep(&path));
                }
                levels.push(level(entered, &path)?);
            }
        }
        Ok(())
    }

    /// Adds an entry; of a directory, which is returned, only itself.
    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> Result<Option<OwnedFd>, BuildError> {
        let failed = |error: io::Error| unreadable(path, &error);
        let stat = stat_in(directory, name).map_err(failed)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_left_out = self.walk.leaves_out(path).map_err(failed)?;
        if is_left_out && kind != FileType::Directory {
            return Ok(None);
        }
        match kind {
            FileType::Directory => {
                let handle = open_in(directory, name, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
                if is_left_out && !has_included(&handle, path, self.walk).map_err(failed)? {
                    return Ok(None);
                }
                self.head(name.as_bytes(), &stat);
                return Ok(Some(handle));
            }
            FileType::RegularFile => {
                self.head(name.as_bytes(), &stat);
                self.hash.update(u64::try_from(stat.st_size).unwrap_or(0).to_le_bytes());
                let mut file = File::from(open_in(directory, name, OFlags::RDONLY).map_err(failed)?);
                let mut buffer = vec![0; 128 << 10];
                loop {
                    self.walk.go_on().map_err(failed)?;
                    match file.read(&mut buffer).map_err(failed)? {
                        0 => break,
                        length => self.hash.update(&buffer[..length]),
                    }
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new());
                let target = target.map_err(|error| failed(error.into()))?;
                self.head(name.as_bytes(), &stat);
                self.text(target.as_bytes());
            }
            FileType::Socket => {}
            _ => {
                self.head(name.as_bytes(), &stat);
                self.hash.update(stat.st_rdev.to_le_bytes());
            }
        }
        Ok(None)
    }
}

/// A directory whose entries are gone through one by one: no recursion, for whoever made a tree decides how deep it is.
struct Level {
    directory: OwnedFd,
    path: PathBuf,
    names: std::vec::IntoIter<OsString>,
}

impl Level {
    fn new(directory: OwnedFd, path: PathBuf) -> io::Result<Self> {
        let names = names(&directory)?.into_iter();
        Ok(Self { directory, path, names })
    }
}

impl Iterator for Level {
    type Item = (OsString, PathBuf);

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.names.next()?;
        let path = self.path.join(&name);
        Some((name, path))
    }
}

/// Whether anything below a directory is not left out (`!` patterns). What is deeper than [`DEEPEST`] counts as left out.
pub(crate) fn has_included(directory: &OwnedFd, path: &Path, walk: Walk<'_>) -> io::Result<bool> {
    let mut levels = vec![Level::new(directory.try_clone()?, path.to_owned())?];
    while let Some(top) = levels.last_mut() {
        let Some((name, path)) = top.next() else {
            levels.pop();
            continue;
        };
        let mode = stat_in(&top.directory, &name)?.st_mode;
        let is_directory = FileType::from_raw_mode(mode) == FileType::Directory;
        if !walk.leaves_out(&path)? {
            return Ok(true);
        }
        if is_directory && levels.len() <= DEEPEST {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let entered = open_in(&levels[levels.len() - 1].directory, &name, flags)?;
            levels.push(Level::new(entered, path)?);
        }
    }
    Ok(false)
}

/// Deeper than [`DEEPEST`]. Of the path its beginning is enough.
pub(crate) fn too_deep(path: &Path) -> BuildError {
    let begin: PathBuf = path.components().take(3).collect();
    BuildError::Invalid(format!("{}/…: more than {DEEPEST} directories in each other", begin.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::Stop;
    use std::{fs, os::unix::fs::symlink};

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("src/deep")).unwrap();
        for (name, text) in [("src/a.c", "a"), ("src/b.c", "b"), ("src/deep/c.h", "c"), ("README", "r")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        symlink("/etc/passwd", dir.path().join("outside")).unwrap();
        symlink("src", dir.path().join("link")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    fn found(root: &Root, pattern: &str) -> Vec<String> {
        let all = matches(root, pattern, Walk::all(&Stop::default())).unwrap();
        all.into_iter().map(|found| found.path.display().to_string()).collect()
    }

    #[test]
    fn wildcards_mean_names_and_links_stay_inside() {
        let (_dir, root) = tree();
        assert_eq!(found(&root, "/src/*.c"), ["src/a.c", "src/b.c"]);
        assert_eq!(found(&root, "/link/a.c"), ["src/a.c"]);
        assert_eq!(found(&root, "/link/*.c"), ["src/a.c", "src/b.c"]);
        assert_eq!(found(&root, "/*/a.c"), ["src/a.c"]);
        assert_eq!(found(&root, "/l*/a.c"), Vec::<String>::new());
        assert_eq!(found(&root, "/l*"), ["src"]);
        assert_eq!(found(&root, "/outside"), Vec::<String>::new());
        assert_eq!(found(&root, "/../../README"), ["README"]);
        assert_eq!(found(&root, "/"), [""]);
    }

    #[test]
    fn the_way_from_the_pivot_is_kept() {
        let (_dir, root) = tree();
        let below = |pivot: &str, pattern: &str| {
            let all = matches_below(&root, pivot, pattern, Walk::all(&Stop::default())).unwrap();
            all.into_iter().map(|found| found.name.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(below("/", "src/*.c"), ["src/a.c", "src/b.c"]);
        assert_eq!(below("/s*", "**/*.?"), ["a.c", "b.c", "deep/c.h"]);
        assert_eq!(below("/", "**/**/**/**/c.h"), ["src/deep/c.h"]);
        assert_eq!(below("/**", "c.h"), ["c.h"]);
        assert_eq!(below("/link", "a.c"), ["a.c"]);
        assert_eq!(below("/none*", "a.c"), Vec::<String>::new());
    }

    #[test]
    fn a_touched_file_is_the_same_and_a_changed_mode_is_not() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, root) = tree();
        let digest = || {
            let stop = Stop::default();
            let mut hash = ContentHash::new(Walk::all(&stop), false);
            for found in matches(&root, "/src", Walk::all(&stop)).unwrap() {
                hash.add(&root, &found).unwrap();
            }
            hash.finish()
        };
        let before = digest();
        fs::write(dir.path().join("src/a.c"), "a").unwrap();
        assert_eq!(digest(), before);
        fs::set_permissions(dir.path().join("src/a.c"), fs::Permissions::from_mode(0o700)).unwrap();
        assert_ne!(digest(), before);
    }

    #[test]
    fn what_is_left_out_does_not_count() {
        let (dir, root) = tree();
        let excluded = |path: &Path| path.starts_with("src/deep");
        let digest = || {
            let stop = Stop::default();
            let mut hash = ContentHash::new(Walk::new(&excluded, &stop), false);
            hash.add(&root, &Match { path: "src".into(), name: "src".into(), ..Match::default() }).unwrap();
            hash.finish()
        };
        let before = digest();
        fs::write(dir.path().join("src/deep/more"), "x").unwrap();
        assert_eq!(digest(), before);
    }
}
