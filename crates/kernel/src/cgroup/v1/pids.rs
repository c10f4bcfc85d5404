//! cgroup v1's pids controller (admin-guide/cgroup-v1/pids.rst).

use minke_model::runtime_spec::Pids;

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{self, PidsStats},
};

/// Shared with v2, whose file is the same. Unlimited is what holds without the controller.
pub(in super::super) fn settings(pids: Option<&Pids>) -> Vec<Setting> {
    let Some(limit) = pids.and_then(|pids| pids.limit) else { return Vec::new() };
    let setting = |value: String| Setting::new(Controller::Pids, "pids.limit", "pids.max", value);
    match limit {
        // No process at all can't be: the first is let in by its cgroup's maker, and none after it.
        0.. => vec![setting(limit.max(1).to_string())],
        _ => vec![setting("max".to_owned()).ignore_absent()],
    }
}

/// Shared with v2.
pub(in super::super) fn read_stats(dir: &Dir, pids: &mut PidsStats) -> Result<(), CgroupError> {
    pids.current = stats::number(&dir.read_named("pids.current")?);
    pids.limit = stats::limit(&dir.read_named("pids.max")?);
    Ok(())
}
