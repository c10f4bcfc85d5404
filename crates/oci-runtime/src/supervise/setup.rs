//! What a supervisor does before it serves: become independent, take what it inherited, make the
//! container, and undo what it made when that fails.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use minke_kernel::{process as kernel, socket};
use rustix::{
    fs::Mode,
    process::{Signal, umask},
};

use super::{
    collector::Collector,
    driver::{self, Made, failure},
    log_file::LogFile,
    process::{self, Ends, Supervised},
    protocol::{Begin, CONTROL_FD, Failure, FailureKind, NETNS_FD, Streams, SupervisorConfig, Target},
};
use crate::container::Stdio;

const STDERR: i32 = 2;

/// Why a supervisor could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The configuration could not be read.
    #[error("read the supervisor's configuration {}", path.display())]
    Config {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A descriptor that the configuration names was not inherited.
    #[error("take over the inherited descriptor {number}")]
    Inherited {
        /// Its number.
        number: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What to begin with did not arrive whole.
    #[error("wait for a container to supervise")]
    Wait(#[source] io::Error),
    /// The container could not be created; the engine was told the same.
    #[error("{0}")]
    Create(#[source] Failure),
    /// The event loop failed.
    #[error("wait for events")]
    Events(#[source] io::Error),
}

/// What the engine left open for this process.
pub(super) struct Inherited {
    /// The first connection.
    pub(super) control: UnixStream,
    /// Kept open as long as the container lives.
    pub(super) held: Vec<OwnedFd>,
}

/// All that serving needs.
pub(super) struct Prepared {
    pub(super) signals: OwnedFd,
    pub(super) listener: UnixListener,
    pub(super) log: Option<LogFile>,
    pub(super) collector: Option<Collector>,
    pub(super) driver: Box<dyn driver::Driver>,
    pub(super) init: Supervised,
}

pub(super) fn read_config(path: &Path) -> Result<SupervisorConfig, SuperviseError> {
    let failed = |source| SuperviseError::Config { path: path.to_owned(), source };
    let json = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&json).map_err(|error| failed(error.into()))
}

pub(super) fn take_inherited(config: &SupervisorConfig) -> Result<Inherited, SuperviseError> {
    let take =
        |number| kernel::inherited_fd(number).map_err(|source| SuperviseError::Inherited { number, source });
    let control = UnixStream::from(take(CONTROL_FD)?);
    let held = config.held_fds.iter().map(|number| take(*number)).collect::<Result<_, _>>()?;
    let failed = |source| SuperviseError::Inherited { number: CONTROL_FD, source };
    own(control, held).map_err(failed)
}

/// Waits on the first connection until there is a container to supervise; `None` when there won't be one.
pub(super) fn wait() -> Result<Option<Inherited>, SuperviseError> {
    let control = kernel::inherited_fd(CONTROL_FD).map_err(SuperviseError::Wait)?;
    let Some(message) = socket::receive(&control).map_err(SuperviseError::Wait)? else { return Ok(None) };
    let begin = |message: socket::Message| {
        let Begin { netns, held } = serde_json::from_slice(&message.bytes)?;
        let mut come = message.descriptors;
        if come.len() != 1 + usize::from(netns) + held {
            return Err(io::Error::other("descriptors were lost: too many open files"));
        }
        let held = come.split_off(1 + usize::from(netns));
        // Whoever started it has kept their numbers free.
        for (descriptor, number) in come.iter().zip([STDERR, NETNS_FD]) {
            kernel::install_fd(descriptor, number)?;
        }
        own(control.into(), held)
    };
    begin(message).map(Some).map_err(SuperviseError::Wait)
}

/// What no program that is started here must have.
fn own(control: UnixStream, held: Vec<OwnedFd>) -> io::Result<Inherited> {
    kernel::close_on_exec_from(3)?;
    control.set_nonblocking(true)?;
    Ok(Inherited { control, held })
}

/// Leaves the engine's session and directory, adopts orphans, and takes signals as events. SIGCHLD
/// reports ends; the others are read and dropped, since a supervisor leaves when its container has ended and not before.
fn become_independent() -> io::Result<OwnedFd> {
    let _ = rustix::process::setsid(); // fails when the engine has spawned us as a session's leader
    std::env::set_current_dir("/")?;
    kernel::become_subreaper()?;
    let signals =
        [Signal::CHILD, Signal::HUP, Signal::INT, Signal::TERM, Signal::PIPE, Signal::USR1, Signal::USR2];
    kernel::signal_fd(&signals.map(Signal::as_raw))
}

/// Creates the container and what serves it.
///
/// # Errors
/// Nothing is left behind.
pub(super) fn prepare(config: &SupervisorConfig) -> Result<Prepared, Failure> {
    let internal = |action: String| move |error: io::Error| failure(FailureKind::Internal, action, &error);
    let signals = become_independent().map_err(internal("become a supervisor".to_owned()))?;
    let log_path = config.log.path.as_deref().unwrap_or(Path::new("")).display();
    let log = LogFile::open(&config.log).map_err(internal(format!("open the log {log_path}")))?;
    let collector = config.log.collector.clone().map(Collector::open).transpose();
    let collector = collector.map_err(internal("failed to initialize logging driver".to_owned()))?;
    let listener =
        listen(&config.socket).map_err(internal(format!("listen on {}", config.socket.display())))?;
    match create(config) {
        Ok((driver, init)) => Ok(Prepared { signals, listener, log, collector, driver, init }),
        Err(failure) => {
            let _ = std::fs::remove_file(&config.socket);
            Err(failure)
        }
    }
}

fn create(config: &SupervisorConfig) -> Result<(Box<dyn driver::Driver>, Supervised), Failure> {
    let mut ends = Ends::default();
    let made = driver::create(config, |terminal| {
        if terminal {
            return Ok(Stdio::Pty);
        }
        let wanted = Streams { stdin: config.open_stdin, stdout: true, stderr: true };
        let (stdio, ours) = process::make_pipes(wanted)
            .map_err(|error| failure(FailureKind::Internal, "make the container's pipes", &error))?;
        ends = ours;
        Ok(stdio)
    })?;
    let Made { mut driver, pty_master, console } = made;
    match supervise_init(config, driver.pid(), ends, pty_master, console) {
        Ok(init) => Ok((driver, init)),
        Err(error) => {
            let _ = driver.delete();
            Err(failure(FailureKind::Internal, "set up the container's terminal", &error))
        }
    }
}

fn supervise_init(
    config: &SupervisorConfig,
    pid: i32,
    ends: Ends,
    pty_master: Option<OwnedFd>,
    console: Option<(u16, u16)>,
) -> io::Result<Supervised> {
    let mut init = match pty_master {
        None => Supervised::with_pipes(Target::Init, pid, ends),
        Some(master) => Supervised::with_terminal(Target::Init, pid, master, config.open_stdin)?,
    };
    if let Some((width, height)) = console {
        init.resize(width, height).transpose()?;
    }
    if config.log.path.is_some() || config.log.collector.is_some() {
        init.log_output();
    }
    Ok(init)
}

/// Listens on a socket that only root can use; a socket of a supervisor that died is replaced.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    let before = umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Empties the signalfd.
pub(super) fn discard_signals(signals: impl AsFd) {
    let mut buffer = [0; 1024];
    while rustix::io::read(&signals, &mut buffer).is_ok_and(|count| count > 0) {}
}

/// Writes a file beside its place and renames it there, so that nobody reads half of it. No sync: the
/// record dies with the boot, as the container does.
pub(super) fn write_by_rename(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    let written = File::create(&beside)
        .and_then(|mut file| io::Write::write_all(&mut file, content))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}
