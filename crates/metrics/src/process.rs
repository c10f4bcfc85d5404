//! The engine's own process, under the names that all exporters give to theirs.

use std::fs;

use crate::exposition::{Head, Kind, Samples};

/// What /proc says about this process; what it doesn't say is `None`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Process {
    cpu_seconds: Option<f64>,
    open_files: Option<u64>,
    most_files: Option<u64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    most_virtual_bytes: Option<u64>,
    start_seconds: Option<f64>,
}

/// A name, and where its number is.
pub(crate) struct Family {
    pub(crate) head: Head,
    number: fn(&Process) -> Option<f64>,
}

impl Family {
    pub(crate) fn write(&self, process: &Process, samples: &mut Samples<'_>) {
        if let Some(number) = (self.number)(process) {
            samples.value(number);
        }
    }
}

const fn family(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    number: fn(&Process) -> Option<f64>,
) -> Family {
    Family { head: Head { name, kind, help }, number }
}

pub(crate) static FAMILIES: &[Family] = &[
    family(
        "process_cpu_seconds_total",
        Kind::Counter,
        "Total user and system CPU time spent in seconds.",
        |process| process.cpu_seconds,
    ),
    family("process_max_fds", Kind::Gauge, "Maximum number of open file descriptors.", |process| {
        process.most_files.map(|count| count as f64)
    }),
    family("process_open_fds", Kind::Gauge, "Number of open file descriptors.", |process| {
        process.open_files.map(|count| count as f64)
    }),
    family("process_resident_memory_bytes", Kind::Gauge, "Resident memory size in bytes.", |process| {
        process.resident_bytes.map(|bytes| bytes as f64)
    }),
    family(
        "process_start_time_seconds",
        Kind::Gauge,
        "Start time of the process since unix epoch in seconds.",
        |process| process.start_seconds,
    ),
    family("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory size in bytes.", |process| {
        process.virtual_bytes.map(|bytes| bytes as f64)
    }),
    family(
        "process_virtual_memory_max_bytes",
        Kind::Gauge,
        "Maximum amount of virtual memory available in bytes.",
        |process| process.most_virtual_bytes.map(|bytes| bytes as f64),
    ),
];

impl Process {
    /// Reads about this process.
    pub(crate) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
        Self {
            // The one that lists them is not counted.
            open_files: open.map(|count| count.saturating_sub(1)),
            ..Self::parse(&text("/proc/self/stat"), &text("/proc/self/limits"), &text("/proc/stat"))
        }
    }

    /// proc(5): /proc/PID/stat, /proc/PID/limits and /proc/stat. Times are in hundredths of a second: `USER_HZ` is 100
    /// wherever Linux containers run.
    fn parse(stat: &str, limits: &str, host: &str) -> Self {
        const HERTZ: f64 = 100.0;
        // The name, the second field, is in parentheses and may hold anything; the third field follows it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let boot = host.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) as f64 / HERTZ),
            open_files: None,
            most_files: limit(limits, "Max open files"),
            resident_bytes: field(24).map(|pages| pages * page_size()),
            virtual_bytes: field(23),
            most_virtual_bytes: limit(limits, "Max address space"),
            start_seconds: boot.zip(field(22)).map(|(boot, ticks)| boot + ticks as f64 / HERTZ),
        }
    }
}

/// The soft limit; as large as a number gets where there is none, as other exporters say it.
fn limit(limits: &str, name: &str) -> Option<u64> {
    let value = limits.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next())?;
    if value == "unlimited" { Some(u64::MAX) } else { value.parse().ok() }
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_read_from_procs_fields() {
        let stat =
            "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 1000 8192 3 18446744073709551615";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 4096                 files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        let process = Process::parse(stat, limits, "cpu 1\nbtime 1700000000\n");
        let expected = Process {
            cpu_seconds: Some(3.0),
            open_files: None,
            most_files: Some(1024),
            resident_bytes: Some(3 * page_size()),
            virtual_bytes: Some(8192),
            most_virtual_bytes: Some(u64::MAX),
            start_seconds: Some(1_700_000_010.0),
        };
        assert_eq!(process, expected);
    }

    #[test]
    fn this_process_is_told_in_full() {
        let process = Process::read();
        for family in FAMILIES {
            assert!((family.number)(&process).is_some_and(|number| number >= 0.0), "{}", family.head.name);
        }
    }
}
