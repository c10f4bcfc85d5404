//! What mounting leaves in a step's files: mount points that its layers don't have, and new dates of the directories that
//! they were made in. Neither is the step's doing, so that neither belongs into its layer.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use minke_kernel::path::Root;
use rustix::fs::{AtFlags, FileType, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};

use crate::{
    Error, Workspace,
    container::launch,
    files::{OWN, engine_made},
    volumes::MountRecord,
};

/// When a directory was last changed: seconds, nanoseconds.
type Changed = (i64, i64);

/// The mount points of one step.
pub(super) struct MountPoints {
    /// The layers that the step runs on; `None` if there are none.
    image: Option<Root>,
    /// Without links, which the image may have on the way (`/var/run`).
    targets: Vec<PathBuf>,
    /// When the directories around them were last changed, as the step's program finds them.
    found: BTreeMap<PathBuf, Changed>,
}

impl MountPoints {
    /// Those of mounts on `targets`, in what runs on the layers `lower`.
    ///
    /// # Errors
    /// Those of reading the layers.
    pub(super) fn new(lower: &[PathBuf], targets: &[String]) -> Result<Self, Error> {
        let failed = launch::failed("look for mount points in the layers");
        let image = match lower.is_empty() {
            true => None,
            false => Some(crate::build::layers_root(lower).map_err(&failed)?),
        };
        let real = |target: &String| match &image {
            Some(image) => image.real_path(Path::new(target)),
            None => Ok(Path::new("/").join(target)),
        };
        // What is mounted on a mount has its place there.
        let is_on_another = |target: &String| {
            let target = Path::new(target);
            targets.iter().map(Path::new).any(|other| other != target && target.starts_with(other))
        };
        let own = targets.iter().filter(|target| !is_on_another(target));
        // One that leads in circles can't be mounted on either, which is told then.
        let targets = own.filter_map(|target| real(target).ok()).collect();
        Ok(Self { image, targets, found: BTreeMap::new() })
    }

    /// Remembers the dates of the directories around them: they have been made, and the step's program has not run.
    pub(super) fn are_made(&mut self, workspace: &Workspace) {
        self.found = self.dates(workspace);
    }

    /// Takes mount points that the engine made out of what the step has changed: empty files and directories that the layers
    /// below don't have. Directories in which the step changed nothing else are dated as in the layers. Links are
    /// followed inside the step's files only: the tree is a stranger's.
    ///
    /// # Errors
    /// Those of reading the files.
    pub(super) fn sweep(&self, workspace: &Workspace) -> Result<(), Error> {
        let failed = launch::failed("look at what a step has changed");
        let upper = workspace.upper();
        let below = self.image.as_ref();
        let destinations = self.targets.iter().map(|target| target.display().to_string());
        let mounts: Vec<_> =
            destinations.map(|destination| MountRecord { destination, ..Default::default() }).collect();
        let nothing = Root::open(&workspace.places.directory.join("rootfs")).map_err(&failed)?;
        let mut made = engine_made(&upper, &mounts, below.unwrap_or(&nothing)).map_err(&failed)?;
        made.extend(self.parents_of_targets());
        let root = Root::open(&upper).map_err(&failed)?;
        let dates = self.dates(workspace);
        let mut left: BTreeMap<PathBuf, OwnedFd> = BTreeMap::new();
        for path in made.iter().rev() {
            let inside = Path::new("/").join(path);
            let is_the_steps = inside == Path::new("/etc/hostname");
            if is_the_steps || below.is_some_and(|image| image.locate(&inside).is_ok()) {
                continue;
            }
            let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else { continue };
            let Ok(directory) = root.open_at(parent, OFlags::RDONLY | OFlags::DIRECTORY) else { continue };
            let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let flags = match FileType::from_raw_mode(stat.st_mode) {
                // One that has something in it stays: what is in it is the step's.
                FileType::Directory => AtFlags::REMOVEDIR,
                FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
                _ => continue,
            };
            if rustix::fs::unlinkat(&directory, name, flags).is_ok() {
                left.insert(parent.to_owned(), directory);
            }
        }
        for (path, directory) in left {
            let Some(changed) = dates.get(&path) else { continue };
            let is_untouched = self.found.get(&path) == Some(changed);
            let before = below.filter(|_| is_untouched).and_then(|image| date(image, &path));
            // One that was removed as well needs no date.
            let _ = rustix::fs::futimens(&directory, &times(before.unwrap_or(*changed)));
        }
        Ok(())
    }

    /// Directories above mounts' targets, which are made with them.
    fn parents_of_targets(&self) -> impl Iterator<Item = PathBuf> {
        let parents = self.targets.iter().flat_map(|target| target.ancestors().skip(1));
        let relative = parents.filter_map(|parent| parent.strip_prefix("/").ok());
        relative.filter(|parent| !parent.as_os_str().is_empty()).map(PathBuf::from)
    }

    /// When the directories that mount points can be in were last changed, of those that the step's files have.
    fn dates(&self, workspace: &Workspace) -> BTreeMap<PathBuf, Changed> {
        let Ok(root) = Root::open(&workspace.upper()) else { return BTreeMap::new() };
        let points = OWN.into_iter().map(PathBuf::from).chain(self.targets.iter().cloned());
        let points = points.chain(self.parents_of_targets().map(|parent| Path::new("/").join(parent)));
        let parents = points.filter_map(|point| point.parent().map(Path::to_owned));
        parents
            .filter_map(|parent| Some((date(&root, &parent)?, parent)))
            .map(|(date, path)| (path, date))
            .collect()
    }
}

fn date(root: &Root, directory: &Path) -> Option<Changed> {
    let directory = root.open_at(directory, OFlags::PATH | OFlags::DIRECTORY).ok()?;
    rustix::fs::fstat(&directory).ok().map(|stat| changed(&stat))
}

#[expect(clippy::useless_conversion, reason = "the types differ between platforms")]
fn changed(stat: &Stat) -> Changed {
    (stat.st_mtime.into(), i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

fn times((seconds, nanoseconds): Changed) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    }
}
