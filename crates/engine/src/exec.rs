//! `exec`: further processes in a running container.

mod process;
mod table;

use std::sync::Arc;

use bollard_stubs::models::{ExecConfig, ExecInspectResponse, ProcessConfig};
use minke_supervisor::{CallError, FailureKind, Streams, Supervisor, Target};
use tokio::sync::oneshot;

use self::{process::process, table::State};
pub(crate) use self::{process::process_for, table::Execs};
use crate::{
    AttachSession, Engine, Error, ErrorKind, ExecStart,
    container::{Container, Phase, Wire, running},
    detach_keys::DetachKeys,
    engine::Inner,
    frames::Splitter,
    random,
    session::OutputForm,
};

impl Engine {
    /// Prepares a process in a running container, and gives its id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] when the container does not run or is paused,
    /// [`ErrorKind::InvalidParameter`].
    pub async fn exec_create(&self, name: &str, config: ExecConfig) -> Result<String, Error> {
        let inner = self.inner();
        let container = inner.find(name)?;
        runs(&container, name)?;
        let command = config.cmd.clone().unwrap_or_default();
        if command.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        DetachKeys::parse(config.detach_keys.as_deref())?;
        process::check_user(&container, config.user.as_deref()).await?;
        let id = random::hex_id()?;
        inner.execs.add(id.clone(), Arc::clone(&container), config);
        inner.exec_event(&container, &told("exec_create", &command), &id, None);
        Ok(id)
    }

    /// Runs the process. Not detached, the session carries its streams; either way it runs when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] when it was started already,
    /// [`ErrorKind::InvalidParameter`] when it can't be executed.
    pub async fn exec_start(&self, exec: &str, options: ExecStart) -> Result<Option<AttachSession>, Error> {
        let inner = self.inner();
        let found = inner.execs.get(exec)?;
        table::may_start(exec, found.state)?;
        let container = &found.container;
        let supervisor = runs(container, container.id.as_str())?;
        let config = &found.config;
        let keys = DetachKeys::parse(config.detach_keys.as_deref())?;
        let guard = (container.session(), self.busy());
        let process = process(inner, container, config, options).await?;
        let streams = Streams {
            stdin: config.attach_stdin.unwrap_or(false),
            stdout: config.attach_stdout.unwrap_or(false),
            stderr: config.attach_stderr.unwrap_or(false),
        };
        inner.execs.begin(exec)?;
        inner.exec_event(container, &told("exec_start", config.cmd.as_deref().unwrap_or(&[])), exec, None);
        let started = match supervisor.exec(exec, process, streams, options.detach).await {
            Ok(started) => started,
            Err(error) => {
                let (error, code) = explain(error, config);
                inner.execs.set(exec, State::Ended { code, pid: 0 });
                return Err(error);
            }
        };
        inner.execs.set(exec, State::Running(started.pid));
        let settled = self.watch_exec(exec, started.pid, container, supervisor);
        let Some(stream) = started.stream else { return Ok(None) };
        let tty = config.tty.unwrap_or(false);
        let (engine, detached, id) = (Arc::downgrade(inner), Arc::clone(container), exec.to_owned());
        let on_detach = move || {
            if let Some(inner) = engine.upgrade() {
                inner.exec_event(&detached, "exec_detach", &id, None);
            }
        };
        // Which form a client gets is said at the start, as in Docker; some say it only at the creation (docker-py's exec_start).
        let form = match (tty, options.tty) {
            (true, false) => OutputForm::Framed,
            (false, true) => OutputForm::Raw(Splitter::default()),
            _ => OutputForm::Same,
        };
        Ok(Some(AttachSession {
            tty: options.tty,
            form,
            before: None,
            wire: Some(Wire::Connected(stream)),
            stdin: streams.stdin,
            keys: if tty { keys } else { DetachKeys::none() },
            settled: Some(Box::pin(async { drop(settled.await) })),
            on_detach: Some(Box::new(on_detach)),
            guard,
        }))
    }

