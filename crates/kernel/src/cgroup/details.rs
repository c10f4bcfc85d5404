//! What the `events` command shows beyond [`Stats`](super::Stats): pressure, the cpuset, CPU time by mode
//! and CPU, the scheduler's counters of block devices, limits as the kernel spells them.
//!
//! Kept apart since it takes a dozen more files to read, and who samples many containers needs none of it.

use std::{collections::BTreeMap, path::PathBuf};

use super::{BlkioEntry, dir::Dir, stats};

/// How long tasks waited for a resource (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Time in which some task waited.
    pub some: PressureLine,
    /// Time in which all tasks waited.
    pub full: PressureLine,
}

/// One kind of waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PressureLine {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last 60 seconds.
    pub avg60: f64,
    /// Percent of the last 300 seconds.
    pub avg300: f64,
    /// Microseconds in all.
    pub total: u64,
}

/// A cpuset and its flags (v1 only, as far as runtimes show it).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpusetDetails {
    /// CPUs.
    pub cpus: Vec<u16>,
    /// Memory nodes.
    pub mems: Vec<u16>,
    /// The other files with one number, by name without `cpuset.`.
    pub flags: BTreeMap<&'static str, i64>,
}

/// Limits of memory as the kernel has them; 0 where it has no such file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Of memory.
    pub usage: u64,
    /// Of memory and swap together.
    pub swap: u64,
    /// Of kernel memory (v1).
    pub kernel: u64,
    /// Of TCP buffers (v1).
    pub kernel_tcp: u64,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Details {
    /// Waiting for CPU time; None on v1 and where the kernel doesn't say.
    pub cpu_pressure: Option<Pressure>,
    /// Waiting for memory.
    pub memory_pressure: Option<Pressure>,
    /// Waiting for block devices.
    pub io_pressure: Option<Pressure>,
    /// The cpuset; None on v2.
    pub cpuset: Option<CpusetDetails>,
    /// Nanoseconds in user mode by CPU (v1).
    pub cpu_user: Vec<u64>,
    /// Nanoseconds in kernel mode by CPU (v1).
    pub cpu_kernel: Vec<u64>,
    /// Counters of block devices by v1's name without the scheduler's (`io_queued_recursive`); empty ones are
    /// left out.
    pub blkio: BTreeMap<&'static str, Vec<BlkioEntry>>,
    /// Limits of memory.
    pub limits: MemoryLimits,
}

const FLAGS: [&str; 9] = [
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
];

const BLKIO: [&str; 6] = [
    "io_queued_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "time_recursive",
    "sectors_recursive",
];

/// Reads what there is in the cgroup with these directories by controller; what can't be read counts as
/// absent.
pub(super) fn read(paths: &BTreeMap<String, PathBuf>) -> Details {
    match paths.get("") {
        Some(path) if paths.len() == 1 => open(Some(path)).map(|dir| unified(&dir)).unwrap_or_default(),
        _ => legacy(paths),
    }
}

fn open(path: Option<&PathBuf>) -> Option<Dir> {
    Dir::open(path?.clone()).ok()
}

fn unified(dir: &Dir) -> Details {
    let pressure = |file| dir.read(file).ok().and_then(|text| parse_pressure(&text));
    let swap = number(dir, "memory.swap.max");
    let usage = number(dir, "memory.max");
    Details {
        cpu_pressure: pressure("cpu.pressure"),
        memory_pressure: pressure("memory.pressure"),
        io_pressure: pressure("io.pressure"),
        limits: MemoryLimits {
            usage,
            // Without swap accounting there is nothing to add to.
            swap: if swap == u64::MAX { swap } else { swap.saturating_add(usage) },
            ..MemoryLimits::default()
        },
        ..Details::default()
    }
}

