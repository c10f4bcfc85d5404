//! What is made ready when a container is created, since its start mostly follows at once: its supervisor.
//!
//! It waits for a while, and only so many do. A start without it makes one, and is that much slower.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use minke_supervisor::Waiting;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};

use super::Container;
use crate::engine::Inner;

/// How many wait at most.
const MOST: usize = 16;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many may still begin to wait.
#[derive(Debug)]
pub(crate) struct WaitingPlaces(Arc<Semaphore>);

impl Default for WaitingPlaces {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

/// One that begins to wait, in its place.
type Begun = JoinHandle<Option<(Waiting, OwnedSemaphorePermit)>>;

/// A container's supervisor that waits.
#[derive(Debug, Default)]
pub(super) struct Ready(Mutex<Option<Begun>>);

impl Ready {
    /// Starts the container's, if there may be one more.
    pub(super) fn begin(inner: &Arc<Inner>, container: &Arc<Container>) {
        let Ok(place) = Arc::clone(&inner.waiting_places.0).try_acquire_owned() else { return };
        let (program, bundle) = (inner.config.runtime.clone(), inner.places(&container.id).directory);
        let begun = tokio::task::spawn_blocking(move || match Waiting::begin(&program, &bundle) {
            Ok(waiting) => Some((waiting, place)),
            Err(error) => {
                tracing::debug!(%error, "make a supervisor ready");
                None
            }
        });
        container.ready.put(Some(begun));
        let container = Arc::downgrade(container);
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            if let Some(container) = container.upgrade() {
                container.ready.put(None);
            }
        });
    }

    /// It, for a start.
    pub(super) async fn take(&self) -> Option<Waiting> {
        let (waiting, _place) = self.put(None)?.await.ok()??;
        Some(waiting)
    }

    /// What was there; one that nobody takes ends.
    fn put(&self, begun: Option<Begun>) -> Option<Begun> {
        mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), begun)
    }
}
