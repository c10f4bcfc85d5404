//! The process that becomes the container: made, placed, and answered until it is ready.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use minke_kernel::{limits, process, procfs::Proc, seccomp};
use minke_model::runtime_spec::{Hooks, NamespaceType, Process, Status};

use super::super::{
    CreateError,
    clone::{self, CloneRequest, Made},
    id_map, rootless,
    state::Record,
};
use super::wanted::Wanted;
use crate::{
    channel::{self, FromInit, ToInit},
    hooks,
    init::{self, Plan},
    placement::Placement,
    step::Step,
};

/// Namespaces that exist and that matter to how the process is made.
pub(super) struct Joined {
    pub(super) user: Option<OwnedFd>,
    pid: Option<OwnedFd>,
    time: Option<OwnedFd>,
    /// Those that another user namespace may own.
    early: Vec<(NamespaceType, OwnedFd)>,
}

impl Joined {
    /// `is_escorted`: the process that is made stays out of the pid namespace.
    pub(super) fn of(wanted: &Wanted<'_>, is_escorted: bool) -> Result<Self, CreateError> {
        let all = &wanted.namespaces;
        Ok(Self {
            user: all.copy(NamespaceType::User)?,
            pid: if is_escorted { None } else { all.copy(NamespaceType::Pid)? },
            time: all.copy(NamespaceType::Time)?,
            early: if wanted.has_user() { all.foreign()? } else { Vec::new() },
        })
    }
}

pub(super) fn clone_init(
    plan: Plan<'_>,
    joined: &Joined,
    unified: Option<&OwnedFd>,
    proc: &Proc,
    theirs: OwnedFd,
) -> Result<Made, CreateError> {
    let ordinary_user = rootless::is_ordinary_user();
    let linux = plan.linux;
    let request = CloneRequest {
        new: plan.new,
        join_user: joined.user.as_ref().map(AsFd::as_fd),
        join_pid: joined.pid.as_ref().map(AsFd::as_fd),
        join_time: joined.time.as_ref().map(AsFd::as_fd),
        join_early: joined.early.iter().map(|(kind, namespace)| (*kind, namespace.as_fd())).collect(),
        cgroup: unified.map(AsFd::as_fd),
        linux,
        proc,
        map_ids: &|pid| id_map::write(proc, pid, &linux.uid_mappings, &linux.gid_mappings),
    };
    // Ids are mapped through /proc/PID, which is root's while a process is undumpable. The child hides again by itself.
    let shows = ordinary_user && plan.new.contains(NamespaceType::User);
    if shows {
        process::set_dumpable().action(|| "make the process dumpable".into())?;
    }
    let made = clone::spawn(&request, || {
        // Else the child would keep its own channel open and never see the creator leave; and what the caller has open is
        // nothing that a container's process should have, not even while it waits.
        process::close_other_copies_in_child(&plan.descriptors(&theirs), plan.preserve_fds);
        init::run(plan, theirs)
    });
    if shows {
        process::set_undumpable().action(|| "make the process undumpable".into())?;
    }
    Ok(made.action(|| "linux.namespaces: make the process".into())?)
}

/// What only the creator may do for its child in a user namespace: limits above its own.
pub(super) fn raise_limits(proc: &Proc, pid: i32, process: &Process) -> Result<(), CreateError> {
    if let Some(score) = process.oom_score_adj {
        init::process::set_oom_score(proc, &pid.to_string(), score)?;
    }
    for (i, limit) in process.rlimits.iter().enumerate() {
        // The process sets them all, but late: what it does until then may need more files than its program may have.
        if !limits::raises(limit).action(|| format!("process.rlimits[{i}]: read {}", limit.kind))? {
            continue;
        }
        limits::set_rlimit(pid, limit).action(|| format!("process.rlimits[{i}]: set {}", limit.kind))?;
    }
    Ok(())
}

/// When a process began, in the kernel's ticks.
pub(in super::super) fn start_time(pid: i32) -> Result<u64, CreateError> {
    let stat = process::stat(pid).action(|| format!("read /proc/{pid}/stat"))?;
    stat.map(|stat| stat.start_time)
        .ok_or_else(|| CreateError::Part("the container's process ended early".into()))
}

/// Tells the child that its place is ready, with the ways into its cgroup where it goes there itself.
pub(super) fn let_in(
    channel: &OwnedFd,
    pid: i32,
    cgroup: Option<&BTreeMap<String, PathBuf>>,
) -> Result<(), CreateError> {
    let doors = cgroup.map(Placement::open_doors).transpose().action(|| "open the cgroup".into())?;
    let doors = doors.unwrap_or_default();
    send(channel, &ToInit::Placed { pid, doors: doors.doors().len() }, &doors.doors())
}

pub(super) fn send_filter(channel: &OwnedFd, filter: &seccomp::Checked<'_>) -> Result<(), CreateError> {
    let compiled = filter.compile().map_err(|error| CreateError::Part(format!("linux.{error}")))?;
    heard(channel::send_filter(channel, &compiled))
}

/// Answers the child until it is ready; returns the terminal's master.
pub(super) fn serve(
    channel: &OwnedFd,
    hooks: Option<&Hooks>,
    record: &Record,
    copy: impl Fn(usize) -> Result<OwnedFd, CreateError>,
) -> Result<Option<OwnedFd>, CreateError> {
    let (mut master, mut hooks_have_run) = (None, false);
    let mut copied = BTreeSet::new();
    loop {
        let received =
            channel::receive::<FromInit>(channel).action(|| "listen to the container's process".into())?;
        match received {
            Some((FromInit::Ready, _)) => return Ok(master),
            // Each is said once, and first by who may say it: a process that was made in a joined pid namespace may be in
            // other hands already.
            Some((FromInit::Source(index), _))
                if !hooks_have_run && master.is_none() && copied.insert(index) =>
            {
                send(channel, &ToInit::Source, &[copy(index)?.as_fd()])?;
            }
            Some((FromInit::Terminal, fd)) if master.is_none() => master = fd,
            Some((FromInit::MountsDone, _)) if !hooks_have_run => {
                hooks_have_run = true;
                run_hooks(hooks, record)?;
                send(channel, &ToInit::HooksDone, &[])?;
            }
            Some((FromInit::Failed(error), _)) => return Err(error.into()),
            Some(_) => {
                return Err(CreateError::Part("unexpected message".into()));
            }
            None => {
                return Err(CreateError::Part("the container's process was killed while it was made".into()));
            }
        }
    }
}

fn send(channel: &OwnedFd, message: &ToInit, descriptors: &[BorrowedFd<'_>]) -> Result<(), CreateError> {
    heard(channel::send_all(channel, message, descriptors))
}

/// A child that is gone already has said why: its message is read by the caller.
fn heard(sent: io::Result<()>) -> Result<(), CreateError> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result.action(|| "speak to the container's process".into())?),
    }
}

fn run_hooks(hooks: Option<&Hooks>, record: &Record) -> Result<(), CreateError> {
    let Some(all) = hooks else { return Ok(()) };
    let state = record.state(Status::Creating);
    for (stage, hooks) in [("prestart", &all.prestart), ("createRuntime", &all.create_runtime)] {
        hooks::run_all(stage, hooks, &state).map_err(|error| CreateError::Part(error.to_string()))?;
    }
    Ok(())
}
