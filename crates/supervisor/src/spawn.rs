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
use minke_oci_runtime::supervise::protocol::{CONTROL_FD, Failure, NETNS_FD, Reply, SupervisorConfig};
use tokio::{io::unix::AsyncFd, net::UnixStream};

use crate::{
    call::{self, CallError},
    handle::Supervisor,
    waiting::Waiting,
};

/// What a supervisor inherits from the engine.
#[derive(Debug, Default)]
pub struct Inherit {
    /// The network namespace to join, at [`NETNS_FD`](minke_oci_runtime::supervise::protocol::NETNS_FD).
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
    /// Writes `config` into `<bundle>/supervisor.json` (`held_fds` are filled in here), has the one that waits go on, or else
    /// spawns `<program> supervise <file>` in a session of its own, and awaits the created container.
    ///
    /// # Errors
    /// [`SpawnError`]; whatever it is, nothing is left running.
    pub async fn spawn(
        program: &Path,
        waiting: Option<Waiting>,
        mut config: SupervisorConfig,
        inherit: Inherit,
    ) -> Result<Spawned, SpawnError> {
        let diagnosis = diagnosis(program, &config.bundle)?;
        config.held_fds.clear();
        let gone_on = match waiting {
            Some(waiting) => {
                write_config(&config)?;
                waiting.go_on(&diagnosis, &inherit)
            }
            None => None,
        };
        let control = match gone_on {
            Some(control) => control,
            None => {
                config.held_fds = (CONTROL_FD + 1..).take(inherit.held.len()).collect();
                write_config(&config)?;
                execute(program, &config, &inherit, &diagnosis)?
            }
        };
        // Every copy of these but the child's must go now.
        drop(inherit);

        let mut control = engines_end(control)?;
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

fn engines_end(control: StdUnixStream) -> Result<UnixStream, SpawnError> {
    control.set_nonblocking(true).map_err(SpawnError::ControlSocket)?;
    UnixStream::from_std(control).map_err(SpawnError::ControlSocket)
}

/// Where a container's supervisor finds its configuration.
pub(crate) fn config_path(bundle: &Path) -> PathBuf {
    bundle.join("supervisor.json")
}

fn write_config(config: &SupervisorConfig) -> Result<(), SpawnError> {
    let path = config_path(&config.bundle);
    let written = serde_json::to_vec(config).map_err(io::Error::from).and_then(|json| fs::write(&path, json));
    written.map_err(|source| SpawnError::WriteConfig { path, source })
}

/// Starts a supervisor with these descriptors; returns the engine's end of its first connection, which is that of
/// nobody else.
pub(crate) fn start(
    program: &Path,
    args: &[&OsStr],
    diagnosis: Option<BorrowedFd<'_>>,
    netns: Option<BorrowedFd<'_>>,
    held: &[OwnedFd],
) -> Result<StdUnixStream, SpawnError> {
    let failed = |source| SpawnError::Execute { program: program.to_owned(), source };
    let (ours, theirs) = StdUnixStream::pair().map_err(SpawnError::ControlSocket)?;
    let null = fs::File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
    let mut spawn = Spawn::new(program);
    spawn.arg(OsStr::new("supervise"));
    for arg in args {
        spawn.arg(arg);
    }
    if let Some(path) = std::env::var_os("PATH") {
        spawn.env(OsStr::new("PATH"), &path); // for a foreign runtime; hooks bring their own
    }
    spawn.descriptor(null.as_fd(), 0).descriptor(null.as_fd(), 1);
    spawn.descriptor(diagnosis.unwrap_or(null.as_fd()), 2);
    if let Some(netns) = netns {
        spawn.descriptor(netns, NETNS_FD);
    }
    spawn.descriptor(theirs.as_fd(), CONTROL_FD);
    for (number, held) in (CONTROL_FD + 1..).zip(held) {
        spawn.descriptor(held.as_fd(), number);
    }
    reap_when_it_ends(spawn.new_session().spawn().map_err(failed)?);
    Ok(ours)
}

fn execute(
    program: &Path,
    config: &SupervisorConfig,
    inherit: &Inherit,
    diagnosis: &fs::File,
) -> Result<StdUnixStream, SpawnError> {
    let file = config_path(&config.bundle);
    let netns = inherit.netns.as_ref().map(AsFd::as_fd);
    start(program, &[file.as_os_str()], Some(diagnosis.as_fd()), netns, &inherit.held)
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

fn diagnosis(program: &Path, bundle: &Path) -> Result<fs::File, SpawnError> {
    let failed = |source| SpawnError::Execute { program: program.to_owned(), source };
    fs::File::create(diagnosis_path(bundle)).map_err(failed)
}

/// Where the supervisor's own standard error goes.
fn diagnosis_path(bundle: &Path) -> PathBuf {
    bundle.join("supervisor.log")
}

fn note_of(diagnosis: &str) -> String {
    if diagnosis.is_empty() { String::new() } else { format!("; it said: {diagnosis}") }
}
