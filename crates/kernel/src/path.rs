//! Paths inside a container's root, resolved so that nothing in the container can lead outside.
//!
//! openat2(2) with `RESOLVE_IN_ROOT` treats the root's descriptor as `/`: absolute symbolic links and
//! `..` stay inside, whatever another process does meanwhile, and magic links of /proc are refused.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{self, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// How often a resolution is tried again that raced with a rename (`EAGAIN`).
const ATTEMPTS: usize = 128;

/// How many links one path may lead through, as the kernel has it.
const MOST_LINKS: usize = 40;

/// A directory that paths are resolved in.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// The directory at `path`, a path of the host's.
    ///
    /// # Errors
    /// When it doesn't exist or is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: fs::open(path, flags, Mode::empty())? })
    }

    /// The directory that `fd` is.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Opens what `path` leads to, following symbolic links inside the root.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP` (also for a magic link).
    pub fn open_at(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        self.resolve(path, flags, Mode::empty(), ResolveFlags::empty())
    }

    /// As [`Root::open_at`], with a handle to the place only (`O_PATH`).
    ///
    /// # Errors
    /// As for [`Root::open_at`].
    pub fn locate(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH)
    }

    /// As [`Root::locate`], but a link that is absolute or leads out of the root is an error.
    ///
    /// # Errors
    /// As for [`Root::open_at`]; `EXDEV` for such a link.
    pub fn locate_beneath(&self, path: &Path) -> io::Result<OwnedFd> {
        self.resolve_with(path, OFlags::PATH, Mode::empty(), ResolveFlags::BENEATH)
    }

    /// The path that `path` names when no part of it is a link, beginning with a slash. What isn't there is taken by its name, and so
    /// is a link's target that isn't there: it is where [`Root::mkdir_all`] would make it.
    ///
    /// # Errors
    /// `ELOOP` for too many links, what the kernel says of directories that can't be looked into.
    pub fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        let mut real = PathBuf::from("/");
        let mut rest: Vec<OsString> = Vec::new();
        let later = |path: &Path, rest: &mut Vec<OsString>| {
            let names: Vec<_> = components(path).unwrap_or_default();
            rest.extend(names.into_iter().rev().map(OsStr::to_owned));
        };
        later(path, &mut rest);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                real.pop();
                continue;
            }
            let target = match self.locate_dir(&real) {
                Ok(directory) => link_at(&directory, &name)?,
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => None,
                Err(error) => return Err(error),
            };
            let Some(target) = target else {
                real.push(name);
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            later(&target, &mut rest);
        }
        Ok(real)
    }

    /// The directory at `path`, made with its parents (mode 0755) where missing. Links are followed inside the root, and
    /// what a dangling one names is made: images have many of those (`/etc/resolv.conf` into an empty `/run`).
    ///
    /// # Errors
    /// `ENOTDIR` when a part of it is something else, `ELOOP` for too many links, what mkdir says.
    pub fn mkdir_all(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            match self.locate_dir(&path) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                found => return found,
            }
            let names = components(&path)?;
            let mut existing = names.len() - 1;
            let (prefix, directory) = loop {
                let prefix: PathBuf = names[..existing].iter().collect();
                match self.locate_dir(&prefix) {
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) && existing > 0 => existing -= 1,
                    found => break (prefix, found?),
                }
            };
            match link_at(&directory, names[existing])? {
                Some(target) => {
                    path =
                        names[existing + 1..].iter().fold(prefix.join(target), |path, name| path.join(name));
                }
                None => return mkdir_below(directory, &names[existing..]),
            }
        }
        Err(io::Error::from_raw_os_error(libc::ELOOP))
    }

    /// The directory `name` in the root itself, made (mode 0755) where missing. As [`Root::mkdir_all`], for a root that holds
    /// nothing yet, and a single name: nothing is looked for first, and no link followed.
    ///
    /// # Errors
    /// `ENOTDIR` when it is something else, what mkdir says.
    pub fn mkdir(&self, name: &OsStr) -> io::Result<OwnedFd> {
        mkdir_in(&self.fd, name)
    }

    /// The regular file at `path` as a place (`O_PATH`), made empty (mode 0644) with its parents where missing.
    ///
    /// # Errors
    /// As for [`Root::mkdir_all`].
    pub fn create_file(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            match self.locate(&path) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                found => return found,
            }
            let (parent, name) = self.parent_of(&path)?;
            if let Some(target) = link_at(&parent, name)? {
                path = path.parent().unwrap_or(Path::new("/")).join(target);
                continue;
            }
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match fs::openat(&parent, name, flags, Mode::from_raw_mode(0o644)) {
                Ok(_) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            return Ok(fs::openat(&parent, name, flags, Mode::empty())?);
        }
        Err(io::Error::from_raw_os_error(libc::ELOOP))
    }

    /// As [`Root::create_file`], where no part of the path may be a symbolic link.
    ///
    /// # Errors
    /// `ELOOP` for a symbolic link; as for [`Root::create_file`].
    pub fn create_file_without_links(&self, path: &Path) -> io::Result<OwnedFd> {
        // Not with O_NOFOLLOW, which would open a link in the last place instead of refusing it.
        let find = || self.resolve(path, OFlags::PATH, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        match find() {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            found => return found,
        }
        self.create_file(path)?;
        find()
    }

    /// The directory above `path`, made where missing, and the last name.
    ///
    /// # Errors
    /// As for [`Root::mkdir_all`]; `EINVAL` for a path without a last name.
    pub fn parent_of<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.mkdir_all(parent)?, name))
    }

    /// The directory at `path`, none of whose parts is a symbolic link; made with its parents where missing.
    ///
    /// # Errors
    /// `ELOOP` for a symbolic link, `ENOTDIR`, what mkdir says.
    pub fn mkdir_all_without_links(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let find = || self.resolve(path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        match find() {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            found => return found,
        }
        self.mkdir_all(path)?;
        find()
    }

    fn locate_dir(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    fn resolve(&self, path: &Path, flags: OFlags, mode: Mode, more: ResolveFlags) -> io::Result<OwnedFd> {
        self.resolve_with(path, flags, mode, ResolveFlags::IN_ROOT | more)
    }

    fn resolve_with(&self, path: &Path, flags: OFlags, mode: Mode, how: ResolveFlags) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = how | ResolveFlags::NO_MAGICLINKS;
        let mut attempts = ATTEMPTS;
        loop {
            match fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Err(Errno::AGAIN) if attempts > 0 => attempts -= 1,
                result => return Ok(result?),
            }
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes directories below one that exists. What doesn't exist yet has no parent to go back to, so `..` is refused.
fn mkdir_below(mut directory: OwnedFd, names: &[&OsStr]) -> io::Result<OwnedFd> {
    if names.contains(&OsStr::new("..")) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for name in names {
        directory = mkdir_in(&directory, name)?;
    }
    Ok(directory)
}

fn mkdir_in(directory: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    match fs::mkdirat(directory, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(directory, name, flags, Mode::empty())?)
}

/// Where the symbolic link of that name leads; `None` when it is none, or nothing is there.
fn link_at(directory: &OwnedFd, name: &OsStr) -> io::Result<Option<PathBuf>> {
    match fs::readlinkat(directory, name, Vec::new()) {
        Ok(target) => Ok(Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))),
        Err(Errno::NOENT | Errno::INVAL | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The names that a path is made of, `..` among them.
fn components(path: &Path) -> io::Result<Vec<&OsStr>> {
    let named = |component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    let names: Vec<_> = path.components().filter_map(named).collect();
    if names.is_empty() { Err(io::Error::from_raw_os_error(libc::EINVAL)) } else { Ok(names) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("minke-kernel-path-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(dir.join("root")).unwrap();
        dir
    }

    #[test]
    fn links_that_point_outside_lead_inside() {
        let dir = scratch("links");
        let root = Root::open(&dir.join("root")).unwrap();
        fs::create_dir(dir.join("outside")).unwrap();
        symlink(dir.join("outside"), dir.join("root/absolute")).unwrap();
        symlink("../../outside", dir.join("root/relative")).unwrap();
        assert!(root.locate(Path::new("/absolute")).is_err());
        // What a link to nowhere names is made, inside.
        root.mkdir_all(Path::new("/absolute/x")).unwrap();
        assert!(root.create_file(Path::new("/relative/../../outside/file")).is_err());
        let inside = dir.join("root").join(dir.strip_prefix("/").unwrap()).join("outside/x");
        assert!(inside.is_dir());
        assert_eq!(fs::read_dir(dir.join("outside")).unwrap().count(), 0);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn missing_directories_and_files_are_made_through_links_inside() {
        let dir = scratch("make");
        let root = Root::open(&dir.join("root")).unwrap();
        fs::create_dir_all(dir.join("root/run")).unwrap();
        fs::create_dir_all(dir.join("root/var")).unwrap();
        symlink("/run", dir.join("root/var/run")).unwrap();
        root.mkdir_all(Path::new("/var/run/a/b")).unwrap();
        root.create_file(Path::new("/var/run/a/file")).unwrap();
        root.create_file(Path::new("/var/run/a/file")).unwrap();
        assert!(dir.join("root/run/a/b").is_dir() && dir.join("root/run/a/file").is_file());
        assert!(root.mkdir_all(Path::new("/")).is_ok());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_a_dangling_link_names_is_made() {
        let dir = scratch("dangling");
        let root = Root::open(&dir.join("root")).unwrap();
        fs::create_dir(dir.join("root/etc")).unwrap();
        symlink("../run/made/conf", dir.join("root/etc/conf")).unwrap();
        symlink("/var/jump", dir.join("root/jump")).unwrap();
        symlink("/jump/hosts", dir.join("root/etc/hosts")).unwrap();
        symlink("loop", dir.join("root/etc/loop")).unwrap();
        root.create_file(Path::new("/etc/conf")).unwrap();
        root.create_file(Path::new("/etc/hosts")).unwrap();
        assert!(dir.join("root/run/made/conf").is_file() && dir.join("root/var/jump/hosts").is_file());
        assert!(root.mkdir_all(Path::new("/etc/loop/x")).is_err());
        assert!(root.create_file(Path::new("/etc/loop")).is_err());
        assert!(root.mkdir_all(Path::new("/etc/none/../x")).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_real_path_has_no_link_whether_or_not_it_is_there() {
        let dir = scratch("real-path");
        let root = Root::open(&dir.join("root")).unwrap();
        fs::create_dir_all(dir.join("root/run/lock")).unwrap();
        fs::create_dir(dir.join("root/var")).unwrap();
        symlink("/run", dir.join("root/var/run")).unwrap();
        symlink("../run/lock/../../../../new", dir.join("root/var/new")).unwrap();
        symlink("around", dir.join("root/around")).unwrap();
        for (path, real) in [
            ("/var/run/a/b", "/run/a/b"),
            ("var/run", "/run"),
            ("/var/./new/x", "/new/x"),
            ("/var/run/../x", "/x"),
            ("/none/../run", "/run"),
            ("/", "/"),
        ] {
            assert_eq!(root.real_path(Path::new(path)).unwrap(), Path::new(real), "{path}");
        }
        let error = root.real_path(Path::new("/around/x")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_link_is_refused_where_only_a_real_directory_will_do() {
        let dir = scratch("real");
        let root = Root::open(&dir.join("root")).unwrap();
        fs::create_dir(dir.join("root/tmp")).unwrap();
        symlink("tmp", dir.join("root/proc")).unwrap();
        let error = root.mkdir_all_without_links(Path::new("/proc")).unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR)), "{error}");
        assert!(root.mkdir_all_without_links(Path::new("/sys")).is_ok());
        symlink("/etc/passwd", dir.join("root/tmp/console")).unwrap();
        assert!(root.create_file_without_links(Path::new("/tmp/console")).is_err());
        assert!(root.create_file_without_links(Path::new("/proc/file")).is_err());
        assert!(root.create_file_without_links(Path::new("/tmp/file")).is_ok());
        fs::remove_dir_all(dir).unwrap();
    }
}
