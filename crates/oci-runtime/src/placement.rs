//! How a container's process gets into its cgroups: it is born in v2's and walks into v1's by itself.
//!
//! Writing another process's pid into `cgroup.procs` takes a lock over all thread groups of the host, and with it waits for an
//! RCU grace period: 5 to 10 ms, more than all else that a start does. Two ways in don't: clone3(2) with
//! `CLONE_INTO_CGROUP` on v2 (also on a hybrid host), and on v1 a thread that writes its own `0` into `tasks`
//! (Linux 5.5, `cgroup_procs_write_start`). The files are opened by the creator, whose credentials the kernel
//! checks, so this works in a user namespace too. Entering late also leaves the runtime's own memory out of the container's account.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use crate::{container::InitError, step::Step};

/// The doors of one container's cgroups.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    unified: Option<OwnedFd>,
    tasks: Vec<(PathBuf, File)>,
}

impl Placement {
    /// Opens the doors of the cgroup with these directories by controller (the empty name is v2's).
    pub(crate) fn open(paths: &BTreeMap<String, PathBuf>) -> io::Result<Self> {
        Ok(Self { unified: birthplace(paths)?, ..Self::open_doors(paths)? })
    }

    /// Opens those that are entered after birth.
    pub(crate) fn open_doors(paths: &BTreeMap<String, PathBuf>) -> io::Result<Self> {
        let open =
            |path: &Path| Ok((path.to_owned(), OpenOptions::new().write(true).open(path.join("tasks"))?));
        let tasks = directories(paths).into_iter().map(open).collect::<io::Result<_>>()?;
        Ok(Self { tasks, ..Self::default() })
    }

    /// The doors of [`Placement::doors`] in the process that they were sent to.
    pub(crate) fn received(paths: &BTreeMap<String, PathBuf>, doors: Vec<OwnedFd>) -> Self {
        let paths = directories(paths).into_iter().map(Path::to_owned);
        Self { tasks: paths.zip(doors.into_iter().map(File::from)).collect(), ..Self::default() }
    }

    /// The directory for `CLONE_INTO_CGROUP`.
    pub(crate) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// What is entered after birth.
    pub(crate) fn doors(&self) -> Vec<BorrowedFd<'_>> {
        self.tasks.iter().map(|(_, file)| file.as_fd()).collect()
    }

    /// All descriptors of it.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.unified().into_iter().chain(self.doors())
    }

    /// Moves the calling process, which must have a single thread, into the v1 cgroups.
    pub(crate) fn enter(&self) -> Result<(), InitError> {
        self.tasks.iter().try_for_each(|(path, file)| {
            let mut file = file;
            file.write_all(b"0").step(|| format!("enter the cgroup {}", path.display()))
        })
    }
}

/// The directory that a process is born in.
pub(crate) fn birthplace(paths: &BTreeMap<String, PathBuf>) -> io::Result<Option<OwnedFd>> {
    paths.get("").map(|path| File::open(path).map(OwnedFd::from)).transpose()
}

/// The v1 directories, each once: controllers that share a hierarchy share it.
fn directories(paths: &BTreeMap<String, PathBuf>) -> BTreeSet<&Path> {
    paths.iter().filter(|(name, _)| !name.is_empty()).map(|(_, path)| path.as_path()).collect()
}
