//! Namespaces: sets of them, joining, unsharing, checking what a descriptor is.

use std::{
    fs::File,
    io,
    ops::BitOr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use minke_model::runtime_spec::NamespaceType;

use crate::sys;

/// A set of namespace kinds (`CLONE_NEW…` flags).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// The set of one kind.
    pub fn of(kind: NamespaceType) -> Self {
        Self(flag(kind) as u32)
    }

    /// Whether `kind` is in it.
    pub fn contains(self, kind: NamespaceType) -> bool {
        self.0 & flag(kind) as u32 != 0
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set without `kind`.
    #[must_use]
    pub fn without(self, kind: NamespaceType) -> Self {
        Self(self.0 & !(flag(kind) as u32))
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<NamespaceType> for Kinds {
    fn from_iter<I: IntoIterator<Item = NamespaceType>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::default(), |set, kind| set | Self::of(kind))
    }
}

fn flag(kind: NamespaceType) -> i32 {
    match kind {
        NamespaceType::Pid => libc::CLONE_NEWPID,
        NamespaceType::Network => libc::CLONE_NEWNET,
        NamespaceType::Mount => libc::CLONE_NEWNS,
        NamespaceType::Ipc => libc::CLONE_NEWIPC,
        NamespaceType::Uts => libc::CLONE_NEWUTS,
        NamespaceType::User => libc::CLONE_NEWUSER,
        NamespaceType::Cgroup => libc::CLONE_NEWCGROUP,
        NamespaceType::Time => libc::CLONE_NEWTIME,
    }
}

/// Opens a namespace by path and checks its kind.
///
/// # Errors
/// When the path can't be opened, or is no namespace of that kind ([`io::ErrorKind::InvalidInput`]).
pub fn open(path: &Path, kind: NamespaceType) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    match sys::namespace_type(file.as_fd()) {
        Ok(actual) if actual == flag(kind) => Ok(file.into()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a namespace of another kind")),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a namespace")),
    }
}

/// setns(2): the calling thread joins a namespace. For pid it is the children that do.
///
/// # Errors
/// `EINVAL` for a user namespace that the caller is in already, `EPERM`.
pub fn join(namespace: impl AsFd, kind: NamespaceType) -> io::Result<()> {
    sys::setns(namespace.as_fd(), flag(kind))
}

/// setns(2) with a pidfd: joins several namespaces of a process at once (Linux 5.8).
///
/// # Errors
/// As for [`join`].
pub fn join_process(pidfd: impl AsFd, kinds: Kinds) -> io::Result<()> {
    sys::setns(pidfd.as_fd(), kinds.bits() as i32)
}

/// unshare(2): the calling thread gets new namespaces. For pid and time it is the children that do.
///
/// # Errors
/// `EPERM`, `ENOSPC` when a limit of /proc/sys/user is reached, `EINVAL` where the kernel lacks a kind.
pub fn unshare(kinds: Kinds) -> io::Result<()> {
    sys::unshare(kinds.bits() as i32)
}

/// In which namespaces process `pid` differs from the caller; kinds that the kernel lacks are left out.
///
/// # Errors
/// When /proc/PID/ns can't be read, for example because the process has ended.
pub fn differing(pid: i32) -> io::Result<Kinds> {
    let mut kinds = Kinds::default();
    for kind in NamespaceType::ALL {
        let name = kind.proc_name();
        let Ok(own) = rustix::fs::stat(format!("/proc/self/ns/{name}")) else { continue };
        let other = rustix::fs::stat(format!("/proc/{pid}/ns/{name}"))?;
        if (own.st_dev, own.st_ino) != (other.st_dev, other.st_ino) {
            kinds = kinds | Kinds::of(kind);
        }
    }
    Ok(kinds)
}

/// Whether `namespace` is the calling thread's own of its kind.
///
/// # Errors
/// When /proc/self/ns can't be read.
pub fn is_own(namespace: impl AsFd, kind: NamespaceType) -> io::Result<bool> {
    let own = rustix::fs::stat(format!("/proc/self/ns/{}", kind.proc_name()))?;
    let other = rustix::fs::fstat(namespace)?;
    Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}

/// Which kinds the kernel has.
pub fn supported() -> Vec<NamespaceType> {
    let exists = |kind: &NamespaceType| Path::new("/proc/self/ns").join(kind.proc_name()).exists();
    NamespaceType::ALL.into_iter().filter(exists).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_of_another_kind_is_refused() {
        assert!(open(Path::new("/proc/self/ns/net"), NamespaceType::Network).is_ok());
        let error = open(Path::new("/proc/self/ns/net"), NamespaceType::Uts).unwrap_err();
        assert!(error.to_string().contains("another kind"), "{error}");
        let error = open(Path::new("/proc/self/stat"), NamespaceType::Uts).unwrap_err();
        assert!(error.to_string().contains("not a namespace"), "{error}");
    }

    #[test]
    fn this_process_differs_from_itself_in_nothing() {
        assert!(differing(std::process::id() as i32).unwrap().is_empty());
    }
}
