//! What containers use, as the kernel tells it at one moment.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::Arc,
};

use bollard_stubs::models::HealthStatusEnum;
use minke_kernel::cgroup::{BlkioStats, CpuStats, MemoryStats, Stats};
use time::OffsetDateTime;

use crate::{
    container::{Container, Record},
    engine::Inner,
    stats, time_text,
};

/// One container, with what it uses.
#[derive(Debug, Clone)]
pub struct ContainerUsage {
    record: Arc<Record>,
    /// The path of its cgroup, from the hierarchies' roots.
    pub cgroup: String,
    /// When it was made.
    pub created: Option<OffsetDateTime>,
    /// When its program was started.
    pub started: Option<OffsetDateTime>,
    /// When this was measured.
    pub seen: OffsetDateTime,
    /// How often its restart policy has started it again.
    pub restarts: u32,
    /// Whether it is well.
    pub health: Health,
    /// What it uses; `None` while no process runs.
    pub used: Option<Use>,
}

/// What a container's health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has none.
    Unchecked,
    /// No check has succeeded or counted yet.
    Starting,
    /// The last one succeeded.
    Healthy,
    /// As many as `--health-retries` failed one after the other.
    Unhealthy,
}

/// What a container uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Use {
    /// CPU time.
    pub cpu: CpuUse,
    /// Memory.
    pub memory: MemoryUse,
    /// Threads of all its processes.
    pub threads: u64,
    /// How many there may be; `None` without a limit.
    pub threads_limit: Option<u64>,
    /// Block devices, by name.
    pub block_io: BTreeMap<String, BlockIo>,
    /// Interfaces but loopback, by name; none of those that it shares with the host or another container.
    pub networks: BTreeMap<String, NetworkUse>,
}

/// CPU time in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuUse {
    /// All of it.
    pub total: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// By CPU; empty on cgroup v2, which does not say.
    pub per_cpu: Vec<u64>,
    /// Periods of the quota that passed.
    pub periods: u64,
    /// Those in which it had to wait.
    pub throttled_periods: u64,
    /// How long it waited.
    pub throttled: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// All of it, with page cache.
    pub usage: u64,
    /// The most it ever was; 0 if the kernel does not say (cgroup v2 before Linux 5.19).
    pub max_usage: u64,
    /// Page cache.
    pub cache: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// Swapped out.
    pub swap: u64,
    /// Files that are mapped.
    pub mapped_file: u64,
    /// Kernel memory; cgroup v1 only.
    pub kernel: u64,
    /// `usage` without page cache that has not been used for a while.
    pub working_set: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
    /// Page faults: in the cgroup itself, and with all below it.
    pub page_faults: [u64; 2],
    /// Those that needed the disk, likewise.
    pub major_page_faults: [u64; 2],
    /// Processes killed for want of memory.
    pub oom_kills: u64,
}

/// Transfers from and to one block device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Traffic of one interface: received, then sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkUse {
    /// Bytes.
    pub bytes: [u64; 2],
    /// Packets.
    pub packets: [u64; 2],
    /// Packets lost to errors.
    pub errors: [u64; 2],
    /// Packets dropped.
    pub dropped: [u64; 2],
}

impl ContainerUsage {
    /// Its id.
    pub fn id(&self) -> &str {
        self.record.id.as_str()
    }

    /// Its name, without Docker's slash.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The image that it was asked to be made of.
    pub fn image(&self) -> &str {
        self.record.image_name()
    }

    /// Its labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.record.config.labels.iter().flatten();
        labels.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Its CPU shares.
    pub fn cpu_shares(&self) -> u64 {
        positive(self.record.host.cpu_shares).unwrap_or(1024)
    }

    /// The period of its CPU quota in microseconds.
    pub fn cpu_period(&self) -> u64 {
        positive(self.record.host.cpu_period).unwrap_or(100_000)
    }

    /// Microseconds of CPU time that it may have in each period; `None` without a limit.
    pub fn cpu_quota(&self) -> Option<u64> {
        let of_cpus = |billionths: u64| billionths.saturating_mul(self.cpu_period()) / 1_000_000_000;
        positive(self.record.host.cpu_quota).or_else(|| positive(self.record.host.nano_cpus).map(of_cpus))
    }

