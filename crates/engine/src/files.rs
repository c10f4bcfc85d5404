//! Files of a container from outside: `cp` both ways, `export`, `diff`. Every path is resolved by the
//! kernel within the container's
//! root (openat2), so that nothing in it can lead outside (CVE-2018-15664, CVE-2019-14271).

mod changes;
mod stat;

use std::{
    ffi::OsStr,
    io::{self, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use minke_image::archive::{self, AbsoluteNames, PackOptions, Parents, UnpackError, UnpackOptions};
use minke_kernel::path::Root;
use rustix::fs::{FileType, OFlags};
use tokio::io::AsyncRead;

use crate::{
    ByteStream, Engine, Error, ErrorKind, PathStat, PutOptions, container::Container, engine::Inner,
    error::chain, pipes, rootfs, volumes::Held,
};

pub(crate) use self::changes::{MARK, engine_made};

/// A place in a container: a root, and a path in it.
struct Place {
    root: Root,
    path: PathBuf,
    /// Keeps what a volume's options mount there.
    _held: Option<Held>,
}

impl Engine {
    /// What a path in a container is. Symbolic links on the way are followed inside it, the last one is not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the container and for the path.
    pub async fn archive_stat(&self, name: &str, path: &str) -> Result<PathStat, Error> {
        let container = self.inner().find(name)?;
        let (name, path) = (name.to_owned(), path.to_owned());
        self.blocking(move |inner| {
            let place = Place::find(&inner, &container, &name, &path, false)?;
            place.stat(&name, &path)
        })
        .await
    }

    /// A file or a directory with all that is in it, as a tar.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the container and for the path.
    pub async fn archive_get(&self, name: &str, path: &str) -> Result<(PathStat, ByteStream), Error> {
        let container = self.inner().find(name)?;
        let (name, path, busy) = (name.to_owned(), path.to_owned(), self.busy());
        self.blocking(move |inner| {
            let place = Place::find(&inner, &container, &name, &path, false)?;
            let stat = place.stat(&name, &path)?;
            let directory_itself =
                matches!(path.as_str(), "." | "./") || path.ends_with("/.") || path.ends_with("/./");
            let whole = crate::volumes::clean_path(&place.path.to_string_lossy()) == "/";
            let top = match stat.name.as_str() {
                _ if directory_itself => ".",
                // Of the root "/", so that all names begin with a slash: the docker CLI puts the new name in front.
                name => name,
            };
            let options = PackOptions {
                rename_root_to: Some(top.to_owned()),
                exact_times: true,
                // All of a running container is not what the kernel shows in /proc, and /proc/kcore has no
                // end.
                one_mount: whole && container.is_alive(),
                ..PackOptions::default()
            };
            let (writer, stream) = pipes::to_async(busy);
            pack(place, writer, options);
            inner.container_event(&container, "archive-path", []);
            Ok((stat, stream))
        })
        .await
    }

    /// Unpacks a tar into a directory of the container.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Forbidden`] when it is read-only;
    /// [`ErrorKind::InvalidParameter`] for a bad tar and for a path
    /// that is no directory.
    pub async fn archive_put<R: AsyncRead + Send + Unpin>(
        &self,
        name: &str,
        path: &str,
        options: PutOptions,
        tar: R,
    ) -> Result<(), Error> {
        let container = self.inner().find(name)?;
        let (pipe, reader) = pipes::to_blocking();
        let (name, path) = (name.to_owned(), path.to_owned());
        let unpacking = self.blocking(move |inner| {
            inner.refuse_read_only(&container, &path)?;
            let place = Place::find(&inner, &container, &name, &path, true)?;
            let target = place.root.locate(&place.path).map_err(|error| no_file(&error, &name, &path))?;
            let kind = rustix::fs::fstat(&target).map(|stat| FileType::from_raw_mode(stat.st_mode));
            if kind != Ok(FileType::Directory) {
                return Err(Error::invalid("extraction point is not a directory"));
            }
            let owner = match options.copy_uid_gid {
                true => Some(inner.owner(&container, &place.root)?),
                false => None,
            };
            let options = UnpackOptions {
                owner,
                absolute_names: AbsoluteNames::UnderRoot,
                parents: Parents::InRoot,
                no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
                subdirectory: Some(place.path.clone()),
                ..UnpackOptions::default()
            };
            let root = place.root.open_at(Path::new("/"), OFlags::RDONLY | OFlags::DIRECTORY);
            let root = root.map_err(|error| no_file(&error, &name, &path))?;
            archive::unpack(reader, root.as_fd(), &options).map_err(|error| unpack_error(&error))?;
            inner.container_event(&container, "extract-to-dir", []);
            Ok(())
        });
        let ((), result) = tokio::join!(pipes::pump(tar, pipe), unpacking);
        result
    }

    /// A container's whole root file system as a tar, without what is mounted in it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn export(&self, name: &str) -> Result<ByteStream, Error> {
        let container = self.inner().find(name)?;
        let busy = self.busy();
        self.blocking(move |inner| {
            let root = root_of(&inner, &container, false)?;
            let (writer, stream) = pipes::to_async(busy);
            let options = PackOptions { one_mount: true, exact_times: true, ..PackOptions::default() };
            pack(Place { root, path: PathBuf::from("/"), _held: None }, writer, options);
            inner.container_event(&container, "export", []);
            Ok(stream)
        })
        .await
    }
}

/// Packs on a thread of its own while the stream is read.
fn pack(place: Place, mut writer: pipes::PipeWriter, options: PackOptions) {
    tokio::task::spawn_blocking(move || {
        let root = place.root.open_at(Path::new("/"), OFlags::RDONLY | OFlags::DIRECTORY);
        let packed = root.map_err(|error| error.to_string()).and_then(|root| {
            archive::pack(root.as_fd(), &place.path, &mut writer, &options).map_err(|error| chain(&error))
        });
        match packed {
            Ok(_) => drop(writer.flush()),
            Err(message) => writer.fail(io::Error::other(message)),
        }
    });
}

impl Place {
    /// Finds a path: in a running container's own root; else in its layers, or in the volume that would be
    /// mounted there.
    fn find(
        inner: &Arc<Inner>,
        container: &Arc<Container>,
        name: &str,
        path: &str,
        write: bool,
    ) -> Result<Self, Error> {
        let absolute = Path::new("/").join(path);
        if container.is_alive() {
            return Ok(Self { root: running_root(container)?, path: absolute, _held: None });
        }
        let record = container.record();
        let clean = crate::volumes::clean_path(&absolute.to_string_lossy());
        let below = |destination: &str| {
            Path::new(&clean).strip_prefix(destination).ok().map(|rest| Path::new("/").join(rest))
        };
        let mounts =
            record.mounts.iter().filter(|mount| mount.kind.is_on_the_host() && mount.subpath.is_none());
        let nearest = mounts
            .filter_map(|mount| below(&mount.destination).map(|rest| (mount, rest)))
            .max_by_key(|(mount, _)| mount.destination.len());
        match nearest {
            Some((mount, rest)) => {
                let held = mount.name.as_deref().map(|volume| Held::new(inner, volume)).transpose()?;
                let source = match &mount.name {
                    Some(volume) => inner.volumes.data(volume),
                    None => PathBuf::from(&mount.source),
                };
                let root = Root::open(&source).map_err(|error| no_file(&error, name, path))?;
                Ok(Self { root, path: rest, _held: held })
            }
            None => Ok(Self { root: root_of(inner, container, write)?, path: absolute, _held: None }),
        }
    }

    fn stat(&self, name: &str, asked: &str) -> Result<PathStat, Error> {
        stat::stat(&self.root, &self.path, asked).map_err(|error| no_file(&error, name, asked))
    }
}

/// The root of a container, running or not.
pub(crate) fn root_of(inner: &Inner, container: &Arc<Container>, write: bool) -> Result<Root, Error> {
    if container.is_alive() {
        return running_root(container);
    }
    let layers = inner.layers(&container.record())?;
    let root = if write { layers.writable() } else { layers.read_only() };
    root.map_err(|error| Error::internal(format!("look at the files of {}", container.id.short()), &error))
}

/// The root as the first process of a running container sees it.
///
/// # Errors
/// `Conflict` when it has ended.
pub(crate) fn running_root(container: &Container) -> Result<Root, Error> {
    let not_running = || Error::conflict(format!("container {} is not running", container.id));
    let (pid, start_time) = container.run().process.ok_or_else(not_running)?;
    let root = Root::open(Path::new(&format!("/proc/{pid}/root"))).map_err(|_| not_running())?;
    // The pid may have become another process's before the root was opened, not after.
    match minke_kernel::process::stat(pid) {
        Ok(Some(stat)) if stat.start_time == start_time => Ok(root),
        _ => Err(not_running()),
    }
}

impl Inner {
    /// A read-only root or volume can't be copied into.
    fn refuse_read_only(&self, container: &Container, path: &str) -> Result<(), Error> {
        let record = container.record();
        let clean = crate::volumes::clean_path(&Path::new("/").join(path).to_string_lossy());
        let mounts = record.mounts.iter().filter(|mount| Path::new(&clean).starts_with(&mount.destination));
        let read_only = match mounts.max_by_key(|mount| mount.destination.len()) {
            Some(mount) if !mount.rw => Some("mounted volume is marked read-only"),
            Some(_) => None,
            None if record.host.readonly_rootfs == Some(true) => Some("container rootfs is marked read-only"),
            None => None,
        };
        read_only.map_or(Ok(()), |why| Err(Error::new(ErrorKind::Forbidden, why)))
    }

    fn owner(&self, container: &Container, root: &Root) -> Result<(u32, u32), Error> {
        let record = container.record();
        let accounts =
            rootfs::accounts(root).map_err(|error| Error::internal("read the container's users", &error))?;
        let user = accounts.resolve(record.config.user.as_deref().unwrap_or(""), &[])?;
        Ok((user.uid, user.gid))
    }
}

/// `name`: the container, as the client named it.
fn no_file(error: &io::Error, name: &str, path: &str) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Error::not_found(format!("Could not find the file {path} in container {name}"))
        }
        io::ErrorKind::NotADirectory => {
            Error::invalid(format!("open {path} in container {name}: not a directory"))
        }
        _ => Error::internal(format!("open {path} in container {name}"), error),
    }
}

fn unpack_error(error: &UnpackError) -> Error {
    Error::invalid(chain(error))
}

/// A path's last part, as Go's `filepath.Base` gives it.
fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or(OsStr::new("/")).to_string_lossy().into_owned()
}
