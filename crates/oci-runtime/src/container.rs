//! A container from the host's side: create, start, exec, signal, pause, update, delete.

mod bind_sources;
mod cgroup;
mod checkpoint;
mod clone;
mod create;
mod delete;
mod error;
mod exec;
mod exec_cgroup;
mod id_map;
mod id_tools;
mod late_cgroup;
mod limits;
mod net_devices;
mod rdt;
mod restore;
mod rootless;
mod start;
mod state;
mod systemd_cgroup;
mod undo;
pub(crate) mod validate;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use minke_kernel::{
    cgroup::{Cgroup, CgroupError},
    process,
};
use minke_model::runtime_spec::{
    IntelRdt, Linux, MemoryPolicy, Personality, Process, Resources, Seccomp, Spec, Status,
};

pub(crate) use self::error::ActionError;
use self::state::StateDir;
pub use self::{
    create::OVERLAY_ANNOTATION,
    error::{CreateError, DeleteError, ExecError, InitError, InitErrorKind, OperationError, StartError},
    exec::Joining,
    limits::Limits,
    restore::restore,
    rootless::is_rootless,
    state::{LoadError, Record, Stored, list},
};
use crate::step::Step;

/// Where a process's standard streams come from.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's own descriptors 0, 1 and 2.
    #[default]
    Inherit,
    /// These descriptors.
    Fds {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A new pseudo terminal of the container's; its master side is returned to the caller.
    Pty,
}

/// How a container is created.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// The container's name under `root`.
    pub id: String,
    /// The bundle: what relative paths of the configuration start from.
    pub bundle: PathBuf,
    /// The state root: state is kept in `<root>/<id>/state.json`.
    pub root: PathBuf,
    /// The first process's standard streams.
    pub stdio: Stdio,
    /// Where the first process's pid is written, if anywhere.
    pub pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the container inherits.
    pub preserve_fds: u32,
    /// Move the root over `/` instead of pivot_root(2), for a host whose root is a ramdisk.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Do without cgroups that the caller may not make, where the configuration asks for none.
    pub rootless: bool,
    /// Have systemd make the cgroup; `linux.cgroupsPath` is `slice:prefix:name` then.
    pub systemd_cgroup: bool,
    /// Make the directory `notify` in the state's, for a socket that is the caller's.
    pub notify: bool,
}

/// How a process is added to a container.
#[derive(Debug, Default)]
pub struct ExecOptions {
    /// Its standard streams.
    pub stdio: Stdio,
    /// How many descriptors from 3 on it inherits.
    pub preserve_fds: u32,
    /// Where its pid is written, if anywhere.
    pub pid_file: Option<PathBuf>,
    /// Its new terminal passes line feeds as they are, for who copies its output to something that may be no terminal.
    pub passes_line_feeds: bool,
    /// Cgroups below the container's: `PATH` on v2, `CONTROLLER[,CONTROLLER…]:PATH` on v1.
    pub cgroups: Vec<String>,
}

/// A new container.
#[derive(Debug)]
pub struct Created {
    /// Its handle.
    pub container: Container,
    /// What the caller should know although it doesn't matter to the outcome.
    pub warnings: Vec<String>,
    /// What people may want to know, and programs need not hear.
    pub notes: Vec<String>,
    /// The terminal's master side, with [`Stdio::Pty`].
    pub pty_master: Option<OwnedFd>,
}

/// A process that was added to a container: a child of the caller's.
#[derive(Debug)]
pub struct ExecChild {
    /// Its pid, as the caller sees it.
    pub pid: i32,
    /// Its pidfd: readable once it has ended.
    pub pidfd: OwnedFd,
    /// The terminal's master side, with [`Stdio::Pty`].
    pub pty_master: Option<OwnedFd>,
}

/// A container whose first process lives (or is an unreaped child of the caller's).
#[derive(Debug)]
pub struct Container {
    record: Record,
    dir: StateDir,
    pidfd: OwnedFd,
    /// The creator's channel, until the start.
    channel: Option<OwnedFd>,
    cgroup: Option<Cgroup>,
    exec: ExecContext,
}

/// What processes that `exec` adds take from the container's configuration.
#[derive(Debug, Default)]
struct ExecContext {
    seccomp: Option<Seccomp>,
    personality: Option<Personality>,
    memory_policy: Option<MemoryPolicy>,
}

impl ExecContext {
    fn of(linux: Linux) -> Self {
        Self { seccomp: linux.seccomp, personality: linux.personality, memory_policy: linux.memory_policy }
    }
}

/// Makes everything that `spec` asks for, up to the point where the user's program is executed.
///
/// The caller becomes the parent of the container's first process and, since /proc/PID/exe of it must not be
/// readable from the container, undumpable (prctl(2) `PR_SET_DUMPABLE`). It must have a single thread.
///
/// # Errors
/// Says which step failed on what; everything that was made is undone. A program that isn't found is
/// [`CreateError::Init`] with its [`InitErrorKind`] already here, before the start.
pub fn create(spec: Spec, options: CreateOptions) -> Result<Created, CreateError> {
    create::create(spec, options)
}

impl Container {
    /// The handle of a container that was found on disk; `spec` is its configuration, for [`Container::exec`]. `None`
    /// when its first process has ended.
    ///
    /// # Errors
    /// When its cgroup can't be opened.
    pub fn attach(stored: Stored, spec: Option<Spec>) -> Result<Option<Self>, OperationError> {
        let Stored { record, dir, process } = stored;
        let Some(pidfd) = process else { return Ok(None) };
        let exec = spec.and_then(|spec| spec.linux).map(ExecContext::of).unwrap_or_default();
        let cgroup = record.cgroup().map_err(refused)?;
        Ok(Some(Self { record, dir, pidfd, channel: None, cgroup, exec }))
    }

