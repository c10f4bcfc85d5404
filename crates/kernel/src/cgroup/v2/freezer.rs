//! cgroup v2's freezer (admin-guide/cgroup-v2.rst, "cgroup.freeze"); also v1's stand-in where no freezer
//! is mounted.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
};

use super::super::{CgroupError, dir::Dir, stats};

/// A process in the kernel for long (a hung network mount) does not stop before it comes back.
const PATIENCE: Duration = Duration::from_secs(5);

pub(in super::super) fn freeze(dir: &Dir) -> Result<(), CgroupError> {
    dir.write_named("cgroup.freeze", "1")?;
    match wait_until_frozen(dir) {
        Ok(true) => Ok(()),
        Ok(false) => {
            thaw(dir)?;
            Err(CgroupError::FreezeTimeout { path: dir.path().to_owned() })
        }
        Err(source) => {
            thaw(dir)?;
            Err(CgroupError::Io { action: "wait for", path: dir.path().join("cgroup.events"), source })
        }
    }
}

pub(in super::super) fn thaw(dir: &Dir) -> Result<(), CgroupError> {
    dir.write_named("cgroup.freeze", "0")
}

pub(in super::super) fn is_frozen(dir: &Dir) -> Result<bool, CgroupError> {
    Ok(stats::pair(&dir.read_named("cgroup.events")?, "frozen") == Some(1))
}

/// The kernel announces each change of the file with POLLPRI.
fn wait_until_frozen(dir: &Dir) -> std::io::Result<bool> {
    let mut events = dir.open_file("cgroup.events")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if says_frozen(&mut events)? {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match rustix::event::poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn says_frozen(events: &mut File) -> std::io::Result<bool> {
    let mut text = String::new();
    events.seek(SeekFrom::Start(0))?;
    events.read_to_string(&mut text)?;
    Ok(stats::pair(&text, "frozen") == Some(1))
}
