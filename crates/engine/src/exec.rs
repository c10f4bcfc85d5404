//! `exec`: further processes in a running container.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bollard_stubs::models::{ExecConfig, ExecInspectResponse, ProcessConfig};
use minke_kernel::path::Root;
use minke_model::{
    ContainerId,
    runtime_spec::{ConsoleSize, Process},
};
use minke_supervisor::{CallError, FailureKind, Streams, Supervisor, Target};
use tokio::sync::{Notify, oneshot};

use crate::{
    AttachSession, Engine, Error, ErrorKind, ExecStart,
    container::{Container, Phase, Wire, links, running},
    detach_keys::DetachKeys,
    engine::Inner,
    files,
    frames::Splitter,
    random, rootfs,
    session::OutputForm,
    spec,
};

/// Ended processes that are kept per engine, so that their exit codes can be asked for.
const KEPT_ENDED: usize = 1000;

/// How long a call about a process waits for its start; Docker's time.
const STARTING: Duration = Duration::from_secs(10);

/// Every process that `exec` made.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    all: Mutex<HashMap<String, Exec>>,
    /// Told when one has changed.
    changed: Notify,
}

#[derive(Debug, Clone)]
struct Exec {
    container: Arc<Container>,
    config: ExecConfig,
    state: State,
    /// Its place in the order of making.
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Running(i32),
    Ended { code: i64, pid: i32 },
}

