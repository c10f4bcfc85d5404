//! Removing a container: its processes, its cgroup, its state; then the poststop hooks.

use std::{io, os::fd::OwnedFd, path::Path, time::Duration};

use minke_kernel::{cgroup::Cgroup, mount, process};
use minke_model::runtime_spec::Status;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    DeleteError,
    error::chain,
    rdt::Group,
    state::{Record, StateDir, Stored},
};
use crate::{hooks, step::plain};

/// How long killed processes get to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes everything. While processes of the container live on, all that tells of them stays, so that a later call can finish;
/// after other failures it goes on, and reports them all. Returns which poststop hooks failed, for that is no failure of the
/// removal (specification, "Lifecycle", step 13).
pub(super) fn delete(
    record: &Record,
    dir: &StateDir,
    process: Option<&OwnedFd>,
) -> Result<Vec<String>, DeleteError> {
    if let Some(pidfd) = process {
        // A frozen process takes no signal on cgroup v1; the group's own kill knows how.
        if !has_ended(pidfd)
            && let Ok(Some(group)) = record.cgroup()
            && group.is_frozen().unwrap_or(false)
        {
            let _ = group.kill_all();
        }
        kill(pidfd).map_err(still_there)?;
    }
    remove_cgroup(record).map_err(still_there)?;
    let mut failures = Vec::new();
    // Also one whose cgroup is gone: systemd remembers a unit that failed.
    if let Some(Err(error)) = record.systemd.as_ref().map(|unit| unit.stop()) {
        failures.push(chain(&error));
    }
    failures.extend(record.rdt.iter().flat_map(Group::remove));
    if let Some(below) = record.mount_below
        && let Err(error) = unmount(&record.rootfs, below)
    {
        failures.push(format!("unmount {}: {}", record.rootfs.display(), plain(&error)));
    }
    if let Err(error) = dir.remove() {
        failures.push(format!("remove the state: {}", plain(&error)));
    }
    let warnings = poststop(record);
    if failures.is_empty() { Ok(warnings) } else { Err(DeleteError(failures)) }
}

/// Takes the container's mounts off the host, where they are without a mount namespace. What is at the root's place is
/// theirs unless it is what was there before, `below`.
pub(super) fn unmount(rootfs: &Path, below: u64) -> io::Result<()> {
    match mount::id_at(rootfs) {
        Ok(now) if now != below => mount::detach(rootfs),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Runs the poststop hooks, all of them; returns which failed.
pub(super) fn poststop(record: &Record) -> Vec<String> {
    let state = record.state(Status::Stopped);
    let failed = hooks::run_all_regardless("poststop", &record.hooks.poststop, &state);
    failed.iter().map(ToString::to_string).collect()
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    matches!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&Timespec::default())), Ok(1..))
}

fn still_there(reason: String) -> DeleteError {
    DeleteError(vec![reason])
}

fn kill(pidfd: &OwnedFd) -> Result<(), String> {
    match process::signal(pidfd, rustix::process::Signal::KILL.as_raw()) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(()),
        Err(error) => Err(format!("kill the first process: {}", plain(&error))),
        Ok(()) => {
            let limit = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
            if matches!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit)), Ok(0)) {
                return Err(format!(
                    "the first process was killed and has not ended within {} s: it is frozen from above, or waits for a \
                     device; delete the container again when it has",
                    PATIENCE.as_secs()
                ));
            }
            // Only a child of ours can be reaped; others are their parents' business.
            let _ = process::try_wait(pidfd);
            Ok(())
        }
    }
}

/// Removes the cgroup. What is left in it is killed first: processes of a shared pid namespace outlive the first one.
fn remove_cgroup(record: &Record) -> Result<(), String> {
    let failed = |error: minke_kernel::cgroup::CgroupError| chain(&error);
    let paths = &record.cgroup_paths;
    // All processes are in this one, so that it can be removed only when there are none.
    let whole = paths.get("freezer").or_else(|| paths.get("")).or_else(|| paths.values().next());
    let Some(whole) = whole else { return Ok(()) };
    if !Cgroup::remove_if_idle(whole)
        && let Some(group) = record.cgroup().map_err(failed)?
    {
        group.kill_all().map_err(failed)?;
    }
    Cgroup::remove_paths(paths.values()).map_err(failed)
}

impl Stored {
    /// Removes a container that was found on disk, whatever its state. Returns warnings: poststop hooks that failed.
    ///
    /// # Errors
    /// All that could not be removed.
    pub fn delete(self) -> Result<Vec<String>, DeleteError> {
        delete(&self.record, &self.dir, self.process.as_ref())
    }
}
