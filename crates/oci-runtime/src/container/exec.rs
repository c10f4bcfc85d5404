//! Adding a process to a running container.
//!
//! The new process is a child of the caller's: made in the container's pid namespace and cgroup, it
//! joins all other namespaces at once through the pidfd of the first process, so that a reused pid can't lead
//! it into another container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use minke_kernel::{
    identity, limits,
    namespace::{self, Kinds},
    path::Root,
    process::{self, Child, CloneOptions},
    procfs::Proc,
    seccomp, socket,
};
use minke_model::runtime_spec::{NamespaceType, Process, Status};

use super::{
    Container, CreateError, ExecChild, ExecError, ExecOptions, InitError, InitErrorKind, Stdio, create,
    validate,
};
use crate::{
    channel::{self, FromInit, ToInit},
    init,
    placement::Placement,
    step::{Step, failed},
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

/// What the new process works with.
struct Job<'a> {
    container: &'a Container,
    process: &'a Process,
    kinds: Kinds,
    filter: Option<seccomp::Program>,
    proc: Proc,
    placement: Placement,
    stdio: Stdio,
    preserve_fds: u32,
}

/// A process on its way into a container, between clone and execve.
///
/// It is in the container's pid namespace from its first moment, and processes there may stop it, or freeze or starve
/// its cgroup. So it takes as long as it takes, and whoever has other duties waits for its descriptor to become
/// readable before each [`Joining::advance`].
#[derive(Debug)]
pub struct Joining {
    child: Child,
    channel: OwnedFd,
    pty_master: Option<OwnedFd>,
}

impl AsFd for Joining {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Joining {
    /// Its pid, as the caller sees it.
    pub fn pid(&self) -> i32 {
        self.child.pid
    }

