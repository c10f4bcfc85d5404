//! cgroup v1's cpu and cpuacct controllers (Documentation/scheduler/sched-bwc.rst,
//! admin-guide/cgroup-v1/cpuacct.rst).

use minke_model::runtime_spec::Cpu;

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{self, CpuUsage, Throttling},
};

/// What the kernel takes; it would silently use the nearest bound.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

pub(super) fn settings(cpu: Option<&Cpu>) -> Result<Vec<Setting>, CgroupError> {
    let Some(cpu) = cpu else { return Ok(Vec::new()) };
    let mut settings = Vec::new();
    let mut add = |field: &'static str, file: &'static str, value: String| {
        settings.push(Setting::new(Controller::Cpu, field, file, value));
    };
    if let Some(idle) = cpu.idle {
        add("cpu.idle", "cpu.idle", idle.to_string());
    }
    // A group that only runs when nothing else does has no weight, and the kernel refuses one.
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0 && cpu.idle != Some(1)) {
        if !SHARES.contains(&shares) {
            let (field, value) = ("cpu.shares", shares.to_string());
            return Err(CgroupError::Invalid { field, value, reason: "is not between 2 and 262144" });
        }
        add("cpu.shares", "cpu.shares", shares.to_string());
    }
    if let Some(period) = cpu.realtime_period.filter(|period| *period != 0) {
        add("cpu.realtimePeriod", "cpu.rt_period_us", period.to_string());
    }
    if let Some(runtime) = cpu.realtime_runtime.filter(|runtime| *runtime != 0) {
        add("cpu.realtimeRuntime", "cpu.rt_runtime_us", runtime.to_string());
    }
    if let Some(period) = cpu.period.filter(|period| *period != 0) {
        add("cpu.period", "cpu.cfs_period_us", period.to_string());
    }
    if let Some(quota) = cpu.quota.filter(|quota| *quota != 0) {
        add("cpu.quota", "cpu.cfs_quota_us", quota.max(-1).to_string());
    }
    if let Some(burst) = cpu.burst {
        add("cpu.burst", "cpu.cfs_burst_us", burst.to_string());
    }
    Ok(settings)
}

pub(super) fn read_usage(dir: &Dir, usage: &mut CpuUsage) -> Result<(), CgroupError> {
    usage.total = stats::number(&dir.read_named("cpuacct.usage")?);
    usage.user = stats::number(&dir.read_named("cpuacct.usage_user")?);
    usage.system = stats::number(&dir.read_named("cpuacct.usage_sys")?);
    let percpu = dir.read_named("cpuacct.usage_percpu")?;
    usage.percpu = percpu.split_whitespace().map(stats::number).collect();
    Ok(())
}

pub(super) fn read_throttling(dir: &Dir, throttling: &mut Throttling) -> Result<(), CgroupError> {
    let text = dir.read_named("cpu.stat")?;
    throttling.periods = stats::pair(&text, "nr_periods").unwrap_or(0);
    throttling.throttled_periods = stats::pair(&text, "nr_throttled").unwrap_or(0);
    throttling.throttled_time = stats::pair(&text, "throttled_time").unwrap_or(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(cpu: Cpu) -> Vec<(String, String)> {
        settings(Some(&cpu)).unwrap().into_iter().map(|s| (s.file.into_owned(), s.value)).collect()
    }

    #[test]
    fn only_what_is_asked_for_is_written() {
        assert!(files(Cpu::default()).is_empty());
        assert_eq!(
            files(Cpu { shares: Some(512), quota: Some(-5), ..Cpu::default() }),
            [("cpu.shares".into(), "512".into()), ("cpu.cfs_quota_us".into(), "-1".into())]
        );
    }

    #[test]
    fn an_idle_group_has_no_weight() {
        let cpu = Cpu { shares: Some(512), idle: Some(1), ..Cpu::default() };
        assert_eq!(files(cpu), [("cpu.idle".into(), "1".into())]);
    }

    #[test]
    fn shares_out_of_range_are_refused() {
        let error = settings(Some(&Cpu { shares: Some(1), ..Cpu::default() })).unwrap_err();
        assert_eq!(error.to_string(), "linux.resources.cpu.shares: \"1\" is not between 2 and 262144");
    }
}
