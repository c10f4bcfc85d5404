//! cgroup v1's cpuset controller (admin-guide/cgroup-v1/cpusets.rst).

use std::path::Path;

use minke_model::runtime_spec::Cpu;

use super::super::{CgroupError, Controller, dir::Dir, setting::Setting};

pub(super) fn settings(cpu: Option<&Cpu>) -> Vec<Setting> {
    let Some(cpu) = cpu else { return Vec::new() };
    let list = |value: &Option<String>, field: &'static str, file: &'static str| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        Some(Setting::new(Controller::Cpuset, field, file, value))
    };
    let cpus = list(&cpu.cpus, "cpu.cpus", "cpuset.cpus");
    let mems = list(&cpu.mems, "cpu.mems", "cpuset.mems");
    cpus.into_iter().chain(mems).collect()
}

/// Gives a new cpuset what its parent has: it begins with no CPU and no memory node, and takes no
/// process like that.
pub(super) fn inherit(mount_point: &Path, dir: &Dir) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        fill(mount_point, dir, file)?;
    }
    Ok(())
}

/// The content of `file`, taken from the nearest parent that has any.
fn fill(mount_point: &Path, dir: &Dir, file: &'static str) -> Result<String, CgroupError> {
    let own = dir.read_named(file)?;
    let parent = dir.path().parent().filter(|parent| parent.starts_with(mount_point));
    match parent {
        Some(parent) if own.trim().is_empty() => {
            let value = fill(mount_point, &super::open(parent.to_owned())?, file)?;
            write(dir, file, &value)?;
            Ok(value)
        }
        _ => Ok(own),
    }
}

fn write(dir: &Dir, file: &str, value: &str) -> Result<(), CgroupError> {
    match value.trim() {
        "" => Ok(()),
        value => dir.write_named(file, value),
    }
}
