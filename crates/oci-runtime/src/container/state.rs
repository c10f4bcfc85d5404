//! What is kept about a container in `<root>/<id>`: `state.json` and the socket that starts it.
//!
//! The file is replaced by a rename and never half-written. It isn't synced: it describes processes
//! and cgroups, which don't survive a reboot either. Pids in it are only trusted with their start time.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, DirBuilder},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use minke_kernel::{
    cgroup::{Cgroup, CgroupError},
    process, socket,
};
use minke_model::runtime_spec::{Hooks, State, Status, VERSION};
use serde::{Deserialize, Serialize};

use super::{ActionError, CreateError, Limits, rdt::Group, validate};
use crate::{step::Step, systemd::Unit};

const STATE_FILE: &str = "state.json";
const START_SOCKET: &str = "start.sock";

/// A container's record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The container's id.
    pub id: String,
    /// The bundle's absolute path.
    pub bundle: PathBuf,
    /// The root file system's absolute path.
    pub rootfs: PathBuf,
    /// The first process's pid; 0 before there is one.
    pub pid: i32,
    /// The first process's start time in clock ticks since boot.
    pub start_time: u64,
    /// When it was created, RFC 3339 with nanoseconds.
    pub created: String,
    /// The user who created it.
    pub owner: u32,
    /// Whether its creator hasn't finished (or was killed before it could).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unfinished: bool,
    /// Whether its processes are in a pid namespace that isn't its own, so that they outlive the first one.
    #[serde(default)]
    pub shares_pid_namespace: bool,
    /// Whether its processes keep their creators' session keyrings.
    #[serde(default)]
    pub no_new_keyring: bool,
    /// Which mount was at `rootfs` before the container's, where those are the host's too: without a mount namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_below: Option<u64>,
    /// The configuration's annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The hooks that are still to run.
    #[serde(default)]
    pub hooks: Hooks,
    /// The cgroup's directories by controller.
    #[serde(default)]
    pub cgroup_paths: BTreeMap<String, PathBuf>,
    /// Limits that updates build on.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// The unit of the systemd driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) systemd: Option<Unit>,
    /// Its group of Intel RDT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rdt: Option<Group>,
    /// What the first process's standard streams were when it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) descriptors: Vec<String>,
}

/// A container as it is found on disk, with its first process if that lives.
#[derive(Debug)]
pub struct Stored {
    /// Its record.
    pub record: Record,
    /// Its directory.
    pub(crate) dir: StateDir,
    /// Its first process, while it lives.
    pub process: Option<OwnedFd>,
}

/// Why a container wasn't found.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none of that id.
    #[error("container does not exist")]
    Missing,
    /// The id can't be one.
    #[error(transparent)]
    Id(#[from] CreateError),
    /// Its record can't be read.
    #[error("read {path}")]
    Read {
        /// The record.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Its record is damaged.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// The directory of one container's state.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Takes an id by making its directory.
    pub(crate) fn claim(root: &Path, id: &str) -> Result<Self, CreateError> {
        validate::id(id)?;
        let path = root.join(id);
        let make =
            |recursive, mode, path: &Path| DirBuilder::new().recursive(recursive).mode(mode).create(path);
        match make(false, 0o711, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(true, 0o700, root).action(|| format!("make the state root {}", root.display()))?;
                make(false, 0o711, &path)
            }
            result => result,
        }
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => CreateError::Exists { id: id.to_owned() },
            _ => ActionError { action: format!("make {}", path.display()), source }.into(),
        })?;
        Ok(Self { path })
    }

    /// Makes a directory that the container sees, for a socket.
    pub(crate) fn make_notify(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o755).create(self.path.join("notify"))
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the socket on which the container's process waits for its start.
    pub(crate) fn listen(&self) -> io::Result<OwnedFd> {
        socket::listen_in(self.open()?, OsStr::new(START_SOCKET))
    }

    /// Connects to that socket.
    pub(crate) fn connect(&self) -> io::Result<OwnedFd> {
        socket::connect_in(self.open()?, OsStr::new(START_SOCKET))
    }

    /// Whether the container still waits for its start.
    pub(crate) fn waits_for_start(&self) -> bool {
        self.path.join(START_SOCKET).exists()
    }

    /// Says that the container was started.
    pub(crate) fn mark_started(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join(START_SOCKET)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Replaces the record.
    pub(crate) fn save(&self, record: &Record) -> io::Result<()> {
        let temporary = self.path.join(".state.json.new");
        fs::write(&temporary, serde_json::to_vec(record)?)?;
        fs::rename(temporary, self.path.join(STATE_FILE))
    }

    /// Removes the directory with all that is in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn open(&self) -> io::Result<fs::File> {
        fs::File::open(&self.path)
    }
}

impl Record {
    /// The state that hooks and `state` show.
    pub fn state(&self, status: Status) -> State {
        let pid = if status == Status::Stopped { 0 } else { self.pid };
        State {
            oci_version: VERSION.into(),
            id: self.id.clone(),
            status,
            pid: Some(pid),
            bundle: self.bundle.display().to_string(),
            annotations: self.annotations.clone(),
        }
    }

