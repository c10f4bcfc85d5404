//! The container's root: assembled in its own mount namespace, entered with pivot_root(2).
//!
//! No mount is left on the host, so nothing leaks and nothing is busy: when the last process of the
//! namespace ends, its mounts are gone.

use std::{os::fd::AsFd, path::Path};

use minke_kernel::{
    mount::{self, Attribute, Propagation},
    path::Root,
};

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
    // pivot_root(2) refuses a shared root.
    mount::set_propagation(&root, Propagation::Private, false)
        .step(|| "root: make the mount private".into())?;
    mount::attach_at(&root, path).step(|| format!("root.path: mount on {}", path.display()))?;
    Ok(Root::from_fd(root))
}

/// Nothing that is mounted here may reach the host, unless `shared` asks for it: then propagation stays as the
/// host has it. With `slave` (the default) the host's later mounts still come in where a bind wants them.
fn isolate(plan: &Plan<'_>) -> Result<(), InitError> {
    let wanted = plan.linux.rootfs_propagation.as_deref().unwrap_or_default();
    let propagation = match mount_options::propagation(wanted) {
        None if wanted.is_empty() => Propagation::Slave,
        None => return Err(failed("linux.rootfsPropagation", format!("unknown value {wanted:?}"))),
        Some((Propagation::Shared, _)) => return Ok(()),
        Some((Propagation::Slave, _)) => Propagation::Slave,
        // An unbindable root couldn't be bound below; it becomes so in the end.
        Some((Propagation::Private | Propagation::Unbindable, _)) => Propagation::Private,
    };
    let step = || "linux.rootfsPropagation: change /".to_owned();
    let host = super::open_host(Path::new("/")).step(step)?;
    mount::set_propagation(&host, propagation, true).step(step)
}

/// Makes the assembled root the process's root, with the attributes that it must not have before.
pub(super) fn enter(plan: &Plan<'_>, root: Root) -> Result<(), InitError> {
    if plan.no_pivot {
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