fn legacy(paths: &BTreeMap<String, PathBuf>) -> Details {
    let mut details = Details::default();
    if let Some(dir) = open(paths.get("cpuacct")) {
        let (kernel, user) = dir.read("cpuacct.usage_all").map(|text| by_mode(&text)).unwrap_or_default();
        (details.cpu_kernel, details.cpu_user) = (kernel, user);
    }
    if let Some(dir) = open(paths.get("cpuset")) {
        details.cpuset = Some(cpuset(&dir));
    }
    if let Some(dir) = open(paths.get("blkio")) {
        for name in BLKIO {
            let text =
                ["blkio.bfq", "blkio"].iter().find_map(|family| dir.read(&format!("{family}.{name}")).ok());
            let entries: Vec<_> = text.iter().flat_map(|text| text.lines()).filter_map(entry).collect();
            if !entries.is_empty() {
                details.blkio.insert(name, entries);
            }
        }
    }
    if let Some(dir) = open(paths.get("memory")) {
        details.limits = MemoryLimits {
            usage: number(&dir, "memory.limit_in_bytes"),
            swap: number(&dir, "memory.memsw.limit_in_bytes"),
            kernel: number(&dir, "memory.kmem.limit_in_bytes"),
            kernel_tcp: number(&dir, "memory.kmem.tcp.limit_in_bytes"),
        };
    }
    details
}

/// A file's number; `max` is the largest there is, an absent file is 0.
fn number(dir: &Dir, file: &str) -> u64 {
    dir.read(file).map_or(0, |text| if text.trim() == "max" { u64::MAX } else { stats::number(&text) })
}

/// `some avg10=0.00 avg60=0.12 avg300=0.00 total=42`; the line `full` is missing for CPUs on older kernels.
fn parse_pressure(text: &str) -> Option<Pressure> {
    let line = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        let mut parsed = PressureLine::default();
        for (key, value) in rest.split(' ').filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => parsed.avg10 = value.parse().ok()?,
                "avg60" => parsed.avg60 = value.parse().ok()?,
                "avg300" => parsed.avg300 = value.parse().ok()?,
                "total" => parsed.total = value.parse().ok()?,
                _ => {}
            }
        }
        Some(parsed)
    };
    Some(Pressure { some: line("some")?, full: line("full").unwrap_or_default() })
}

/// The columns of `cpuacct.usage_all`: CPU, user, system; (system, user).
fn by_mode(text: &str) -> (Vec<u64>, Vec<u64>) {
    let rows = text.lines().skip(1).filter_map(|line| {
        let mut words = line.split(' ').skip(1).map(stats::number);
        let user = words.next()?;
        Some((words.next()?, user))
    });
    rows.unzip()
}

fn cpuset(dir: &Dir) -> CpusetDetails {
    let list = |file| dir.read(file).map(|text| numbers(&text)).unwrap_or_default();
    let flag = |name: &'static str| {
        let text = dir.read(&format!("cpuset.{name}")).ok()?;
        Some((name, text.trim().parse().ok()?))
    };
    CpusetDetails {
        cpus: list("cpuset.cpus"),
        mems: list("cpuset.mems"),
        flags: FLAGS.into_iter().filter_map(flag).collect(),
    }
}

/// The members of a list like `0-2,7`.
fn numbers(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// `8:0 Read 4096`, or `8:0 4096` where the operation isn't told.
fn entry(line: &str) -> Option<BlkioEntry> {
    let words: Vec<&str> = line.split(' ').collect();
    let (major, minor) = words.first()?.split_once(':')?;
    let (op, value) = match words[1..] {
        [op, value] => (op, value),
        [value] => ("", value),
        _ => return None,
    };
    Some(BlkioEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_with_and_without_the_full_line() {
        let text = "some avg10=0.50 avg60=12.25 avg300=0.00 total=77\n";
        let pressure = parse_pressure(text).unwrap();
        let line = PressureLine { avg10: 0.5, avg60: 12.25, avg300: 0.0, total: 77 };
        assert_eq!(pressure, Pressure { some: line, full: PressureLine::default() });
        let both = format!("{text}full avg10=0.00 avg60=0.00 avg300=0.00 total=5\n");
        assert_eq!(parse_pressure(&both).unwrap().full.total, 5);
        assert_eq!(parse_pressure(""), None);
    }

    #[test]
    fn lists_and_tables_are_read() {
        assert_eq!(numbers("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(numbers("\n"), [0_u16; 0]);
        assert_eq!(by_mode("cpu user system\n0 5 6\n1 7 8\n"), (vec![6, 8], vec![5, 7]));
        assert_eq!(entry("8:0 Sync 3").unwrap().op, "Sync");
        assert_eq!(entry("8:0 3").unwrap().value, 3);
        assert_eq!(entry("Total 3"), None);
    }
}
