//! cgroup v2's memory controller (admin-guide/cgroup-v2.rst, "Memory").

use minke_model::runtime_spec::Memory;

use super::super::{
    CgroupError, Controller,
    dir::Dir,
    setting::Setting,
    stats::{self, MemoryData, MemoryStats},
};

pub(super) fn settings(memory: Option<&Memory>) -> Result<Vec<Setting>, CgroupError> {
    let Some(memory) = memory else { return Ok(Vec::new()) };
    if memory.swappiness.is_some() {
        return Err(CgroupError::Unsupported { field: "memory.swappiness", version: "v2" });
    }
    if memory.disable_oom_killer == Some(true) {
        return Err(CgroupError::Unsupported { field: "memory.disableOOMKiller", version: "v2" });
    }
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let limit = set(memory.limit);
    let mut settings = Vec::new();
    if let Some(swap) = swap(limit, set(memory.swap))? {
        let setting = Setting::new(Controller::Memory, "memory.swap", "memory.swap.max", &swap);
        // Without swap accounting there is no swap to limit, and none to forbid.
        settings.push(if swap == "max" || swap == "0" { setting.ignore_absent() } else { setting });
    }
    if let Some(limit) = limit {
        settings.push(Setting::new(Controller::Memory, "memory.limit", "memory.max", amount(limit)));
    }
    if let Some(reservation) = set(memory.reservation) {
        let value = amount(reservation);
        settings.push(Setting::new(Controller::Memory, "memory.reservation", "memory.low", value));
    }
    Ok(settings)
}

/// The limit on swap alone: the specification's, as v1's, counts memory and swap together.
fn swap(limit: Option<i64>, swap: Option<i64>) -> Result<Option<String>, CgroupError> {
    let invalid = |swap: i64, reason| {
        Err(CgroupError::Invalid { field: "memory.swap", value: swap.to_string(), reason })
    };
    match (limit, swap) {
        (_, Some(..=-1)) | (Some(..=-1), None) => Ok(Some("max".to_owned())),
        (_, None) => Ok(None),
        (Some(limit @ 1..), Some(swap)) if swap >= limit => Ok(Some((swap - limit).to_string())),
        (Some(1..), Some(swap)) => invalid(swap, "is less than memory.limit, which it includes"),
        (_, Some(swap)) => invalid(swap, "needs a memory.limit, which it includes"),
    }
}

fn amount(value: i64) -> String {
    match value {
        ..0 => "max".to_owned(),
        _ => value.to_string(),
    }
}

/// Refuses a limit below what is in use, if that was asked for.
pub(super) fn check(memory: &Memory, dir: &Dir) -> Result<(), CgroupError> {
    let limit = memory.limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit != 0);
    let (Some(limit), Some(true)) = (limit, memory.check_before_update) else { return Ok(()) };
    match optional(dir, "memory.current")?.map(|text| stats::number(&text)) {
        Some(usage) if usage > limit => Err(CgroupError::InUse { limit, usage }),
        _ => Ok(()),
    }
}

pub(super) fn read_stats(dir: &Dir, memory: &mut MemoryStats) -> Result<(), CgroupError> {
    let text = dir.read_named("memory.stat")?;
    memory.stats = stats::pairs(&text).map(|(key, value)| (key.to_owned(), value)).collect();
    memory.cache = memory.stats.get("file").copied().unwrap_or(0);
    memory.usage = data(dir, "memory")?;
    let swap = data(dir, "memory.swap")?;
    memory.swap = MemoryData {
        usage: swap.usage.saturating_add(memory.usage.usage),
        max_usage: 0,
        failcnt: swap.failcnt,
        limit: swap.limit.zip(memory.usage.limit).map(|(swap, memory)| swap.saturating_add(memory)),
    };
    memory.oom_kills = oom_kills(dir)?;
    Ok(())
}

/// One kind of memory; zeros if the kernel doesn't count it. Peaks are there since Linux 5.19 (swap: 6.5).
fn data(dir: &Dir, prefix: &str) -> Result<MemoryData, CgroupError> {
    let read = |name: &str| optional(dir, &format!("{prefix}.{name}"));
    let events = read("events")?;
    Ok(MemoryData {
        usage: read("current")?.map_or(0, |text| stats::number(&text)),
        max_usage: read("peak")?.map_or(0, |text| stats::number(&text)),
        failcnt: events.and_then(|text| stats::pair(&text, "max")).unwrap_or(0),
        limit: read("max")?.and_then(|text| stats::limit(&text)),
    })
}

/// Kills in the cgroup and below it; 0 without the controller.
pub(super) fn oom_kills(dir: &Dir) -> Result<u64, CgroupError> {
    Ok(optional(dir, "memory.events")?.and_then(|text| stats::pair(&text, "oom_kill")).unwrap_or(0))
}

fn optional(dir: &Dir, file: &str) -> Result<Option<String>, CgroupError> {
    dir.read_if_present(file).map_err(|source| CgroupError::Io {
        action: "read",
        path: dir.path().join(file),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_what_remains_beyond_memory() {
        assert_eq!(swap(Some(100), Some(300)).unwrap().unwrap(), "200");
        assert_eq!(swap(Some(100), Some(100)).unwrap().unwrap(), "0");
        assert_eq!(swap(Some(100), None).unwrap(), None);
        assert_eq!(swap(Some(100), Some(-1)).unwrap().unwrap(), "max");
        assert_eq!(swap(Some(-1), None).unwrap().unwrap(), "max");
    }

    #[test]
    fn swap_without_room_for_memory_is_refused() {
        assert!(swap(Some(100), Some(99)).is_err());
        assert!(swap(None, Some(99)).is_err());
        assert!(swap(Some(-1), Some(99)).is_err());
    }

    #[test]
    fn what_version_2_does_not_have_is_refused_by_name() {
        let memory = Memory { swappiness: Some(0), ..Memory::default() };
        let error = settings(Some(&memory)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "linux.resources.memory.swappiness: invalid configuration: cannot use memory.swappiness on cgroup v2"
        );
        let memory = Memory { disable_oom_killer: Some(false), ..Memory::default() };
        assert!(settings(Some(&memory)).unwrap().is_empty());
    }
}
