//! The engine's numbers, under dockerd's names.

use minke_engine::{BOUNDS, Durations, Engine};

use crate::exposition::{Head, Kind, Samples};

/// A name, and how its numbers are written.
pub(crate) struct Family {
    pub(crate) head: Head,
    pub(crate) write: fn(&Engine, &mut Samples<'_>),
}

const fn family(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    write: fn(&Engine, &mut Samples<'_>),
) -> Family {
    Family { head: Head { name, kind, help }, write }
}

pub(crate) static FAMILIES: &[Family] = &[
    family(
        "engine_daemon_container_actions_seconds",
        Kind::Histogram,
        "The number of seconds it takes to process each container action",
        |engine, samples| actions(samples, engine.counts().container_actions()),
    ),
    family(
        "engine_daemon_container_states_containers",
        Kind::Gauge,
        "The count of containers in various states",
        |engine, samples| {
            let states = engine.container_states();
            samples.labelled([("state", "paused")], states.paused);
            samples.labelled([("state", "running")], states.running);
            samples.labelled([("state", "stopped")], states.stopped);
        },
    ),
    family(
        "engine_daemon_engine_cpus_cpus",
        Kind::Gauge,
        "The number of cpus that the host system of the engine has",
        |engine, samples| samples.value(engine.facts().cpus),
    ),
    family(
        "engine_daemon_engine_info",
        Kind::Gauge,
        "The information related to the engine and the OS it is running on",
        |engine, samples| {
            let facts = engine.facts();
            let labels = [
                ("architecture", facts.architecture),
                ("commit", ""),
                ("daemon_id", &facts.id),
                ("graphdriver", facts.storage_driver),
                ("kernel", &facts.kernel),
                ("os", &facts.os),
                ("os_type", "linux"),
                ("os_version", &facts.os_version),
                ("version", facts.version),
            ];
            samples.labelled(labels, 1);
        },
    ),
    family(
        "engine_daemon_engine_memory_bytes",
        Kind::Gauge,
        "The number of bytes of memory that the host system of the engine has",
        |engine, samples| samples.value(engine.facts().memory),
    ),
    family(
        "engine_daemon_events_subscribers_total",
        Kind::Gauge,
        "The number of current subscribers to events",
        |engine, samples| samples.value(engine.event_listeners()),
    ),
    family("engine_daemon_events_total", Kind::Counter, "The number of events logged", |engine, samples| {
        samples.value(engine.events_told());
    }),
    family(
        "engine_daemon_health_check_start_duration_seconds",
        Kind::Histogram,
        "The number of seconds it takes to prepare to run health checks",
        |engine, samples| durations(samples, [], engine.counts().health_check_starts()),
    ),
    family(
        "engine_daemon_health_checks_failed_total",
        Kind::Counter,
        "The total number of failed health checks",
        |engine, samples| samples.value(engine.counts().failed_health_checks()),
    ),
    family(
        "engine_daemon_health_checks_total",
        Kind::Counter,
        "The total number of health checks",
        |engine, samples| samples.value(engine.counts().health_checks()),
    ),
    family(
        "engine_daemon_image_actions_seconds",
        Kind::Histogram,
        "The number of seconds it takes to process each image action",
        |engine, samples| actions(samples, engine.counts().image_actions()),
    ),
    family(
        "engine_daemon_network_actions_seconds",
        Kind::Histogram,
        "The number of seconds it takes to process each network action",
        |engine, samples| actions(samples, engine.counts().network_actions()),
    ),
];

fn actions<'a>(samples: &mut Samples<'_>, actions: impl Iterator<Item = (&'static str, &'a Durations)>) {
    for (name, took) in actions {
        durations(samples, [("action", name)], took);
    }
}

fn durations<const N: usize>(samples: &mut Samples<'_>, labels: [(&str, &str); N], took: &Durations) {
    let took = took.snapshot();
    samples.histogram(labels, BOUNDS.into_iter().zip(took.cumulative), took.count, took.sum);
}
