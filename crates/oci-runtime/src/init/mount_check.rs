//! Places where a mount would deceive the runtime or the kernel's own interfaces.
//!
//! A volume over /proc or over files in it can make later writes to /proc go elsewhere (CVE-2019-16884,
//! CVE-2019-19921). The check looks at the file system that the resolved place is on, so no
//! spelling of the path and no link escapes it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use minke_kernel::path::Root;
use rustix::fs::{FsWord, PROC_SUPER_MAGIC};

use crate::{
    container::InitError,
    step::{Step, failed},
};

/// Files of /proc that may be covered: what lxcfs and similar programs provide, and nothing that is ever written to.
const COVERABLE: [&str; 12] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sysrq-trigger",
];

/// Refuses a mount on a place inside procfs, and anything but procfs on /proc itself. `bound` is the
/// detached mount of a bind; `None` is a file system other than proc.
pub(super) fn target(
    name: &str,
    root: &Root,
    path: &Path,
    target: &OwnedFd,
    bound: Option<&OwnedFd>,
) -> Result<(), InitError> {
    let step = || format!("{name}.destination: look at its file system");
    if path == Path::new("/proc") || is_proc_of(root, target).step(step)? {
        return match bound {
            Some(source) if file_system(source).step(step)? == PROC_SUPER_MAGIC => Ok(()),
            _ => Err(failed(format!("{name}.destination"), "only procfs may be mounted on /proc")),
        };
    }
    let covered = COVERABLE.iter().any(|allowed| path == Path::new(allowed)) && bound.is_some();
    if !covered && file_system(target).step(step)? == PROC_SUPER_MAGIC {
        return Err(failed(format!("{name}.destination"), "must not be inside procfs"));
    }
    Ok(())
}

/// Whether a place is the root's /proc, reached by another name: through a link, or `..`.
fn is_proc_of(root: &Root, place: &OwnedFd) -> io::Result<bool> {
    let Ok(proc) = root.locate(Path::new("/proc")) else { return Ok(false) };
    let (one, other) = (rustix::fs::fstat(place)?, rustix::fs::fstat(&proc)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

fn file_system(fd: impl AsFd) -> io::Result<FsWord> {
    Ok(rustix::fs::fstatfs(fd)?.f_type)
}
