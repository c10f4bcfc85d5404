//! Filling a new volume with what the image has at its place (Docker, "populate a volume using a container").

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::Path,
    thread,
};

use minke_image::archive::{self, PackOptions, UnpackOptions};
use minke_kernel::path::Root;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

use crate::{Error, error::chain};

/// Copies what `root` has at `destination` into the empty directory `volume`, with owner and mode of the
/// place itself.
/// Nothing happens when the volume has content or the image has no such directory.
///
/// # Errors
/// `Internal` when copying fails half-way.
pub(crate) fn copy_up(root: &Root, destination: &str, volume: &Path) -> Result<(), Error> {
    let failed =
        |error: io::Error| Error::internal(format!("copy the image's {destination} into its volume"), &error);
    if fs::read_dir(volume).map_err(failed)?.next().is_some() {
        return Ok(());
    }
    let source = match root.open_at(Path::new(destination), OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(source) => source,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(failed(error)),
    };
    let target = File::open(volume).map_err(failed)?;
    let stat = rustix::fs::fstat(&source).map_err(|errno| failed(errno.into()))?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(&target, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
        .map_err(|errno| failed(errno.into()))?;
    rustix::fs::fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777))
        .map_err(|errno| failed(errno.into()))?;
    if rustix::fs::Dir::read_from(&source)
        .map_err(|errno| failed(errno.into()))?
        .all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
    {
        return Ok(());
    }
    copy(&source, &target).map_err(|message| {
        Error::new(
            crate::ErrorKind::Internal,
            format!("copy the image's {destination} into its volume: {message}"),
        )
    })
}

/// Packs and unpacks at the same time, through a pipe.
fn copy(source: impl AsFd + Sync, target: &File) -> Result<(), String> {
    let (reader, writer) = io::pipe().map_err(|error| error.to_string())?;
    thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let options =
                PackOptions { sparse: true, exact_times: true, one_mount: true, ..PackOptions::default() };
            archive::pack(source.as_fd(), Path::new("."), io::BufWriter::new(writer), &options)
                .map_err(|error| chain(&error))
        });
        let unpacked = archive::unpack(reader, target.as_fd(), &UnpackOptions::default());
        let packed = packing.join().unwrap_or_else(|_| Err("packing panicked".to_owned()));
        packed.and(unpacked.map_err(|error| chain(&error))).map(drop)
    })
}
