//! Mounts through the new mount API: made detached, configured, then attached to a descriptor.
//!
//! A detached mount is a descriptor that no path leads to. It is attached with both ends given as
//! descriptors, so that no path is resolved between check and use; and it vanishes with its last descriptor, so that a
//! failure half-way leaves nothing.

pub mod options;
mod overlay;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::CWD,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags,
    },
};

use self::overlay::LONGEST_VALUE;
pub use self::overlay::{Overlay, overlay};
use crate::sys::{self, RawMountAttr};

/// Attributes of a mount (not of its file system): which are set and which cleared (mount_setattr(2)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    set: u64,
    clear: u64,
}

/// One attribute of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// Nothing can be written.
    ReadOnly,
    /// Set-id bits and file capabilities have no effect.
    NoSuid,
    /// Device nodes can't be opened.
    NoDev,
    /// Programs can't be executed.
    NoExec,
    /// Symbolic links aren't followed.
    NoSymFollow,
    /// Access times of directories aren't kept.
    NoDirAtime,
    /// Access times follow changes (the default).
    RelAtime,
    /// Access times aren't kept.
    NoAtime,
    /// Access times are always kept.
    StrictAtime,
}

/// Access times are one field of several values: it is cleared whole before one is set.
const ATIME_FIELD: u64 = MountAttrFlags::MOUNT_ATTR__ATIME.bits() as u64;
/// What is said about access times: the field, and the flag beside it.
const TIMES: u64 = ATIME_FIELD | MountAttrFlags::MOUNT_ATTR_NODIRATIME.bits() as u64;
/// Restrictions that can be locked, mount_namespaces(7); access times are too.
const LOCKABLE: u64 = (MountAttrFlags::MOUNT_ATTR_RDONLY.bits()
    | MountAttrFlags::MOUNT_ATTR_NOSUID.bits()
    | MountAttrFlags::MOUNT_ATTR_NODEV.bits()
    | MountAttrFlags::MOUNT_ATTR_NOEXEC.bits()) as u64;
const NO_SYMLINKS: u64 = MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW.bits() as u64;

impl Attribute {
    fn bits(self) -> u64 {
        let flag = match self {
            Self::ReadOnly => MountAttrFlags::MOUNT_ATTR_RDONLY,
            Self::NoSuid => MountAttrFlags::MOUNT_ATTR_NOSUID,
            Self::NoDev => MountAttrFlags::MOUNT_ATTR_NODEV,
            Self::NoExec => MountAttrFlags::MOUNT_ATTR_NOEXEC,
            Self::NoSymFollow => MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW,
            Self::NoDirAtime => MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            Self::RelAtime => MountAttrFlags::MOUNT_ATTR_RELATIME,
            Self::NoAtime => MountAttrFlags::MOUNT_ATTR_NOATIME,
            Self::StrictAtime => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
        };
        u64::from(flag.bits())
    }

    fn is_atime(self) -> bool {
        matches!(self, Self::RelAtime | Self::NoAtime | Self::StrictAtime)
    }
}

impl Attributes {
    /// Turns an attribute on; the last word about one counts.
    pub fn set(&mut self, attribute: Attribute) {
        if attribute.is_atime() {
            self.clear |= ATIME_FIELD;
            self.set &= !ATIME_FIELD;
        } else {
            self.clear &= !attribute.bits();
        }
        self.set |= attribute.bits();
    }

    /// Turns an attribute off. A policy of access times that is turned off is none that is asked for: the mount keeps its own.
    pub fn clear(&mut self, attribute: Attribute) {
        if attribute.is_atime() && self.clear & ATIME_FIELD == ATIME_FIELD {
            if self.set & ATIME_FIELD != attribute.bits() {
                return;
            }
            self.clear &= !ATIME_FIELD;
        }
        self.set &= !attribute.bits();
        self.clear |= attribute.bits();
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.set == 0 && self.clear == 0
    }

    /// Without the attributes that are turned off.
    #[must_use]
    pub fn only_restrictions(&self) -> Self {
        Self { set: self.set, clear: if self.set & ATIME_FIELD == 0 { 0 } else { ATIME_FIELD } }
    }

    /// As mount(8) has them with `--bind -o`: what isn't turned on is off, but access times stay as they are unless one is named.
    fn alone(&self) -> Self {
        let times = if self.names_times() { TIMES } else { 0 };
        Self { set: self.set, clear: LOCKABLE | NO_SYMLINKS | times }
    }

