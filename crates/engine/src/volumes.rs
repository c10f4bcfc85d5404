//! Volumes, and the mounts of containers: settled when a container is created, found on the host when it is
//! started.

mod api;
mod copy_up;
mod image;
mod local;
mod parse;
mod record;

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bollard_stubs::models::{ContainerConfig, HostConfig};
use minke_kernel::{path::Root, tree};
use minke_model::ContainerId;

pub use self::image::{Seen, seen};
pub(crate) use self::{
    copy_up::copy_up,
    local::Held,
    parse::clean as clean_path,
    record::{ImageMount, MountKind, MountRecord, VolumeRecord},
};
use crate::{Error, error::chain, time_text};

/// The volumes of this engine.
#[derive(Debug)]
pub(crate) struct Volumes {
    /// The engine's root, without links on the way.
    root: PathBuf,
    /// `<root>/volumes`
    directory: PathBuf,
    all: Mutex<BTreeMap<String, VolumeRecord>>,
    users: Mutex<local::Users>,
}

/// A new container's mounts, and volumes that have to be made for them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) mounts: Vec<MountRecord>,
    pub(crate) new_volumes: Vec<VolumeRecord>,
}

/// Where mounts are on the host while a container is started.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// One for each mount; `None` for a tmpfs.
    pub(crate) paths: Vec<Option<String>>,
    /// What paths of the form /proc/PID/fd/N stand for: to be kept until the container has been created.
    pub(crate) held: Vec<OwnedFd>,
}

impl Volumes {
    pub(crate) fn new(directory: PathBuf, records: Vec<VolumeRecord>) -> Self {
        let all = records.into_iter().map(|record| (record.name.clone(), record)).collect();
        let root = directory.parent().unwrap_or(&directory);
        let root = canonical(root).unwrap_or_else(|_| root.to_owned());
        Self { root, directory, all: Mutex::new(all), users: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, VolumeRecord>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a volume's files are.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.directory.join(name).join("_data")
    }

    /// Makes the volume's directory.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn make(&self, name: &str) -> Result<(), Error> {
        let path = self.data(name);
        fs::create_dir_all(&path)
            .map_err(|error| Error::internal(format!("make volume directory {path:?}"), &error))
    }

