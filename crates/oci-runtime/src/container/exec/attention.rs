//! What a new process needs of its maker's once it has a pid, and before it executes its program.
//!
//! Some settings don't survive the fork that makes it, or would hinder that; and whoever listens to its filter's
//! notifications is told its pid. Few processes need any of it, and only these wait for their maker.

use std::{borrow::Cow, os::fd::OwnedFd};

use minke_kernel::{limits, seccomp};
use minke_model::runtime_spec::{Process, Rlimit, Scheduler, SeccompAction, SeccompSyscall, State, Status};

use crate::{
    container::{Container, ExecError},
    init::process::{NotifyTarget, notify_target},
    step::Step,
};

/// The limit that counts processes of a user: the escort is one more as long as it lives.
const PROCESSES: &str = "RLIMIT_NPROC";

/// What the escort calls behind a filter to give up its rights.
const ESCORTS_OWN: [&str; 3] = ["capget", "capset", "prctl"];

/// What to do.
#[derive(Debug)]
pub(crate) struct Attention {
    scheduler: Option<Scheduler>,
    notify: Option<(NotifyTarget, State)>,
    hands_over_early: bool,
}

impl Attention {
    /// What this process needs, if anything. Connects to the filter's listener.
    pub(super) fn needed(
        container: &Container,
        process: &Process,
        filter: Option<&seccomp::Program>,
    ) -> Result<Option<Self>, ExecError> {
        let scheduler = process.scheduler.as_ref().filter(|wanted| limits::is_lost_by_fork(wanted)).cloned();
        let notify =
            notify_target(container.exec.seccomp.as_ref(), filter.is_some_and(seccomp::Program::notifies))?;
        let notify = notify.map(|target| (target, container.record.state(Status::Running)));
        let is_needed = scheduler.is_some() || notify.is_some();
        let hands_over_early = container.exec.seccomp.as_ref().is_some_and(|profile| {
            let asks = |rule: &SeccompSyscall| rule.action == SeccompAction::Notify;
            let named =
                |rule: &SeccompSyscall| rule.names.iter().any(|name| ESCORTS_OWN.contains(&name.as_str()));
            !process.no_new_privileges && profile.syscalls.iter().any(|rule| asks(rule) && named(rule))
        });
        Ok(is_needed.then_some(Self { scheduler, notify, hands_over_early }))
    }

    /// The limit that the process sets itself.
    pub(crate) fn process_limit(process: &Process) -> Option<&Rlimit> {
        process.rlimits.iter().find(|limit| limit.kind == PROCESSES)
    }

    /// The process as its escort sets it up.
    pub(crate) fn postponed(process: &Process) -> Cow<'_, Process> {
        let limited = Self::process_limit(process).is_some();
        let scheduled = process.scheduler.as_ref().is_some_and(limits::is_lost_by_fork);
        if !limited && !scheduled {
            return Cow::Borrowed(process);
        }
        let mut early = process.clone();
        let now = rustix::process::getrlimit(rustix::process::Resource::Nproc).maximum.unwrap_or(u64::MAX);
        for limit in early.rlimits.iter_mut().filter(|limit| limit.kind == PROCESSES) {
            // Lowered by the process itself, which needs no right for that.
            limit.hard = limit.hard.max(now);
            limit.soft = limit.hard;
        }
        if scheduled {
            early.scheduler = None;
        }
        Cow::Owned(early)
    }

    /// Does it for process `pid`, a child of the caller's that isn't reaped.
    pub(super) fn give(mut self, pid: i32, listener: Option<OwnedFd>) -> Result<(), ExecError> {
        if let Some(scheduler) = &self.scheduler {
            limits::set_scheduler(pid, scheduler).action(|| "process.scheduler: set".into())?;
        }
        match listener {
            Some(listener) => self.hand_over(pid, &listener),
            None => Ok(()),
        }
    }

    /// Whether the filter asks its listener about what the escort does between its installation and the clone.
    pub(super) fn hands_over_early(&self) -> bool {
        self.hands_over_early
    }

    /// Sends the listener on, once. `pid` is the process's, or its escort's where that is what waits for an answer.
    pub(super) fn hand_over(&mut self, pid: i32, listener: &OwnedFd) -> Result<(), ExecError> {
        match self.notify.take() {
            Some((target, state)) => Ok(target.for_container(pid, state).hand_over(listener)?),
            None => Err(ExecError::State("linux.seccomp: nobody waits for a listener".into())),
        }
    }
}
