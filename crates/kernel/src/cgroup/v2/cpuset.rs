//! cgroup v2's cpuset controller (admin-guide/cgroup-v2.rst, "Cpuset"). Empty lists take the parent's by
//! themselves.

use minke_model::runtime_spec::Cpu;

use super::super::{Controller, setting::Setting};

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
