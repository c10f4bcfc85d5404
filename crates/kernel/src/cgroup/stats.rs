//! What a container uses, in one shape for both versions, and how the kernel's tables are read.
//!
//! The engine makes Docker's stats of it, the runtime the `events` command's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything measured at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// CPU time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block devices.
    pub blkio: BlkioStats,
    /// Huge pages, by page size as in `2MB`.
    pub hugetlb: BTreeMap<String, HugetlbStats>,
}

/// CPU time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// Time used.
    pub usage: CpuUsage,
    /// How often a quota was hit.
    pub throttling: Throttling,
}

/// CPU time used, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// All of it.
    pub total: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// By CPU; empty on v2, which does not say.
    pub percpu: Vec<u64>,
}

/// How often a CPU quota was hit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Throttling {
    /// Periods that passed.
    pub periods: u64,
    /// Periods in which the container had to wait.
    pub throttled_periods: u64,
    /// How long it waited in all, in nanoseconds.
    pub throttled_time: u64,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Memory, with page cache.
    pub usage: MemoryData,
    /// Memory and swap together, as v1 counts; on v2 the sum of both.
    pub swap: MemoryData,
    /// Kernel memory; v1 only.
    pub kernel: MemoryData,
    /// Kernel memory of TCP buffers; v1 only.
    pub kernel_tcp: MemoryData,
    /// Bytes of page cache.
    pub cache: u64,
    /// `memory.stat` as the kernel has it; the keys differ between the versions.
    pub stats: BTreeMap<String, u64>,
    /// Processes killed for want of memory.
    pub oom_kills: u64,
}

/// One kind of memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryData {
    /// In use now.
    pub usage: u64,
    /// The most that was in use; 0 if the kernel does not say.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
    /// The limit; None without one.
    pub limit: Option<u64>,
}

/// Tasks: processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be; None without a limit.
    pub limit: Option<u64>,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes, by device and operation.
    pub io_service_bytes: Vec<BlkioEntry>,
    /// Operations, by device and operation.
    pub io_serviced: Vec<BlkioEntry>,
}

/// One counter of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    /// The device's major number.
    pub major: u64,
    /// The device's minor number.
    pub minor: u64,
    /// `Read`, `Write` and so on, as v1 names them.
    pub op: String,
    /// The count.
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HugetlbStats {
    /// In use now.
    pub usage: u64,
    /// The most that was in use; 0 on v2, which does not say.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// The pairs of a flat keyed file (`key value` per line); what is no number is left out.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, value.trim().parse().ok()?))
    })
}

/// One value of a flat keyed file.
pub(super) fn pair(text: &str, key: &str) -> Option<u64> {
    pairs(text).find_map(|(k, value)| (k == key).then_some(value))
}

/// A file with one number; `max` and v1's way of saying so (all bits but the sign's, in whole pages) are
/// None.
pub(super) fn limit(text: &str) -> Option<u64> {
    const UNLIMITED_V1: u64 = 0x7fff_ffff_ffff_0000;
    text.trim().parse().ok().filter(|value| *value < UNLIMITED_V1)
}

/// A file with one number; 0 if it is none.
pub(super) fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The sizes of huge pages that this machine has, as cgroup files spell them.
pub(super) fn hugepage_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut sizes: Vec<String> = names.filter_map(|name| hugepage_size(&name)).collect();
    sizes.sort_unstable();
    sizes
}

/// `hugepages-2048kB` → `2MB`.
fn hugepage_size(name: &str) -> Option<String> {
    let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kib {
        1_048_576.. => format!("{}GB", kib >> 20),
        1024.. => format!("{}MB", kib >> 10),
        _ => format!("{kib}KB"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_know_both_ways_to_say_unlimited() {
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("4096\n"), Some(4096));
    }

    #[test]
    fn flat_files_are_read_by_key() {
        let text = "nr_periods 3\nbroken\nx y\nthrottled_time 9\n";
        assert_eq!(pair(text, "throttled_time"), Some(9));
        assert_eq!(pair(text, "x"), None);
        assert_eq!(pairs(text).count(), 2);
    }

    #[test]
    fn huge_pages_are_spelt_as_the_cgroup_files_do() {
        assert_eq!(hugepage_size("hugepages-2048kB").unwrap(), "2MB");
        assert_eq!(hugepage_size("hugepages-1048576kB").unwrap(), "1GB");
        assert_eq!(hugepage_size("hugepages-64kB").unwrap(), "64KB");
        assert_eq!(hugepage_size("x"), None);
    }
}