    /// The same beside the attributes that a mount has and keeps; `None` where one that it has is asked to go, or other access
    /// times than its own.
    fn beside(&self, own: u64) -> Option<Self> {
        let times = self.set & TIMES;
        if self.clear & own & (LOCKABLE | TIMES) & !self.field_of_times() != 0
            || self.names_times() && times != own & TIMES
        {
            return None;
        }
        Some(Self { set: self.set & !TIMES | own & LOCKABLE, clear: NO_SYMLINKS })
    }

    fn names_times(&self) -> bool {
        self.field_of_times() != 0 || self.set & TIMES != 0
    }

    /// The field of access times, if a value for it is named: it is cleared whole then.
    fn field_of_times(&self) -> u64 {
        if self.clear & ATIME_FIELD == ATIME_FIELD { ATIME_FIELD } else { 0 }
    }

    /// Whether the mount ends up read-only.
    pub fn is_read_only(&self) -> bool {
        self.set & Attribute::ReadOnly.bits() != 0
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(attributes: I) -> Self {
        let mut all = Self::default();
        attributes.into_iter().for_each(|attribute| all.set(attribute));
        all
    }
}

/// How mounts and unmounts spread to other namespaces, mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// In only.
    Slave,
    /// Not at all.
    Private,
    /// Not at all, and it can't be bound.
    Unbindable,
}

/// A parameter of a file system: `key` or `key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The name.
    pub key: String,
    /// The value; `None` for a flag.
    pub value: Option<String>,
}

impl Parameter {
    /// `key=value`.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }

    /// A flag.
    pub fn flag(key: impl Into<String>) -> Self {
        Self { key: key.into(), value: None }
    }

    fn is_long(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.len() > LONGEST_VALUE)
    }
}

/// A new, detached mount of a file system (fsopen, fsconfig, fsmount).
///
/// # Errors
/// What the kernel says, with the file system's own words where it has any: `ENODEV` for an unknown type, `EINVAL` for an unknown parameter.
/// A value of more than 255 bytes, which only overlays can have.
pub fn filesystem(
    kind: &str,
    source: Option<&str>,
    parameters: &[Parameter],
    attributes: &Attributes,
) -> io::Result<OwnedFd> {
    if let Some(long) = parameters.iter().find(|parameter| parameter.is_long()) {
        if kind == "overlay" {
            return overlay::from_parameters(parameters, attributes);
        }
        let reason = format!("{}: the kernel takes values of at most {LONGEST_VALUE} bytes", long.key);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let explain = |error: rustix::io::Errno| explained(&context, error);
    if let Some(source) = source {
        rustix::mount::fsconfig_set_string(&context, "source", source).map_err(explain)?;
    }
    for Parameter { key, value } in parameters {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&context, key.as_str(), value.as_str()),
            None => rustix::mount::fsconfig_set_flag(&context, key.as_str()),
        }
        .map_err(explain)?;
    }
    rustix::mount::fsconfig_create(&context).map_err(explain)?;
    let flags = MountAttrFlags::from_bits_retain(attributes.set as u32);
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).map_err(explain)
}

/// The error with the last message that the file system left in its context (`e tmpfs: Bad value for 'size'`).
fn explained(context: &OwnedFd, error: rustix::io::Errno) -> io::Error {
    let errno = io::Error::from(error);
    let mut buffer = [0u8; 512];
    let Ok(length) = rustix::io::read(context, &mut buffer) else { return errno };
    let text = String::from_utf8_lossy(&buffer[..length]);
    let text = text.trim().trim_start_matches(['e', 'w', 'i']).trim();
    if text.is_empty() { errno } else { io::Error::new(errno.kind(), format!("{text}: {errno}")) }
}

/// A detached copy of the mount (or of a part of it) at `path`, following links: a bind mount that isn't attached yet.
///
/// # Errors
/// `ENOENT`, `EPERM`, `EINVAL` for an unbindable mount.
pub fn clone_path(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(CWD, path, tree_flags(recursive))?)
}

/// As [`clone_path`], of what `fd` (of any kind, `O_PATH` too) is.
///
/// # Errors
/// As for [`clone_path`].
pub fn clone_fd(fd: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    Ok(rustix::mount::open_tree(fd, "", tree_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH)?)
}

fn tree_flags(recursive: bool) -> OpenTreeFlags {
    let base = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { base | OpenTreeFlags::AT_RECURSIVE } else { base }
}

