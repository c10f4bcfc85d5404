//! Paths that the container can't read, and paths that it can't write.
//!
//! Files are covered by the container's own /dev/null, checked by its device number on the descriptor that is then bound (an
//! image or a race could put something else there, CVE-2025-31133). The host's serves only where that isn't one: a
//! container that may change owners and modes could else change those of the host's node. Either is bound
//! read-only, which a device's content isn't subject to. Directories get a copy of one empty tmpfs.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use minke_kernel::{
    mount::{self, Attribute, Attributes},
    path::Root,
};
use minke_model::runtime_spec::Linux;
use rustix::fs::{self, FileType};

use super::{is_directory, open_host};
use crate::{container::InitError, step::Step};

/// Applies `maskedPaths` and `readonlyPaths`; what doesn't exist needs neither.
pub(super) fn apply(linux: &Linux, root: &Root) -> Result<(), InitError> {
    for path in linux.readonly_paths.iter().filter(|path| !path.is_empty()) {
        let step = || format!("linux.readonlyPaths: {path}");
        if let Some(place) = find(root, Path::new(path)).step(step)? {
            make_read_only(&place).step(step)?;
        }
    }
    let mut covers = Covers::default();
    // What is listed twice is covered once.
    let masked: std::collections::BTreeSet<&str> = linux.masked_paths.iter().map(String::as_str).collect();
    for path in masked.into_iter().filter(|path| !path.is_empty()) {
        let step = || format!("linux.maskedPaths: {path}");
        if let Some(place) = find(root, Path::new(path)).step(step)? {
            covers.cover(root, &place).step(step)?;
        }
    }
    Ok(())
}

fn find(root: &Root, path: &Path) -> io::Result<Option<OwnedFd>> {
    match root.locate(path) {
        Ok(place) => Ok(Some(place)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn make_read_only(place: &OwnedFd) -> io::Result<()> {
    let copy = mount::clone_fd(place, true)?;
    let read_only: Attributes = [Attribute::ReadOnly].into_iter().collect();
    mount::set_attributes(&copy, &read_only, true)?;
    mount::attach(copy, place)
}

/// What covers masked paths, opened when first needed.
#[derive(Default)]
struct Covers {
    null: Option<OwnedFd>,
    empty: Option<OwnedFd>,
}

impl Covers {
    fn cover(&mut self, root: &Root, place: &OwnedFd) -> io::Result<()> {
        if !is_directory(place)? {
            if self.null.is_none() {
                self.null = Some(null(root)?);
            }
            let Some(null) = &self.null else { return Ok(()) };
            let cover = mount::clone_fd(null, false)?;
            let restricted: Attributes =
                [Attribute::ReadOnly, Attribute::NoSuid, Attribute::NoExec].into_iter().collect();
            mount::set_attributes(&cover, &restricted, false)?;
            return mount::attach(cover, place);
        }
        match &self.empty {
            // Once attached, the first cover can be copied: one file system serves all.
            Some(empty) => mount::attach(mount::clone_fd(empty, false)?, place),
            None => {
                let attributes =
                    [Attribute::ReadOnly, Attribute::NoSuid, Attribute::NoDev, Attribute::NoExec].into_iter();
                let parameters =
                    [mount::Parameter::new("nr_blocks", "1"), mount::Parameter::new("nr_inodes", "1")];
                let empty = mount::filesystem("tmpfs", Some("tmpfs"), &parameters, &attributes.collect())?;
                mount::attach(&empty, place)?;
                self.empty = Some(empty);
                Ok(())
            }
        }
    }
}

fn null(root: &Root) -> io::Result<OwnedFd> {
    let own = root.locate(Path::new("/dev/null"));
    if let Some(own) = own.ok().filter(|own| is_null(own)) {
        return Ok(own);
    }
    let host = open_host(Path::new("/dev/null"))?;
    if is_null(&host) {
        Ok(host)
    } else {
        Err(io::Error::other("/dev/null of the host is not the null device"))
    }
}

fn is_null(fd: impl AsFd) -> bool {
    fs::fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == fs::makedev(1, 3)
    })
}
