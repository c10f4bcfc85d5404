//! cgroup v1's memory controller (admin-guide/cgroup-v1/memory.rst).

use minke_model::runtime_spec::Memory;

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{self, MemoryData, MemoryStats},
};

/// Limits of 0 mean unset, as everywhere in the field; -1 is unlimited.
///
/// `disableOOMKiller: false` is not written: it is what holds, engines always send it, and touching the
/// file makes newer kernels log that it is deprecated.
pub(super) fn settings(memory: Option<&Memory>) -> Result<Vec<Setting>, CgroupError> {
    let Some(memory) = memory else { return Ok(Vec::new()) };
    let mut settings = Vec::new();
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let (limit, swap) = (set(memory.limit), set(memory.swap));
    if let (Some(limit @ 1..), Some(swap @ 1..)) = (limit, swap)
        && swap < limit
    {
        let (field, value) = ("memory.swap", swap.to_string());
        return Err(CgroupError::Invalid {
            field,
            value,
            reason: "is less than memory.limit, which it includes",
        });
    }
    let mut add = |field: &'static str, file: &'static str, value: String| {
        settings.push(Setting::new(Controller::Memory, field, file, value));
    };
    if let Some(limit) = limit {
        add("memory.limit", "memory.limit_in_bytes", limit.max(-1).to_string());
    }
    match (limit, swap) {
        (_, Some(swap @ 1..)) => add("memory.swap", "memory.memsw.limit_in_bytes", swap.to_string()),
        // Unlimited is what holds where the kernel doesn't count swap.
        (_, Some(_)) | (Some(..0), None) => settings.push(
            Setting::new(Controller::Memory, "memory.swap", "memory.memsw.limit_in_bytes", "-1")
                .ignore_absent(),
        ),
        _ => {}
    }
    let mut add = |field: &'static str, file: &'static str, value: String| {
        settings.push(Setting::new(Controller::Memory, field, file, value));
    };
    if let Some(reservation) = set(memory.reservation) {
        add("memory.reservation", "memory.soft_limit_in_bytes", reservation.max(-1).to_string());
    }
    if let Some(buffers) = set(memory.kernel_tcp) {
        // Deprecated, and one day gone; while it is there, it counts.
        let setting = Setting::new(
            Controller::Memory,
            "memory.kernelTCP",
            "memory.kmem.tcp.limit_in_bytes",
            buffers.max(-1).to_string(),
        );
        settings.push(setting.ignore_absent());
    }
    let mut add = |field: &'static str, file: &'static str, value: String| {
        settings.push(Setting::new(Controller::Memory, field, file, value));
    };
    if let Some(swappiness) = memory.swappiness {
        add("memory.swappiness", "memory.swappiness", swappiness.to_string());
    }
    if memory.disable_oom_killer == Some(true) {
        add("memory.disableOOMKiller", "memory.oom_control", "1".to_owned());
    }
    Ok(settings)
}

/// Refuses a limit below what is in use, if that was asked for.
pub(super) fn check(memory: &Memory, dir: &Dir) -> Result<(), CgroupError> {
    let limit = memory.limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit != 0);
    let (Some(limit), Some(true)) = (limit, memory.check_before_update) else { return Ok(()) };
    match stats::number(&dir.read_named("memory.usage_in_bytes")?) {
        usage if usage > limit => Err(CgroupError::InUse { limit, usage }),
        _ => Ok(()),
    }
}

pub(super) fn read_stats(dir: &Dir, memory: &mut MemoryStats) -> Result<(), CgroupError> {
    let text = dir.read_named("memory.stat")?;
    memory.stats = stats::pairs(&text).map(|(key, value)| (key.to_owned(), value)).collect();
    memory.cache = memory.stats.get("cache").copied().unwrap_or(0);
    memory.usage = data(dir, "memory")?.unwrap_or_default();
    memory.swap = data(dir, "memory.memsw")?.unwrap_or_default();
    memory.kernel = data(dir, "memory.kmem")?.unwrap_or_default();
    memory.kernel_tcp = data(dir, "memory.kmem.tcp")?.unwrap_or_default();
    memory.oom_kills = oom_kills(dir)?;
    Ok(())
}

/// One kind of memory; None if the kernel doesn't count it.
fn data(dir: &Dir, prefix: &str) -> Result<Option<MemoryData>, CgroupError> {
    let read = |name: &str| {
        let file = format!("{prefix}.{name}");
        dir.read_if_present(&file).map_err(|source| CgroupError::Io {
            action: "read",
            path: dir.path().join(file),
            source,
        })
    };
    let Some(usage) = read("usage_in_bytes")? else { return Ok(None) };
    Ok(Some(MemoryData {
        usage: stats::number(&usage),
        max_usage: read("max_usage_in_bytes")?.map_or(0, |text| stats::number(&text)),
        failcnt: read("failcnt")?.map_or(0, |text| stats::number(&text)),
        limit: read("limit_in_bytes")?.and_then(|text| stats::limit(&text)),
    }))
}

pub(super) fn oom_kills(dir: &Dir) -> Result<u64, CgroupError> {
    Ok(stats::pair(&dir.read_named("memory.oom_control")?, "oom_kill").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(memory: Memory) -> Vec<(String, String)> {
        settings(Some(&memory)).unwrap().into_iter().map(|s| (s.file.into_owned(), s.value)).collect()
    }

    #[test]
    fn an_unlimited_memory_unlimits_swap_as_well() {
        assert_eq!(
            files(Memory { limit: Some(-1), ..Memory::default() }),
            [
                ("memory.limit_in_bytes".into(), "-1".into()),
                ("memory.memsw.limit_in_bytes".into(), "-1".into())
            ]
        );
    }

    #[test]
    fn zero_means_unset() {
        let memory = Memory { limit: Some(0), swap: Some(0), reservation: Some(0), ..Memory::default() };
        assert!(files(memory).is_empty());
    }

    #[test]
    fn swap_includes_memory() {
        let memory = Memory { limit: Some(100), swap: Some(99), ..Memory::default() };
        assert!(matches!(settings(Some(&memory)), Err(CgroupError::Invalid { field: "memory.swap", .. })));
    }

    #[test]
    fn buffers_of_tcp_are_limited_where_the_kernel_still_can() {
        let memory = Memory { kernel_tcp: Some(4096), ..Memory::default() };
        assert_eq!(files(memory), [("memory.kmem.tcp.limit_in_bytes".into(), "4096".into())]);
    }

    #[test]
    fn deprecated_fields_are_ignored() {
        let memory = Memory {
            kernel: Some(1),
            use_hierarchy: Some(true),
            disable_oom_killer: Some(false),
            ..Memory::default()
        };
        assert!(files(memory).is_empty());
    }
}
