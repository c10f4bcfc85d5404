//! Spawning a supervisor so that it outlives the engine and inherits nothing but what it is given.
//!
//! posix_spawn(3) places each descriptor at its number in the child alone, so two spawns at the same
//! time can't leak into each other; all other descriptors of the engine are close-on-exec. The
//! child is reaped through its pidfd by a task, not by a thread, and by the host's init when the engine is gone.

use std::{
    ffi::OsStr,
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
};

use minke_kernel::spawn::{Spawn, SpawnedChild};
use minke_oci_runtime::supervise::protocol::{Failure, Reply, SupervisorConfig};
use tokio::{io::unix::AsyncFd, net::UnixStream};

use crate::{
    call::{self, CallError},
    handle::Supervisor,
};

/// The descriptor at which a supervisor finds the network namespace of [`Inherit::netns`]. The bundle's
/// config.json names it as the namespace's path: `/proc/self/fd/3`.
pub const NETNS_FD: i32 = 3;

/// Where the control connection arrives, whether a network namespace came along or not.
const CONTROL_FD: i32 = 4;

/// What a supervisor inherits from the engine.
#[derive(Debug, Default)]
pub struct Inherit {
    /// The network namespace to join, at [`NETNS_FD`].
    pub netns: Option<OwnedFd>,
    /// Descriptors to keep open as long as the container lives: bound ports.
    pub held: Vec<OwnedFd>,
}

/// A supervisor whose container has been created and waits for [`Supervisor::start`].
#[derive(Debug)]
pub struct Spawned {
    /// The handle for everything further.
    pub supervisor: Supervisor,
    /// The container's first process, in the host's pid namespace.
    pub pid: i32,
    /// Its start time, field 22 of proc_pid_stat(5).
    pub start_time: u64,
}

/// Why no supervisor or no container came to be; nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The configuration's file could not be written.
    #[error("write the supervisor's configuration {}", path.display())]
    WriteConfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No socket pair: the engine is out of descriptors.
    #[error("make the supervisor's first connection")]
    ControlSocket(#[source] io::Error),
    /// The program could not be executed.
    #[error("execute {} as a supervisor", program.display())]
    Execute {
        /// Which program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The container could not be created.
    #[error("{0}")]
    Create(#[source] Failure),
    /// The supervisor died or spoke in tongues before the container was created.
    #[error("the supervisor did not create the container{}", note_of(diagnosis))]
    Vanished {
        /// What it wrote last, if anything.
        diagnosis: String,
        /// What the connection said.
        #[source]
        source: CallError,
    },
}

impl Supervisor {
    /// Writes `config` into `<bundle>/supervisor.json` (`control_fd` and `held_fds` are filled in
    /// here), spawns `<program> supervise <file>` in a session of its own and awaits the created container.
    ///
    /// # Errors
    /// [`SpawnError`]; whatever it is, nothing is left running.
    pub async fn spawn(
        program: &Path,
        mut config: SupervisorConfig,
        inherit: Inherit,
    ) -> Result<Spawned, SpawnError> {
        let (ours, theirs) = control_pair()?;
        config.control_fd = CONTROL_FD;
        config.held_fds = (CONTROL_FD + 1..).take(inherit.held.len()).collect();
        let file = write_config(&config)?;

        let child = execute(program, &file, &config, &inherit, theirs.as_fd())?;
        // Every copy of these but the child's must go now, so that the child's end is seen as end of file.
        drop((theirs, inherit));
        reap_when_it_ends(child);

        let mut control = ours;
        let reply = call::read_reply(&mut control, &config.socket).await;
        let supervisor = Self { socket: config.socket, exit_record: Some(config.exit_record) };
        match reply {
            Ok(Reply::Created { pid, start_time }) => Ok(Spawned { supervisor, pid, start_time }),
            Ok(reply) => {
                Err(vanished(&config.bundle, CallError::unexpected(&supervisor.socket, "supervise", &reply)))
            }
            Err(CallError::Refused(failure)) => Err(SpawnError::Create(failure)),
            Err(source) => Err(vanished(&config.bundle, source)),
        }
    }
}

fn control_pair() -> Result<(UnixStream, StdUnixStream), SpawnError> {
    let (ours, theirs) = StdUnixStream::pair().map_err(SpawnError::ControlSocket)?;
    ours.set_nonblocking(true).map_err(SpawnError::ControlSocket)?;
    let ours = UnixStream::from_std(ours).map_err(SpawnError::ControlSocket)?;
    Ok((ours, theirs))
}

fn write_config(config: &SupervisorConfig) -> Result<PathBuf, SpawnError> {
    let path = config.bundle.join("supervisor.json");
    let written = serde_json::to_vec(config).map_err(io::Error::from).and_then(|json| fs::write(&path, json));
    match written {
        Ok(()) => Ok(path),
        Err(source) => Err(SpawnError::WriteConfig { path, source }),
    }
}

fn execute(
    program: &Path,
    file: &Path,
    config: &SupervisorConfig,
    inherit: &Inherit,
    control: BorrowedFd<'_>,
) -> Result<SpawnedChild, SpawnError> {
    let failed = |source| SpawnError::Execute { program: program.to_owned(), source };
    let null = fs::File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
    let log = fs::File::create(diagnosis_path(&config.bundle)).map_err(failed)?;
    let mut spawn = Spawn::new(program);
    spawn.arg(OsStr::new("supervise")).arg(file.as_os_str());
    if let Some(path) = std::env::var_os("PATH") {
        spawn.env(OsStr::new("PATH"), &path); // for a foreign runtime; hooks bring their own
    }
    spawn.descriptor(null.as_fd(), 0).descriptor(null.as_fd(), 1).descriptor(log.as_fd(), 2);
    if let Some(netns) = &inherit.netns {
        spawn.descriptor(netns.as_fd(), NETNS_FD);
    }
    spawn.descriptor(control, CONTROL_FD);
    for (number, held) in config.held_fds.iter().zip(&inherit.held) {
        spawn.descriptor(held.as_fd(), *number);
    }
    spawn.new_session().spawn().map_err(failed)
}

/// Reaps the supervisor whenever it ends. Dropping the task with its runtime is fine: the engine is
/// leaving then, and the host's init inherits the child.
fn reap_when_it_ends(child: SpawnedChild) {
    tokio::spawn(async move {
        #[expect(
            deprecated,
            reason = "the successor is unsafe; a SpawnedChild owns one pidfd, which never changes"
        )]
        let watched = AsyncFd::new(child);
        match watched {
            Ok(watched) => {
                let _readable = watched.readable().await;
                watched.get_ref().reap();
            }
            Err(error) => tracing::warn!(%error, "can't watch a supervisor; it will stay a zombie"),
        }
    });
}

fn vanished(bundle: &Path, source: CallError) -> SpawnError {
    let diagnosis = fs::read_to_string(diagnosis_path(bundle)).unwrap_or_default();
    SpawnError::Vanished { diagnosis: diagnosis.lines().last().unwrap_or_default().to_owned(), source }
}

/// Where the supervisor's own standard error goes.
fn diagnosis_path(bundle: &Path) -> PathBuf {
    bundle.join("supervisor.log")
}

fn note_of(diagnosis: &str) -> String {
    if diagnosis.is_empty() { String::new() } else { format!("; it said: {diagnosis}") }
}