    /// Takes the volume's directory out of the way with its last user, to be deleted by whoever has the time; gives its new path. A crash leaves
    /// it to [`Volumes::sweep`].
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn retire(&self, name: &str, user: &ContainerId) -> Result<PathBuf, Error> {
        local::unmount(&self.data(name))
            .map_err(|error| Error::internal(format!("unmount volume {name}"), &error))?;
        // No volume is called like this.
        let trash = self.directory.join(format!(".{name}-{user}"));
        match fs::rename(self.directory.join(name), &trash) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::internal(format!("remove volume {name}"), &error))
            }
            _ => Ok(trash),
        }
    }

    /// Removes the volume's directory with everything in it.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn destroy(&self, name: &str) -> Result<(), Error> {
        // What is mounted there is not the volume's to delete.
        local::unmount(&self.data(name))
            .map_err(|error| Error::internal(format!("unmount volume {name}"), &error))?;
        match tree::remove_all(&self.directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::internal(format!("remove volume {name}"), &error))
            }
            _ => Ok(()),
        }
    }

    /// Directories of volumes that no record names: a crash between making and storing, or between
    /// forgetting and deleting.
    pub(crate) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !self.lock().contains_key(&name)
                && let Err(error) = self.destroy(&name)
            {
                tracing::warn!(%error, "sweep volumes");
            }
        }
    }

    /// A bind of the engine's own root, or of what that is in (`-v /:/host`), follows the host's mounts, as with Docker: a private
    /// copy would hold what the engine mounts there, and never show what comes later.
    fn complete_propagation(&self, mount: &mut MountRecord) -> Result<(), Error> {
        if mount.kind != MountKind::Bind {
            return Ok(());
        }
        let root = &self.root;
        let source = Path::new(&mount.source);
        let is_of_root = [root.as_path(), self.directory.parent().unwrap_or(root)]
            .iter()
            .any(|root| source.starts_with(root) || root.starts_with(source));
        match (is_of_root, mount.propagation.as_str()) {
            (true, "") => mount.propagation = "rslave".to_owned(),
            (false, "") => mount.propagation = "rprivate".to_owned(),
            (true, other) if !matches!(other, "rslave" | "rshared") => {
                return Err(Error::invalid(format!(
                    "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within \
                     the daemon root, daemon root: {root:?}, bind mount source: {source:?}, propagation: {other:?}"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    /// Decides about the mounts of a new container. `from` gives the mounts of a container named by
    /// `--volumes-from`,
    /// `random` new names for anonymous volumes.
    ///
    /// # Errors
    /// `InvalidParameter` for a malformed or doubled mount; those of `from`.
    pub(crate) fn settle(
        &self,
        config: &ContainerConfig,
        host: &HostConfig,
        from: &dyn Fn(&str) -> Result<Vec<MountRecord>, Error>,
        random: &mut dyn FnMut() -> String,
    ) -> Result<Settled, Error> {
        let mut mounts = asked(host)?;
        mounts.iter_mut().try_for_each(|mount| self.complete_propagation(mount))?;
        for mount in
            mounts.iter_mut().filter(|mount| mount.kind == MountKind::Volume && mount.mode.is_empty())
        {
            // What `docker inspect` shows of a volume that somebody asked for.
            "z".clone_into(&mut mount.mode);
        }
        for mount in &mut mounts {
            mount.is_named = mount.name.is_some();
        }
        let mut inherited: Vec<MountRecord> = Vec::new();
        for entry in host.volumes_from.iter().flatten() {
            let (name, read_only) = match entry.rsplit_once(':') {
                None | Some((_, "rw" | "z" | "Z")) => (entry.split(':').next().unwrap_or(entry), false),
                Some((name, "ro")) => (name, true),
                Some((_, mode)) => {
                    return Err(Error::invalid(format!(
                        "invalid volumes-from '{entry}': invalid mode: {mode}"
                    )));
                }
            };
            for mut mount in from(name)? {
                mount.rw &= !read_only;
                // Whose it is has filled it.
                mount.no_copy = true;
                // The last donor counts.
                inherited.retain(|other| other.destination != mount.destination);
                inherited.push(mount);
            }
        }
        let free = |mounts: &[MountRecord], destination: &str| {
            mounts.iter().all(|mount| mount.destination != destination)
        };
        for mount in inherited {
            if free(&mounts, &mount.destination) {
                mounts.push(mount);
            }
        }
        for path in config.volumes.iter().flatten() {
            let destination = parse::destination(path)?;
            if free(&mounts, &destination) {
                mounts.push(MountRecord {
                    kind: MountKind::Volume,
                    destination,
                    rw: true,
                    ..MountRecord::default()
                });
            }
        }
        let mut new_volumes: Vec<VolumeRecord> = Vec::new();
        for mount in mounts.iter_mut().filter(|mount| mount.kind == MountKind::Volume) {
            let anonymous = mount.name.is_none();
            let name = mount.name.get_or_insert_with(&mut *random).clone();
            let known =
                self.lock().contains_key(&name) || new_volumes.iter().any(|volume| volume.name == name);
            if !known {
                check_driver(host.volume_driver.as_deref())?;
                new_volumes.push(new_volume(name, anonymous, mount)?);
            }
        }
        Ok(Settled { mounts, new_volumes })
    }

    /// Refuses mounts whose host part can't be used; makes the missing sources of `-v`.
    ///
    /// # Errors
    /// `InvalidParameter` when a source is missing that must be there.
    pub(crate) fn check_sources(&self, mounts: &[MountRecord]) -> Result<(), Error> {
        for mount in mounts.iter().filter(|mount| mount.kind == MountKind::Bind) {
            if Path::new(&mount.source).exists() {
                continue;
            }
            if !mount.create_source {
                return Err(Error::invalid(format!(
                    "invalid mount config for type \"bind\": bind source path does not exist: {}",
                    mount.source
                )));
            }
            fs::create_dir_all(&mount.source).map_err(|error| {
                Error::internal(format!("make the source of a bind mount {}", mount.source), &error)
            })?;
        }
        Ok(())
    }

    /// Finds each mount on the host.
    ///
    /// # Errors
    /// As [`Volumes::check_sources`]; `InvalidParameter` for a subpath that isn't in its volume.
    pub(crate) fn sources(&self, mounts: &[MountRecord]) -> Result<Sources, Error> {
        self.check_sources(mounts)?;
        let mut sources = Sources::default();
        for mount in mounts {
            let path = match mount.kind {
                MountKind::Tmpfs | MountKind::Image => None,
                MountKind::Bind => Some(mount.source.clone()),
                MountKind::Volume => Some(self.volume_source(mount, &mut sources.held)?),
            };
            sources.paths.push(path);
        }
        Ok(sources)
    }

    /// A volume's place on the host, or that of the part of it that is mounted.
    ///
    /// # Errors
    /// As [`Volumes::sources`].
    pub(crate) fn volume_source(
        &self,
        mount: &MountRecord,
        held: &mut Vec<OwnedFd>,
    ) -> Result<String, Error> {
        let name = mount.name.as_deref().unwrap_or("");
        if !self.lock().contains_key(name) {
            return Err(Error::not_found(format!("get {name}: no such volume")));
        }
        let data = self.data(name);
        let Some(subpath) = &mount.subpath else { return Ok(data.to_string_lossy().into_owned()) };
        // A volume's content is the containers': its links must not lead out.
        let place = Root::open(&data).and_then(|root| root.locate_beneath(Path::new(subpath)));
        let place = place.map_err(|error| {
            // In small letters, by which clients tell that something isn't there.
            let why = match rustix::io::Errno::from_io_error(&error) {
                Some(rustix::io::Errno::XDEV) => "path concatenation escapes the base directory".to_owned(),
                _ => chain(&error).to_lowercase(),
            };
            Error::invalid(format!("cannot access path {subpath:?} of volume {name}: {why}"))
        })?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), place.as_raw_fd());
        held.push(place);
        Ok(path)
    }
}

#[expect(clippy::disallowed_methods, reason = "the engine's own root: where its administrator put it")]
fn canonical(root: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(root)
}

/// What `-v`, `--mount` and `--tmpfs` say; each destination at most once.
fn asked(host: &HostConfig) -> Result<Vec<MountRecord>, Error> {
    let mut mounts = Vec::new();
    for text in host.binds.iter().flatten() {
        mounts.push(parse::bind(text)?);
    }
    for spec in host.mounts.iter().flatten() {
        mounts.push(parse::mount(spec)?);
    }
    let mut tmpfs: Vec<_> = host.tmpfs.iter().flatten().collect();
    tmpfs.sort();
    for (target, options) in tmpfs {
        mounts.push(parse::tmpfs(target, options)?);
    }
    for (index, mount) in mounts.iter().enumerate() {
        if mounts[..index].iter().any(|other| other.destination == mount.destination) {
            return Err(Error::invalid(format!("Duplicate mount point: {}", mount.destination)));
        }
    }
    Ok(mounts)
}

/// Whether a volume can be made with this driver.
///
/// # Errors
/// `NotFound`, in Docker's words.
pub(crate) fn check_driver(name: Option<&str>) -> Result<(), Error> {
    match name.filter(|name| !name.is_empty() && *name != "local") {
        None => Ok(()),
        Some(name) => Err(Error::not_found(format!(
            "error looking up volume plugin {name}: plugin \"{name}\" not found: there is only the local driver"
        ))),
    }
}

fn new_volume(name: String, anonymous: bool, mount: &MountRecord) -> Result<VolumeRecord, Error> {
    local::check(&mount.driver_options)?;
    Ok(VolumeRecord {
        version: 1,
        name,
        created: time_text::now(),
        labels: mount.labels.clone(),
        options: mount.driver_options.clone(),
        anonymous,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes() -> (tempfile::TempDir, Volumes) {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path().join("volumes"), Vec::new());
        (dir, volumes)
    }

    fn settle(volumes: &Volumes, config: &ContainerConfig, host: &HostConfig) -> Result<Settled, Error> {
        let donor = |name: &str| match name {
            "donor" => Ok(vec![parse::bind("/srv:/data").unwrap()]),
            _ => Err(Error::no_such_container(name)),
        };
        volumes.settle(config, host, &donor, &mut || "random".to_owned())
    }

    fn list(entries: &[&str]) -> Option<Vec<String>> {
        Some(entries.iter().map(|entry| (*entry).to_owned()).collect())
    }

    #[test]
    fn another_driver_matters_only_where_a_volume_is_to_be_made() {
        let (_dir, volumes) = volumes();
        let host = HostConfig { volume_driver: Some("nfs".to_owned()), ..HostConfig::default() };
        assert!(settle(&volumes, &ContainerConfig::default(), &host).is_ok());
        let config =
            ContainerConfig { volumes: Some(vec!["/data".to_owned()]), ..ContainerConfig::default() };
        let error = settle(&volumes, &config, &host).unwrap_err().to_string();
        assert!(error.contains("error looking up volume plugin nfs"), "{error}");
    }

    #[test]
    fn named_and_anonymous_volumes_are_made_and_images_volumes_fill_gaps() {
        let (_dir, volumes) = volumes();
        let config = ContainerConfig { volumes: list(&["/a", "/b"]), ..ContainerConfig::default() };
        let host = HostConfig { binds: list(&["named:/a"]), ..HostConfig::default() };
        let settled = settle(&volumes, &config, &host).unwrap();
        let made: Vec<_> = settled.new_volumes.iter().map(|v| (v.name.as_str(), v.anonymous)).collect();
        assert_eq!(made, [("named", false), ("random", true)]);
        let mounted: Vec<_> = settled.mounts.iter().map(|mount| mount.destination.as_str()).collect();
        assert_eq!(mounted, ["/a", "/b"]);
    }

    #[test]
    fn mounts_of_another_container_come_along_and_can_be_read_only() {
        let (_dir, volumes) = volumes();
        let host = HostConfig { volumes_from: list(&["donor:ro"]), ..HostConfig::default() };
        let settled = settle(&volumes, &ContainerConfig::default(), &host).unwrap();
        assert_eq!((settled.mounts[0].destination.as_str(), settled.mounts[0].rw), ("/data", false));
        let host = HostConfig { volumes_from: list(&["nobody"]), ..HostConfig::default() };
        assert!(settle(&volumes, &ContainerConfig::default(), &host).is_err());
    }

    #[test]
    fn one_destination_is_mounted_once() {
        let (_dir, volumes) = volumes();
        let host = HostConfig { binds: list(&["/a:/x", "/b:/x/"]), ..HostConfig::default() };
        let error = settle(&volumes, &ContainerConfig::default(), &host).unwrap_err();
        assert_eq!(error.to_string(), "Duplicate mount point: /x");
    }

    #[test]
    fn missing_sources_are_made_for_v_and_refused_for_mount() {
        let (dir, volumes) = volumes();
        let source = dir.path().join("new");
        let mut mount = parse::bind(&format!("{}:/x", source.display())).unwrap();
        mount.create_source = false;
        assert!(
            volumes.sources(std::slice::from_ref(&mount)).unwrap_err().to_string().contains("does not exist")
        );
        mount.create_source = true;
        assert!(volumes.sources(&[mount]).is_ok() && source.is_dir());
    }

    #[test]
    fn a_subpath_that_is_a_link_to_the_outside_stays_inside() {
        let (_dir, volumes) = volumes();
        volumes.lock().insert("data".into(), VolumeRecord::default());
        volumes.make("data").unwrap();
        std::os::unix::fs::symlink("/etc", volumes.data("data").join("evil")).unwrap();
        let mount = MountRecord {
            kind: MountKind::Volume,
            name: Some("data".into()),
            subpath: Some("evil".into()),
            destination: "/x".into(),
            ..MountRecord::default()
        };
        assert!(volumes.sources(&[mount]).is_err());
    }
}
