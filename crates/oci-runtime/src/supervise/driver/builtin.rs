//! The driver for this program's own runtime.

use minke_model::runtime_spec::{Process, Resources, Spec};

use super::{Added, Driver, Made, exec_failure, failure};
use crate::{
    container::{
        self, Container, CreateError, CreateOptions, ExecOptions, InitError, InitErrorKind, OperationError,
        StartError, Stdio,
    },
    supervise::protocol::{Failure, FailureKind, SupervisorConfig},
};

/// The container; `None` once it was deleted.
struct Builtin {
    container: Option<Container>,
    pid: i32,
    start_time: u64,
}

pub(super) fn create(
    config: &SupervisorConfig,
    spec: Spec,
    stdio: Stdio,
    console: Option<(u16, u16)>,
) -> Result<Made, Failure> {
    let options = CreateOptions {
        id: config.id.to_string(),
        bundle: config.bundle.clone(),
        root: config.runtime_root.clone(),
        stdio,
        ..CreateOptions::default()
    };
    let created = container::create(spec, options).map_err(|error| create_failure(&error))?;
    let (pid, start_time) = (created.container.pid(), created.container.start_time());
    let driver = Box::new(Builtin { container: Some(created.container), pid, start_time });
    Ok(Made { driver, pty_master: created.pty_master, console })
}

impl Builtin {
    fn container(&self) -> Result<&Container, Failure> {
        self.container.as_ref().ok_or_else(gone)
    }
}

impl Driver for Builtin {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn start_time(&self) -> u64 {
        self.start_time
    }

    fn start(&mut self) -> Result<(), Failure> {
        let container = self.container.as_mut().ok_or_else(gone)?;
        container.start().map_err(|error| start_failure(&error))
    }

    fn exec(&mut self, process: &Process, stdio: Stdio) -> Result<Added, Failure> {
        let options = ExecOptions { stdio, ..ExecOptions::default() };
        let joining = self.container()?.join(process, options).map_err(|error| exec_failure(&error))?;
        Ok(Added::Joining(joining))
    }

    fn signal(&mut self, signal: i32) -> Result<(), Failure> {
        self.container()?.signal(signal).map_err(|error| operation_failure(&error))
    }

    fn pause(&mut self) -> Result<(), Failure> {
        self.container()?.pause().map_err(|error| operation_failure(&error))
    }

    fn resume(&mut self) -> Result<(), Failure> {
        self.container()?.resume().map_err(|error| operation_failure(&error))
    }

    fn update(&mut self, resources: &Resources) -> Result<(), Failure> {
        let container = self.container.as_mut().ok_or_else(gone)?;
        container.update(resources).map_err(|error| operation_failure(&error))
    }

    fn oom_killed(&self) -> bool {
        self.container
            .as_ref()
            .is_some_and(|container| container.oom_kill_count().is_ok_and(|count| count > 0))
    }

    fn delete(&mut self) -> Result<(), Failure> {
        let Some(container) = self.container.take() else { return Ok(()) };
        container.delete(true).map(drop).map_err(|error| failure(FailureKind::Internal, "", &error))
    }
}

fn gone() -> Failure {
    Failure { kind: FailureKind::NotRunning, message: "the container has ended".to_owned() }
}

fn create_failure(error: &CreateError) -> Failure {
    let kind = match error {
        CreateError::Init(init) => init_kind(init),
        CreateError::Id { .. } | CreateError::Config { .. } => FailureKind::Invalid,
        CreateError::Exists { .. } | CreateError::Io { .. } | CreateError::Part(_) => FailureKind::Internal,
    };
    failure(kind, "", error)
}

fn start_failure(error: &StartError) -> Failure {
    let kind = match error {
        StartError::NotFound(_) => FailureKind::NotFound,
        StartError::NotExecutable(_) => FailureKind::NotExecutable,
        StartError::State(_) => FailureKind::NotRunning,
        StartError::Init(_) | StartError::Io { .. } | StartError::Poststart(_) => FailureKind::Internal,
    };
    failure(kind, "", error)
}

fn operation_failure(error: &OperationError) -> Failure {
    let kind = match error {
        // The cgroup's refusals: a limit that it can't have, or a controller that this host lacks.
        OperationError::State(_) => FailureKind::Invalid,
        // What the kernel refuses as invalid is a mistake in the request: a limit, a signal's number.
        OperationError::Io { source, .. } => match source.kind() {
            std::io::ErrorKind::InvalidInput => FailureKind::Invalid,
            _ if source.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                FailureKind::NotRunning
            }
            _ => FailureKind::Internal,
        },
    };
    failure(kind, "", error)
}

fn init_kind(error: &InitError) -> FailureKind {
    match error.kind {
        InitErrorKind::NotFound => FailureKind::NotFound,
        InitErrorKind::NotExecutable => FailureKind::NotExecutable,
        InitErrorKind::Other => FailureKind::Internal,
    }
}
