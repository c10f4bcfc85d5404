//! Containers' numbers, under cAdvisor's names and with its labels.
//!
//! Two of them cAdvisor hasn't: how often a restart policy has started a container again, and which health it has by its
//! Docker name.

use std::collections::BTreeMap;

use minke_engine::{ContainerUsage, Health, NetworkUse, Use};
use time::OffsetDateTime;

use crate::exposition::{Head, Kind, Labels, Samples, label_name};

/// A name, and how one container's numbers are written.
pub(crate) struct Family {
    pub(crate) head: Head,
    write: Write,
}

/// What of a container a family is about.
enum Write {
    /// What is known of it in any case.
    Known(fn(&ContainerUsage, &mut Samples<'_>)),
    /// What it uses, while it runs.
    Used(fn(&Use, &mut Samples<'_>)),
}

impl Family {
    pub(crate) fn write(&self, container: &ContainerUsage, samples: &mut Samples<'_>) {
        match (&self.write, &container.used) {
            (Write::Known(write), _) => write(container, samples),
            (Write::Used(write), Some(used)) => write(used, samples),
            (Write::Used(_), None) => {}
        }
    }
}

const fn known(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    write: fn(&ContainerUsage, &mut Samples<'_>),
) -> Family {
    Family { head: Head { name, kind, help }, write: Write::Known(write) }
}

const fn used(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    write: fn(&Use, &mut Samples<'_>),
) -> Family {
    Family { head: Head { name, kind, help }, write: Write::Used(write) }
}

/// The labels that all numbers of a container have.
pub(crate) fn labels(container: &ContainerUsage) -> Labels {
    let mut labels = Labels::default();
    labels.add("id", &container.cgroup);
    labels.add("image", container.image());
    labels.add("name", container.name());
    // Two labels may become one; each name stands once.
    let own: BTreeMap<String, &str> =
        container.labels().map(|(key, value)| (label_name("container_label_", key), value)).collect();
    for (name, value) in own {
        labels.add(&name, value);
    }
    labels
}

pub(crate) static FAMILIES: &[Family] = &[
    used(
        "container_cpu_cfs_periods_total",
        Kind::Counter,
        "Number of elapsed enforcement period intervals.",
        |used, samples| samples.value(used.cpu.periods),
    ),
    used(
        "container_cpu_cfs_throttled_periods_total",
        Kind::Counter,
        "Number of throttled period intervals.",
        |used, samples| samples.value(used.cpu.throttled_periods),
    ),
    used(
        "container_cpu_cfs_throttled_seconds_total",
        Kind::Counter,
        "Total time duration the container has been throttled.",
        |used, samples| samples.value(seconds(used.cpu.throttled)),
    ),
    used(
        "container_cpu_system_seconds_total",
        Kind::Counter,
        "Cumulative system cpu time consumed in seconds.",
        |used, samples| samples.value(seconds(used.cpu.system)),
    ),
    used(
        "container_cpu_usage_seconds_total",
        Kind::Counter,
        "Cumulative cpu time consumed in seconds.",
        cpu_usage,
    ),
    used(
        "container_cpu_user_seconds_total",
        Kind::Counter,
        "Cumulative user cpu time consumed in seconds.",
        |used, samples| samples.value(seconds(used.cpu.user)),
    ),
    known(
        "container_creation_time_seconds",
        Kind::Gauge,
        "Creation time of the container since unix epoch in seconds.",
        |container, samples| moment(container.created, samples),
    ),
    used(
        "container_fs_reads_bytes_total",
        Kind::Counter,
        "Cumulative count of bytes read",
        |used, samples| by_device(used, samples, |io| io.read_bytes),
    ),
    used(
        "container_fs_reads_total",
        Kind::Counter,
        "Cumulative count of reads completed",
        |used, samples| by_device(used, samples, |io| io.reads),
    ),
    used(
        "container_fs_writes_bytes_total",
        Kind::Counter,
        "Cumulative count of bytes written",
        |used, samples| by_device(used, samples, |io| io.written_bytes),
    ),
    used(
        "container_fs_writes_total",
        Kind::Counter,
        "Cumulative count of writes completed",
        |used, samples| by_device(used, samples, |io| io.writes),
    ),
    known(
        "container_health_state",
        Kind::Gauge,
        "The result of the container's health check: 1 healthy, 0 not (yet), -1 it has none",
        |container, samples| {
            samples.value(match container.health {
                Health::Healthy => 1,
                Health::Starting | Health::Unhealthy => 0,
                Health::Unchecked => -1,
            });
        },
    ),
    known(
        "container_health_status",
        Kind::Gauge,
        "Which health status of Docker's the container has: 1 at that one, 0 at the others",
        health_status,
    ),
    known(
        "container_last_seen",
        Kind::Gauge,
        "Last time a container was seen by the exporter",
        |container, samples| samples.value(container.seen.unix_timestamp()),
    ),
    used("container_memory_cache", Kind::Gauge, "Number of bytes of page cache memory.", |used, samples| {
        samples.value(used.memory.cache);
    }),
    used("container_memory_failcnt", Kind::Untyped, "Number of memory usage hits limits", |used, samples| {
        samples.value(used.memory.limit_hits);
    }),
    used(
        "container_memory_failures_total",
        Kind::Counter,
        "Cumulative count of memory allocation failures.",
        memory_failures,
    ),
    used(
        "container_memory_kernel_usage",
        Kind::Gauge,
        "Size of kernel memory allocated in bytes.",
        |used, samples| samples.value(used.memory.kernel),
    ),
    used(
        "container_memory_mapped_file",
        Kind::Gauge,
        "Size of memory mapped files in bytes.",
        |used, samples| samples.value(used.memory.mapped_file),
    ),
    used(
        "container_memory_max_usage_bytes",
        Kind::Gauge,
        "Maximum memory usage recorded in bytes",
        |used, samples| samples.value(used.memory.max_usage),
    ),
    used("container_memory_rss", Kind::Gauge, "Size of RSS in bytes.", |used, samples| {
        samples.value(used.memory.rss);
    }),
    used("container_memory_swap", Kind::Gauge, "Container swap usage in bytes.", |used, samples| {
        samples.value(used.memory.swap);
    }),
    used(
        "container_memory_usage_bytes",
        Kind::Gauge,
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |used, samples| samples.value(used.memory.usage),
    ),
    used(
        "container_memory_working_set_bytes",
        Kind::Gauge,
        "Current working set in bytes.",
        |used, samples| samples.value(used.memory.working_set),
    ),
    used(
        "container_network_receive_bytes_total",
        Kind::Counter,
        "Cumulative count of bytes received",
        |used, samples| by_interface(used, samples, |network| network.bytes[0]),
    ),
    used(
        "container_network_receive_errors_total",
        Kind::Counter,
        "Cumulative count of errors encountered while receiving",
        |used, samples| by_interface(used, samples, |network| network.errors[0]),
    ),
    used(
        "container_network_receive_packets_dropped_total",
        Kind::Counter,
        "Cumulative count of packets dropped while receiving",
        |used, samples| by_interface(used, samples, |network| network.dropped[0]),
    ),
    used(
        "container_network_receive_packets_total",
        Kind::Counter,
        "Cumulative count of packets received",
        |used, samples| by_interface(used, samples, |network| network.packets[0]),
    ),
    used(
        "container_network_transmit_bytes_total",
        Kind::Counter,
        "Cumulative count of bytes transmitted",
        |used, samples| by_interface(used, samples, |network| network.bytes[1]),
    ),
    used(
        "container_network_transmit_errors_total",
        Kind::Counter,
        "Cumulative count of errors encountered while transmitting",
        |used, samples| by_interface(used, samples, |network| network.errors[1]),
    ),
    used(
        "container_network_transmit_packets_dropped_total",
        Kind::Counter,
        "Cumulative count of packets dropped while transmitting",
        |used, samples| by_interface(used, samples, |network| network.dropped[1]),
    ),
    used(
        "container_network_transmit_packets_total",
        Kind::Counter,
        "Cumulative count of packets transmitted",
        |used, samples| by_interface(used, samples, |network| network.packets[1]),
    ),
    used(
        "container_oom_events_total",
        Kind::Counter,
        "Count of out of memory events observed for the container",
        |used, samples| samples.value(used.memory.oom_kills),
    ),
    known(
        "container_restarts_total",
        Kind::Counter,
        "How often the restart policy has started the container again since somebody started it",
        |container, samples| samples.value(container.restarts),
    ),
    known("container_spec_cpu_period", Kind::Gauge, "CPU period of the container.", |container, samples| {
        samples.value(container.cpu_period());
    }),
    known("container_spec_cpu_quota", Kind::Gauge, "CPU quota of the container.", |container, samples| {
        if let Some(quota) = container.cpu_quota() {
            samples.value(quota);
        }
    }),
    known("container_spec_cpu_shares", Kind::Gauge, "CPU share of the container.", |container, samples| {
        samples.value(container.cpu_shares());
    }),
    known(
        "container_spec_memory_limit_bytes",
        Kind::Gauge,
        "Memory limit for the container.",
        |container, samples| samples.value(container.memory_limit()),
    ),
    known(
        "container_spec_memory_reservation_limit_bytes",
        Kind::Gauge,
        "Memory reservation limit for the container.",
        |container, samples| samples.value(container.memory_reservation()),
    ),
    known(
        "container_spec_memory_swap_limit_bytes",
        Kind::Gauge,
        "Memory swap limit for the container.",
        |container, samples| samples.value(container.memory_swap_limit()),
    ),
    known(
        "container_start_time_seconds",
        Kind::Gauge,
        "Start time of the container since unix epoch in seconds.",
        |container, samples| moment(container.started, samples),
    ),
    used(
        "container_threads",
        Kind::Gauge,
        "Number of threads running inside the container",
        |used, samples| samples.value(used.threads),
    ),
    used(
        "container_threads_max",
        Kind::Gauge,
        "Maximum number of threads allowed inside the container, infinity if value is zero",
        |used, samples| samples.value(used.threads_limit.unwrap_or(0)),
    ),
];

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn moment(moment: Option<OffsetDateTime>, samples: &mut Samples<'_>) {
    // Of one that has never been started, Docker tells the year 1.
    if let Some(moment) = moment.filter(|moment| moment.unix_timestamp() > 0) {
        samples.value(moment.unix_timestamp());
    }
}

/// By CPU where the kernel says so, as cAdvisor does: dashboards add them up.
fn cpu_usage(used: &Use, samples: &mut Samples<'_>) {
    if used.cpu.per_cpu.is_empty() {
        samples.labelled([("cpu", "total")], seconds(used.cpu.total));
    }
    for (at, nanoseconds) in used.cpu.per_cpu.iter().enumerate() {
        samples.labelled([("cpu", &format!("cpu{at:02}"))], seconds(*nanoseconds));
    }
}

fn memory_failures(used: &Use, samples: &mut Samples<'_>) {
    for (kind, counts) in
        [("pgfault", used.memory.page_faults), ("pgmajfault", used.memory.major_page_faults)]
    {
        for (scope, count) in ["container", "hierarchy"].into_iter().zip(counts) {
            samples.labelled([("failure_type", kind), ("scope", scope)], count);
        }
    }
}

fn health_status(container: &ContainerUsage, samples: &mut Samples<'_>) {
    let all = [
        ("none", Health::Unchecked),
        ("starting", Health::Starting),
        ("healthy", Health::Healthy),
        ("unhealthy", Health::Unhealthy),
    ];
    for (name, health) in all {
        samples.labelled([("status", name)], u8::from(container.health == health));
    }
}

fn by_device(used: &Use, samples: &mut Samples<'_>, number: fn(&minke_engine::BlockIo) -> u64) {
    for (device, io) in &used.block_io {
        samples.labelled([("device", device)], number(io));
    }
}

fn by_interface(used: &Use, samples: &mut Samples<'_>, number: fn(&NetworkUse) -> u64) {
    for (interface, network) in &used.networks {
        samples.labelled([("interface", interface)], number(network));
    }
}
