//! Adding a process to a running container, in two stages.
//!
//! What runs in the container may hold `CAP_SYS_PTRACE` and look into, or take over, every process that it can name. So
//! nothing that has rights or descriptors of the host's is ever in its pid namespace: an escort outside of it does all that
//! needs rights, gives them up, and then makes the process, which is born with no more than the program may have.
//!
//! ```text
//!  caller                       escort (the host's pid namespace)             the process (the container's)
//!    │ clone3 ─────────────────▶ │ enters the cgroups
//!    │ Placed ─────────────────▶ │ joins all namespaces, by the pidfd of the first process,
//!    │                           │ so that a reused pid can't lead it into another container
//!    │ ◀─────────── Terminal+fd  │ limits, labels, user, directory, capabilities, filter
//!    │                           │ clone(CLONE_PARENT) ──────────────────────▶ │ setsid
//!    │ ◀──────────────── Made    │ exits            only if the caller has     │ waits
//!    │ Start ──────────────────────────────────────  more to do for it ──────▶ │ execve
//!    │ ◀──── end of file, or Failed at any time
//! ```
//!
//! A filter's listener comes with a message of its own, `Listener`. The kernel tells the caller the process's pid (`CLONE_PARENT_SETTID`), nobody in the container does.

mod attention;
mod escort;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use minke_kernel::{
    limits,
    namespace::{self, Kinds},
    pid_slot::PidSlot,
    process::{self, Child, CloneOptions},
    procfs::Proc,
    seccomp::{self, Door},
    socket,
};
use minke_model::runtime_spec::{NamespaceType, Process};
use rustix::process::Signal;

pub(crate) use self::attention::Attention;
use self::escort::Job;
use super::{
    Container, CreateError, ExecChild, ExecError, ExecOptions, InitError, InitErrorKind, Stdio, create,
    exec_cgroup, undo::kill, validate,
};
use crate::{
    channel::{self, FromInit, ToInit},
    init,
    landlock::Rules,
    step::Step,
};

impl From<InitError> for ExecError {
    fn from(error: InitError) -> Self {
        match error.kind {
            InitErrorKind::NotFound => Self::NotFound(error),
            InitErrorKind::NotExecutable => Self::NotExecutable(error),
            InitErrorKind::Other => Self::Init(error),
        }
    }
}

impl From<CreateError> for ExecError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Init(error) => error.into(),
            CreateError::Io { action, source } => Self::Io { action, source },
            other => Self::State(other.to_string()),
        }
    }
}

/// A process on its way into a container, until its execve.
///
/// Processes in the container may stop it once it is made, or freeze or starve its cgroup. So it takes as long as it
/// takes, and whoever has other duties waits for its descriptor to become readable before each [`Joining::advance`].
#[derive(Debug)]
pub struct Joining {
    escort: Child,
    channel: OwnedFd,
    /// The process's pid, once it is made.
    made: PidSlot,
    /// Few need any.
    attention: Option<Box<Attention>>,
    listener: Option<OwnedFd>,
    awaits_terminal: bool,
    pty_master: Option<OwnedFd>,
    is_reaped: bool,
}

impl AsFd for Joining {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Joining {
    /// Its pid, as the caller sees it; its escort's as long as it isn't made. It is a child of the caller's.
    pub fn pid(&self) -> i32 {
        self.made.get().unwrap_or(self.escort.pid)
    }

    /// Says that the caller has reaped [`Joining::pid`].
    pub fn note_reaped(&mut self) {
        self.is_reaped = true;
    }