/// Attaches a detached mount (or moves an attached one) onto the place that `target` is.
///
/// # Errors
/// `ENOTDIR` when one is a directory and the other isn't.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// Attaches a detached mount at a path of the host's, following links.
///
/// # Errors
/// As for [`attach`].
pub fn attach_at(mount: impl AsFd, path: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    Ok(rustix::mount::move_mount(mount, "", CWD, path, flags)?)
}

/// Changes attributes of the mount that `fd` is, and with `recursive` of all mounts below (Linux 5.12).
///
/// # Errors
/// `EPERM` for locked attributes, `EINVAL`.
pub fn set_attributes(fd: impl AsFd, attributes: &Attributes, recursive: bool) -> io::Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    // The kernel takes the field of access times whole or not at all.
    let clear = attributes.clear & !ATIME_FIELD | attributes.field_of_times();
    let raw = RawMountAttr { attr_set: attributes.set, attr_clr: clear, ..RawMountAttr::default() };
    sys::mount_setattr(fd.as_fd(), recursive, &raw)
}

/// Gives the bind mount that `fd` is these attributes and, as mount(8) does with `--bind -o`, no others of those that it has from
/// its source; where none is named it keeps them all. In a user namespace that isn't the source's they are locked: then they stay,
/// as do those of a mount that `keeps` them though the kernel has not locked them.
///
/// # Errors
/// `EPERM` when one that is locked is asked to go.
pub fn set_bind_attributes(fd: impl AsFd, attributes: &Attributes, keeps: bool) -> io::Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let denied = rustix::io::Errno::PERM;
    let done = if keeps { Err(denied.into()) } else { set_attributes(&fd, &attributes.alone(), false) };
    match done {
        Err(error) if error.raw_os_error() == Some(denied.raw_os_error()) => {
            let beside = attributes.beside(own_attributes(&fd)?).ok_or(error)?;
            set_attributes(&fd, &beside, false)
        }
        done => done,
    }
}

/// The attributes that a mount has.
fn own_attributes(fd: impl AsFd) -> io::Result<u64> {
    use rustix::fs::StatVfsMountFlags as Flags;
    let flags = rustix::fs::fstatvfs(fd)?.f_flag;
    let times = match () {
        () if flags.contains(Flags::NOATIME) => Attribute::NoAtime,
        () if flags.contains(Flags::RELATIME) => Attribute::RelAtime,
        () => Attribute::StrictAtime,
    };
    let named = [
        (Flags::RDONLY, Attribute::ReadOnly),
        (Flags::NOSUID, Attribute::NoSuid),
        (Flags::NODEV, Attribute::NoDev),
        (Flags::NOEXEC, Attribute::NoExec),
        (Flags::NODIRATIME, Attribute::NoDirAtime),
    ];
    let found = named.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, attribute)| attribute.bits());
    Ok(found.fold(times.bits(), |all, bits| all | bits))
}

/// Changes how the mount that `fd` is, and with `recursive` all mounts below, propagate.
///
/// # Errors
/// `EINVAL` when `fd` isn't a mount's root.
pub fn set_propagation(fd: impl AsFd, propagation: Propagation, recursive: bool) -> io::Result<()> {
    let flag = match propagation {
        Propagation::Shared => MountPropagationFlags::SHARED,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Unbindable => MountPropagationFlags::UNBINDABLE,
    };
    let raw = RawMountAttr { propagation: u64::from(flag.bits()), ..RawMountAttr::default() };
    sys::mount_setattr(fd.as_fd(), recursive, &raw)
}

/// Maps the ids of a detached mount through a user namespace (Linux 5.12).
///
/// # Errors
/// `EINVAL` where the file system can't, `EPERM` for the initial user namespace.
pub fn set_id_map(fd: impl AsFd, user_namespace: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let raw = RawMountAttr {
        attr_set: u64::from(MountAttrFlags::MOUNT_ATTR_IDMAP.bits()),
        userns_fd: user_namespace.as_raw_fd() as u64,
        ..RawMountAttr::default()
    };
    sys::mount_setattr(fd.as_fd(), recursive, &raw)
}

/// Takes a mount at a path away as soon as nobody uses it (`MNT_DETACH`); links aren't followed.
///
/// # Errors
/// `EINVAL` when nothing is mounted there.
pub fn detach(path: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}

