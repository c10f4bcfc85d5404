//! Making the first process of a container that shares another's pid namespace.
//!
//! Whoever is in that namespace already may hold `CAP_SYS_PTRACE`. So, as with `exec`, what builds the container stays outside
//! and makes the first process when it has given up its rights (`container/exec.rs` has the picture). Where the
//! container has a user namespace this isn't needed: its maker's memory belongs to the host's, and rights there
//! don't reach it. Nor is it done where somebody listens to the filter's notifications, who is told the pid before.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use minke_kernel::{
    mount::{self, Attributes, Parameter},
    namespace,
    pid_slot::PidSlot,
    process as kernel_process,
    seccomp::Door,
};
use minke_model::runtime_spec::{NamespaceType, Rlimit};

use super::{Creator, Plan, process::Ready};
use crate::{container::InitError, step::Step};

/// What the process that builds the container makes the first one with.
pub(crate) struct Escort<'a> {
    pub(crate) door: Door,
    pub(crate) made: &'a PidSlot,
    /// The limit that counts the user's processes, which are two for a moment.
    pub(crate) process_limit: Option<&'a Rlimit>,
    /// It takes the terminal.
    pub(crate) has_terminal: bool,
}

/// Whether a procfs can be made to show a pid namespace that its maker isn't in (Linux 6.17). Where it can't, the first process
/// has to be in the namespace from the beginning.
pub(crate) fn is_possible(pid_namespace: &OwnedFd) -> bool {
    mount::filesystem("proc", None, &[shown(pid_namespace)], &Attributes::default()).is_ok()
}

/// What makes a procfs show the joined pid namespace.
pub(super) fn proc_parameter(plan: &Plan<'_>) -> Option<Parameter> {
    joined(plan).map(|(_, namespace)| shown(namespace))
}

fn shown(pid_namespace: &OwnedFd) -> Parameter {
    Parameter::new("pidns", format!("/proc/self/fd/{}", pid_namespace.as_raw_fd()))
}

fn joined<'a>(plan: &'a Plan<'_>) -> Option<&'a (NamespaceType, OwnedFd)> {
    plan.escort.as_ref()?;
    plan.joins.iter().find(|(kind, _)| *kind == NamespaceType::Pid)
}

/// Joins the pid namespace, for children: late, so that hooks aren't seen in it either.
pub(super) fn join(plan: &Plan<'_>) -> Result<(), InitError> {
    joined(plan)
        .map_or(Ok(()), |(kind, namespace)| namespace::join(namespace, *kind))
        .step(|| "linux.namespaces: join pid".into())
}

/// Gives up everything and makes the first process, in which alone this returns.
pub(super) fn hand_over(plan: &Plan<'_>, ready: &mut Ready, creator: &Creator) -> Result<(), InitError> {
    let Some(escort) = &plan.escort else { return Ok(()) };
    kernel_process::wipe_environment();
    escort.made.hide_from_children().step(|| "hide the pid's page".into())?;
    // Changing ids may have undone it (fs.suid_dumpable).
    kernel_process::set_undumpable().step(|| "make the process undumpable".into())?;
    let kept = [plan.listener.as_fd(), creator.channel.as_fd()];
    kernel_process::close_other_copies_in_child(&kept, plan.preserve_fds);
    ready.drop_privileges_before(&escort.door, |_| Ok(()))?;
    if !escort.door.make_sibling(escort.made).step(|| "make the container's process".into())? {
        kernel_process::exit_now(0);
    }
    escort.door.new_session().step(|| "start a session".into())?;
    if escort.has_terminal {
        let made = escort.door.make_controlling(std::io::stdin());
        made.step(|| "make the terminal the controlling one".into())?;
    }
    match escort.process_limit {
        Some(limit) => escort.door.limit_processes(limit).step(|| "process.rlimits: set RLIMIT_NPROC".into()),
        None => Ok(()),
    }
}
