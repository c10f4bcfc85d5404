//! `stats`: one sample of what a container uses, from its cgroup and its network namespace.

use std::{collections::HashMap, fs, path::PathBuf};

use bollard_stubs::models::{
    ContainerBlkioStatEntry, ContainerBlkioStats, ContainerCpuStats, ContainerCpuUsage, ContainerMemoryStats,
    ContainerNetworkStats, ContainerPidsStats, ContainerStatsResponse, ContainerStorageStats,
    ContainerThrottlingData,
};
use minke_kernel::cgroup::{BlkioEntry, Cgroup, Stats};

use crate::{Engine, Error, container::Container, engine::Inner, time_text};

impl Engine {
    /// What a container uses now. One that does not run uses nothing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`], [`crate::ErrorKind::Internal`] when the kernel doesn't tell.
    pub async fn stats(&self, name: &str) -> Result<ContainerStatsResponse, Error> {
        let container = self.inner().find(name)?;
        self.blocking(move |inner| sample(&inner, &container)).await
    }
}

fn sample(inner: &Inner, container: &Container) -> Result<ContainerStatsResponse, Error> {
    let record = container.record();
    let mut response = ContainerStatsResponse {
        id: Some(record.id.to_string()),
        name: Some(format!("/{}", record.name)),
        os_type: Some("linux".to_owned()),
        read: Some(time_text::now()),
        preread: Some(time_text::NEVER.to_owned()),
        num_procs: Some(0),
        storage_stats: Some(ContainerStorageStats::default()),
        cpu_stats: Some(ContainerCpuStats::default()),
        precpu_stats: Some(ContainerCpuStats::default()),
        memory_stats: Some(ContainerMemoryStats::default()),
        pids_stats: Some(ContainerPidsStats::default()),
        blkio_stats: Some(ContainerBlkioStats::default()),
        ..ContainerStatsResponse::default()
    };
    let Some((pid, _)) = container.run().process else { return Ok(response) };
    let Some(cgroup) = inner.open_cgroup(&inner.cgroup_of(&record)) else { return Ok(response) };
    let stats = cgroup
        .stats()
        .map_err(|error| Error::internal(format!("measure {}", container.id.short()), &error))?;
    response.cpu_stats = Some(cpu(inner, &stats));
    response.memory_stats = Some(memory(inner, &stats));
    response.pids_stats = Some(ContainerPidsStats {
        current: Some(stats.pids.current),
        // Absent means none, as in Docker.
        limit: stats.pids.limit,
    });
    response.blkio_stats = Some(ContainerBlkioStats {
        io_service_bytes_recursive: Some(blkio(&stats.blkio.io_service_bytes)),
        io_serviced_recursive: Some(blkio(&stats.blkio.io_serviced)),
        ..ContainerBlkioStats::default()
    });
    let host_network = record.host.network_mode.as_deref() == Some("host");
    if !host_network {
        // The host's counters are not this container's.
        response.networks =
            fs::read_to_string(format!("/proc/{pid}/net/dev")).ok().map(|text| networks(&text));
    }
    Ok(response)
}

fn cpu(inner: &Inner, stats: &Stats) -> ContainerCpuStats {
    let usage = &stats.cpu.usage;
    ContainerCpuStats {
        cpu_usage: Some(ContainerCpuUsage {
            total_usage: Some(usage.total),
            percpu_usage: Some(usage.percpu.clone()).filter(|list| !list.is_empty()),
            usage_in_kernelmode: Some(usage.system),
            usage_in_usermode: Some(usage.user),
        }),
        system_cpu_usage: fs::read_to_string("/proc/stat").ok().map(|text| system_cpu(&text)),
        online_cpus: u32::try_from(inner.host.facts.resources.cpus).ok(),
        throttling_data: Some(ContainerThrottlingData {
            periods: Some(stats.cpu.throttling.periods),
            throttled_periods: Some(stats.cpu.throttling.throttled_periods),
            throttled_time: Some(stats.cpu.throttling.throttled_time),
        }),
    }
}