    /// The first process's pid, as the caller sees it.
    pub fn pid(&self) -> i32 {
        self.record.pid
    }

    /// The first process's pidfd: readable once it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The first process's start time in clock ticks since boot (/proc/PID/stat, field 22).
    pub fn start_time(&self) -> u64 {
        self.record.start_time
    }

    /// What is kept on disk about it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The container's cgroup; `None` where it has none.
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// Lets the first process execute the user's program; returns once execve(2) succeeded or failed.
    /// A failed start ends the first process: the container is stopped then.
    ///
    /// # Errors
    /// [`StartError::NotFound`] and [`StartError::NotExecutable`] are about the program itself.
    pub fn start(&mut self) -> Result<(), StartError> {
        start::start(&self.record, &self.dir, &self.pidfd, self.channel.take())
    }

    /// Runs a further process in all of the container's namespaces and its cgroup, as a child of the
    /// caller's; returns once execve(2) succeeded or failed. What is said at [`create`] holds here too.
    ///
    /// # Errors
    /// As for [`Container::start`].
    pub fn exec(&self, process: &Process, options: ExecOptions) -> Result<ExecChild, ExecError> {
        exec::exec(self, process, options)
    }

    /// As [`Container::exec`], for a caller that must not wait: returns when the process is made, and [`Joining`]
    /// tells how it goes on. `options.pid_file` is left to the caller.
    ///
    /// # Errors
    /// As for [`Container::exec`], but what happens in the new process.
    pub fn join(&self, process: &Process, options: ExecOptions) -> Result<Joining, ExecError> {
        exec::join_container(self, process, options)
    }

    /// Sends a signal to the first process.
    ///
    /// # Errors
    /// [`OperationError`] when it has ended.
    pub fn signal(&self, signal: i32) -> Result<(), OperationError> {
        Ok(process::signal(&self.pidfd, signal).action(|| format!("send signal {signal}"))?)
    }

    /// Freezes all processes.
    ///
    /// # Errors
    /// What the cgroup said.
    pub fn pause(&self) -> Result<(), OperationError> {
        self.group()?.freeze().map_err(refused)
    }

    /// Thaws all processes.
    ///
    /// # Errors
    /// What the cgroup said.
    pub fn resume(&self) -> Result<(), OperationError> {
        self.group()?.thaw().map_err(refused)
    }

    /// Changes limits; what `resources` leaves out stays as it is.
    ///
    /// # Errors
    /// What the cgroup said.
    pub fn update(&mut self, resources: &Resources) -> Result<(), OperationError> {
        let (whole, limits) = self.record.limits.complete(resources);
        let group = self.group()?;
        match &self.record.systemd {
            Some(unit) => systemd_cgroup::update(unit, group, &whole)?,
            None => group.update(&whole).map_err(refused)?,
        }
        if limits != self.record.limits {
            self.record.limits = limits;
            self.dir.save(&self.record).action(|| "write the state".into())?;
        }
        Ok(())
    }

    /// Changes lines of the container's group of Intel RDT.
    ///
    /// # Errors
    /// A container that is in no group, a line that is none, what the kernel said.
    pub fn update_rdt(&self, lines: &IntelRdt) -> Result<(), CreateError> {
        rdt::change(self.record.rdt.as_ref(), lines)
    }

    /// How many processes the kernel has killed for memory.
    ///
    /// # Errors
    /// What the cgroup said.
    pub fn oom_kill_count(&self) -> Result<u64, OperationError> {
        self.group()?.oom_kills().map_err(refused)
    }

    /// Removes the container: its processes, cgroup and state; runs the poststop hooks. Without `force` a first process
    /// that still runs is an error and nothing is removed. Returns warnings: poststop hooks that failed.
    ///
    /// # Errors
    /// All that could not be removed; the rest is gone all the same.
    pub fn delete(self, force: bool) -> Result<Vec<String>, DeleteError> {
        let lives = process::stat(self.pid()).ok().flatten();
        let lives = lives.is_some_and(|stat| stat.start_time == self.start_time() && !stat.is_dead());
        if lives && !force {
            return Err(DeleteError(vec![format!("container {} is not stopped", self.record.id)]));
        }
        delete::delete(&self.record, &self.dir, Some(&self.pidfd))
    }

    /// Where the container is in its life.
    pub fn status(&self) -> Status {
        match process::open_verified(self.pid(), self.start_time()) {
            Ok(Some(_)) if self.cgroup.as_ref().is_some_and(|group| group.is_frozen().unwrap_or(false)) => {
                Status::Paused
            }
            Ok(Some(_)) if self.dir.waits_for_start() => Status::Created,
            Ok(Some(_)) => Status::Running,
            _ => Status::Stopped,
        }
    }

    fn group(&self) -> Result<&Cgroup, OperationError> {
        self.cgroup.as_ref().ok_or_else(|| OperationError::State("the container has no cgroup".into()))
    }
}

/// The cgroup's error, with what the kernel said kept apart (what isn't the kernel's counts as a wrong value).
fn refused(error: CgroupError) -> OperationError {
    let source = std::error::Error::source(&error);
    let errno = source.and_then(|source| source.downcast_ref::<std::io::Error>()?.raw_os_error());
    match errno {
        Some(errno) => {
            OperationError::Io { action: error.to_string(), source: std::io::Error::from_raw_os_error(errno) }
        }
        None => OperationError::Io {
            action: "change the cgroup".into(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, error::chain(&error)),
        },
    }
}