    /// Bytes of memory that it may have; 0 without a limit.
    pub fn memory_limit(&self) -> u64 {
        positive(self.record.host.memory).unwrap_or(0)
    }

    /// Bytes of memory and swap together that it may have; 0 without a limit.
    pub fn memory_swap_limit(&self) -> u64 {
        positive(self.record.host.memory_swap).unwrap_or(0)
    }

    /// Bytes of memory that it keeps when the host runs short; 0 without any.
    pub fn memory_reservation(&self) -> u64 {
        positive(self.record.host.memory_reservation).unwrap_or(0)
    }
}

fn positive(value: Option<i64>) -> Option<u64> {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
}

/// Measures every container that runs, is frozen or waits for its next start.
pub(super) fn of_all(inner: &Inner) -> Vec<ContainerUsage> {
    let mut devices = Devices::default();
    let containers = inner.containers().into_iter().filter(|container| container.is_active());
    containers.map(|container| of_one(inner, &container, &mut devices)).collect()
}

fn of_one(inner: &Inner, container: &Container, devices: &mut Devices) -> ContainerUsage {
    let record = container.record();
    let cgroup = inner.cgroup_of(&record);
    let (pid, started, restarts, health) = container.look(|run| {
        let health = run.health.as_ref().map(|health| health.status);
        (run.process.map(|(pid, _)| pid), time_text::parse(&run.started_at), run.restart_count, health)
    });
    let mut used =
        pid.and_then(|_| inner.open_cgroup(&cgroup)?.stats().ok()).map(|stats| of_stats(&stats, devices));
    if let (Some(pid), Some(used)) = (pid, &mut used)
        && has_own_network(&record)
    {
        used.networks = networks(pid);
    }
    ContainerUsage {
        created: time_text::parse(&record.created),
        record,
        cgroup,
        started,
        seen: OffsetDateTime::now_utc(),
        restarts,
        health: match health {
            None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) => Health::Unchecked,
            Some(HealthStatusEnum::STARTING) => Health::Starting,
            Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
            Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        },
        used,
    }
}

/// What others have too is counted as theirs, once.
fn has_own_network(record: &Record) -> bool {
    let mode = record.host.network_mode.as_deref().unwrap_or("");
    mode != "host" && !mode.starts_with("container:")
}

fn networks(pid: i32) -> BTreeMap<String, NetworkUse> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let pair = |received: Option<u64>, sent: Option<u64>| [received.unwrap_or(0), sent.unwrap_or(0)];
    let interfaces = stats::networks(&text).into_iter().map(|(name, counters)| {
        let used = NetworkUse {
            bytes: pair(counters.rx_bytes, counters.tx_bytes),
            packets: pair(counters.rx_packets, counters.tx_packets),
            errors: pair(counters.rx_errors, counters.tx_errors),
            dropped: pair(counters.rx_dropped, counters.tx_dropped),
        };
        (name, used)
    });
    interfaces.collect()
}

fn of_stats(stats: &Stats, devices: &mut Devices) -> Use {
    Use {
        cpu: cpu(&stats.cpu),
        memory: memory(&stats.memory),
        threads: stats.pids.current,
        threads_limit: stats.pids.limit,
        block_io: block_io(&stats.blkio, devices),
        networks: BTreeMap::new(),
    }
}

fn cpu(cpu: &CpuStats) -> CpuUse {
    CpuUse {
        total: cpu.usage.total,
        user: cpu.usage.user,
        system: cpu.usage.system,
        per_cpu: cpu.usage.percpu.clone(),
        periods: cpu.throttling.periods,
        throttled_periods: cpu.throttling.throttled_periods,
        throttled: cpu.throttling.throttled_time,
    }
}

