//! Removing a container: its processes, its cgroup, its state; then the poststop hooks.

use std::{os::fd::OwnedFd, time::Duration};

use minke_kernel::{cgroup::Cgroup, process};
use minke_model::runtime_spec::Status;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    DeleteError,
    create::chain,
    state::{Record, StateDir, Stored},
};
use crate::{hooks, step::plain};

/// How long killed processes get to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes everything; goes on after failures and reports them all.
pub(super) fn delete(record: &Record, dir: &StateDir, process: Option<&OwnedFd>) -> Result<(), DeleteError> {
    let mut failures = Vec::new();
    if let Some(pidfd) = process {
        // A frozen process takes no signal on cgroup v1; the group's own kill knows how.
        if let Ok(Some(group)) = record.cgroup()
            && group.is_frozen().unwrap_or(false)
        {
            let _ = group.kill_all();
        }
        kill(pidfd, &mut failures);
    }
    if let Err(error) = remove_cgroup(record) {
        failures.push(error);
    }
    if let Err(error) = dir.remove() {
        failures.push(format!("remove the state: {}", plain(&error)));
    }
    let state = record.state(Status::Stopped);
    let failed = hooks::run_all_regardless("poststop", &record.hooks.poststop, &state);
    failures.extend(failed.iter().map(ToString::to_string));
    if failures.is_empty() { Ok(()) } else { Err(DeleteError(failures)) }
}

fn kill(pidfd: &OwnedFd, failures: &mut Vec<String>) {
    match process::signal(pidfd, rustix::process::Signal::KILL.as_raw()) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
        Err(error) => failures.push(format!("kill the first process: {}", plain(&error))),
        Ok(()) => {
            let limit = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
            if matches!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit)), Ok(0)) {
                failures.push(format!("the first process did not end within {} s", PATIENCE.as_secs()));
            }
            // Only a child of ours can be reaped; others are their parents' business.
            let _ = process::try_wait(pidfd);
        }
    }
}

/// Kills what is left in it (processes of a shared pid namespace outlive the first one) and removes it.
fn remove_cgroup(record: &Record) -> Result<(), String> {
    let failed = |error: minke_kernel::cgroup::CgroupError| chain(&error);
    let Some(group) = record.cgroup().map_err(failed)? else { return Ok(()) };
    if group.pids().is_ok_and(|pids| !pids.is_empty()) {
        group.kill_all().map_err(failed)?;
    }
    Cgroup::remove(&group).map_err(failed)
}

impl Stored {
    /// Removes a container that was found on disk, whatever its state.
    ///
    /// # Errors
    /// All that could not be removed.
    pub fn delete(self) -> Result<(), DeleteError> {
        delete(&self.record, &self.dir, self.process.as_ref())
    }
}