    /// Hears one thing about the process, waiting for it; `None` when there is more to come. `Some(Ok(()))` is that it has
    /// executed its program, or was killed, which its exit status tells.
    pub fn advance(&mut self) -> Option<Result<(), ExecError>> {
        let received = channel::receive::<FromInit>(&self.channel);
        match received.action(|| "listen to the new process".into()) {
            // Close-on-exec closed it.
            Ok(None) if self.made.get().is_some() => Some(Ok(())),
            Ok(None) => Some(Err(ExecError::State("the new process was killed before it was made".into()))),
            Ok(Some((FromInit::Terminal, fd))) => {
                // The escort's word, which comes first; the process may be in other hands already.
                if std::mem::take(&mut self.awaits_terminal) {
                    self.pty_master = fd;
                }
                None
            }
            Ok(Some((FromInit::Listener, Some(listener)))) => self.take_listener(listener).err().map(Err),
            Ok(Some((FromInit::Made, _))) => self.attend().err().map(Err),
            Ok(Some((FromInit::Failed(error), _))) => Some(Err(error.into())),
            Ok(Some((other, _))) => Some(Err(ExecError::State(format!("unexpected {other:?}")))),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The listener waits for the process's pid, unless its consent is needed before there is one.
    fn take_listener(&mut self, listener: OwnedFd) -> Result<(), ExecError> {
        match &mut self.attention {
            Some(attention) if attention.hands_over_early() && self.made.get().is_none() => {
                attention.hand_over(self.escort.pid, &listener)
            }
            _ => {
                self.listener = Some(listener);
                Ok(())
            }
        }
    }

    /// Does what it waits for, once: the message may be a forgery then.
    fn attend(&mut self) -> Result<(), ExecError> {
        let (Some(attention), Some(pid), false) = (self.attention.take(), self.made.get(), self.is_reaped)
        else {
            return Err(ExecError::State("unexpected message of the new process".into()));
        };
        attention.give(pid, self.listener.take())?;
        send(&self.channel, &ToInit::Start)
    }

    /// Kills it; it is still the caller's to reap.
    pub fn kill(&self) {
        let _ = process::signal(&self.escort.pidfd, Signal::KILL.as_raw());
        // Not reaped by the caller, who alone could, so the number is still its own.
        if let Some(pid) = self.made.get().filter(|_| !self.is_reaped)
            && let Ok(pidfd) = process::open(pid)
        {
            let _ = process::signal(&pidfd, Signal::KILL.as_raw());
        }
    }

    /// The terminal's master side, after [`Joining::advance`] has said that it executed its program.
    pub fn into_terminal(self) -> Option<OwnedFd> {
        self.pty_master
    }
}

/// See [`Container::exec`].
pub(super) fn exec(
    container: &Container,
    process: &Process,
    options: ExecOptions,
) -> Result<ExecChild, ExecError> {
    let pid_file = options.pid_file.clone();
    let mut joining = join_container(container, process, options)?;
    let result = loop {
        if let Some(result) = joining.advance() {
            break result;
        }
    };
    let arrived = result.and_then(|()| {
        let pid = joining.pid();
        let pidfd = process::open(pid).action(|| format!("open process {pid}"))?;
        if let Some(path) = &pid_file {
            create::write_pid_file(path, pid).action(|| format!("write the pid file {}", path.display()))?;
        }
        Ok((pid, pidfd))
    });
    if arrived.is_err() {
        joining.kill();
    }
    // It has nothing more to do, and its end is nobody else's business.
    let _ = process::wait(&joining.escort.pidfd);
    if arrived.is_err()
        && let Some(pidfd) = joining.made.get().and_then(|pid| process::open(pid).ok())
    {
        kill(&pidfd);
    }
    let (pid, pidfd) = arrived?;
    Ok(ExecChild { pid, pidfd, pty_master: joining.into_terminal() })
}

/// See [`Container::join`].
pub(super) fn join_container(
    container: &Container,
    process: &Process,
    options: ExecOptions,
) -> Result<Joining, ExecError> {
    validate::process(process)?;
    create::refuse_absent_labels(process)?;
    process::set_undumpable().action(|| "make the process undumpable".into())?;
    let filter = container.exec.seccomp.as_ref().map(seccomp::compile).transpose();
    let filter = filter.map_err(|error| ExecError::State(format!("linux.{error}")))?;
    let attention = Attention::needed(container, process, filter.as_ref())?;
    let early = Attention::postponed(process);
    let proc = Proc::open().action(|| "open /proc".into())?;
    let kinds = namespace::differing(container.pid())
        .action(|| format!("read the namespaces of process {}", container.pid()))?;
    let (ours, theirs) = socket::pair().action(|| "make the channel".into())?;
    let below = exec_cgroup::parse(&options.cgroups)?;
    let placement = exec_cgroup::placement(container, &below)?;
    let made = PidSlot::new().action(|| "make room for the new process's pid".into())?;
    let door = Door::new().action(|| "draw random numbers".into())?;
    let unified = placement.unified().map(|fd| fd.try_clone_to_owned()).transpose();
    let unified = unified.action(|| "copy the cgroup's descriptor".into())?;
    let job = Job {
        container,
        process: &early,
        kinds,
        filter,
        landlock: Rules::find(&container.record.annotations)?,
        proc,
        placement,
        stdio: options.stdio,
        passes_line_feeds: options.passes_line_feeds,
        preserve_fds: options.preserve_fds,
        door,
        made: &made,
        process_limit: Attention::process_limit(process),
        is_attended: attention.is_some(),
    };
    let awaits_terminal = matches!(job.stdio, Stdio::Pty);
    let clone = CloneOptions { cgroup: unified.as_ref().map(AsFd::as_fd), ..CloneOptions::default() };
    let our_end = ours.as_fd();
    let spawned = process::spawn(&clone, || {
        // Else the child would keep its own channel open and never see the caller leave.
        process::close_copy_in_child(our_end);
        escort::run(job, &theirs)
    });
    let escort = spawned.action(|| "make the process".into())?;
    let placed = exec_cgroup::attach(container, &below, escort.pid)
        .and_then(|()| Ok(container.record.rdt.as_ref().map_or(Ok(()), |group| group.add(escort.pid))?))
        .and_then(|()| place(&early, kinds, &escort, &ours));
    match placed {
        Ok(()) => Ok(Joining {
            escort,
            channel: ours,
            made,
            attention: attention.map(Box::new),
            listener: None,
            awaits_terminal,
            pty_master: None,
            is_reaped: false,
        }),
        Err(error) => {
            kill(&escort.pidfd);
            Err(error)
        }
    }
}

/// Does what only the caller may do for the escort: in a user namespace limits can't be raised.
fn place(process: &Process, kinds: Kinds, escort: &Child, channel: &OwnedFd) -> Result<(), ExecError> {
    if kinds.contains(NamespaceType::User) {
        let proc = Proc::open().action(|| "open /proc".into())?;
        if let Some(score) = process.oom_score_adj {
            init::process::set_oom_score(&proc, &escort.pid.to_string(), score)?;
        }
        for (i, limit) in process.rlimits.iter().enumerate() {
            limits::set_rlimit(escort.pid, limit)
                .action(|| format!("process.rlimits[{i}]: set {}", limit.kind))?;
        }
    }
    send(channel, &ToInit::Placed { pid: escort.pid, doors: 0 })
}

/// One that has ended already has said why: its message is read by the caller.
fn send(channel: &OwnedFd, message: &ToInit) -> Result<(), ExecError> {
    match channel::send(channel, message, None) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result.action(|| "speak to the new process".into())?),
    }
}
