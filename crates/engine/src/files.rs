//! Files of a container from outside: `cp` both ways, `export`, `diff`. Every path is resolved by the
//! kernel within the container's
//! root (openat2), so that nothing in it can lead outside (CVE-2018-15664, CVE-2019-14271).

mod changes;
mod resting;
mod stat;

use std::{
    ffi::OsStr,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use minke_image::archive::{self, AbsoluteNames, PackOptions, Parents, UnpackError, UnpackOptions};
use minke_kernel::path::Root;
use rustix::fs::{AtFlags, FileType, OFlags, StatVfsMountFlags, StatxFlags};
use tokio::io::AsyncRead;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use crate::{
    ByteStream, Engine, Error, ErrorKind, PathStat, PutOptions, container::Container, engine::Inner,
    error::chain, pipes, rootfs,
};

pub(crate) use self::changes::{MARK, OWN, engine_made};
use self::resting::Resting;

/// A place in a container: a root, and a path in it.
struct Place {
    root: Root,
    path: PathBuf,
    _resting: Option<Resting>,
}

impl Engine {
    /// What a path in a container is. Symbolic links on the way are followed inside it, the last one is not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for the container and for the path.
    pub async fn archive_stat(&self, name: &str, path: &str) -> Result<PathStat, Error> {
        let container = self.inner().find(name)?;
        let (name, path, access) = (name.to_owned(), path.to_owned(), Access::of(&container, false).await);
        self.blocking(move |inner| {
            let place = Place::find(&inner, &container, &path, access)?;
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
        let access = Access::of(&container, false).await;
        self.blocking(move |inner| {
            let place = Place::find(&inner, &container, &path, access)?;
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
                // All of a container is not what the kernel shows in /proc, and /proc/kcore has no end; nor is it the
                // host's, which it may have bound.
                one_mount: whole,
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
        let (name, path, access) = (name.to_owned(), path.to_owned(), Access::of(&container, true).await);
        let unpacking = self.waiting(move |inner| {
            let place = Place::find(&inner, &container, &path, access)?;
            let target = place.root.locate(&place.path).map_err(|error| no_file(&error, &name, &path))?;
            let kind = rustix::fs::fstat(&target).map(|stat| FileType::from_raw_mode(stat.st_mode));
            if kind != Ok(FileType::Directory) {
                return Err(Error::invalid("extraction point is not a directory"));
            }
            place.refuse_read_only(&target)?;
            // Who runs as root keeps the archive's owners.
            let has_user = container.record().config.user.as_deref().is_some_and(|user| !user.is_empty());
            let owner = match options.copy_uid_gid && has_user {
                true => Some(inner.owner(&container, &place.root)?),
                false => None,
            };
            let options = UnpackOptions {
                owner,
                absolute_names: AbsoluteNames::UnderRoot,
                parents: Parents::InRoot,
                keep_root: true,
                no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
                subdirectory: Some(place.path.clone()),
                ..UnpackOptions::default()
            };
            let root = place.root.open_at(Path::new("/"), OFlags::RDONLY | OFlags::DIRECTORY);
            let root = root.map_err(|error| no_file(&error, &name, &path))?;
            let reader = archive::decompress(reader).map_err(archive::UnpackError::Read);
            let unpacked = reader.and_then(|reader| archive::unpack(reader, root.as_fd(), &options));
            unpacked.map_err(|error| unpack_error(&error))?;
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
            let options = PackOptions { one_mount: true, ..PackOptions::default() };
            pack(Place { root, path: PathBuf::from("/"), _resting: None }, writer, options);
            inner.container_event(&container, "export", []);
            Ok(stream)
        })
        .await
    }
}

/// What somebody is about to do to a container's files, and who has to wait for that.
struct Access {
    write: bool,
    _among_others: Option<OwnedRwLockReadGuard<()>>,
    alone: Option<OwnedRwLockWriteGuard<()>>,
}

impl Access {
    /// Waits for those who change the layers by an overlay of their own: two over the same are undefined.
    async fn of(container: &Container, write: bool) -> Self {
        let layers = Arc::clone(&container.layers);
        match container.is_alive() {
            true => Self { write, _among_others: None, alone: None },
            false if resting::changes_layers(container, write) => {
                Self { write, _among_others: None, alone: Some(layers.write_owned().await) }
            }
            false => Self { write, _among_others: Some(layers.read_owned().await), alone: None },
        }
    }
}

/// Packs on a thread of its own while the stream is read.
fn pack(place: Place, mut writer: pipes::PipeWriter, options: PackOptions) {
    minke_patience::spawn(move || {
        // All of it: what it stands on has to stay.
        match place.pack(&mut writer, &options) {
            Ok(()) => drop(writer.flush()),
            Err(message) => writer.fail(io::Error::other(message)),
        }
    });
}

impl Place {
    /// Finds a path in a container: what its processes see, or would see if it ran.
    fn find(
        inner: &Arc<Inner>,
        container: &Arc<Container>,
        path: &str,
        access: Access,
    ) -> Result<Self, Error> {
        let path = Path::new("/").join(path);
        if container.is_alive() {
            return Ok(Self { root: running_root(container)?, path, _resting: None });
        }
        let (root, resting) = resting::assemble(inner, container, &path, access)?;
        Ok(Self { root, path, _resting: Some(resting) })
    }

    fn pack(self, writer: &mut impl Write, options: &PackOptions) -> Result<(), String> {
        let root = self.root.open_at(Path::new("/"), OFlags::RDONLY | OFlags::DIRECTORY);
        let root = root.map_err(|error| error.to_string())?;
        archive::pack(root.as_fd(), &self.path, writer, options).map(drop).map_err(|error| chain(&error))
    }

    /// A read-only root or volume can't be copied into, whichever links led there.
    fn refuse_read_only(&self, target: &OwnedFd) -> Result<(), Error> {
        let failed = |error: rustix::io::Errno| Error::internal("look at a mount", &error);
        if !rustix::fs::fstatvfs(target).map_err(failed)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Ok(());
        }
        let mount_of = |fd: &OwnedFd| {
            rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|stat| stat.stx_mnt_id)
        };
        let root = self.root.locate(Path::new("/"));
        let is_root = root.is_ok_and(|root| mount_of(&root).ok() == mount_of(target).ok());
        let why = if is_root { "container rootfs" } else { "mounted volume" };
        Err(Error::new(ErrorKind::Forbidden, format!("{why} is marked read-only")))
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
