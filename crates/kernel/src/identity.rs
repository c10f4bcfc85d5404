//! Who a process is and what it shares: user, groups, umask, session, keyring, host name, working directory.

use std::{ffi::CString, io, os::fd::AsFd, path::Path};

use rustix::{
    fs::Mode,
    process::{Gid, Uid},
    thread,
};

use crate::sys;

/// Sets real, effective and saved user id of the calling thread.
///
/// # Errors
/// `EINVAL` for an id that the user namespace doesn't map, `EPERM`.
pub fn set_user(uid: u32) -> io::Result<()> {
    if uid == u32::MAX {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let uid = Uid::from_raw(uid);
    Ok(thread::set_thread_res_uid(uid, uid, uid)?)
}

/// Sets real, effective and saved group id of the calling thread.
///
/// # Errors
/// As for [`set_user`].
pub fn set_group(gid: u32) -> io::Result<()> {
    if gid == u32::MAX {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let gid = Gid::from_raw(gid);
    Ok(thread::set_thread_res_gid(gid, gid, gid)?)
}

/// Sets the supplementary groups of the calling thread.
///
/// # Errors
/// `EPERM`, also where a user namespace denies setgroups.
pub fn set_supplementary_groups(gids: &[u32]) -> io::Result<()> {
    if gids.contains(&u32::MAX) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let gids: Vec<Gid> = gids.iter().map(|gid| Gid::from_raw(*gid)).collect();
    Ok(thread::set_thread_groups(&gids)?)
}

/// Sets the file mode creation mask; returns the old one.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(Mode::from_raw_mode(mask & 0o777)).bits()
}

/// The user id of the calling process.
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The group id of the calling process.
pub fn effective_group() -> u32 {
    rustix::process::getegid().as_raw()
}

/// Whether the calling process is in a user namespace other than the host's, which maps all ids to themselves.
pub fn is_in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && map.split_whitespace().ne(["0", "0", "4294967295"])
}

/// Starts a session without a controlling terminal.
///
/// # Errors
/// `EPERM` when the caller leads a process group.
pub fn new_session() -> io::Result<()> {
    Ok(rustix::process::setsid().map(drop)?)
}

/// Joins a new session keyring, which its user may search.
///
/// # Errors
/// `EDQUOT` when the user has too many keys, `ENOSYS` where the kernel has none.
pub fn new_session_keyring(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    let serial = sys::join_session_keyring(&name)?;
    sys::allow_keyring_search(serial)
}

/// sethostname(2).
///
/// # Errors
/// `EINVAL` for more than 64 bytes.
pub fn set_host_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}

/// setdomainname(2).
///
/// # Errors
/// `EINVAL` for more than 64 bytes.
pub fn set_domain_name(name: &str) -> io::Result<()> {
    Ok(rustix::system::setdomainname(name.as_bytes())?)
}

/// chdir(2).
///
/// # Errors
/// What it says.
pub fn change_directory(path: &Path) -> io::Result<()> {
    Ok(rustix::process::chdir(path)?)
}

/// fchdir(2).
///
/// # Errors
/// What it says.
pub fn change_directory_to(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::fchdir(fd)?)
}

/// Whether the working directory is inside the caller's root.
///
/// A directory that was entered through a descriptor from outside is unreachable: the kernel says `ENOENT` or
/// puts `(unreachable)` in front of its path (getcwd(2)). CVE-2024-21626 came of not asking.
pub fn is_inside_root() -> bool {
    rustix::process::getcwd(Vec::new()).is_ok_and(|path| path.as_bytes().starts_with(b"/"))
}