    /// Hears one thing from the process, waiting for it; `None` when there is more to come. `Some(Ok(()))` is that it has
    /// executed its program, or was killed, which its exit status tells.
    pub fn advance(&mut self) -> Option<Result<(), ExecError>> {
        let received = channel::receive::<FromInit>(&self.channel);
        match received.action(|| "listen to the new process".into()) {
            // Close-on-exec closed it.
            Ok(None) => Some(Ok(())),
            Ok(Some((FromInit::Terminal, fd))) => {
                self.pty_master = fd;
                None
            }
            Ok(Some((FromInit::Failed(error), _))) => Some(Err(error.into())),
            Ok(Some((other, _))) => Some(Err(ExecError::State(format!("unexpected {other:?}")))),
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Kills the process; it is still the caller's to reap.
    pub fn kill(&self) {
        let _ = process::signal(&self.child.pidfd, rustix::process::Signal::KILL.as_raw());
    }

    /// The process, after [`Joining::advance`] has said that it executed its program.
    pub fn into_child(self) -> ExecChild {
        ExecChild { pid: self.child.pid, pidfd: self.child.pidfd, pty_master: self.pty_master }
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
    let mut attend = || {
        loop {
            if let Some(result) = joining.advance() {
                break result;
            }
        }
    };
    let finished = attend().and_then(|()| match &pid_file {
        Some(path) => Ok(create::write_pid_file(path, joining.pid())
            .action(|| format!("write the pid file {}", path.display()))?),
        None => Ok(()),
    });
    if finished.is_err() {
        create::kill(&joining.child.pidfd);
    }
    finished.map(|()| joining.into_child())
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
    let proc = Proc::open().action(|| "open /proc".into())?;
    let kinds = namespace::differing(container.pid())
        .action(|| format!("read the namespaces of process {}", container.pid()))?;
    let (ours, theirs) = socket::pair().action(|| "make the channel".into())?;
    let placement = match &container.cgroup {
        Some(group) => Placement::open(&group.paths()).action(|| "open the cgroup".into())?,
        None => Placement::default(),
    };
    let job = Job {
        container,
        process,
        kinds,
        filter,
        proc,
        placement,
        stdio: options.stdio,
        preserve_fds: options.preserve_fds,
    };
    let child = spawn(job, &ours, theirs)?;
    match place(process, kinds, &child, &ours) {
        Ok(()) => Ok(Joining { child, channel: ours, pty_master: None }),
        Err(error) => {
            create::kill(&child.pidfd);
            Err(error)
        }
    }
}

/// Clones while this process is in the container's pid namespace for children.
fn spawn(job: Job<'_>, ours: &OwnedFd, theirs: OwnedFd) -> Result<Child, ExecError> {
    let step = || "make the process".to_owned();
    let container = job.container;
    let home = std::fs::File::open("/proc/self/ns/pid").action(step)?;
    let visits = job.kinds.contains(NamespaceType::Pid);
    if visits {
        namespace::join_process(&container.pidfd, Kinds::of(NamespaceType::Pid))
            .action(|| "join the pid namespace".into())?;
    }
    let unified = job.placement.unified().map(|fd| fd.try_clone_to_owned()).transpose();
    let unified = unified.action(|| "copy the cgroup's descriptor".into())?;
    let options = CloneOptions { cgroup: unified.as_ref().map(AsFd::as_fd), ..CloneOptions::default() };
    let ours = ours.as_fd();
    let spawned = process::spawn(&options, || {
        process::close_copy_in_child(ours);
        run(job, &theirs)
    });
    if visits {
        namespace::join(&home, NamespaceType::Pid).action(|| "leave the pid namespace".into())?;
    }
    Ok(spawned.action(step)?)
}

/// Does what only the creator may do for the new process.
fn place(process: &Process, kinds: Kinds, child: &Child, channel: &OwnedFd) -> Result<(), ExecError> {
    if kinds.contains(NamespaceType::User) {
        let proc = Proc::open().action(|| "open /proc".into())?;
        if let Some(score) = process.oom_score_adj {
            init::process::set_oom_score(&proc, &child.pid.to_string(), score)?;
        }
        for (i, limit) in process.rlimits.iter().enumerate() {
            limits::set_rlimit(child.pid, limit)
                .action(|| format!("process.rlimits[{i}]: set {}", limit.kind))?;
        }
    }
    match channel::send(channel, &ToInit::Placed { pid: child.pid }, None) {
        // It has ended already, and has said why.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result.action(|| "speak to the new process".into())?),
    }
}

/// The new process. Returns its exit status, only when it couldn't execute the program.
fn run(job: Job<'_>, channel: &OwnedFd) -> i32 {
    let error = match enter(job, channel) {
        Ok(ready) => ready.execute(),
        Err(error) => error,
    };
    let _ = channel::send(channel, &FromInit::Failed(error), None);
    1
}

/// Closes what the new process has of its maker's. It is visible in the container from its first moment, so what it need
/// not have, a process there that may trace others must not find in it.
fn close_others(job: &Job<'_>, channel: &OwnedFd) {
    let mut kept = vec![channel.as_fd(), job.proc.as_fd(), job.container.pidfd.as_fd()];
    kept.extend(job.placement.descriptors());
    if let Stdio::Fds { stdin, stdout, stderr } = &job.stdio {
        kept.extend([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
    }
    process::close_other_copies_in_child(&kept, job.preserve_fds);
}

fn enter(job: Job<'_>, channel: &OwnedFd) -> Result<init::process::Ready, InitError> {
    close_others(&job, channel);
    process::reset_signals();
    identity::new_session().step(|| "start a session".into())?;
    let affinity = job.process.exec_cpu_affinity.as_ref();
    if let Some(list) = affinity.and_then(|affinity| affinity.initial.as_ref()) {
        limits::set_cpu_affinity(list).step(|| "process.execCPUAffinity.initial: set".into())?;
    }
    let notify = init::process::notify_target(job.container.exec.seccomp.as_ref(), job.filter.as_ref())?;
    let pid = match channel::receive(channel).step(|| "wait for the creator".into())? {
        Some((ToInit::Placed { pid }, _)) => pid,
        _ => return Err(failed("wait for the creator", "it is gone")),
    };
    if let Some(list) = affinity.and_then(|affinity| affinity.last.as_ref()) {
        limits::set_cpu_affinity(list).step(|| "process.execCPUAffinity.final: set".into())?;
    }
    job.placement.enter()?;
    let in_user_namespace = job.kinds.contains(NamespaceType::User);
    join(&job)?;
    match job.stdio {
        Stdio::Pty => {
            let root = Root::open("/".as_ref()).step(|| "open the root".into())?;
            let terminal = init::console::open(&root, job.process)?;
            channel::send(channel, &FromInit::Terminal, Some(&terminal.master))
                .step(|| "answer the creator".into())?;
            init::console::install(&terminal.slave)?;
        }
        other => init::stdio::install(other)?,
    }
    let record = &job.container.record;
    let notify = notify.map(|target| target.for_container(pid, record.state(Status::Running)));
    let context = init::process::Context {
        proc: &job.proc,
        seccomp: job.filter,
        notify,
        in_user_namespace,
        memory_policy: None,
        preserve_fds: job.preserve_fds,
        limits_are_set: in_user_namespace,
    };
    init::process::enter(job.process, job.container.exec.personality.as_ref(), context)
}

/// Joins all namespaces but pid, in which the process was made, and time, which needs a call of its own on kernels before 5.8.
fn join(job: &Job<'_>) -> Result<(), InitError> {
    let kinds = job.kinds.without(NamespaceType::Pid);
    if kinds.is_empty() {
        return Ok(());
    }
    namespace::join_process(&job.container.pidfd, kinds).step(|| "join the namespaces".into())?;
    if job.kinds.contains(NamespaceType::User) { init::become_root() } else { Ok(()) }
}
