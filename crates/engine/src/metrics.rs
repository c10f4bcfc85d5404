//! What `/metrics` tells: counted as things happen, or measured when somebody asks.
//!
//! Counting costs an atomic addition; everything else is read at the moment of a scrape and by whoever scrapes, so an engine
//! that nobody watches pays nothing. Being watched is not being used: none of this keeps an engine from leaving when idle.
//! Which names these numbers get is decided elsewhere, in `minke-metrics`.

mod counts;
mod durations;
mod usage;

use std::sync::Arc;

pub(crate) use self::counts::{ContainerAction, ImageAction, NetworkAction};
pub use self::{
    counts::Counts,
    durations::{BOUNDS, Durations, DurationsSnapshot},
    usage::{BlockIo, ContainerUsage, CpuUse, Health, MemoryUse, NetworkUse, Use},
};
use crate::{Engine, Error, ErrorKind, container::Phase, system::STORAGE_DRIVER};

/// What an engine is and where it runs; does not change while it runs.
#[derive(Debug, Clone)]
pub struct EngineFacts {
    /// The engine's version.
    pub version: &'static str,
    /// Go's name of the architecture, e.g. `amd64`.
    pub architecture: &'static str,
    /// How containers' files are kept.
    pub storage_driver: &'static str,
    /// The kernel's release.
    pub kernel: String,
    /// The distribution's name with its version.
    pub os: String,
    /// The distribution's version alone.
    pub os_version: String,
    /// The engine's own id.
    pub id: String,
    /// CPUs of the host.
    pub cpus: usize,
    /// Bytes of memory of the host.
    pub memory: u64,
}

/// How many containers are in each of the states that Docker counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerStates {
    /// A process runs.
    pub running: u64,
    /// Frozen.
    pub paused: u64,
    /// Everything else, also those that wait for their next start.
    pub stopped: u64,
}

impl Engine {
    /// What has been counted since the engine started.
    pub fn counts(&self) -> &Counts {
        &self.untouched().counts
    }

    /// How many events there have been since the engine started.
    pub fn events_told(&self) -> u64 {
        self.untouched().events.told()
    }

    /// How many listen to events.
    pub fn event_listeners(&self) -> usize {
        self.untouched().events.listeners()
    }

    /// What the engine is, and its host.
    pub fn facts(&self) -> EngineFacts {
        let inner = self.untouched();
        let host = &inner.host;
        EngineFacts {
            version: inner.config.version,
            architecture: host.facts.architecture,
            storage_driver: STORAGE_DRIVER,
            kernel: host.kernel.clone(),
            os: host.distribution.clone(),
            os_version: host.distribution_version.clone(),
            id: inner.id.clone(),
            cpus: host.facts.resources.cpus,
            memory: host.memory,
        }
    }

    /// How many containers are in which state.
    pub fn container_states(&self) -> ContainerStates {
        let mut states = ContainerStates::default();
        for container in self.untouched().containers() {
            *match container.phase() {
                Phase::Running => &mut states.running,
                Phase::Paused => &mut states.paused,
                _ => &mut states.stopped,
            } += 1;
        }
        states
    }

    /// What every container that runs, is frozen or waits for its next start uses, read from the kernel on one thread that may
    /// block.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when that thread breaks. A container that can't be measured, since it has just ended, has no
    /// [`Use`].
    pub async fn usage(&self) -> Result<Vec<ContainerUsage>, Error> {
        let inner = Arc::clone(self.untouched());
        let measured = tokio::task::spawn_blocking(move || usage::of_all(&inner)).await;
        measured.map_err(|error| Error::new(ErrorKind::Internal, format!("measure containers: {error}")))
    }
}
