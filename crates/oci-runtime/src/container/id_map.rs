//! User and group ids: of the container's user namespace, and of those that single mounts have (user_namespaces(7)).

use std::{fs::File, io, os::fd::OwnedFd};

use minke_kernel::{
    identity,
    namespace::Kinds,
    process::{self, CloneOptions},
    procfs::Proc,
    socket,
};
use minke_model::runtime_spec::{IdMapping, Linux, NamespaceType};

use super::{
    CreateError,
    id_tools::{self, Ids},
    rootless,
    validate::config,
};
use crate::step::Step;

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

/// Compares the mappings of the configuration, where it has any, with those of the user namespace that process `pid` has joined:
/// managers name both, and a container with other ids than it says must not be.
pub(super) fn check(proc: &Proc, pid: i32, linux: &Linux) -> Result<(), CreateError> {
    for (field, file, wanted) in
        [("uidMappings", "uid_map", &linux.uid_mappings), ("gidMappings", "gid_map", &linux.gid_mappings)]
    {
        if wanted.is_empty() {
            continue;
        }
        let there = proc.read(format!("{pid}/{file}")).action(|| format!("read /proc/{pid}/{file}"))?;
        let there = parse(&there);
        let mut wanted: Vec<_> = wanted.iter().map(|map| [map.container_id, map.host_id, map.size]).collect();
        wanted.sort_unstable();
        if there != wanted {
            let reason = format!("the user namespace that is joined has others: {there:?}");
            return Err(config(format!("linux.{field}"), reason));
        }
    }
    Ok(())
}

/// The lines of /proc/PID/uid_map: the first id inside, the first outside, how many.
fn parse(text: &str) -> Vec<[u32; 3]> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        Some([numbers.next()??, numbers.next()??, numbers.next()??])
    };
    let mut maps: Vec<_> = text.lines().filter_map(line).collect();
    maps.sort_unstable();
    maps
}

fn is_own_group(gids: &[IdMapping]) -> bool {
    matches!(gids, [map] if map.size == 1 && map.host_id == identity::effective_group())
}

fn lines(mappings: &[IdMapping]) -> String {
    let line = |map: &IdMapping| format!("{} {} {}\n", map.container_id, map.host_id, map.size);
    mappings.iter().map(line).collect()
}

/// A user namespace that maps ids as given; it lives as long as the descriptor.
pub(super) fn user_namespace(proc: &Proc, uids: &[IdMapping], gids: &[IdMapping]) -> io::Result<OwnedFd> {
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
