//! The container's root: assembled in its own mount namespace, entered with pivot_root(2).
//!
//! No mount is left on the host, so nothing leaks and nothing is busy: when the last process of the
//! namespace ends, its mounts are gone. Only a configuration without a mount namespace has it otherwise: the specification
//! wants the runtime's own then, so all is mounted at the root's place on the host, and taken away on deletion.

use std::{os::fd::AsFd, path::Path};

use minke_kernel::{
    mount::{self, Attribute, Propagation},
    path::Root,
};

use minke_model::runtime_spec::{Linux, NamespaceType};

use super::{Plan, mount_options};
use crate::{
    container::InitError,
    step::{Step, failed},
};

/// Mounts the root file system over its own directory and returns it as the place to resolve paths in.
pub(super) fn assemble(plan: &Plan<'_>) -> Result<Root, InitError> {
    isolate(plan)?;
    let path = plan.rootfs;
    let root = match &plan.overlay {
        Some(overlay) => mount::overlay(overlay).step(|| "root: mount the overlay".into())?,
        None => mount::clone_path(path, true).step(|| format!("root.path: bind {}", path.display()))?,
    };
    // pivot_root(2) refuses a shared root; one that takes the host's later mounts in is fine, where that is asked for.
    let wanted = plan.linux.rootfs_propagation.as_deref().and_then(mount_options::propagation);
    let propagation = match wanted {
        Some((Propagation::Slave, _)) => Propagation::Slave,
        _ => Propagation::Private,
    };
    mount::set_propagation(&root, propagation, false)
        .step(|| "root: change the mount's propagation".into())?;
    mount::attach_at(&root, path).step(|| format!("root.path: mount on {}", path.display()))?;
    Ok(Root::from_fd(root))
}

/// Nothing that is mounted here may reach the host, unless `shared` asks for it: then propagation stays as the
/// host has it. With `slave` (the default) the host's later mounts still come in where a bind wants them.
fn isolate(plan: &Plan<'_>) -> Result<(), InitError> {
    if !plan.has(NamespaceType::Mount) {
        // The mounts of the host are not the container's to change.
        return Ok(());
    }
    let Some(propagation) = isolation(plan.linux)? else { return isolate_parent(plan.rootfs) };
    let step = || "linux.rootfsPropagation: change /".to_owned();
    let host = super::open_host(Path::new("/")).step(step)?;
    mount::set_propagation(&host, propagation, true).step(step)
}

/// How the host's mounts propagate in a container's mount namespace; `None` for as on the host.
pub(crate) fn isolation(linux: &Linux) -> Result<Option<Propagation>, InitError> {
    let wanted = linux.rootfs_propagation.as_deref().unwrap_or_default();
    Ok(match mount_options::propagation(wanted) {
        None if wanted.is_empty() => Some(Propagation::Slave),
        None => return Err(failed("linux.rootfsPropagation", format!("unknown value {wanted:?}"))),
        Some((Propagation::Shared, _)) => None,
        Some((Propagation::Slave, _)) => Some(Propagation::Slave),
        // An unbindable root couldn't be bound below; it becomes so in the end.
        Some((Propagation::Private | Propagation::Unbindable, _)) => Some(Propagation::Private),
    })
}

/// Makes only the mount private that the root is about to be mounted on: else that would spread to the host, and
/// pivot_root(2) refuses a root whose parent is shared.
fn isolate_parent(rootfs: &Path) -> Result<(), InitError> {
    let step = || format!("linux.rootfsPropagation: make the mount below {} private", rootfs.display());
    for directory in rootfs.ancestors() {
        let place = super::open_host(directory).step(step)?;
        match mount::set_propagation(&place, Propagation::Private, false) {
            // Not the mount's root: that is further up.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {}
            result => return result.step(step),
        }
    }
    Ok(())
}

/// Makes the assembled root the process's root, with the attributes that it must not have before.
pub(super) fn enter(plan: &Plan<'_>, root: Root) -> Result<(), InitError> {
    if !plan.has(NamespaceType::Mount) {
        // In the host's own namespace the root can only be changed for this process.
        mount::change_root(root.as_fd()).step(|| "root: chroot".into())?;
    } else if plan.no_pivot {
        mount::move_root(root.as_fd()).step(|| "root: move the mount to /".into())?;
    } else {
        mount::pivot(root.as_fd()).step(|| "root: pivot_root".into())?;
    }
    if plan.spec.root.as_ref().is_some_and(|root| root.readonly) {
        let read_only = [Attribute::ReadOnly].into_iter().collect();
        mount::set_attributes(&root, &read_only, false).step(|| "root.readonly: change the root".into())?;
    }
    if let Some((propagation, recursive)) =
        plan.linux.rootfs_propagation.as_deref().and_then(mount_options::propagation)
    {
        mount::set_propagation(&root, propagation, recursive)
            .step(|| "linux.rootfsPropagation: change the root".into())?;
    }
    Ok(())
}