/// Makes the directory that `root` is the caller's root and drops the old one (pivot_root(2) onto itself).
///
/// # Errors
/// `EINVAL` when `root` isn't a mount's root or the current root is a ramdisk.
pub fn pivot(root: BorrowedFd<'_>) -> io::Result<()> {
    let old = rustix::fs::open(
        "/",
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    rustix::process::fchdir(root)?;
    // With both the same, the old root is stacked on the new one and no directory for it is needed.
    rustix::process::pivot_root(".", ".")?;
    rustix::process::fchdir(&old)?;
    // Else the unmount would spread to the host where the old root is shared.
    set_propagation(&old, Propagation::Slave, true)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

/// Makes the directory that `root` is the calling process's root, and its working directory (chroot(2)).
///
/// # Errors
/// `EPERM` without `CAP_SYS_CHROOT`.
pub fn change_root(root: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Which mount is on top at a path of the host's: a number that no other mount has while this one exists.
///
/// # Errors
/// `ENOENT`.
pub fn id_at(path: &Path) -> io::Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags};
    Ok(rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Moves the mount that `root` is over `/` and makes it the root (for hosts where pivot_root(2) can't).
///
/// The host's mounts stay in the namespace, out of reach. But a user namespace in it may mount procfs and sysfs anew only where
/// some visible one has nothing hidden, and theirs would count: they are taken away.
///
/// # Errors
/// What the kernel says.
pub fn move_root(root: BorrowedFd<'_>) -> io::Result<()> {
    let own = rustix::fs::statx(root, "", rustix::fs::AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::MNT_ID)?
        .stx_mnt_id;
    for path in unhidden(&std::fs::read_to_string("/proc/self/mountinfo")?, own) {
        // What can't be unmounted (it came with a less privileged namespace) is hidden.
        if rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_err() {
            attach_at(filesystem("tmpfs", None, &[], &Attributes::default())?, &path)?;
        }
    }
    rustix::process::fchdir(root)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(root, "", CWD, "/", flags)?;
    rustix::process::chroot(".")?;
    Ok(rustix::process::chdir("/")?)
}

/// Where whole procfs and sysfs are mounted, deepest first, in the mountinfo of proc_pid_mountinfo(5); those on the mount
/// `own`, and on what is mounted on that, are left out.
fn unhidden(mountinfo: &str, own: u64) -> Vec<std::path::PathBuf> {
    let mut inside = vec![own];
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let mut fields = line.split(' ');
        let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok());
        let (Some(id), Some(parent)) = (number(), number()) else { continue };
        if inside.contains(&parent) {
            inside.push(id);
            continue;
        }
        let (Some(source), Some(point)) = (fields.nth(1), fields.next()) else { continue };
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next());
        if source == "/" && matches!(kind, Some("proc" | "sysfs")) {
            found.push(unescape(point));
        }
    }
    found.reverse();
    found
}

/// Undoes the octal escapes that mountinfo has for blanks and backslashes.
pub(crate) fn unescape(text: &str) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u8, |value, digit| match digit {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
                _ => None,
            })
        });
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    std::path::PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_whole_proc_and_sys_are_found_and_the_containers_left_out() {
        let info = "20 1 0:1 / / rw - ext4 x rw\n21 20 0:2 / /proc rw - proc proc rw\n22 20 0:3 / /sys rw - sysfs s rw\n\
                    23 20 0:2 /sys /part rw - proc proc rw\n24 20 0:2 / /a\\040b rw - proc proc rw\n\
                    30 20 0:9 / /root rw - ext4 x rw\n31 30 0:2 / /root/proc rw - proc proc rw\n\
                    32 31 0:2 /sys /root/proc/sys ro - proc proc rw\n";
        let paths: Vec<_> = ["/a b", "/sys", "/proc"].iter().map(std::path::PathBuf::from).collect();
        assert_eq!(unhidden(info, 30), paths);
    }

    #[test]
    fn the_last_word_about_an_attribute_counts() {
        let mut attributes = Attributes::default();
        attributes.set(Attribute::ReadOnly);
        attributes.clear(Attribute::ReadOnly);
        assert!(!attributes.is_read_only() && !attributes.is_empty());
        attributes.set(Attribute::NoAtime);
        attributes.set(Attribute::StrictAtime);
        assert_eq!(attributes.set & ATIME_FIELD, Attribute::StrictAtime.bits());
        assert_eq!(attributes.clear & ATIME_FIELD, ATIME_FIELD);
    }

    #[test]
    fn a_file_systems_own_words_are_in_the_error() {
        let parameters = [Parameter::new("nonsense", "1")];
        let error = filesystem("tmpfs", None, &parameters, &Attributes::default()).unwrap_err();
        assert!(error.to_string().contains("nonsense"), "{error}");
        let error = filesystem("no-such-fs", None, &[], &Attributes::default()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
