//! What the engine and a supervisor say to each other.
//!
//! Transport: a stream socket, one request per connection. Each message is a frame: its length in
//! bytes (u32, little endian), then that many bytes of JSON, at most [`MAX_FRAME`]. After the reply
//! to [`Request::Attach`], and to [`Request::Exec`] unless detached, the connection carries the raw stream:
//! - supervisor → engine: output. With a tty the bytes as they are; without one, in Docker's
//!   multiplexed form (Docker Engine API, "Stream format": kind, three zero bytes, big-endian length, payload), so the engine
//!   only copies. End of file says that all output has been sent.
//! - engine → supervisor: standard input. A half-close (`shutdown(SHUT_WR)`) is its end.
//!
//! The first connection is special: the engine makes a socket pair, the supervisor inherits one end (as descriptor
//! [`CONTROL_FD`]), sends one [`Reply`] on it by itself ([`Reply::Created`] or
//! [`Reply::Error`]) and then answers requests on it in sequence until it is closed. Later connections go to [`SupervisorConfig::socket`].

use std::{net::SocketAddr, path::PathBuf};

use minke_model::{ContainerId, runtime_spec};
use serde::{Deserialize, Serialize};

/// The longest frame that either side accepts, in bytes. Linux allows 2 MiB of arguments and environment.
pub const MAX_FRAME: u32 = 8 << 20;

/// The descriptor at which a supervisor finds the network namespace that the engine made. The bundle's config.json names it as
/// the namespace's path: `/proc/self/fd/3`.
pub const NETNS_FD: i32 = 3;

/// Where the first connection arrives, whether a network namespace came along or not.
pub const CONTROL_FD: i32 = 4;

/// What a supervisor that was started with `--wait` waits for on its first connection, in JSON. Descriptors come along: its
/// standard error, the network namespace, and what it holds open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Whether a network namespace comes along.
    pub netns: bool,
    /// How many descriptors are to be held.
    pub held: usize,
}

/// All that a supervisor must know, in the file that `minke-oci supervise FILE` reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SupervisorConfig {
    /// The container's id, also its OCI id.
    pub id: ContainerId,
    /// The OCI bundle: config.json, and the directory that `root.path` names.
    pub bundle: PathBuf,
    /// The OCI state root (`--root` of the runtime command line); the state is in `<root>/<id>/state.json`.
    pub runtime_root: PathBuf,
    /// Where to listen for engines.
    pub socket: PathBuf,
    /// Where the exit record goes: written beside and renamed, before the socket closes.
    pub exit_record: PathBuf,
    /// Inherited descriptors to keep open as long as the container lives (bound ports). None of one that waits: they come with
    /// [`Begin`].
    #[serde(default)]
    pub held_fds: Vec<i32>,
    /// Keep standard input open for attached clients; else it is /dev/null.
    pub open_stdin: bool,
    /// Close standard input when the first attached client closes its own.
    pub stdin_once: bool,
    /// Where output is logged.
    pub log: LogConfig,
    /// An OCI runtime command to call instead of running the container in this program.
    #[serde(default)]
    pub runtime: Option<PathBuf>,
    /// What that command is given before its own global flags.
    #[serde(default)]
    pub runtime_args: Vec<String>,
}

/// How the supervisor logs output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// The JSON-lines file, as Docker's json-file driver writes it; `None` keeps no log.
    pub path: Option<PathBuf>,
    /// Rotate when the file would pass so many bytes; `None` never.
    #[serde(default)]
    pub max_size: Option<u64>,
    /// How many files to keep when rotating: `path`, `path.1`, …; at least 1.
    #[serde(default)]
    pub max_files: Option<u32>,
    /// Who gets every record too.
    #[serde(default)]
    pub collector: Option<CollectorConfig>,
}

/// A collector of logs somewhere else, and what becomes of records that it does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectorConfig {
    /// Where it listens: these are tried in turn.
    pub addresses: Vec<CollectorAddress>,
    /// What is said to it.
    pub format: RecordFormat,
    /// How many bytes of records are kept that it has not taken.
    pub buffer: u64,
    /// What happens when they are more.
    pub overflow: Overflow,
    /// Start the container although it can't be reached.
    pub lazy: bool,
    /// How it is called again.
    pub retry: Retry,
    /// A connection that takes nothing for so many milliseconds is given up; `None`: never.
    #[serde(default)]
    pub write_timeout_ms: Option<u64>,
    /// A connection older than so many milliseconds is made anew before the next record; `None`: never.
    #[serde(default)]
    pub reconnect_ms: Option<u64>,
}

/// A collector's address. Names have been resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectorAddress {
    /// A stream.
    Tcp(SocketAddr),
    /// A datagram for each record.
    Udp(SocketAddr),
    /// A stream, or datagrams where the socket wants those.
    Unix(PathBuf),
    /// A datagram for each record.
    UnixDatagram(PathBuf),
}

/// What happens to a record for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The container's output is not read until there is.
    Block,
    /// It is dropped and counted.
    Drop,
}

/// How long to wait between attempts to reach a collector, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The first pause, in milliseconds.
    pub first_ms: u64,
    /// The longest; they grow by half.
    pub longest_ms: u64,
    /// After so many failures in a row what is kept is given up; `None`: never.
    #[serde(default)]
    pub most: Option<u32>,
}

