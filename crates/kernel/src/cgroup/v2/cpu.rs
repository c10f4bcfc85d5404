//! cgroup v2's cpu controller (admin-guide/cgroup-v2.rst, "CPU").

use minke_model::runtime_spec::Cpu;

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{self, CpuStats},
};

/// What a quota counts by if nothing else is said.
const DEFAULT_PERIOD: u64 = 100_000;

pub(super) fn settings(cpu: Option<&Cpu>, dir: &Dir) -> Result<Vec<Setting>, CgroupError> {
    let Some(cpu) = cpu else { return Ok(Vec::new()) };
    if cpu.realtime_period.is_some_and(|v| v != 0) || cpu.realtime_runtime.is_some_and(|v| v != 0) {
        return Err(CgroupError::Unsupported { field: "cpu.realtimeRuntime", version: "v2" });
    }
    let mut settings = Vec::new();
    let mut add = |field: &'static str, file: &'static str, value: String| {
        settings.push(Setting::new(Controller::Cpu, field, file, value));
    };
    if let Some(idle) = cpu.idle {
        add("cpu.idle", "cpu.idle", idle.to_string());
    }
    // A group that only runs when nothing else does has no weight, and the kernel refuses one.
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0 && cpu.idle != Some(1)) {
        add("cpu.shares", "cpu.weight", weight_from_shares(shares).to_string());
    }
    let (quota, period) = (cpu.quota.filter(|v| *v != 0), cpu.period.filter(|v| *v != 0));
    if quota.is_some() || period.is_some() {
        let current = match (quota, period) {
            (Some(_), Some(_)) => None,
            _ => dir.read_if_present("cpu.max").ok().flatten(),
        };
        add("cpu.quota", "cpu.max", maximum(quota, period, current.as_deref().unwrap_or("")));
    }
    if let Some(burst) = cpu.burst {
        add("cpu.burst", "cpu.max.burst", burst.to_string());
    }
    Ok(settings)
}

/// The content of `cpu.max`; what is not given stays as it is in `current`.
fn maximum(quota: Option<i64>, period: Option<u64>, current: &str) -> String {
    let mut current = current.split_whitespace();
    let (old_quota, old_period) = (current.next().unwrap_or("max"), current.next());
    let quota = match quota {
        Some(quota @ 1..) => quota.to_string(),
        Some(_) => "max".to_owned(),
        None => old_quota.to_owned(),
    };
    let period = period.or_else(|| old_period?.parse().ok()).unwrap_or(DEFAULT_PERIOD);
    format!("{quota} {period}")
}

/// The v2 weight (1 to 10000) for v1 shares (2 to 262144); bounds and defaults (100 for 1024) meet.
///
/// The formula that runc 1.3.2 and crun 1.23 share since 2025: a parabola through the three points,
/// on logarithmic scales. The linear one before it gave the default only 39.
#[must_use]
pub fn weight_from_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
        }
    }
}

pub(super) fn read_stats(dir: &Dir, cpu: &mut CpuStats) -> Result<(), CgroupError> {
    let text = dir.read_named("cpu.stat")?;
    let nanoseconds = |key| stats::pair(&text, key).unwrap_or(0).saturating_mul(1000);
    cpu.usage.total = nanoseconds("usage_usec");
    cpu.usage.user = nanoseconds("user_usec");
    cpu.usage.system = nanoseconds("system_usec");
    cpu.throttling.periods = stats::pair(&text, "nr_periods").unwrap_or(0);
    cpu.throttling.throttled_periods = stats::pair(&text, "nr_throttled").unwrap_or(0);
    cpu.throttling.throttled_time = nanoseconds("throttled_usec");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights_as_in_runc() {
        let pairs = [(0, 1), (2, 1), (1024, 100), (2000, 170), (262_144, 10_000), (u64::MAX, 10_000)];
        for (shares, weight) in pairs {
            assert_eq!(weight_from_shares(shares), weight, "{shares}");
        }
        assert!((2..4096).all(|shares| weight_from_shares(shares) <= weight_from_shares(shares + 1)));
    }

    #[test]
    fn quota_and_period_keep_each_other() {
        assert_eq!(maximum(Some(5000), None, ""), "5000 100000");
        assert_eq!(maximum(Some(-1), Some(200), "9 9"), "max 200");
        assert_eq!(maximum(None, Some(200), "700 1000\n"), "700 200");
        assert_eq!(maximum(Some(300), None, "700 1000\n"), "300 1000");
    }
}
