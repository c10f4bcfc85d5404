//! `diff`: what a container has added, changed and deleted, read from its upper directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

use bollard_stubs::models::{ChangeType, FilesystemChange};
use minke_kernel::path::Root;
use rustix::fs::{AtFlags, OFlags};

use crate::{
    Engine, Error,
    metrics::ContainerAction,
    rootfs::{is_opaque, is_whiteout},
    volumes::MountRecord,
};

/// The empty file by which scripts find out that they are in a container, at the same place as Docker's.
pub(crate) const MARK: &str = "/.dockerenv";

/// Files and directories that the engine itself puts into every container to mount on them.
pub(crate) const OWN: [&str; 11] = [
    MARK,
    "/dev",
    "/dev/console",
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

/// Directories that show only because of [`OWN`].
const SHOWN_BY_OWN: [&str; 2] = ["/etc", "/dev"];

impl Engine {
    /// What a container's files differ in from its image's.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`].
    pub async fn changes(&self, name: &str) -> Result<Vec<FilesystemChange>, Error> {
        let began = Instant::now();
        let container = self.inner().find(name)?;
        self.blocking(move |inner| {
            let record = container.record();
            let layers = inner.layers(&record)?;
            let failed = |error: io::Error| Error::internal("compare the container's files", &error);
            let image = layers.image_only().map_err(failed)?;
            let mut changes = BTreeMap::new();
            walk(&layers.upper, Path::new("/"), &image, &mut changes).map_err(failed)?;
            let mounted: Vec<&str> = record.mounts.iter().map(|mount| mount.destination.as_str()).collect();
            hide_own(&mut changes, &mounted);
            inner.counts.container(ContainerAction::Changes).since(began);
            Ok(changes
                .into_iter()
                .map(|(path, kind)| FilesystemChange { path: path.to_string_lossy().into_owned(), kind })
                .collect())
        })
        .await
    }
}

type Changes = BTreeMap<PathBuf, ChangeType>;

fn walk(upper: &Path, inside: &Path, image: &Root, changes: &mut Changes) -> io::Result<()> {
    // No recursion: the container decides how deep it is.
    let mut directories = vec![(upper.to_owned(), inside.to_owned())];
    while let Some((upper, inside)) = directories.pop() {
        for entry in fs::read_dir(upper)? {
            let entry = entry?;
            let (path, kind) = (inside.join(entry.file_name()), entry.file_type()?);
            if is_whiteout(&entry.metadata()?) {
                changes.insert(path, ChangeType::_2);
                continue;
            }
            let known = exists(image, &path);
            changes.insert(path.clone(), if known { ChangeType::_0 } else { ChangeType::_1 });
            if kind.is_dir() {
                if known && is_opaque(&entry.path()) {
                    deleted_below(&entry.path(), &path, image, changes)?;
                }
                directories.push((entry.path(), path));
            }
        }
    }
    Ok(())
}

/// A directory that was deleted and made again: what is not in the new one is gone.
fn deleted_below(upper: &Path, inside: &Path, image: &Root, changes: &mut Changes) -> io::Result<()> {
    let old = image.open_at(inside, OFlags::RDONLY | OFlags::DIRECTORY)?;
    for entry in rustix::fs::Dir::read_from(&old)? {
        let entry = entry?;
        let name = OsString::from(entry.file_name().to_string_lossy().into_owned());
        if name != "." && name != ".." && fs::symlink_metadata(upper.join(&name)).is_err() {
            changes.insert(inside.join(name), ChangeType::_2);
        }
    }
    Ok(())
}

fn exists(image: &Root, path: &Path) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return true };
    let parent = image.locate(parent);
    parent.is_ok_and(|parent| rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
}

/// What of `upper` is there only because the engine mounts on it, as paths without a slash in front: what
/// [`hide_own`] keeps out of `diff`.
///
/// # Errors
/// Those of reading the directories.
pub(crate) fn engine_made(
    upper: &Path,
    mounts: &[MountRecord],
    image: &Root,
) -> io::Result<BTreeSet<PathBuf>> {
    let destinations = mounts.iter().map(|mount| mount.destination.as_str());
    let mut made: BTreeSet<PathBuf> = OWN.into_iter().chain(destinations).map(relative).collect();
    for parent in SHOWN_BY_OWN.map(relative) {
        let entries = match fs::read_dir(upper.join(&parent)) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(parent.join(entry?.file_name()));
        }
        if names.iter().all(|name| made.contains(name)) && is_unchanged(&upper.join(&parent), image, &parent)?
        {
            made.insert(parent);
        }
    }
    Ok(made)
}

fn relative(path: &str) -> PathBuf {
    PathBuf::from(path.trim_start_matches('/'))
}

/// Whether a directory has the owner and mode of the image's, or the image has none there.
fn is_unchanged(upper: &Path, image: &Root, path: &Path) -> io::Result<bool> {
    let own = fs::symlink_metadata(upper)?;
    let Ok(image) = image.locate(&Path::new("/").join(path)) else { return Ok(true) };
    let stat = rustix::fs::fstat(&image)?;
    Ok((stat.st_mode, stat.st_uid, stat.st_gid) == (own.mode(), own.uid(), own.gid()))
}

/// Leaves out mount points that the engine made, and directories that show only because of them.
fn hide_own(changes: &mut Changes, mounted: &[&str]) {
    let own = |path: &Path| OWN.iter().chain(mounted).any(|own| path == Path::new(own));
    changes.retain(|path, kind| !(own(path) && *kind != ChangeType::_2));
    for parent in SHOWN_BY_OWN {
        let below = changes.keys().any(|path| path != Path::new(parent) && path.starts_with(parent));
        if !below {
            changes.remove(Path::new(parent));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_changes_and_deletions_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (upper, lower) = (dir.path().join("upper"), dir.path().join("lower"));
        for path in ["upper/srv", "upper/etc", "lower/etc", "lower/srv"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs::write(lower.join("srv/old"), "").unwrap();
        fs::write(upper.join("srv/old"), "x").unwrap();
        fs::write(upper.join("srv/new"), "x").unwrap();
        fs::write(upper.join("etc/hosts"), "").unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            upper.join("gone"),
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::Mode::empty(),
            0,
        )
        .unwrap();
        let mut changes = Changes::new();
        walk(&upper, Path::new("/"), &Root::open(&lower).unwrap(), &mut changes).unwrap();
        hide_own(&mut changes, &[]);
        let told: Vec<_> = changes.iter().map(|(path, kind)| (path.to_str().unwrap(), *kind as u8)).collect();
        assert_eq!(told, [("/gone", 2), ("/srv", 0), ("/srv/new", 1), ("/srv/old", 0)]);
    }
}