/// The kernel's names differ: cgroup v1 has a `total_` one for the cgroup with all below it, v2 has only such sums.
fn memory(memory: &MemoryStats) -> MemoryUse {
    let stat = |names: &[&str]| names.iter().find_map(|name| memory.stats.get(*name)).copied().unwrap_or(0);
    let usage = memory.usage.usage;
    MemoryUse {
        usage,
        max_usage: memory.usage.max_usage,
        cache: stat(&["total_cache", "cache", "file"]),
        rss: stat(&["total_rss", "rss", "anon"]),
        swap: match memory.stats.get("total_swap").or_else(|| memory.stats.get("swap")) {
            Some(swap) => *swap,
            None => memory.swap.usage.saturating_sub(usage),
        },
        mapped_file: stat(&["total_mapped_file", "mapped_file", "file_mapped"]),
        kernel: memory.kernel.usage,
        working_set: usage.saturating_sub(stat(&["total_inactive_file", "inactive_file"])),
        limit_hits: memory.usage.failcnt,
        page_faults: [stat(&["pgfault"]), stat(&["total_pgfault", "pgfault"])],
        major_page_faults: [stat(&["pgmajfault"]), stat(&["total_pgmajfault", "pgmajfault"])],
        oom_kills: memory.oom_kills,
    }
}

fn block_io(blkio: &BlkioStats, devices: &mut Devices) -> BTreeMap<String, BlockIo> {
    let mut sums = BTreeMap::<String, BlockIo>::new();
    for (entries, are_bytes) in [(&blkio.io_service_bytes, true), (&blkio.io_serviced, false)] {
        for entry in entries {
            let sum = sums.entry(devices.name(entry.major, entry.minor)).or_default();
            match (are_bytes, entry.op.to_ascii_lowercase().as_str()) {
                (true, "read") => sum.read_bytes += entry.value,
                (true, "write") => sum.written_bytes += entry.value,
                (false, "read") => sum.reads += entry.value,
                (false, "write") => sum.writes += entry.value,
                _ => {}
            }
        }
    }
    sums
}

/// Names of block devices, each looked up once.
#[derive(Debug, Default)]
struct Devices(HashMap<(u64, u64), String>);

impl Devices {
    /// `/dev/vda`, or the numbers of a device that is gone.
    fn name(&mut self, major: u64, minor: u64) -> String {
        let look_up = || {
            let text =
                fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent")).unwrap_or_default();
            let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
            name.map_or_else(|| format!("{major}:{minor}"), |name| format!("/dev/{name}"))
        };
        self.0.entry((major, minor)).or_insert_with(look_up).clone()
    }
}

#[cfg(test)]
mod tests {
    use minke_kernel::cgroup::{BlkioEntry, MemoryData};

    use super::*;

    fn stats(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect()
    }

    #[test]
    fn memory_means_the_same_on_both_versions_of_cgroups() {
        let usage = MemoryData { usage: 1000, ..MemoryData::default() };
        let old = stats(&[
            ("cache", 1),
            ("total_cache", 300),
            ("total_rss", 500),
            ("total_swap", 70),
            ("total_inactive_file", 200),
            ("pgfault", 3),
            ("total_pgfault", 9),
        ]);
        let old = memory(&MemoryStats { usage: usage.clone(), stats: old, ..MemoryStats::default() });
        let swap = MemoryData { usage: 1070, ..MemoryData::default() };
        let new = stats(&[("file", 300), ("anon", 500), ("inactive_file", 200), ("pgfault", 9)]);
        let new = memory(&MemoryStats { usage, swap, stats: new, ..MemoryStats::default() });
        assert_eq!((old.page_faults, new.page_faults), ([3, 9], [9, 9]));
        assert_eq!(MemoryUse { page_faults: [9, 9], ..old }, new);
        assert_eq!((new.cache, new.rss, new.swap, new.working_set), (300, 500, 70, 800));
    }

    #[test]
    fn a_working_set_is_never_below_zero() {
        let usage = MemoryData { usage: 10, ..MemoryData::default() };
        let stats = stats(&[("inactive_file", 20)]);
        assert_eq!(memory(&MemoryStats { usage, stats, ..MemoryStats::default() }).working_set, 0);
    }

    #[test]
    fn transfers_are_summed_by_device() {
        let entry = |op: &str, value| BlkioEntry { major: 0, minor: 4095, op: op.to_owned(), value };
        let blkio = BlkioStats {
            io_service_bytes: vec![entry("Read", 100), entry("Write", 20), entry("Total", 120)],
            io_serviced: vec![entry("read", 3), entry("write", 2)],
        };
        let sums = block_io(&blkio, &mut Devices::default());
        let expected = BlockIo { read_bytes: 100, written_bytes: 20, reads: 3, writes: 2 };
        assert_eq!(sums, BTreeMap::from([("0:4095".to_owned(), expected)]));
    }
}
