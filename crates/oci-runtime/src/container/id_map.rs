//! User and group ids: of the container's user namespace, and of single mounts (user_namespaces(7)).

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use minke_kernel::{
    identity, mount,
    namespace::Kinds,
    process::{self, CloneOptions},
    procfs::Proc,
    socket,
};
use minke_model::runtime_spec::{IdMapping, Mount, NamespaceType};

use super::{
    CreateError,
    id_tools::{self, Ids},
    rootless,
};
use crate::{init::mount_options, step::Step};

/// Writes the mappings of the user namespace that process `pid` was made in.
///
/// An ordinary user may map one own id, and that of a group only after giving up setgroups(2), which could drop
/// a group that denies something; all else is left to newuidmap and newgidmap.
pub(super) fn write(proc: &Proc, pid: i32, uids: &[IdMapping], gids: &[IdMapping]) -> io::Result<()> {
    let user = rootless::is_ordinary_user();
    let refused = |error: &io::Error| user && error.kind() == io::ErrorKind::PermissionDenied;
    match proc.write(format!("{pid}/uid_map"), lines(uids).as_bytes()) {
        Err(error) if refused(&error) => id_tools::map(Ids::Users, pid, uids)?,
        result => result?,
    }
    if user && is_own_group(gids) {
        proc.write(format!("{pid}/setgroups"), b"deny")?;
    }
    match proc.write(format!("{pid}/gid_map"), lines(gids).as_bytes()) {
        Err(error) if refused(&error) => id_tools::map(Ids::Groups, pid, gids),
        result => result,
    }
}

fn is_own_group(gids: &[IdMapping]) -> bool {
    matches!(gids, [map] if map.size == 1 && map.host_id == identity::effective_group())
}

fn lines(mappings: &[IdMapping]) -> String {
    let line = |map: &IdMapping| format!("{} {} {}\n", map.container_id, map.host_id, map.size);
    mappings.iter().map(line).collect()
}

/// A user namespace that maps ids as given; it lives as long as the descriptor.
fn user_namespace(proc: &Proc, uids: &[IdMapping], gids: &[IdMapping]) -> io::Result<OwnedFd> {
    let (_ours, theirs) = socket::pair()?;
    let options = CloneOptions { namespaces: Kinds::of(NamespaceType::User), ..CloneOptions::default() };
    // The process only holds the namespace until the other end is closed.
    let child = process::spawn(&options, || {
        let _ = process::die_with_parent();
        i32::from(socket::receive(&theirs).is_err())
    })?;
    let opened = write(proc, child.pid, uids, gids)
        .and_then(|()| File::open(format!("/proc/{}/ns/user", child.pid)).map(OwnedFd::from));
    let _ = process::signal(&child.pidfd, rustix::process::Signal::KILL.as_raw());
    process::wait(&child.pidfd)?;
    opened
}

/// Bind mounts that the creator makes: with ids mapped, when the container's user may not reach their source, or when that is a
/// descriptor, whose mount belongs to the creator's mount namespace and can't be copied from another.
pub(super) fn prepare_mounts(
    mounts: &[Mount],
    bundle: &Path,
    proc: &Proc,
    container: Option<(&[IdMapping], &[IdMapping])>,
) -> Result<Vec<Option<OwnedFd>>, CreateError> {
    let mut prepared = Vec::with_capacity(mounts.len());
    for (i, mount) in mounts.iter().enumerate() {
        let options = mount_options::parse(&mount.options, mount.kind.as_deref() == Some("bind"));
        let mapped = options.id_map.is_some() || !mount.uid_mappings.is_empty();
        let (Some(recursive), Some(source)) = (options.bind, crate::init::bind_source(mount, bundle)) else {
            if mapped {
                let reason = "only bind mounts can be id-mapped";
                return Err(super::validate::config(format!("mounts[{i}].options"), reason));
            }
            prepared.push(None);
            continue;
        };
        if !mapped && container.is_none() && !is_descriptor(&source) {
            prepared.push(None);
            continue;
        }
        let clone = match mount::clone_path(&source, recursive) {
            // The container's process has the right in its own user namespace, and an ordinary user reaches no more.
            Err(error) if rootless::is_ordinary_user() && error.kind() == io::ErrorKind::PermissionDenied => {
                if mapped {
                    let reason = "id-mapped mounts are not supported for rootless containers";
                    return Err(super::validate::config(format!("mounts[{i}].uidMappings"), reason));
                }
                prepared.push(None);
                continue;
            }
            result => result.action(|| format!("mounts[{i}].source: bind {}", source.display()))?,
        };
        if mapped {
            let maps = if mount.uid_mappings.is_empty() {
                container.unwrap_or_default()
            } else {
                (mount.uid_mappings.as_slice(), mount.gid_mappings.as_slice())
            };
            user_namespace(proc, maps.0, maps.1)
                .and_then(|namespace| {
                    use std::os::fd::AsFd;
                    mount::set_id_map(&clone, namespace.as_fd(), options.id_map.unwrap_or(false))
                })
                .action(|| format!("mounts[{i}].uidMappings: map ids"))?;
        }
        prepared.push(Some(clone));
    }
    Ok(prepared)
}

/// Whether it is `/proc/PID/fd/NUMBER`.
fn is_descriptor(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().collect();
    matches!(parts[..], [root, proc, _, fd, _] if root == "/" && proc == "proc" && fd == "fd")
}