/// The form that a record takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordFormat {
    /// A line of syslog.
    Syslog(SyslogFormat),
    /// A message of Fluentd's forward protocol.
    Fluentd(FluentdFormat),
}

/// How a line of syslog is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyslogFormat {
    /// Which of the forms.
    pub form: SyslogForm,
    /// 0 to 23 (RFC 5424, section 6.2.1).
    pub facility: u8,
    /// The host's name.
    pub hostname: String,
    /// The program's name.
    pub tag: String,
}

/// The forms of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyslogForm {
    /// RFC 3164 without a host name, as programs write to a local socket.
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424 with whole seconds.
    Rfc5424,
    /// RFC 5424 with microseconds.
    Rfc5424Micro,
}

/// What a message for Fluentd holds besides the record's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FluentdFormat {
    /// The tag by which it is routed.
    pub tag: String,
    /// Fields that every message has.
    pub fields: Vec<(String, String)>,
    /// Times with nanoseconds (forward protocol, "EventTime") instead of whole seconds.
    pub sub_second: bool,
    /// Whether each message has to be acknowledged.
    pub acknowledged: bool,
}

/// Whose process a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The container's first process.
    Init,
    /// The process that [`Request::Exec`] started under this id.
    Exec(String),
}

/// Which streams a connection wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// Bytes sent become the process's standard input.
    pub stdin: bool,
    /// Standard output (with a tty: everything).
    pub stdout: bool,
    /// Standard error (with a tty: nothing).
    pub stderr: bool,
}

/// What the engine asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Reply: [`Reply::Status`].
    Status,
    /// Let the created process execute the user's program. Reply: [`Reply::Started`] once execve succeeded.
    Start,
    /// Connect to the streams of the first process. Reply: [`Reply::AttachedBehind`] or [`Reply::Attached`], then the raw stream. Allowed before `Start`.
    Attach(Streams),
    /// Run a further process in the container. Reply: [`Reply::Started`], then the raw stream unless `detach`.
    Exec {
        /// Chosen by the engine; unique in this container.
        id: String,
        /// What to run (OCI runtime specification, "Process").
        process: Box<runtime_spec::Process>,
        /// Which streams; without `stdin` it is /dev/null.
        streams: Streams,
        /// Discard the streams and let it run on its own.
        detach: bool,
    },
    /// Set a terminal's size. Reply: [`Reply::Done`].
    Resize {
        /// Whose terminal.
        target: Target,
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Send a signal. Reply: [`Reply::Done`].
    Signal {
        /// To whom.
        target: Target,
        /// The signal's number.
        signal: i32,
    },
    /// Stop every process by the freezer. Reply: [`Reply::Done`].
    Pause,
    /// Let them go on. Reply: [`Reply::Done`].
    Resume,
    /// Change limits of the running container. Reply: [`Reply::Done`].
    Update(Box<runtime_spec::Resources>),
    /// Reply when the process has ended and its output is complete: [`Reply::Exited`].
    Wait(Target),
    /// Close the descriptors that are held ([`SupervisorConfig::held_fds`]): the container publishes no ports any more. Reply: [`Reply::Done`].
    ReleaseHeld,
    /// Reply: [`Reply::Done`]; then one byte whenever the log has grown (several writes may share one), and end of file after the last.
    FollowLog,
}

/// What the supervisor answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The container exists: namespaces, mounts and cgroup are made, its process waits for `Start`.
    Created {
        /// The first process, in the supervisor's pid namespace.
        pid: i32,
        /// Its start time in clock ticks since boot (field 22 of proc_pid_stat(5)); only together with it is a pid to be trusted.
        start_time: u64,
    },
    /// What is going on.
    Status {
        /// As in `Created`.
        pid: i32,
        /// As in `Created`.
        start_time: u64,
        /// Whether `Start` has succeeded.
        started: bool,
        /// Whether it is paused.
        paused: bool,
        /// Where the exit record will be, for an engine that has forgotten.
        #[serde(default)]
        exit_record: Option<PathBuf>,
    },
    /// The process runs.
    Started {
        /// Its pid in the supervisor's pid namespace.
        pid: i32,
    },
    /// The raw stream follows. No log is kept, or by an old supervisor.
    Attached,
    /// The raw stream follows; what the log has behind this place comes in the stream.
    AttachedBehind(LogPlace),
    /// Done, nothing to tell.
    Done,
    /// The process has ended.
    Exited(ExitRecord),
    /// The request failed; nothing was changed.
    Error(Failure),
}

/// A place in a log: the end of what was logged at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// The inode of the file, which a rotation may have given another name since.
    pub inode: u64,
    /// Bytes of it that come before.
    pub length: u64,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure, for exit codes and HTTP statuses.
    pub kind: FailureKind,
    /// One line for the user: what, where, why.
    pub message: String,
}

/// Kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The executable was not found in the container (shell exit code 127).
    NotFound,
    /// The executable was found and can't be executed: not executable, a directory, wrong format (126).
    NotExecutable,
    /// The configuration asks for something invalid, or that this kernel lacks.
    Invalid,
    /// The process is not there (any more).
    NotRunning,
    /// Everything else.
    Internal,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The status a shell would show: the exit code, or 128 + the signal's number.
    pub exit_code: i32,
    /// When, RFC 3339 with nanoseconds, UTC.
    pub finished_at: String,
    /// Whether the kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    /// Why the user's program never ran, where it did not.
    #[serde(default)]
    pub error: Option<Failure>,
}
