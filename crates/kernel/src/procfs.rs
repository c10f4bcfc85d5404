//! /proc by a handle that is known to be procfs, so that writes can't be sent elsewhere.
//!
//! A container that can put a link or a mount where the runtime writes turns the runtime's rights
//! into its own (CVE-2025-52881). So nothing is written through a path of the container's: the handle is
//! taken from the host before, its file system is checked, and what is opened below may cross neither mounts nor magic links.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::fs::{self, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};

/// The host's procfs.
#[derive(Debug)]
pub struct Proc {
    fd: OwnedFd,
}

impl Proc {
    /// Opens /proc; to be called before the caller's root changes.
    ///
    /// # Errors
    /// When /proc isn't procfs.
    pub fn open() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::open("/proc", flags, Mode::empty())?;
        if fs::fstatfs(&fd)?.f_type != PROC_SUPER_MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "/proc is not procfs"));
        }
        Ok(Self { fd })
    }

    /// Writes a file whose path is relative to /proc, such as `self/oom_score_adj`.
    ///
    /// # Errors
    /// What open and write say; `EXDEV` when something is mounted in the way.
    pub fn write(&self, path: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
        let mut file = File::from(self.open_file(path.as_ref(), OFlags::WRONLY)?);
        // One write: many of these files take only one.
        file.write_all(content)
    }

    /// Reads a file whose path is relative to /proc.
    ///
    /// # Errors
    /// What open and read say.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<String> {
        let mut text = String::new();
        File::from(self.open_file(path.as_ref(), OFlags::RDONLY)?).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Writes a kernel parameter by its dotted name (sysctl(8): where a name has slashes before dots, they are as in the path).
    ///
    /// # Errors
    /// As for [`Proc::write`]; `EINVAL` for what is no name.
    pub fn write_sysctl(&self, name: &str, value: &str) -> io::Result<()> {
        let path = sysctl_path(name).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        self.write(format!("sys/{path}"), value.as_bytes())
    }

    fn open_file(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        // `self` is an ordinary link of procfs and allowed.
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(fs::openat2(&self.fd, path, flags, Mode::empty(), resolve)?)
    }
}

/// The directory /proc.
impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The path below /proc/sys of a kernel parameter; the first separator decides which one the name uses. `None` when it
/// isn't the path of something below: who is let `net.//.kernel.core_pattern` because it begins with `net.` would get
/// another parameter than that.
pub fn sysctl_path(name: &str) -> Option<String> {
    let swapped = match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => name.to_owned(),
        _ => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    swapped.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(swapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_slashes_of_parameters_are_told_apart() {
        let path = |name| sysctl_path(name).unwrap();
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eth0.1/rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
        assert_eq!(path("net.ipv4.conf.eth0/1.rp_filter"), "net/ipv4/conf/eth0.1/rp_filter");
    }

    #[test]
    fn a_parameter_is_below_where_its_name_begins() {
        for name in
            ["net/../kernel/core_pattern", "net.//.kernel.core_pattern", "net/./x", "net//x", "net.", ""]
        {
            assert_eq!(sysctl_path(name), None, "{name}");
        }
        let proc = Proc::open().unwrap();
        let error = proc.write_sysctl("net/../kernel/no_such_parameter", "1").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_path_that_climbs_out_or_goes_through_a_magic_link_is_refused() {
        let proc = Proc::open().unwrap();
        assert!(proc.read("self/stat").is_ok());
        assert!(proc.read("../etc/passwd").is_err());
        assert!(proc.read("self/root/etc/passwd").is_err());
    }
}