    /// The cgroup; `None` where the container has none, or it is gone.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn cgroup(&self) -> Result<Option<Cgroup>, CgroupError> {
        if self.cgroup_paths.is_empty() {
            return Ok(None);
        }
        match Cgroup::open(&self.cgroup_paths) {
            Err(CgroupError::Missing { .. }) => Ok(None),
            result => result.map(Some),
        }
    }
}

impl Stored {
    /// Finds a container.
    ///
    /// # Errors
    /// [`LoadError::Missing`] when there is none.
    pub fn load(root: &Path, id: &str) -> Result<Self, LoadError> {
        validate::id(id)?;
        let dir = StateDir { path: root.join(id) };
        let path = dir.path.join(STATE_FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LoadError::Missing),
            result => result.map_err(|source| LoadError::Read { path: path.clone(), source })?,
        };
        let record: Record = serde_json::from_slice(&text)
            .map_err(|error| LoadError::Damaged { path: path.clone(), reason: error.to_string() })?;
        if record.id != id {
            return Err(LoadError::Damaged { path, reason: format!("it is about {:?}", record.id) });
        }
        let process = match record.pid {
            0 => None,
            pid => process::open_verified(pid, record.start_time)
                .map_err(|source| LoadError::Read { path: format!("/proc/{pid}/stat").into(), source })?,
        };
        Ok(Self { record, dir, process })
    }

    /// Where the container is in its life.
    pub fn status(&self) -> Status {
        if self.record.pid == 0 {
            return Status::Creating;
        }
        if self.process.is_none() {
            return Status::Stopped;
        }
        if self.record.is_unfinished {
            return Status::Creating;
        }
        let frozen = || matches!(self.record.cgroup(), Ok(Some(group)) if group.is_frozen().unwrap_or(false));
        if frozen() {
            Status::Paused
        } else if self.dir.waits_for_start() {
            Status::Created
        } else {
            Status::Running
        }
    }
}

/// What is under a state root.
#[derive(Debug, Default)]
pub struct Listed {
    /// All containers, by id.
    pub containers: Vec<Stored>,
    /// Why others can't be told of: records that are damaged or can't be read.
    pub damaged: Vec<LoadError>,
}

/// All containers under `root`; directories that are being made are left out.
///
/// # Errors
/// When the directory can't be read; one that doesn't exist has no containers.
pub fn list(root: &Path) -> io::Result<Listed> {
    let mut listed = Listed::default();
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listed),
        result => result?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    for name in names {
        match Stored::load(root, &name) {
            Ok(stored) => listed.containers.push(stored),
            // No record yet, or no container's directory at all.
            Err(LoadError::Missing | LoadError::Id(_)) => {}
            Err(error) => listed.damaged.push(error),
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, pid: i32, start_time: u64) -> Record {
        Record {
            id: id.into(),
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            pid,
            start_time,
            created: "2026-01-02T03:04:05Z".into(),
            owner: 0,
            is_unfinished: false,
            shares_pid_namespace: false,
            no_new_keyring: false,
            mount_below: None,
            annotations: BTreeMap::new(),
            hooks: Hooks::default(),
            cgroup_paths: BTreeMap::new(),
            limits: Limits::default(),
            systemd: None,
            rdt: None,
            descriptors: Vec::new(),
        }
    }

    #[test]
    fn a_reused_pid_is_a_stopped_container() {
        let root = tempfile::tempdir().unwrap();
        let own = std::process::id() as i32;
        let start = process::stat(own).unwrap().unwrap().start_time;
        let dir = StateDir::claim(root.path(), "a").unwrap();
        dir.save(&record("a", own, start)).unwrap();
        assert_eq!(Stored::load(root.path(), "a").unwrap().status(), Status::Running);
        dir.save(&record("a", own, start + 1)).unwrap();
        let stored = Stored::load(root.path(), "a").unwrap();
        assert_eq!(stored.status(), Status::Stopped);
        assert_eq!(stored.record.state(stored.status()).pid, Some(0));
    }

    #[test]
    fn an_id_can_be_taken_once() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("made/on/demand");
        let dir = StateDir::claim(&root, "a").unwrap();
        assert!(matches!(StateDir::claim(&root, "a"), Err(CreateError::Exists { .. })));
        dir.remove().unwrap();
        StateDir::claim(&root, "a").unwrap();
    }

    #[test]
    fn damaged_and_foreign_records_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = StateDir::claim(root.path(), "a").unwrap();
        assert!(matches!(Stored::load(root.path(), "a"), Err(LoadError::Missing)));
        fs::write(dir.path.join(STATE_FILE), "{").unwrap();
        assert!(matches!(Stored::load(root.path(), "a"), Err(LoadError::Damaged { .. })));
        dir.save(&record("b", 0, 0)).unwrap();
        assert!(matches!(Stored::load(root.path(), "a"), Err(LoadError::Damaged { .. })));
        StateDir::claim(root.path(), "made").unwrap();
        let listed = list(root.path()).unwrap();
        assert_eq!((listed.containers.len(), listed.damaged.len()), (0, 1));
    }
}