fn memory(inner: &Inner, stats: &Stats) -> ContainerMemoryStats {
    let memory = &stats.memory;
    let unified = inner.host.facts.resources.unified;
    ContainerMemoryStats {
        usage: Some(memory.usage.usage),
        max_usage: Some(memory.usage.max_usage).filter(|_| !unified),
        failcnt: Some(memory.usage.failcnt).filter(|_| !unified),
        stats: Some(memory.stats.clone().into_iter().collect()),
        // Without a limit of its own, the host's memory is the limit.
        limit: Some(memory.usage.limit.unwrap_or(u64::MAX).min(inner.host.memory)),
        ..ContainerMemoryStats::default()
    }
}

fn blkio(entries: &[BlkioEntry]) -> Vec<ContainerBlkioStatEntry> {
    let entry = |entry: &BlkioEntry| ContainerBlkioStatEntry {
        major: Some(entry.major),
        minor: Some(entry.minor),
        op: Some(entry.op.clone()),
        value: Some(entry.value),
    };
    entries.iter().map(entry).collect()
}

/// Nanoseconds of CPU time that the whole host has had: the first seven fields of /proc/stat's first line,
/// in hundredths of a second.
fn system_cpu(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or("");
    let ticks: u64 =
        line.split_whitespace().skip(1).take(7).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * 10_000_000
}

/// The interfaces of a namespace but loopback, from /proc/PID/net/dev.
pub(crate) fn networks(text: &str) -> HashMap<String, ContainerNetworkStats> {
    let interface = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let [
            rx_bytes,
            rx_packets,
            rx_errors,
            rx_dropped,
            _,
            _,
            _,
            _,
            tx_bytes,
            tx_packets,
            tx_errors,
            tx_dropped,
            ..,
        ] = counters[..]
        else {
            return None;
        };
        let stats = ContainerNetworkStats {
            rx_bytes: Some(rx_bytes),
            rx_packets: Some(rx_packets),
            rx_errors: Some(rx_errors),
            rx_dropped: Some(rx_dropped),
            tx_bytes: Some(tx_bytes),
            tx_packets: Some(tx_packets),
            tx_errors: Some(tx_errors),
            tx_dropped: Some(tx_dropped),
            ..ContainerNetworkStats::default()
        };
        Some((name.trim().to_owned(), stats)).filter(|(name, _)| name != "lo")
    };
    text.lines().filter_map(interface).collect()
}

impl Inner {
    /// The cgroup at this path (as `cgroupsPath` has it), if it exists in any hierarchy.
    pub(crate) fn open_cgroup(&self, path: &str) -> Option<Cgroup> {
        let layout = &self.host.cgroups;
        let below = path.trim_start_matches('/');
        let mut paths = std::collections::BTreeMap::<String, PathBuf>::new();
        for hierarchy in &layout.legacy {
            let directory = hierarchy.mount_point.join(below);
            if !directory.is_dir() {
                continue;
            }
            for controller in hierarchy.controllers.iter() {
                paths.insert(controller.to_string(), directory.clone());
            }
            if let Some(name) = &hierarchy.name {
                paths.insert(format!("name={name}"), directory);
            }
        }
        if let Some(unified) = &layout.unified {
            let directory = unified.mount_point.join(below);
            if directory.is_dir() {
                paths.insert(String::new(), directory);
            }
        }
        if paths.is_empty() { None } else { Cgroup::open(&paths).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_counters_are_read_without_loopback() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
        let networks = networks(text);
        assert_eq!(networks.len(), 1);
        assert_eq!((networks["eth0"].rx_bytes, networks["eth0"].tx_dropped), (Some(10), Some(8)));
    }

    #[test]
    fn the_hosts_cpu_time_is_in_nanoseconds() {
        assert_eq!(system_cpu("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n"), 280_000_000);
    }
}
