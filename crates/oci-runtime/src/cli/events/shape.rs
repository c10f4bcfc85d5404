//! The stats as runc's `events` writes them, which monitoring programs read: names, units, and what is left
//! out when 0.

use minke_kernel::cgroup::{
    BlkioEntry, Cgroup, CgroupError, CpusetDetails, Details, MemoryData, Pressure, PressureLine, Stats,
};
use serde_json::{Map, Value, json};

/// Reads the cgroup and gives it that shape.
pub(super) fn stats(group: &Cgroup) -> Result<Value, CgroupError> {
    Ok(shape(&group.stats()?, &group.details()))
}

fn shape(stats: &Stats, details: &Details) -> Value {
    json!({
        "cpu": cpu(stats, details),
        "cpuset": cpuset(details.cpuset.as_ref()),
        "memory": memory(stats, details),
        "pids": object([
            ("current", unless_zero(stats.pids.current)),
            ("limit", unless_zero(stats.pids.limit.unwrap_or(0))),
        ]),
        "blkio": blkio(stats, details),
        "hugetlb": hugetlb(stats),
        "intel_rdt": {},
        // Interfaces are a manager's, not the runtime's; runc has none to show either.
        "network_interfaces": null,
    })
}

/// An object of the members that have a value.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn unless_zero(number: u64) -> Option<Value> {
    (number != 0).then(|| number.into())
}

fn unless_empty(numbers: &[u64]) -> Option<Value> {
    (!numbers.is_empty()).then(|| numbers.into())
}

fn cpu(stats: &Stats, details: &Details) -> Value {
    let (usage, throttling) = (&stats.cpu.usage, &stats.cpu.throttling);
    object([
        (
            "usage",
            Some(object([
                ("total", unless_zero(usage.total)),
                ("percpu", unless_empty(&usage.percpu)),
                ("percpu_kernel", unless_empty(&details.cpu_kernel)),
                ("percpu_user", unless_empty(&details.cpu_user)),
                ("kernel", Some(usage.system.into())),
                ("user", Some(usage.user.into())),
            ])),
        ),
        (
            "throttling",
            Some(object([
                ("periods", unless_zero(throttling.periods)),
                ("throttledPeriods", unless_zero(throttling.throttled_periods)),
                ("throttledTime", unless_zero(throttling.throttled_time)),
            ])),
        ),
        ("psi", details.cpu_pressure.as_ref().map(pressure)),
    ])
}

fn pressure(pressure: &Pressure) -> Value {
    let line = |line: &PressureLine| json!({ "avg10": line.avg10, "avg60": line.avg60, "avg300": line.avg300, "total": line.total });
    json!({ "some": line(&pressure.some), "full": line(&pressure.full) })
}

fn cpuset(cpuset: Option<&CpusetDetails>) -> Value {
    let none = CpusetDetails::default();
    let cpuset = cpuset.unwrap_or(&none);
    let flag = |name: &str| Some(cpuset.flags.get(name).copied().unwrap_or(0).into());
    object([
        ("cpus", (!cpuset.cpus.is_empty()).then(|| cpuset.cpus.clone().into())),
        ("cpu_exclusive", flag("cpu_exclusive")),
        ("mems", (!cpuset.mems.is_empty()).then(|| cpuset.mems.clone().into())),
        ("mem_hardwall", flag("mem_hardwall")),
        ("mem_exclusive", flag("mem_exclusive")),
        ("memory_migrate", flag("memory_migrate")),
        ("memory_spread_page", flag("memory_spread_page")),
        ("memory_spread_slab", flag("memory_spread_slab")),
        ("memory_pressure", flag("memory_pressure")),
        ("sched_load_balance", flag("sched_load_balance")),
        ("sched_relax_domain_level", flag("sched_relax_domain_level")),
    ])
}

fn memory(stats: &Stats, details: &Details) -> Value {
    let (memory, limits) = (&stats.memory, &details.limits);
    let raw = (!memory.stats.is_empty()).then(|| json!(memory.stats));
    object([
        ("cache", unless_zero(memory.cache)),
        ("usage", entry(&memory.usage, limits.usage)),
        ("swap", entry(&memory.swap, limits.swap)),
        ("kernel", entry(&memory.kernel, limits.kernel)),
        ("kernelTCP", entry(&memory.kernel_tcp, limits.kernel_tcp)),
        ("raw", raw),
        ("psi", details.memory_pressure.as_ref().map(pressure)),
    ])
}

/// One kind of memory; absent where the kernel knows nothing of it.
fn entry(data: &MemoryData, limit: u64) -> Option<Value> {
    let known = limit != 0 || *data != MemoryData::default();
    known.then(|| {
        object([
            ("limit", Some(limit.into())),
            ("usage", unless_zero(data.usage)),
            ("max", unless_zero(data.max_usage)),
            ("failcnt", Some(data.failcnt.into())),
        ])
    })
}

fn blkio(stats: &Stats, details: &Details) -> Value {
    let list = |entries: &[BlkioEntry]| {
        (!entries.is_empty()).then(|| Value::Array(entries.iter().map(blkio_entry).collect()))
    };
    let more = |name: &str| details.blkio.get(name).and_then(|entries| list(entries));
    object([
        ("ioServiceBytesRecursive", list(&stats.blkio.io_service_bytes)),
        ("ioServicedRecursive", list(&stats.blkio.io_serviced)),
        ("ioQueueRecursive", more("io_queued_recursive")),
        ("ioServiceTimeRecursive", more("io_service_time_recursive")),
        ("ioWaitTimeRecursive", more("io_wait_time_recursive")),
        ("ioMergedRecursive", more("io_merged_recursive")),
        ("ioTimeRecursive", more("time_recursive")),
        ("sectorsRecursive", more("sectors_recursive")),
        ("psi", details.io_pressure.as_ref().map(pressure)),
    ])
}

fn blkio_entry(entry: &BlkioEntry) -> Value {
    object([
        ("major", unless_zero(entry.major)),
        ("minor", unless_zero(entry.minor)),
        ("op", (!entry.op.is_empty()).then(|| entry.op.as_str().into())),
        ("value", unless_zero(entry.value)),
    ])
}

fn hugetlb(stats: &Stats) -> Value {
    let page = |(size, page): (&String, &minke_kernel::cgroup::HugetlbStats)| {
        let value = object([
            ("usage", unless_zero(page.usage)),
            ("max", unless_zero(page.max_usage)),
            ("failcnt", Some(page.failcnt.into())),
        ]);
        (size.clone(), value)
    };
    Value::Object(stats.hugetlb.iter().map(page).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_zero_is_left_out_as_runc_does() {
        let value = shape(&Stats::default(), &Details::default());
        assert_eq!(value["cpu"], json!({ "usage": { "kernel": 0, "user": 0 }, "throttling": {} }));
        assert_eq!((&value["memory"], &value["pids"], &value["blkio"]), (&json!({}), &json!({}), &json!({})));
        assert_eq!(value["cpuset"]["cpu_exclusive"], 0);
        assert_eq!(value["network_interfaces"], Value::Null);
    }

    #[test]
    fn pressure_is_beside_what_it_is_about() {
        let line = PressureLine { avg10: 1.5, total: 9, ..PressureLine::default() };
        let pressure = Pressure { some: line, ..Pressure::default() };
        let details = Details { memory_pressure: Some(pressure), ..Details::default() };
        let value = shape(&Stats::default(), &details);
        assert_eq!(
            value["memory"]["psi"]["some"],
            json!({ "avg10": 1.5, "avg60": 0.0, "avg300": 0.0, "total": 9 })
        );
    }
}
