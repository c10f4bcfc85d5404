//! Containers: one actor (a task with a mailbox) each, around the pure [`machine`]. Whoever wants something
//! done sends a message; whoever only
//! wants to know reads the view that the actor publishes, so that listing never waits for anybody.
//!
//! | file | its question |
//! |---|---|
//! | `machine`, `restart` | what follows from what? (pure) |
//! | `record` | what is remembered, and where? |
//! | `names`, `merge`, `ports`, `log_options` | what does a creation request mean? (pure) |
//! | `create`, `launch`, `ending`, `removal` | how does it come to be, start, end, go? |
//! | `ready` | what waits for its start? |
//! | `sandbox` | which namespaces does it have or join? |
//! | `connecting` | how does it come onto a network and off it? |
//! | `resolver`, `links` | what do its hosts and resolv.conf say? |
//! | `actor`, `requests` | in which order do things happen? |
//! | `health` | is it well? |

mod actor;
mod connecting;
mod create;
pub(crate) mod ending;
mod health;
mod inspect;
mod launch;
pub(crate) mod links;
mod list;
pub(crate) mod log_options;
mod machine;
pub(crate) mod merge;
pub(crate) mod names;
mod ports;
pub(crate) mod ready;
pub(crate) mod record;
pub(crate) mod removal;
mod requests;
pub(crate) mod resolver;
mod restart;
pub(crate) mod sandbox;
mod status_text;
mod step;
mod summary;
mod update;
mod waits;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use minke_model::ContainerId;
use minke_network::Attachment;
use minke_supervisor::Supervisor;
use tokio::sync::{mpsc, watch};

pub(crate) use self::requests::{Wire, running};
pub use self::waits::Waiter;
pub(crate) use self::{
    actor::Adopted,
    machine::{Phase, SIGKILL},
    record::{Record, RunNote},
    restart::RestartPolicy,
};
use self::{health::HealthView, ready::Ready, requests::Message};
use crate::{Error, time_text::NEVER};

/// A container as the rest of the engine sees it.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    mailbox: mpsc::UnboundedSender<Message>,
    record: RwLock<Arc<Record>>,
    run: RwLock<RunView>,
    /// How many attached clients are being served.
    sessions: watch::Sender<usize>,
    /// Held by whoever reads its upper directory for a while; a removal deletes that when nobody does.
    pub(crate) files: Arc<RwLock<()>>,
    /// Held for writing by who changes its layers while it doesn't run, and for reading by who only looks.
    pub(crate) layers: Arc<tokio::sync::RwLock<()>>,
    /// Its supervisor, where that waits for the start.
    ready: Ready,
}

/// Where a container stands.
#[derive(Debug, Clone)]
pub(crate) struct RunView {
    pub(crate) phase: Phase,
    /// The supervisor of a living container.
    pub(crate) supervisor: Option<Supervisor>,
    /// The first process and its start time.
    pub(crate) process: Option<(i32, u64)>,
    pub(crate) started_at: String,
    pub(crate) finished_at: String,
    pub(crate) exit_code: i64,
    pub(crate) oom_killed: bool,
    /// Why the last start failed.
    pub(crate) error: String,
    pub(crate) restart_count: u32,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) health: Option<HealthView>,
}

impl RunView {
    /// Of a container that has never been started.
    pub(crate) fn unstarted() -> Self {
        Self::new(Phase::Created)
    }

    fn new(phase: Phase) -> Self {
        Self {
            phase,
            supervisor: None,
            process: None,
            started_at: NEVER.to_owned(),
            finished_at: NEVER.to_owned(),
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            restart_count: 0,
            attachment: None,
            health: None,
        }
    }
}

/// Counts one attached client as long as it lives.
pub(crate) struct SessionGuard(Arc<Container>);

