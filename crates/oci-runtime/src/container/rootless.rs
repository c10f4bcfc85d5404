//! What is different for a caller who isn't the host's root.
//!
//! There are two kinds: an ordinary user, who gets a user namespace for the container, and root of a user
//! namespace that somebody else made (as rootless podman calls a runtime). Neither is refused beforehand what the kernel
//! may allow; here are the rules for what it doesn't.

use std::{collections::BTreeMap, fs, io, mem, path::PathBuf};

use minke_kernel::{
    cgroup::{Cgroup, CgroupError, Controller, Layout},
    identity,
};
use minke_model::runtime_spec::{Linux, Namespace, NamespaceType, Resources};

use super::{
    CreateError, OperationError, Stored,
    cgroup::{refuse_frozen, with_default_devices},
    error::chain,
    refused,
    undo::Undo,
    validate::config,
};
use crate::step::Step;

/// Whether the caller is an ordinary user.
pub(super) fn is_ordinary_user() -> bool {
    identity::effective_user() != 0
}

/// Whether the caller isn't the host's root, be it an ordinary user or root of a user namespace.
pub fn is_rootless() -> bool {
    is_ordinary_user() || identity::is_in_user_namespace()
}

/// An ordinary user can only have rights in a user namespace.
pub(super) fn check(linux: &Linux) -> Result<(), CreateError> {
    let user = linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceType::User);
    if is_ordinary_user() && !user {
        return Err(config("linux.namespaces", "rootless container requires user namespaces"));
    }
    Ok(())
}

/// Makes the cgroup in the hierarchies that are delegated to the caller. One that `cgroupsPath` names must be possible
/// in all, as must be every limit that is asked for; else the container does without, and a warning says so.
pub(super) fn make_cgroup(
    id: &str,
    linux: &Linux,
    undo: &mut Undo,
    (warnings, notes): (&mut Vec<String>, &mut Vec<String>),
    announce: impl FnOnce(BTreeMap<String, PathBuf>) -> Result<(), CreateError>,
) -> Result<(Option<Layout>, Option<Cgroup>), CreateError> {
    let given = linux.cgroups_path.as_deref().filter(|path| !path.is_empty());
    let mut limits = linux.resources.clone().unwrap_or_default();
    let devices = mem::take(&mut limits.devices);
    let layout = match Layout::detect() {
        Err(CgroupError::NoHierarchy) if given.is_none() && limits == Resources::default() => {
            return Ok((None, None));
        }
        result => result.map_err(|error| failed(&error))?,
    };
    let path = given.unwrap_or(id);
    let usable = match given {
        Some(_) => layout.clone(),
        None => layout.delegated(path).map_err(|error| failed(&error))?,
    };
    notes.extend(missing(&layout, &usable));
    let own_pids = |namespace: &Namespace| namespace.kind == NamespaceType::Pid && namespace.path.is_none();
    if usable.is_empty() && !linux.namespaces.iter().any(own_pids) {
        // Programs look for runc's words.
        let text = "Creating a rootless container with no cgroup and no private pid namespace. Such configuration is \
            strongly discouraged (as it is impossible to properly kill all container's processes)";
        warnings.push(text.into());
    }
    if usable.is_empty() {
        return match limits == Resources::default() {
            true => Ok((Some(layout), None)),
            false => Err(config(
                "linux.resources",
                "rootless needs no limits + no cgrouppath when no permission is granted for cgroups",
            )),
        };
    }
    let planned = Cgroup::planned_paths(&usable, path).map_err(|error| failed(&error))?;
    refuse_frozen(&planned, path)?;
    announce(planned)?;
    let group = Cgroup::create_in(&usable, path).map_err(|error| failed(&error))?;
    let paths = group.paths();
    undo.add(move || drop(Cgroup::remove_paths(paths.values())));
    group.apply(&limits).map_err(|error| limit_failed(&error))?;
    let mut rules = Resources { devices, ..Resources::default() };
    with_default_devices(&mut rules);
    // Only the host's root may filter devices. Nothing is lost: in a user namespace no device can be made.
    let _refused = group.apply(&rules);
    Ok((Some(layout), Some(group)))
}

/// Leaves out the v2 cgroup if an ordinary user's process can't go there: from a login session it is out of reach, while a
/// user's service could make the container in it. runc lets the process stay where it is, too.
pub(super) fn leave_out_unreachable(paths: &mut BTreeMap<String, PathBuf>) {
    let Some(unified) = paths.get("") else { return };
    if is_ordinary_user() && !Layout::detect().is_ok_and(|layout| layout.may_enter(unified)) {
        paths.remove("");
    }
}

impl Stored {
    /// The container's processes: those of its cgroup, and of one that has none those of its own pid namespace. Without
    /// either, only the first one is known.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn pids(&self) -> Result<Vec<i32>, OperationError> {
        if let Some(group) = self.record.cgroup().map_err(refused)? {
            let pids = group.pids().map_err(refused)?;
            return Ok(pids.into_iter().map(|pid| pid.as_raw_nonzero().get()).collect());
        }
        let first = self.record.pid;
        match (&self.process, self.record.shares_pid_namespace) {
            (None, _) => Ok(Vec::new()),
            (Some(_), true) => Ok(vec![first]),
            (Some(_), false) => Ok(sharing_pid_namespace(first).action(|| "list the processes".into())?),
        }
    }
}

/// The processes in the pid namespace of `first`, as far as the caller may know.
fn sharing_pid_namespace(first: i32) -> io::Result<Vec<i32>> {
    let namespace = |pid: i32| {
        let stat = rustix::fs::stat(format!("/proc/{pid}/ns/pid")).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    let wanted = namespace(first);
    let mut pids = vec![first];
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        pids.extend(pid.filter(|pid| *pid != first && wanted.is_some() && namespace(*pid) == wanted));
    }
    pids.sort_unstable();
    Ok(pids)
}

/// What the caller should know about hierarchies that the container is not in.
fn missing(layout: &Layout, usable: &Layout) -> Option<String> {
    if usable.is_empty() {
        let text =
            "no cgroup is delegated to this user, so the container has none: it can't be limited or paused";
        return Some(text.into());
    }
    let controllers = |layout: &Layout| -> Vec<Controller> {
        layout.legacy.iter().flat_map(|hierarchy| hierarchy.controllers.iter()).collect()
    };
    let have = controllers(usable);
    let lost: Vec<&str> = controllers(layout)
        .into_iter()
        .filter(|controller| !have.contains(controller))
        .map(Controller::name)
        .collect();
    let text = "these cgroup controllers are not delegated to this user, so the container is not in them";
    (!lost.is_empty()).then(|| format!("{text}: {}", lost.join(", ")))
}

fn failed(error: &CgroupError) -> CreateError {
    CreateError::Part(format!("unable to apply cgroup configuration: {}", chain(error)))
}

/// A controller that is missing here is one that isn't delegated.
fn limit_failed(error: &CgroupError) -> CreateError {
    match error {
        CgroupError::NoController { field, controller } => config(
            format!("linux.resources.{field}"),
            format!("cannot set {controller} limit: container could not join or create cgroup"),
        ),
        other => CreateError::Part(chain(other)),
    }
}
