//! What bind mounts bind, where the container's process may not copy it by itself: its user may not reach the source, or may not
//! map ids. The creator does it then, when the process has come to that mount.
//!
//! The copy is made in the container's mount namespace. Made in the creator's own it would be a peer of the host's mount, to which
//! a container's mounts would spread, and what the host has restricted would not be locked; and what the container's earlier
//! mounts cover or show would not be.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use minke_kernel::{
    mount,
    namespace::{self, Kinds},
    process::{self, Child, CloneOptions},
    procfs::Proc,
    socket,
};
use minke_model::runtime_spec::{Linux, Mount, NamespaceType};
use rustix::io::Errno;

use super::{CreateError, InitError, id_map, rootless, validate::config};
use crate::{
    init::{self, mount_options},
    step::{Step, failed, plain},
};

/// Who copies the sources of a configuration's mounts.
pub(super) struct BindSources<'a> {
    mounts: &'a [Mount],
    bundle: &'a Path,
    linux: &'a Linux,
    /// By the index of the mount.
    by_creator: Vec<bool>,
}

impl<'a> BindSources<'a> {
    /// `has_user`: whether the container has a user namespace, a new one or another's.
    ///
    /// # Errors
    /// For ids that can't be mapped.
    pub(super) fn new(
        mounts: &'a [Mount],
        bundle: &'a Path,
        linux: &'a Linux,
        has_user: bool,
    ) -> Result<Self, CreateError> {
        let mut by_creator = Vec::with_capacity(mounts.len());
        for (i, mount) in mounts.iter().enumerate() {
            let options = options_of(mount);
            let is_mapped = options.id_map.is_some() || !mount.uid_mappings.is_empty();
            let source = init::bind_source(mount, bundle).filter(|_| options.bind.is_some());
            let fault = match () {
                () if !is_mapped => None,
                () if source.is_none() => Some(("options", "only bind mounts can be id-mapped")),
                () if rootless::is_ordinary_user() => {
                    Some(("uidMappings", "id-mapped mounts are not supported for rootless containers"))
                }
                () if mount.uid_mappings.is_empty() && !has_user => {
                    Some(("uidMappings", "missing, and there is no user namespace whose ids it could have"))
                }
                () => None,
            };
            if let Some((field, reason)) = fault {
                return Err(config(format!("mounts[{i}].{field}"), reason));
            }
            // An ordinary user reaches no more than the container's process, which has the right in its user namespace.
            let wanted = is_mapped || has_user || source.as_deref().is_some_and(init::is_descriptor);
            by_creator.push(wanted && source.is_some() && !rootless::is_ordinary_user());
        }
        Ok(Self { mounts, bundle, linux, by_creator })
    }

    /// Which mounts are the creator's.
    pub(super) fn by_creator(&self) -> &[bool] {
        &self.by_creator
    }

    /// A detached copy of what a mount binds, with its ids mapped.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn copy(&self, index: usize, proc: &Proc, init: &Child) -> Result<OwnedFd, CreateError> {
        let asked = self.mounts.get(index).filter(|_| self.by_creator.get(index) == Some(&true));
        let mount = asked.ok_or_else(|| CreateError::Part("unexpected message".into()))?;
        let copied = self.copied(&format!("mounts[{index}]"), mount, proc, init);
        copied.map_err(|error| init::of_mount(mount, error).into())
    }

    fn copied(&self, name: &str, mount: &Mount, proc: &Proc, init: &Child) -> Result<OwnedFd, InitError> {
        let options = options_of(mount);
        let source = init::bind_source(mount, self.bundle);
        let (recursive, source) = options.bind.zip(source).ok_or_else(|| failed(name, "no bind mount"))?;
        let step = || format!("{name}.source: bind {}", source.display());
        let copy = match init::is_descriptor(&source) {
            true => self.copy_of_descriptor(&source, recursive).step(step)?,
            false => copy_inside(init.pidfd.as_fd(), &source, recursive).map_err(|error| {
                // What lies below it hides something that a user namespace may not see.
                let has_mounts = !recursive && error.raw_os_error() == Some(Errno::INVAL.raw_os_error());
                let hint = if has_mounts {
                    ": in a user namespace what has mounts below it is bound by rbind"
                } else {
                    ""
                };
                failed(step(), plain(&error) + hint)
            })?,
        };
        if options.id_map.is_some() || !mount.uid_mappings.is_empty() {
            let namespace = match mount.uid_mappings.is_empty() {
                true => File::open(format!("/proc/{}/ns/user", init.pid)).map(OwnedFd::from),
                false => id_map::user_namespace(proc, &mount.uid_mappings, &mount.gid_mappings),
            };
            namespace
                .and_then(|namespace| {
                    mount::set_id_map(&copy, namespace.as_fd(), options.id_map.unwrap_or(false))
                })
                .step(|| format!("{name}.uidMappings: map ids"))?;
        }
        Ok(copy)
    }

    /// A descriptor's mount is of the creator's mount namespace and can't be copied from another.
    fn copy_of_descriptor(&self, source: &Path, recursive: bool) -> io::Result<OwnedFd> {
        let copy = mount::clone_path(source, recursive)?;
        // An unknown propagation is refused by the container's process, before its mounts.
        if let Ok(Some(isolation)) = init::isolation(self.linux) {
            mount::set_propagation(&copy, isolation, true)?;
        }
        Ok(copy)
    }
}

fn options_of(mount: &Mount) -> mount_options::MountOptions {
    mount_options::parse(&mount.options, mount.kind.as_deref() == Some("bind"))
}

/// Copies what is at a path in the mount namespace of a process, with the caller's rights.
fn copy_inside(process: BorrowedFd<'_>, source: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let (ours, theirs) = socket::pair()?;
    // A process of its own, so that this one stays where it is.
    let child = process::spawn(&CloneOptions::default(), || {
        let copied = namespace::join_process(process, Kinds::of(NamespaceType::Mount))
            .and_then(|()| mount::clone_path(source, recursive));
        let errno = copied.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(-1));
        let descriptors: Vec<_> = copied.iter().map(AsFd::as_fd).collect();
        i32::from(socket::send(&theirs, &errno.to_ne_bytes(), &descriptors).is_err())
    })?;
    drop(theirs);
    let received = socket::receive(&ours);
    process::wait(&child.pidfd)?;
    let received = received?.ok_or(io::ErrorKind::UnexpectedEof)?;
    match <[u8; 4]>::try_from(received.bytes).map(i32::from_ne_bytes) {
        Ok(0) => Ok(received.descriptors.into_iter().next().ok_or(io::ErrorKind::UnexpectedEof)?),
        Ok(errno) if errno > 0 => Err(io::Error::from_raw_os_error(errno)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
