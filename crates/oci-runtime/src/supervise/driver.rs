//! What a supervisor needs of a container runtime, so that it can also keep a container that another runtime makes.
//!
//! Two drivers: [`builtin`], this program's own runtime, and [`foreign`], the command line of any
//! OCI runtime (runc, crun, youki, kata). Either way the container's processes are the
//! supervisor's children (or become them, since it is a subreaper), so it reaps them itself.

mod builtin;
mod foreign;

use std::{
    error::Error,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

pub(super) use minke_model::chain;
use minke_model::runtime_spec::{Process, Resources};

use super::protocol::{Failure, FailureKind, SupervisorConfig};
use crate::{
    config,
    container::{ExecError, Joining, Stdio},
};

/// One container, made and not yet deleted.
pub(super) trait Driver {
    /// The first process.
    fn pid(&self) -> i32;
    /// Its start time, field 22 of proc_pid_stat(5).
    fn start_time(&self) -> u64;
    /// Returns once execve(2) has succeeded.
    fn start(&mut self) -> Result<(), Failure>;
    /// Runs a further process; it becomes a child of this one.
    fn exec(&mut self, process: &Process, stdio: Stdio) -> Result<Added, Failure>;
    /// Sends a signal to the first process.
    fn signal(&mut self, signal: i32) -> Result<(), Failure>;
    /// Freezes all processes.
    fn pause(&mut self) -> Result<(), Failure>;
    /// Thaws them.
    fn resume(&mut self) -> Result<(), Failure>;
    /// Changes limits.
    fn update(&mut self, resources: &Resources) -> Result<(), Failure>;
    /// Whether the kernel has killed a process of it for want of memory; asked before [`Driver::delete`].
    fn oom_killed(&self) -> bool;
    /// Kills what is left of it and removes cgroup and state.
    fn delete(&mut self) -> Result<(), Failure>;
}

/// What [`create`] made.
pub(super) struct Made {
    /// The container.
    pub(super) driver: Box<dyn Driver>,
    /// The terminal's master side, if one was asked for.
    pub(super) pty_master: Option<OwnedFd>,
    /// The terminal's size that the configuration asks for: columns, rows.
    pub(super) console: Option<(u16, u16)>,
}

/// What [`Driver::exec`] made.
#[derive(Debug)]
pub(super) enum Added {
    /// A process that has executed its program.
    Running(Executed),
    /// One that is on its way there.
    Joining(Joining),
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) pid: i32,
    pub(super) pty_master: Option<OwnedFd>,
}

/// Creates the container with the runtime that the configuration names. `stdio` makes its standard
/// streams once it is known whether it wants a terminal.
///
/// # Errors
/// Nothing of the container is left behind.
pub(super) fn create(
    config: &SupervisorConfig,
    stdio: impl FnOnce(bool) -> Result<Stdio, Failure>,
) -> Result<Made, Failure> {
    let spec = read_spec(&config.bundle)?;
    let process = spec.process.as_ref();
    let stdio = stdio(process.is_some_and(|process| process.terminal))?;
    let console = process.and_then(console_size);
    match &config.runtime {
        None => builtin::create(config, spec, stdio, console),
        Some(runtime) => foreign::create(config, runtime, &spec, stdio, console),
    }
}

/// The terminal's size that a process asks for, in columns and rows.
pub(super) fn console_size(process: &Process) -> Option<(u16, u16)> {
    process.console_size.as_ref().map(|size| (size.width, size.height))
}

fn read_spec(bundle: &Path) -> Result<minke_model::runtime_spec::Spec, Failure> {
    let path: PathBuf = bundle.join("config.json");
    let invalid =
        |error: &dyn Error| failure(FailureKind::Invalid, format!("read {}", path.display()), error);
    let json = std::fs::read(&path).map_err(|error| invalid(&error))?;
    config::spec(&json).map_err(|error| invalid(&error))
}

/// Why a process was not added by this program's own runtime.
pub(super) fn exec_failure(error: &ExecError) -> Failure {
    let kind = match error {
        ExecError::NotFound(_) => FailureKind::NotFound,
        ExecError::NotExecutable(_) => FailureKind::NotExecutable,
        ExecError::State(_) => FailureKind::Invalid,
        ExecError::Init(_) | ExecError::Io { .. } => FailureKind::Internal,
    };
    failure(kind, "", error)
}

/// A failure whose message is `action` and the whole chain of causes.
pub(super) fn failure(kind: FailureKind, action: impl Into<String>, error: &dyn Error) -> Failure {
    let mut message = action.into();
    if !message.is_empty() {
        message.push_str(": ");
    }
    message.push_str(&chain(error));
    Failure { kind, message }
}
