//! What callers may ask of the engine's calls, and what some of them answer, where Docker's API
//! has query parameters or headers instead of a JSON type.

use std::{io, pin::Pin};

use bytes::Bytes;
use futures_util::Stream;
use minke_supervisor::Streams;
use serde::Serialize;
use time::OffsetDateTime;

use crate::{Error, Filters};

/// Bytes that come as they are made; an `Err` item is the last.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;
/// What loading an archive reports; an `Err` item is the last.
pub type LoadStream = Pin<Box<dyn Stream<Item = Result<LoadEvent, Error>> + Send>>;
/// Events, those of the past first.
pub type EventStream = Pin<Box<dyn Stream<Item = bollard_stubs::models::EventMessage> + Send>>;

/// Whether a call changed anything; `No` is HTTP's 304.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did.
    Yes,
    /// The object was in the wanted state already.
    No,
}

/// What a wait waits for (`condition` of `POST /containers/{id}/wait`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// The container does not run; true at once if it does not run now.
    #[default]
    NotRunning,
    /// The next time it ends, even if it has not been started yet.
    NextExit,
    /// It is gone.
    Removed,
}

/// Options of [`Engine::remove`](crate::Engine::remove).
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// Options of [`Engine::list`](crate::Engine::list).
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Also those that don't run.
    pub all: bool,
    /// At most so many, the newest; implies `all`.
    pub limit: Option<usize>,
    /// Measure their writable layers.
    pub size: bool,
    /// Only those that match.
    pub filters: Filters,
}

/// Options of [`Engine::logs`](crate::Engine::logs).
#[derive(Debug, Clone, Copy, Default)]
pub struct LogsOptions {
    /// Go on with what is logged from now on, until the container ends.
    pub follow: bool,
    /// Include standard output.
    pub stdout: bool,
    /// Include standard error.
    pub stderr: bool,
    /// Only what was logged at or after this time.
    pub since: Option<OffsetDateTime>,
    /// Only what was logged before or at this time.
    pub until: Option<OffsetDateTime>,
    /// Only so many last lines; `None` all.
    pub tail: Option<u64>,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Put the extra attributes (labels, environment) that `--log-opt` asked for before each line.
    pub details: bool,
}

/// A container's log on its way to the client.
pub struct Logs {
    /// The container has a terminal: the stream is raw, else multiplexed.
    pub tty: bool,
    /// The bytes in Docker's stream form.
    pub stream: ByteStream,
}

/// Options of [`Engine::attach`](crate::Engine::attach).
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    /// First replay what has been logged.
    pub logs: bool,
    /// Then connect to the running streams.
    pub stream: bool,
    /// Which streams.
    pub streams: Streams,
    /// The keys that detach, in Docker's notation; `None` is `ctrl-p,ctrl-q`.
    pub detach_keys: Option<String>,
}

/// Options of [`Engine::exec_start`](crate::Engine::exec_start).
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStart {
    /// Run it with nobody attached.
    pub detach: bool,
    /// The client believes that the process has a terminal.
    pub tty: bool,
    /// The terminal's first size: rows, columns.
    pub console_size: Option<(u16, u16)>,
}

/// What a path in a container is: the JSON behind `X-Docker-Container-Path-Stat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathStat {
    /// The last component of the path.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Type and permissions in the bits of Go's `os.FileMode`.
    pub mode: u32,
    /// Last change, RFC 3339.
    pub mtime: String,
    /// Where a symbolic link points.
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}

/// Options of [`Engine::archive_put`](crate::Engine::archive_put).
#[derive(Debug, Clone, Copy, Default)]
pub struct PutOptions {
    /// Refuse to replace a directory by something else and the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// Give the files to the container's user.
    pub copy_uid_gid: bool,
}

/// What happens while an archive of images is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadEvent {
    /// A layer is being unpacked.
    Progress {
        /// The layer's digest.
        layer: String,
        /// Bytes done.
        current: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// An image is in the store.
    Loaded {
        /// Its id.
        id: String,
        /// The names that now mean it.
        names: Vec<String>,
    },
}

/// Options of [`Engine::image_list`](crate::Engine::image_list).
#[derive(Debug, Clone, Default)]
pub struct ImageListOptions {
    /// Also images without a name that others are built on (there are none in this store).
    pub all: bool,
    /// Tell the digests that the names were pulled by.
    pub digests: bool,
    /// Tell how many bytes are shared with other images.
    pub shared_size: bool,
    /// Tell which manifests the names stand for.
    pub manifests: bool,
    /// Only those that match.
    pub filters: Filters,
}

/// Options of [`Engine::events`](crate::Engine::events).
#[derive(Debug, Clone, Default)]
pub struct EventsOptions {
    /// Also those of the past from this time on.
    pub since: Option<OffsetDateTime>,
    /// End at this time.
    pub until: Option<OffsetDateTime>,
    /// Only those that match.
    pub filters: Filters,
}

/// Options of [`Engine::image_import`](crate::Engine::image_import).
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The name to give to the image.
    pub name: Option<String>,
    /// The comment in its history.
    pub message: String,
    /// Dockerfile instructions to apply to its configuration.
    pub changes: Vec<String>,
    /// `os/architecture[/variant]`; `None` is this host's.
    pub platform: Option<String>,
}

/// Options of [`Engine::commit`](crate::Engine::commit).
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The name to give to the image.
    pub name: Option<String>,
    /// Who made it.
    pub author: String,
    /// What the maker has to say.
    pub comment: String,
    /// Freeze a running container meanwhile.
    pub pause: bool,
    /// Dockerfile instructions to apply to the configuration.
    pub changes: Vec<String>,
    /// The configuration to start from; `None` is the container's.
    pub config: Option<bollard_stubs::models::ContainerConfig>,
}
