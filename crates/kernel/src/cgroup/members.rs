//! The processes of a cgroup: listed with all cgroups below it, moved in and killed.

use std::{io, thread, time::Duration};

use rustix::{
    io::Errno,
    process::{Pid, Signal},
};

use super::{
    CgroupError,
    dir::{self, Dir},
};

/// How often new processes may appear between listing and killing when nothing freezes them.
const KILL_ROUNDS: usize = 200;

/// All processes in `top` and below, sorted, each once.
pub(super) fn pids(top: &Dir) -> Result<Vec<Pid>, CgroupError> {
    let mut pids = Vec::new();
    let result = dir::walk(top, &mut |dir| {
        match read_pids(dir) {
            Ok(text) => pids.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?))),
            Err(error) if dir::is_gone(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    });
    result.map_err(|source| CgroupError::Io {
        action: "list the processes of",
        path: top.path().to_owned(),
        source,
    })?;
    pids.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
    pids.dedup();
    Ok(pids)
}

/// A threaded v2 cgroup refuses to say its processes, but says its threads.
fn read_pids(dir: &Dir) -> io::Result<String> {
    match dir.read("cgroup.procs") {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => dir.read("cgroup.threads"),
        result => result,
    }
}

/// Moves a process in. A process that is just being forked is refused with EINVAL for a moment.
pub(super) fn add(dir: &Dir, pid: Pid) -> Result<(), CgroupError> {
    let text = pid.as_raw_nonzero().to_string();
    let mut attempts = 0;
    loop {
        match dir.write("cgroup.procs", &text) {
            Ok(()) => return Ok(()),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) && attempts < 5 => {
                attempts += 1;
                thread::sleep(Duration::from_millis(10));
            }
            Err(source) => {
                let path = dir.path().join("cgroup.procs");
                return Err(CgroupError::Io { action: "add process to", path, source });
            }
        }
    }
}

/// Sends SIGKILL to every process there is now; says whether there was any.
pub(super) fn kill_once(top: &Dir) -> Result<bool, CgroupError> {
    let pids = pids(top)?;
    for pid in &pids {
        match rustix::process::kill_process(*pid, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => {
                let path = top.path().to_owned();
                return Err(CgroupError::Io { action: "kill a process of", path, source: errno.into() });
            }
        }
    }
    Ok(!pids.is_empty())
}

/// Kills until nobody is left, for when processes can't be frozen and may fork between listing and killing.
pub(super) fn kill_until_empty(top: &Dir) -> Result<(), CgroupError> {
    for _ in 0..KILL_ROUNDS {
        if !kill_once(top)? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(CgroupError::KillTimeout { path: top.path().to_owned() })
}
