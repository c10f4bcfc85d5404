//! How a container's process gets into its cgroups: it is born in v2's and walks into v1's by itself.
//!
//! Writing another process's pid into `cgroup.procs` takes a lock over all thread groups of the host, and with it waits for an
//! RCU grace period: 5 to 10 ms, more than all else that a start does. Two ways in don't: clone3(2) with
//! `CLONE_INTO_CGROUP` on v2 (also on a hybrid host), and on v1 a thread that writes its own `0` into `tasks`
//! (Linux 5.5, `cgroup_procs_write_start`). The files are opened by the creator, whose credentials the kernel
//! checks, so this works in a user namespace too. Entering late also leaves the runtime's own memory out of the container's account.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use minke_kernel::identity;

use crate::{container::InitError, step::Step};

/// The doors of one container's cgroups.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    unified: Option<OwnedFd>,
    tasks: Vec<(PathBuf, File)>,
    /// Opened by an ordinary user, who may only move processes of the same id.
    by_ordinary_user: bool,
    entered: Cell<bool>,
}

impl Placement {
    /// Opens the doors of the cgroup with these directories by controller (the empty name is v2's).
    pub(crate) fn open(paths: &BTreeMap<String, PathBuf>) -> io::Result<Self> {
        let unified = paths.get("").map(|path| File::open(path).map(OwnedFd::from)).transpose()?;
        let mut directories: Vec<&Path> =
            paths.iter().filter(|(name, _)| !name.is_empty()).map(|(_, path)| path.as_path()).collect();
        directories.sort_unstable();
        // Controllers that share a hierarchy share the directory.
        directories.dedup();
        let open =
            |path: &Path| Ok((path.to_owned(), OpenOptions::new().write(true).open(path.join("tasks"))?));
        let tasks = directories.into_iter().map(open).collect::<io::Result<_>>()?;
        let by_ordinary_user = identity::effective_user() != 0;
        Ok(Self { unified, tasks, by_ordinary_user, entered: Cell::default() })
    }

    /// The directory for `CLONE_INTO_CGROUP`.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// All descriptors of it.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.unified().into_iter().chain(self.tasks.iter().map(|(_, file)| file.as_fd()))
    }

    /// Moves the calling process, which must have a single thread, into the v1 cgroups; only once.
    pub(crate) fn enter(&self) -> Result<(), InitError> {
        if self.entered.replace(true) {
            return Ok(());
        }
        self.tasks.iter().try_for_each(|(path, file)| {
            let mut file = file;
            file.write_all(b"0").step(|| format!("enter the cgroup {}", path.display()))
        })
    }

    /// The same before the process becomes root of its user namespace, where that would be too late.
    pub(crate) fn enter_early(&self) -> Result<(), InitError> {
        if self.by_ordinary_user { self.enter() } else { Ok(()) }
    }
}
