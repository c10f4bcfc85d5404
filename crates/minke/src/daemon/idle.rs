//! When an engine that was started by a client leaves by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use minke_docker_api::Activity;
use minke_engine::Engine;

/// How often it looks. Waking up costs nothing that anyone would notice.
const TICK: Duration = Duration::from_secs(1);

/// Returns when no container has run and nobody has asked for `patience` seconds; never without patience.
pub(super) async fn left_alone(engine: &Engine, activities: &[Arc<Activity>], patience: Option<u64>) {
    let Some(patience) = patience.map(Duration::from_secs) else { return std::future::pending().await };
    loop {
        tokio::time::sleep(TICK.min(patience.max(Duration::from_millis(10)))).await;
        let asked = activities.iter().map(|activity| activity.idle_since());
        if idle_for(engine.is_idle_since(), asked, Instant::now()).is_some_and(|idle| idle >= patience) {
            return;
        }
    }
}

/// How long all have been idle; `None` while one is busy.
fn idle_for(
    engine: Option<Instant>,
    sockets: impl Iterator<Item = Option<Instant>>,
    now: Instant,
) -> Option<Duration> {
    let latest = sockets.fold(engine, |latest, socket| Some(latest?.max(socket?)));
    latest.map(|since| now.saturating_duration_since(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_to_become_idle_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let idle = |engine, sockets: &[Option<Instant>]| {
            idle_for(engine, sockets.iter().copied(), at(10)).map(|idle| idle.as_secs())
        };
        assert_eq!(idle(Some(at(2)), &[Some(at(7)), Some(at(5))]), Some(3));
        assert_eq!(idle(Some(at(8)), &[Some(at(7))]), Some(2));
        assert_eq!(idle(None, &[Some(at(7))]), None);
        assert_eq!(idle(Some(at(2)), &[None]), None);
        assert_eq!(idle(Some(at(12)), &[]), Some(0));
    }
}
