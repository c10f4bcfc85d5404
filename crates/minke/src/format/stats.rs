//! Rows of `minke stats`, and the arithmetic behind them.

use std::collections::BTreeMap;

use minke_model::quantity::{binary_size, decimal_size};
use serde::Deserialize;

use super::{
    Kind, Row,
    text::{or_default, short_id},
};

/// The listing of resource use.
pub(crate) static KIND: Kind = Kind {
    titles: &[
        ("Container", "CONTAINER"),
        ("Name", "NAME"),
        ("ID", "CONTAINER ID"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
    table: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    quiet: "{{.ID}}",
};

/// One sample of `GET /containers/NAME/stats`, as far as the table shows it.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Sample {
    id: String,
    name: String,
    #[serde(deserialize_with = "or_default")]
    cpu_stats: Cpu,
    #[serde(deserialize_with = "or_default")]
    precpu_stats: Cpu,
    #[serde(deserialize_with = "or_default")]
    memory_stats: Memory,
    #[serde(deserialize_with = "or_default")]
    pids_stats: Pids,
    #[serde(deserialize_with = "or_default")]
    blkio_stats: Blkio,
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, Network>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Cpu {
    #[serde(deserialize_with = "or_default")]
    cpu_usage: CpuUsage,
    #[serde(deserialize_with = "or_default")]
    system_cpu_usage: u64,
    #[serde(deserialize_with = "or_default")]
    online_cpus: u32,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct CpuUsage {
    #[serde(deserialize_with = "or_default")]
    total_usage: u64,
    #[serde(deserialize_with = "or_default")]
    percpu_usage: Vec<u64>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Memory {
    #[serde(deserialize_with = "or_default")]
    usage: u64,
    #[serde(deserialize_with = "or_default")]
    limit: u64,
    #[serde(deserialize_with = "or_default")]
    stats: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Pids {
    #[serde(deserialize_with = "or_default")]
    current: u64,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Blkio {
    #[serde(deserialize_with = "or_default")]
    io_service_bytes_recursive: Vec<BlkioEntry>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct BlkioEntry {
    op: String,
    value: u64,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Network {
    rx_bytes: u64,
    tx_bytes: u64,
}

/// What a sample says, in numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
    /// 100 is one whole CPU.
    pub(crate) cpu_percent: f64,
    /// Bytes, without page cache that the kernel can drop at any time.
    pub(crate) memory: f64,
    /// Bytes that it may use.
    pub(crate) memory_limit: f64,
    /// Bytes from all networks.
    pub(crate) received: u64,
    /// Bytes to all networks.
    pub(crate) sent: u64,
    /// Bytes from block devices.
    pub(crate) read: u64,
    /// Bytes to block devices.
    pub(crate) written: u64,
    /// Processes and threads.
    pub(crate) pids: u64,
}

impl Sample {
    /// What it says, in numbers.
    pub(crate) fn numbers(&self) -> Numbers {
        let networks = self.networks.values();
        let (received, sent) =
            networks.fold((0, 0), |(rx, tx), network| (rx + network.rx_bytes, tx + network.tx_bytes));
        Numbers {
            cpu_percent: self.cpu_percent(),
            memory: self.memory(),
            memory_limit: self.memory_stats.limit as f64,
            received,
            sent,
            read: self.block("read"),
            written: self.block("write"),
            pids: self.pids_stats.current,
        }
    }

    /// The row of the container that the user called `asked`.
    pub(crate) fn row(&self, asked: &str, full: bool) -> Row {
        let now = self.numbers();
        let (used, limit) = (now.memory, now.memory_limit);
        let name = self.name.strip_prefix('/').unwrap_or(&self.name);
        let pair = |a: u64, b: u64| format!("{} / {}", decimal_size(a as f64, 3), decimal_size(b as f64, 3));
        let percent = if limit > 0.0 { used / limit * 100.0 } else { 0.0 };
        Row::new([
            ("Container", asked.to_owned()),
            ("Name", if name.is_empty() { "--".to_owned() } else { name.to_owned() }),
            ("ID", if full { self.id.clone() } else { short_id(&self.id) }),
            ("CPUPerc", format!("{:.2}%", now.cpu_percent)),
            ("MemUsage", format!("{} / {}", binary_size(used), binary_size(limit))),
            ("MemPerc", format!("{percent:.2}%")),
            ("NetIO", pair(now.received, now.sent)),
            ("BlockIO", pair(now.read, now.written)),
            ("PIDs", now.pids.to_string()),
        ])
    }

    /// The same, compared with an earlier sample of our own where the engine gave none.
    #[must_use]
    pub(crate) fn since(mut self, before: Option<&Self>) -> Self {
        if self.precpu_stats.system_cpu_usage == 0
            && let Some(before) = before
        {
            self.precpu_stats = before.cpu_stats.clone();
        }
        self
    }

    /// The row of a container that no sample could be had from.
    pub(crate) fn unknown(asked: &str) -> Row {
        let none = || "--".to_owned();
        Row::new([
            ("Container", asked.to_owned()),
            ("Name", none()),
            ("ID", asked.to_owned()),
            ("CPUPerc", none()),
            ("MemUsage", "-- / --".to_owned()),
            ("MemPerc", none()),
            ("NetIO", none()),
            ("BlockIO", none()),
            ("PIDs", none()),
        ])
    }

    fn cpu_percent(&self) -> f64 {
        if self.precpu_stats.system_cpu_usage == 0 {
            return 0.0;
        }
        let used =
            self.cpu_stats.cpu_usage.total_usage as f64 - self.precpu_stats.cpu_usage.total_usage as f64;
        let all = self.cpu_stats.system_cpu_usage as f64 - self.precpu_stats.system_cpu_usage as f64;
        let cpus = match self.cpu_stats.online_cpus {
            0 => self.cpu_stats.cpu_usage.percpu_usage.len() as f64,
            online => f64::from(online),
        };
        if used > 0.0 && all > 0.0 { used / all * cpus * 100.0 } else { 0.0 }
    }

    /// The cache that can be dropped has one name on cgroup v1 and another on v2.
    fn memory(&self) -> f64 {
        let memory = &self.memory_stats;
        let cache = ["total_inactive_file", "inactive_file"].iter().find_map(|name| memory.stats.get(*name));
        let cache = cache.copied().filter(|cache| *cache < memory.usage).unwrap_or(0);
        (memory.usage - cache) as f64
    }

    fn block(&self, operation: &str) -> u64 {
        let entries = self.blkio_stats.io_service_bytes_recursive.iter();
        entries.filter(|entry| entry.op.eq_ignore_ascii_case(operation)).map(|entry| entry.value).sum()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_becomes_percentages_and_sizes() {
        let sample: Sample = serde_json::from_value(json!({
            "id": "0123456789abcdef", "name": "/web",
            "cpu_stats": {"cpu_usage": {"total_usage": 300, "percpu_usage": null}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 3_145_728, "limit": 104_857_600, "stats": {"inactive_file": 1_048_576}},
            "pids_stats": {"current": 3},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 1000}, {"op": "write", "value": 2500}]},
            "networks": {"eth0": {"rx_bytes": 656, "tx_bytes": 0}}
        }))
        .unwrap();
        let row = sample.row("web", false);
        let expected = [
            ("ID", "0123456789ab"),
            ("Name", "web"),
            ("CPUPerc", "40.00%"),
            ("MemUsage", "2MiB / 100MiB"),
            ("MemPerc", "2.00%"),
            ("NetIO", "656B / 0B"),
            ("BlockIO", "1kB / 2.5kB"),
            ("PIDs", "3"),
            ("Container", "web"),
        ];
        for (field, value) in expected {
            assert_eq!(row.fields[field], value, "{field}");
        }
    }

    #[test]
    fn a_stopped_containers_sample_is_all_zero() {
        let row = serde_json::from_value::<Sample>(json!({"id": "1", "memory_stats": {}, "networks": null}))
            .unwrap()
            .row("1", false);
        assert_eq!(row.fields["CPUPerc"], "0.00%");
        assert_eq!(row.fields["MemUsage"], "0B / 0B");
    }
}