    /// What became of the process.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn exec_inspect(&self, exec: &str) -> Result<ExecInspectResponse, Error> {
        let found = self.inner().execs.get(exec)?;
        let config = found.config;
        let mut command = config.cmd.unwrap_or_default().into_iter();
        Ok(ExecInspectResponse {
            can_remove: Some(false),
            detach_keys: Some(config.detach_keys.unwrap_or_default()),
            id: Some(exec.to_owned()),
            running: Some(matches!(found.state, State::Running(_))),
            exit_code: match found.state {
                State::Ended { code, .. } => Some(code),
                _ => None,
            },
            process_config: Some(ProcessConfig {
                privileged: config.privileged,
                user: config.user,
                tty: Some(config.tty.unwrap_or(false)),
                entrypoint: Some(command.next().unwrap_or_default()),
                arguments: Some(command.collect()),
            }),
            open_stdin: Some(config.attach_stdin.unwrap_or(false)),
            open_stderr: Some(config.attach_stderr.unwrap_or(false)),
            open_stdout: Some(config.attach_stdout.unwrap_or(false)),
            container_id: Some(found.container.id.to_string()),
            pid: Some(found.state.pid().into()),
        })
    }

    /// Sets the size of the process's terminal, once it has been started.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] when it does not run, or is not started in 10 seconds.
    pub async fn exec_resize(&self, exec: &str, width: u16, height: u16) -> Result<(), Error> {
        let found = self.inner().execs.started(exec).await?;
        let supervisor = running(&found.container)?;
        if !matches!(found.state, State::Running(_)) {
            return Err(Error::conflict(format!("exec process {exec} is not running")));
        }
        if !found.config.tty.unwrap_or(false) {
            return Ok(());
        }
        supervisor
            .resize(Target::Exec(exec.to_owned()), width, height)
            .await
            .map_err(|error| Error::internal("resize the terminal", &error))
    }

    /// Notes the exit when it comes; the receiver fires when that is done.
    fn watch_exec(
        &self,
        exec: &str,
        pid: i32,
        container: &Arc<Container>,
        supervisor: Supervisor,
    ) -> oneshot::Receiver<()> {
        let (settled, receiver) = oneshot::channel();
        let (engine, exec, container) =
            (Arc::downgrade(self.inner()), exec.to_owned(), Arc::clone(container));
        tokio::spawn(async move {
            let exit = supervisor.wait(Target::Exec(exec.clone())).await;
            let code = exit.map_or(137, |exit| i64::from(exit.exit_code));
            if let Some(inner) = engine.upgrade() {
                inner.execs.set(&exec, State::Ended { code, pid });
                inner.exec_event(&container, "exec_die", &exec, Some(code));
            }
            // Nobody may be waiting: a detached process has no session.
            let _ = settled.send(());
        });
        receiver
    }
}

impl Inner {
    pub(crate) fn exec_event(&self, container: &Container, action: &str, exec: &str, code: Option<i64>) {
        let mut more = vec![("execID".to_owned(), exec.to_owned())];
        more.extend(code.map(|code| ("exitCode".to_owned(), code.to_string())));
        self.container_event(container, action, more);
    }
}

/// The action of an event: the program and its arguments apart, as Docker does even where there is none.
pub(crate) fn told(action: &str, command: &[String]) -> String {
    let (program, arguments) =
        command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    format!("{action}: {program} {}", arguments.join(" "))
}

/// `name`: the container, as the client named it.
fn runs(container: &Arc<Container>, name: &str) -> Result<Supervisor, Error> {
    match container.phase() {
        Phase::Paused => {
            Err(Error::conflict(format!("Container {name} is paused, unpause the container before exec")))
        }
        Phase::Restarting => Err(Error::conflict(format!(
            "Container {name} is restarting, wait until the container is running"
        ))),
        _ => running(container),
    }
}

/// Docker's clients take the exit code from words in the message.
fn explain(error: CallError, config: &ExecConfig) -> (Error, i64) {
    let CallError::Refused(failure) = error else {
        return (Error::internal("run a process in the container", &error), 126);
    };
    let program = config.cmd.as_ref().and_then(|command| command.first()).cloned().unwrap_or_default();
    let lower = failure.message.to_ascii_lowercase();
    let say = |words: &str| match lower.contains(&words.to_ascii_lowercase()) {
        true => format!(
            "OCI runtime exec failed: exec failed: unable to start container process: {}: unknown",
            failure.message
        ),
        false => format!(
            "OCI runtime exec failed: exec failed: unable to start container process: {}: exec: {program:?}: {words}: unknown",
            failure.message
        ),
    };
    match failure.kind {
        FailureKind::NotFound if program.contains('/') => {
            (Error::invalid(say("no such file or directory")), 127)
        }
        FailureKind::NotFound => (Error::invalid(say("executable file not found in $PATH")), 127),
        FailureKind::NotExecutable
            if lower.contains("exec format error") || lower.contains("is a directory") =>
        {
            (Error::invalid(say("exec failed")), 126)
        }
        FailureKind::NotExecutable => (Error::invalid(say("permission denied")), 126),
        FailureKind::Invalid => (Error::invalid(say("exec failed")), 126),
        FailureKind::NotRunning => (Error::new(ErrorKind::Conflict, failure.message), 126),
        FailureKind::Internal => (Error::new(ErrorKind::Internal, failure.message), 126),
    }
}