impl Container {
    /// What was asked for.
    pub(crate) fn record(&self) -> Arc<Record> {
        self.record.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where it stands.
    pub(crate) fn run(&self) -> RunView {
        self.run.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Part of where it stands, without a copy of all of it.
    pub(crate) fn look<T>(&self, part: impl FnOnce(&RunView) -> T) -> T {
        part(&self.run.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A process lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.run.read().unwrap_or_else(PoisonError::into_inner).phase.is_alive()
    }

    /// Comes back when the end of a process that lives now is known.
    pub(crate) async fn settled(&self) {
        while self.is_alive() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// It runs, or is about to by its restart policy.
    pub(crate) fn is_active(&self) -> bool {
        self.is_alive() || self.phase() == Phase::Restarting
    }

    /// Its phase alone.
    pub(crate) fn phase(&self) -> Phase {
        self.run.read().unwrap_or_else(PoisonError::into_inner).phase
    }

    fn set_record(&self, record: Record) {
        *self.record.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(record);
    }

    fn edit_run(&self, edit: impl FnOnce(&mut RunView)) {
        edit(&mut self.run.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts an attached client.
    pub(crate) fn session(self: &Arc<Self>) -> SessionGuard {
        self.sessions.send_modify(|count| *count += 1);
        SessionGuard(Arc::clone(self))
    }
}

#[cfg(test)]
impl Container {
    /// One with an id of this byte that nobody acts for.
    pub(crate) fn for_tests(byte: u8) -> Arc<Self> {
        let mut record = Record::for_tests();
        record.id = ContainerId::from_random([byte; 32]);
        Arc::new(Self {
            id: record.id.clone(),
            mailbox: mpsc::unbounded_channel().0,
            record: RwLock::new(Arc::new(record)),
            run: RwLock::new(RunView::unstarted()),
            sessions: watch::Sender::new(0),
            files: Arc::default(),
            layers: Arc::default(),
            ready: Ready::default(),
        })
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.sessions.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// The directory of sockets below the state directory.
pub(crate) const SOCKETS: &str = "run";
/// How many digits of its id a container's socket is named by.
pub(crate) const SOCKET_NAME: usize = 24;

/// The places that belong to a container.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// `<root>/containers/<id>`: the bundle.
    pub(crate) directory: PathBuf,
    /// `<state>/containers/<id>`
    pub(crate) state: PathBuf,
    /// `<state>/run/<24 digits of the id>`: the supervisor's socket. A socket's path has 107 bytes at most,
    /// so it is kept short.
    pub(crate) socket: PathBuf,
}

impl Places {
    pub(crate) fn exit_record(&self) -> PathBuf {
        self.directory.join("exit.json")
    }

    /// The log that `logs` reads.
    pub(crate) fn log(&self, id: &ContainerId) -> PathBuf {
        self.directory.join(format!("{id}-json.log"))
    }

    /// A directory with nothing in it.
    pub(crate) fn empty(&self) -> PathBuf {
        self.state.join("empty")
    }

    /// The mark that only a commit has frozen it, and that an engine which finds it frozen has to thaw it.
    pub(crate) fn frozen(&self) -> PathBuf {
        self.state.join("frozen-by-commit")
    }

    /// The directory behind /dev/shm of a container whose IPC namespace others may join.
    pub(crate) fn shm(&self) -> PathBuf {
        self.state.join("shm")
    }
}

/// How many containers may stand between one and its network.
const MOST_DONORS: usize = 16;

/// The container whose network a container is in: itself, or at the end of `--network container:…`.
///
/// # Errors
/// `NotFound`; `InvalidParameter` where it leads to itself.
pub(crate) fn network_owner(
    inner: &crate::engine::Inner,
    of: Arc<Container>,
) -> Result<Arc<Container>, Error> {
    let mut owner = of;
    for _ in 0..MOST_DONORS {
        let record = owner.record();
        match record.host.network_mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) {
            Some(donor) => owner = inner.find(donor)?,
            None => return Ok(owner),
        }
    }
    Err(Error::invalid(format!("the network of container {} leads through too many others", owner.id)))
}

/// A cgroup's path from the top, without `.` and `..`, as dockerd cleans it: no container gets above the root by it.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.iter().fold(String::new(), |text, part| text + "/" + part)
}

impl crate::engine::Inner {
    pub(crate) fn places(&self, id: &ContainerId) -> Places {
        Places {
            directory: self.config.root.join("containers").join(id.as_str()),
            state: self.config.state.join("containers").join(id.as_str()),
            socket: self.config.state.join(SOCKETS).join(&id.as_str()[..SOCKET_NAME]),
        }
    }

    /// The cgroup of a container, below the engine's own or the parent that was asked for.
    pub(crate) fn cgroup_of(&self, record: &Record) -> String {
        let parent = record.host.cgroup_parent.as_deref().filter(|parent| !parent.is_empty());
        match parent {
            Some(parent) => format!("{}/{}", cleaned(parent), record.id),
            None => format!("/{}/{}", self.config.name_prefix, record.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cleaned;

    #[test]
    fn no_cgroup_parent_leads_above_the_root() {
        let paths = ["a/b", "/a//./b/", "../../a", "a/../../b", "/"];
        assert_eq!(paths.map(cleaned), ["/a/b", "/a/b", "/a", "/b", ""]);
    }
}