impl State {
    fn pid(self) -> i32 {
        match self {
            Self::Running(pid) | Self::Ended { pid, .. } => pid,
            Self::Created => 0,
        }
    }
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Exec>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Result<Exec, Error> {
        self.lock().get(id).cloned().ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    fn set(&self, id: &str, state: State) {
        if let Some(exec) = self.lock().get_mut(id) {
            exec.state = state;
        }
        self.changed.notify_waiters();
    }

    /// One that has been started. Clients ask for a terminal's size as soon as its connection is theirs.
    async fn started(&self, id: &str) -> Result<Exec, Error> {
        let waiting = async {
            loop {
                let mut changed = pin!(self.changed.notified());
                changed.as_mut().enable();
                let exec = self.get(id)?;
                if exec.state != State::Created {
                    return Ok(exec);
                }
                changed.await;
            }
        };
        let late = |_| Err(Error::conflict(format!("exec process {id} is not running")));
        tokio::time::timeout(STARTING, waiting).await.unwrap_or_else(late)
    }

    fn add(&self, id: String, container: Arc<Container>, config: ExecConfig) {
        let mut all = self.lock();
        let number = all.values().map(|exec| exec.number + 1).max().unwrap_or(0);
        let ended = all.values().filter(|exec| matches!(exec.state, State::Ended { .. })).count();
        if ended >= KEPT_ENDED {
            let oldest = all
                .iter()
                .filter(|(_, exec)| matches!(exec.state, State::Ended { .. }))
                .min_by_key(|(_, exec)| exec.number);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(id, Exec { container, config, state: State::Created, number });
    }

    /// Those of a container that have not ended.
    pub(crate) fn of(&self, container: &ContainerId) -> Vec<String> {
        let mut ids: Vec<String> = self
            .lock()
            .iter()
            .filter(|(_, exec)| exec.container.id == *container && !matches!(exec.state, State::Ended { .. }))
            .map(|(id, _)| id.clone())
            .collect();
        ids.sort();
        ids
    }

    /// The container's end is theirs; those never started can't be any more.
    pub(crate) fn container_ended(&self, container: &ContainerId) {
        self.lock().retain(|_, exec| {
            if exec.container.id != *container {
                return true;
            }
            if let State::Running(pid) = exec.state {
                exec.state = State::Ended { code: 137, pid };
            }
            exec.state != State::Created
        });
        self.changed.notify_waiters();
    }

    /// The container is gone, and all that was known of its processes.
    pub(crate) fn container_removed(&self, container: &str) {
        self.lock().retain(|_, exec| exec.container.id.as_str() != container);
    }
}

impl Engine {
    /// Prepares a process in a running container, and gives its id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] when the container does not run or is paused,
    /// [`ErrorKind::InvalidParameter`].
    pub async fn exec_create(&self, name: &str, config: ExecConfig) -> Result<String, Error> {
        let inner = self.inner();
        let container = inner.find(name)?;
        runs(&container)?;
        let command = config.cmd.clone().unwrap_or_default();
        if command.is_empty() {
            return Err(Error::invalid("No exec command specified"));
        }
        DetachKeys::parse(config.detach_keys.as_deref())?;
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
        match found.state {
            State::Created => {}
            State::Running(_) => {
                return Err(Error::conflict(format!("exec command {exec} is already running")));
            }
            State::Ended { .. } => {
                return Err(Error::conflict(format!("exec command {exec} has already run")));
            }
        }
        let container = &found.container;
        let supervisor = runs(container)?;
        let config = &found.config;
        let keys = DetachKeys::parse(config.detach_keys.as_deref())?;
        let guard = (container.session(), self.busy());
        let process = process(inner, container, config, options).await?;
        let streams = Streams {
            stdin: config.attach_stdin.unwrap_or(false),
            stdout: config.attach_stdout.unwrap_or(false),
            stderr: config.attach_stderr.unwrap_or(false),
        };
        let started = match supervisor.exec(exec, process, streams, options.detach).await {
            Ok(started) => started,
            Err(error) => {
                let (error, code) = explain(error, config);
                inner.execs.set(exec, State::Ended { code, pid: 0 });
                return Err(error);
            }
        };
        inner.execs.set(exec, State::Running(started.pid));
        inner.exec_event(container, &told("exec_start", config.cmd.as_deref().unwrap_or(&[])), exec, None);
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
            settled: Some(settled),
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
    fn exec_event(&self, container: &Container, action: &str, exec: &str, code: Option<i64>) {
        let mut more = vec![("execID".to_owned(), exec.to_owned())];
        more.extend(code.map(|code| ("exitCode".to_owned(), code.to_string())));
        self.container_event(container, action, more);
    }
}

/// The action of an event: the program and its arguments apart, as Docker does even where there is none.
fn told(action: &str, command: &[String]) -> String {
    let (program, arguments) =
        command.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    format!("{action}: {program} {}", arguments.join(" "))
}

fn runs(container: &Arc<Container>) -> Result<Supervisor, Error> {
    match container.phase() {
        Phase::Paused => Err(Error::conflict(format!(
            "Container {} is paused, unpause the container before exec",
            container.id
        ))),
        Phase::Restarting => Err(Error::conflict(format!(
            "Container {} is restarting, wait until the container is running",
            container.id
        ))),
        _ => running(container),
    }
}

/// The process of `exec`, in the runtime's form.
async fn process(
    inner: &Arc<Inner>,
    container: &Arc<Container>,
    config: &ExecConfig,
    options: ExecStart,
) -> Result<Process, Error> {
    let (inner, container, config) = (Arc::clone(inner), Arc::clone(container), config.clone());
    let built = tokio::task::spawn_blocking(move || {
        let root = files::running_root(&container)?;
        let size = options.console_size.or_else(|| match config.console_size.as_deref() {
            Some([height, width]) => Some((u16::try_from(*height).ok()?, u16::try_from(*width).ok()?)),
            _ => None,
        });
        let mut process = build(&inner, &container, &root, &config)?;
        process.console_size =
            size.filter(|_| process.terminal).map(|(height, width)| ConsoleSize { height, width });
        Ok(process)
    });
    built.await.map_err(|error| Error::internal("prepare a process", &error))?
}

/// The process of a health check: the container's own user, environment and directory.
///
/// # Errors
/// `Conflict` when the container has ended.
pub(crate) async fn process_for(
    inner: &Arc<Inner>,
    container: &Arc<Container>,
    command: &[String],
) -> Result<Process, Error> {
    let config = ExecConfig { cmd: Some(command.to_vec()), ..ExecConfig::default() };
    process(inner, container, &config, ExecStart::default()).await
}

fn build(inner: &Inner, container: &Container, root: &Root, config: &ExecConfig) -> Result<Process, Error> {
    let (record, facts) = (container.record(), &inner.host.facts);
    let tty = config.tty.unwrap_or(false);
    let privileged = config.privileged.unwrap_or(false) || record.host.privileged == Some(true);
    let user = config
        .user
        .as_deref()
        .filter(|user| !user.is_empty())
        .or(record.config.user.as_deref())
        .unwrap_or("");
    let accounts =
        rootfs::accounts(root).map_err(|error| Error::internal("read the container's users", &error))?;
    let groups = record.host.group_add.clone().unwrap_or_default();
    let user = accounts.resolve(user, &groups)?;
    let host = bollard_stubs::models::HostConfig { privileged: Some(privileged), ..record.host.clone() };
    let capabilities = spec::held(&host, facts)?;
    let mut env =
        spec::env::complete(&links::environment_of(inner, &record), Some(record.hostname()), tty, &user.home);
    for entry in config.env.iter().flatten() {
        spec::env::set(&mut env, entry);
    }
    let directory = config.working_dir.as_deref().filter(|path| !path.is_empty());
    let directory =
        directory.or(record.config.working_dir.as_deref()).filter(|path| !path.is_empty()).unwrap_or("/");
    let security = spec::security::parse(record.host.security_opt.as_deref().unwrap_or(&[]))?;
    Ok(Process {
        terminal: tty,
        user: user.to_spec(),
        args: config.cmd.clone().unwrap_or_default(),
        env,
        cwd: directory.to_owned(),
        capabilities: Some(spec::capabilities::sets(&capabilities, user.uid == 0)),
        rlimits: spec::limits::rlimits(record.host.ulimits.as_deref().unwrap_or(&[]), facts)?,
        no_new_privileges: security.no_new_privileges,
        ..Process::default()
    })
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
