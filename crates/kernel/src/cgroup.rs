//! Control groups of a container: made, limited, frozen, measured, killed and removed, on v1 and v2.
//!
//! The runtime makes one [`Cgroup`] per container, saves its [`paths`](Cgroup::paths) and opens it
//! again from these. Which kernel interface is behind it is decided once, by [`Layout`]; the two
//! drivers have a module per controller under the same names.
//!
//! ```text
//!   Resources ─▶ v1::memory, v1::cpu, …  ─▶ list of Settings ─▶ written, all hierarchies
//!            └─▶ v2::memory, v2::cpu, …  ─▶ list of Settings ─▶ written, one directory
//!                v2::devices             ─▶ BPF program      ─▶ attached
//! ```
//!
//! The systemd driver is not here: paths are directories (`cgroupfs` in Docker's terms).

mod birthplace;
mod controller;
mod delegation;
mod details;
mod devices;
mod dir;
mod layout;
mod members;
mod oom;
mod path;
mod planned;
mod remove;
mod setting;
mod stats;
mod v1;
mod v2;

use std::{
    collections::BTreeMap,
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use minke_model::runtime_spec::Resources;
pub use rustix::process::Pid;

pub use self::{
    birthplace::Birthplace,
    controller::{Controller, Controllers},
    details::{CpusetDetails, Details, MemoryLimits, Pressure, PressureLine},
    devices::default_rules as default_device_rules,
    layout::{Hierarchy, Layout, Mode},
    oom::OomWatch,
    stats::{
        BlkioEntry, BlkioStats, CpuStats, CpuUsage, HugetlbStats, MemoryData, MemoryStats, PidsStats, Stats,
        Throttling,
    },
    v2::weight_from_shares,
};

use self::{path::CgroupsPath, setting::Earlier};

/// The cgroup of one container, in all hierarchies of the host.
#[derive(Debug)]
pub struct Cgroup {
    driver: Box<dyn Driver>,
}

/// Why something could not be done with a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// /proc does not say where cgroups are mounted.
    #[error("read {path}")]
    Detect {
        /// The file.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no cgroup file system to work with.
    #[error("no cgroup file system is mounted on this host")]
    NoHierarchy,
    /// A `cgroupsPath` that can't be used.
    #[error("linux.cgroupsPath {path:?}: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The cgroup is not there (any more).
    #[error("cgroup {path} does not exist")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A limit needs a controller that the host does not have.
    #[error("linux.resources.{field}: this host has no {controller} cgroup controller")]
    NoController {
        /// The field.
        field: String,
        /// The controller.
        controller: Controller,
    },
    /// The controller is there, but not this feature of it.
    #[error(
        "linux.resources.{field}: the {controller} cgroup controller has no such setting here (no {path})"
    )]
    NoFile {
        /// The field.
        field: String,
        /// The controller.
        controller: Controller,
        /// The file that is missing.
        path: PathBuf,
    },
    /// A limit that this version of cgroups has no notion of.
    #[error("linux.resources.{field}: invalid configuration: cannot use {field} on cgroup {version}")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// `v1` or `v2`.
        version: &'static str,
    },
    /// A value that contradicts another or is out of range.
    #[error("linux.resources.{field}: {value:?} {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The new limit is below what is in use, and `checkBeforeUpdate` is set.
    #[error("linux.resources.memory.limit: {limit} is less than the {usage} bytes in use")]
    InUse {
        /// The new limit in bytes.
        limit: u64,
        /// Bytes in use.
        usage: u64,
    },
    /// The kernel refused a limit.
    #[error("linux.resources.{field}: write {value:?} to {path}")]
    Write {
        /// The field.
        field: String,
        /// The value.
        value: String,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file or directory could not be used.
    #[error("{action} {path}")]
    Io {
        /// What was done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said; ESRCH on `add process` means that the process is gone.
        source: io::Error,
    },
    /// The device filter could not be attached.
    #[error("{action} the device filter of {path}")]
    DeviceFilter {
        /// What was done.
        action: &'static str,
        /// To which cgroup.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Not all processes stopped in time; trying again may help.
    #[error("freeze {path}: some processes did not stop in time")]
    FreezeTimeout {
        /// The cgroup.
        path: PathBuf,
    },
    /// Killing everything in a hierarchy's root would take the host down.
    #[error("kill all of {path}: it is the hierarchy's root")]
    KillRoot {
        /// The root.
        path: PathBuf,
    },
    /// New processes kept coming, faster than they could be killed; trying again may help.
    #[error("kill all of {path}: new processes keep coming")]
    KillTimeout {
        /// The cgroup.
        path: PathBuf,
    },
    /// Some directories could not be removed; the others were. EBUSY means that processes are left.
    #[error("remove the cgroup: {}", listed(failures))]
    Remove {
        /// Each directory, and what the kernel said.
        failures: Vec<(PathBuf, io::Error)>,
    },
}

fn listed(failures: &[(PathBuf, io::Error)]) -> String {
    let lines: Vec<String> =
        failures.iter().map(|(path, error)| format!("{}: {error}", path.display())).collect();
    lines.join("; ")
}

/// What both versions can do; see [`Cgroup`] for what each of these means.
trait Driver: std::fmt::Debug + Send + Sync {
    fn paths(&self) -> BTreeMap<String, PathBuf>;
    fn directory(&self) -> Option<BorrowedFd<'_>>;
    fn add_process(&self, pid: Pid) -> Result<(), CgroupError>;
    fn apply(&self, resources: &Resources, earlier: Earlier) -> Result<(), CgroupError>;
    fn freeze(&self) -> Result<(), CgroupError>;
    fn thaw(&self) -> Result<(), CgroupError>;
    fn is_frozen(&self) -> Result<bool, CgroupError>;
    fn pids(&self) -> Result<Vec<Pid>, CgroupError>;
    fn kill_all(&self) -> Result<(), CgroupError>;
    fn stats(&self) -> Result<Stats, CgroupError>;
    fn oom_kills(&self) -> Result<u64, CgroupError>;
}

impl Cgroup {
    /// Makes the cgroup that `linux.cgroupsPath` names, in all hierarchies of this host.
    ///
    /// An absolute path begins at the hierarchies' roots; a relative one at the caller's own cgroup (v1)
    /// or next to it (v2). What exists already is used as it is. If it fails, what was made is removed
    /// again.
    ///
    /// # Errors
    /// [`CgroupError::Path`] for a path with `..` or of the root; otherwise what the kernel refused.
    pub fn create(cgroups_path: &str) -> Result<Cgroup, CgroupError> {
        Cgroup::create_in(&Layout::detect()?, cgroups_path)
    }

    /// As [`create`](Cgroup::create), on a known layout.
    ///
    /// # Errors
    /// As [`create`](Cgroup::create).
    pub fn create_in(layout: &Layout, cgroups_path: &str) -> Result<Cgroup, CgroupError> {
        let path = CgroupsPath::parse(cgroups_path)?;
        let driver: Box<dyn Driver> = match (layout.mode(), &layout.unified) {
            (Mode::Unified, Some(unified)) => Box::new(v2::Group::create(unified, &path)?),
            (Mode::Unified, None) => return Err(CgroupError::NoHierarchy),
            (Mode::Legacy | Mode::Hybrid, _) => Box::new(v1::Group::create(layout, &path)?),
        };
        Ok(Cgroup { driver })
    }

    /// Opens a cgroup again by the [`paths`](Cgroup::paths) it had.
    ///
    /// # Errors
    /// [`CgroupError::Missing`] if none of it exists any more: then there is nothing left to remove either.
    pub fn open(paths: &BTreeMap<String, PathBuf>) -> Result<Cgroup, CgroupError> {
        let driver: Box<dyn Driver> = match paths.get("") {
            Some(path) if paths.len() == 1 => Box::new(v2::Group::open(path.clone())?),
            _ => Box::new(v1::Group::open(paths)?),
        };
        Ok(Cgroup { driver })
    }

    /// Its directories, by controller as in v1 (`memory`, `name=systemd`), and the empty name for v2's.
    #[must_use]
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        self.driver.paths()
    }

    /// The directory that clone3(2) takes with `CLONE_INTO_CGROUP`; None on v1 and hybrid hosts, where
    /// [`add_process`](Cgroup::add_process) is the only way in.
    #[must_use]
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.driver.directory()
    }

    /// Puts a process, with all its threads, into the cgroup of every hierarchy.
    ///
    /// # Errors
    /// [`CgroupError::Io`]; its source is ESRCH if the process is gone.
    pub fn add_process(&self, pid: Pid) -> Result<(), CgroupError> {
        self.driver.add_process(pid)
    }

    /// Sets all limits that `resources` has, and leaves the others as they are.
    ///
    /// Implements the runtime specification's "Control groups" (config-linux.md). `memory.kernel`,
    /// `memory.kernelTCP` and `memory.useHierarchy` are deprecated there and ignored.
    ///
    /// # Errors
    /// Each names the field. Limits written before the one that failed stay.
    pub fn apply(&self, resources: &Resources) -> Result<(), CgroupError> {
        self.driver.apply(resources, Earlier::Stay)
    }

    /// As [`apply`](Cgroup::apply), for a cgroup that is in use: when one limit is refused, those before it become what they were.
    ///
    /// # Errors
    /// Each names the field. What is set for single devices stays.
    pub fn update(&self, resources: &Resources) -> Result<(), CgroupError> {
        self.driver.apply(resources, Earlier::ComeBack)
    }

    /// Stops all processes and waits until they stand still.
    ///
    /// # Errors
    /// [`CgroupError::FreezeTimeout`] after some seconds; they run on then.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.driver.freeze()
    }

    /// Lets stopped processes run on.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.driver.thaw()
    }

    /// Whether all processes stand still.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        self.driver.is_frozen()
    }

    /// All processes in the cgroup and below it, as the caller's pid namespace numbers them, sorted.
    ///
    /// # Errors
    /// What the kernel refused; a cgroup that is gone has no processes.
    pub fn pids(&self) -> Result<Vec<Pid>, CgroupError> {
        self.driver.pids()
    }

    /// Sends SIGKILL to all processes in the cgroup and below it, even if frozen and even while they fork.
    ///
    /// Returns when the signals are sent; the processes end shortly after.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        self.driver.kill_all()
    }

    /// What the container uses now. Controllers that the host doesn't have leave their part empty.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        self.driver.stats()
    }

    /// What [`stats`](Cgroup::stats) leaves out. What can't be read counts as absent.
    #[must_use]
    pub fn details(&self) -> Details {
        details::read(&self.paths())
    }

    /// Begins to watch for memory running out; None where the host has no memory controller.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>, CgroupError> {
        oom::watch(&self.paths())
    }

    /// How many processes the kernel has killed here for want of memory.
    ///
    /// # Errors
    /// What the kernel refused; without a memory controller it is 0.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        self.driver.oom_kills()
    }

    /// Removes the cgroup from every hierarchy, with cgroups the container made in it.
    ///
    /// Ending processes keep a cgroup busy for a moment, so this tries for up to two seconds. It
    /// goes on after failures, and is content with what is gone already.
    ///
    /// # Errors
    /// [`CgroupError::Remove`] with all that could not be removed; trying again helps once the processes
    /// are gone.
    pub fn remove(&self) -> Result<(), CgroupError> {
        Cgroup::remove_paths(self.paths().values())
    }

    /// Removes one directory and those below it, if no process is in them; says whether it is gone.
    pub fn remove_if_idle(path: &Path) -> bool {
        remove::remove_tree(path).is_ok()
    }

    /// As [`remove`](Cgroup::remove), by the directories alone.
    ///
    /// # Errors
    /// As [`remove`](Cgroup::remove).
    pub fn remove_paths<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<(), CgroupError> {
        let mut paths: Vec<&Path> = paths.into_iter().map(PathBuf::as_path).collect();
        paths.sort_unstable();
        paths.dedup();
        remove::remove_all(paths)
    }
}
