//! cgroup v1's freezer (admin-guide/cgroup-v1/freezer-subsystem.rst).

use std::{thread, time::Duration};

use super::super::{CgroupError, dir::Dir};

/// A process that forks at the wrong moment keeps the group in FREEZING until it is asked again, and
/// some only come through after a thaw. All rounds take about five seconds.
const ROUNDS: u32 = 500;
const ROUNDS_UNTIL_THAW: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

pub(super) fn freeze(dir: &Dir) -> Result<(), CgroupError> {
    for round in 0..ROUNDS {
        if round % ROUNDS_UNTIL_THAW == ROUNDS_UNTIL_THAW - 1 {
            thaw(dir)?;
        }
        dir.write_named("freezer.state", "FROZEN")?;
        if is_frozen(dir)? {
            return Ok(());
        }
        // The first rounds are quick: usually it is a matter of microseconds.
        thread::sleep(if round < 10 { Duration::from_micros(50) } else { PAUSE });
    }
    thaw(dir)?;
    Err(CgroupError::FreezeTimeout { path: dir.path().to_owned() })
}

pub(super) fn thaw(dir: &Dir) -> Result<(), CgroupError> {
    dir.write_named("freezer.state", "THAWED")
}

pub(super) fn is_frozen(dir: &Dir) -> Result<bool, CgroupError> {
    Ok(dir.read_named("freezer.state")?.trim() == "FROZEN")
}
