//! What the engine counts as it goes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Durations;

/// What has happened since the engine started.
#[derive(Debug, Default)]
pub struct Counts {
    container_actions: [Durations; ContainerAction::NAMES.len()],
    image_actions: [Durations; ImageAction::NAMES.len()],
    network_actions: [Durations; NetworkAction::NAMES.len()],
    health_check_starts: Durations,
    health_checks: AtomicU64,
    failed_health_checks: AtomicU64,
}

/// What is done to a container, as Docker times it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ContainerAction {
    Changes,
    Create,
    Delete,
    Start,
}

impl ContainerAction {
    const NAMES: [&str; 4] = ["changes", "create", "delete", "start"];
}

/// What is done to an image, as Docker times it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ImageAction {
    Delete,
    History,
    Pull,
    Push,
}

impl ImageAction {
    const NAMES: [&str; 4] = ["delete", "history", "pull", "push"];
}

/// What is done to the network of a container, as Docker times it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NetworkAction {
    Allocate,
    Release,
}

impl NetworkAction {
    const NAMES: [&str; 2] = ["allocate", "release"];
}

impl Counts {
    /// How long an action on a container took.
    pub(crate) fn container(&self, action: ContainerAction) -> &Durations {
        &self.container_actions[action as usize]
    }

    /// How long an action on an image took.
    pub(crate) fn image(&self, action: ImageAction) -> &Durations {
        &self.image_actions[action as usize]
    }

    /// How long an action on a container's network took.
    pub(crate) fn network(&self, action: NetworkAction) -> &Durations {
        &self.network_actions[action as usize]
    }

    /// Counts a health check that is over.
    pub(crate) fn health_checked(&self, is_well: bool) {
        self.health_checks.fetch_add(1, Ordering::Relaxed);
        self.failed_health_checks.fetch_add(u64::from(!is_well), Ordering::Relaxed);
    }

    /// How long actions on containers took, by their names.
    pub fn container_actions(&self) -> impl Iterator<Item = (&'static str, &Durations)> {
        ContainerAction::NAMES.into_iter().zip(&self.container_actions)
    }

    /// How long actions on images took, by their names.
    pub fn image_actions(&self) -> impl Iterator<Item = (&'static str, &Durations)> {
        ImageAction::NAMES.into_iter().zip(&self.image_actions)
    }

    /// How long actions on containers' networks took, by their names.
    pub fn network_actions(&self) -> impl Iterator<Item = (&'static str, &Durations)> {
        NetworkAction::NAMES.into_iter().zip(&self.network_actions)
    }

    /// How long it took until the commands of health checks ran.
    pub fn health_check_starts(&self) -> &Durations {
        &self.health_check_starts
    }

    /// Health checks that are over.
    pub fn health_checks(&self) -> u64 {
        self.health_checks.load(Ordering::Relaxed)
    }

    /// Those of them that failed.
    pub fn failed_health_checks(&self) -> u64 {
        self.failed_health_checks.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_action_has_its_own_name() {
        let counts = Counts::default();
        counts.container(ContainerAction::Start).observe(Duration::ZERO);
        counts.image(ImageAction::Push).observe(Duration::ZERO);
        counts.network(NetworkAction::Release).observe(Duration::ZERO);
        let done = counts.container_actions().chain(counts.image_actions()).chain(counts.network_actions());
        let done = done.filter(|(_, durations)| durations.snapshot().count == 1).map(|(name, _)| name);
        assert_eq!(done.collect::<Vec<_>>(), ["start", "push", "release"]);
    }
}
