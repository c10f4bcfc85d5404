//! The engine's handle and what all its parts share.

mod clean_ups;
mod idle;
mod lock;
mod open;
mod registry;

use std::{
    fs::File,
    sync::{Arc, RwLock},
    time::Instant,
};

use minke_image::ImageStore;
use minke_network::Networks;
use tokio::task::JoinHandle;

pub(crate) use self::idle::{Busy, Idle};
use self::{clean_ups::CleanUps, registry::Registry};
use crate::{
    EngineConfig, Error, ErrorKind,
    container::ready::WaitingPlaces,
    events::Events,
    exec::Execs,
    host::Host,
    images::Downloads,
    metrics::Counts,
    networks::{Names, NetworkTable, Relays},
    settings::Live,
    store::Store,
    volumes::Volumes,
};

/// A handle to the engine; clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// One engine.
pub(crate) struct Inner {
    pub(crate) config: EngineConfig,
    pub(crate) host: Host,
    pub(crate) store: Store,
    pub(crate) images: ImageStore,
    pub(crate) live: RwLock<Arc<Live>>,
    pub(crate) downloads: Downloads,
    pub(crate) networks: Networks,
    pub(crate) network_table: NetworkTable,
    pub(crate) names: Names,
    pub(crate) relays: Relays,
    pub(crate) volumes: Volumes,
    pub(crate) events: Events,
    pub(crate) counts: Counts,
    pub(crate) execs: Execs,
    pub(crate) idle: Arc<Idle>,
    pub(crate) clean_ups: CleanUps,
    pub(crate) waiting_places: WaitingPlaces,
    /// This engine's own id, for `info`.
    pub(crate) id: String,
    registry: RwLock<Registry>,
    /// Keeps other engines off the root.
    _lock: File,
}

impl Engine {
    /// The engine, touched: a call has just come in.
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        self.0.idle.touch();
        &self.0
    }

    /// The engine, for who only watches it.
    pub(crate) fn untouched(&self) -> &Arc<Inner> {
        &self.0
    }

    /// Counts something that goes on for a while, as long as the guard lives.
    pub(crate) fn busy(&self) -> Busy {
        Idle::busy(&self.0.idle)
    }

    /// Since when nothing runs and nobody asks; `None` while a container runs or a call goes on.
    pub fn is_idle_since(&self) -> Option<Instant> {
        let active = self.0.containers().iter().any(|container| container.is_active());
        if active || self.0.events.listeners() > 0 { None } else { self.0.idle.since() }
    }

    /// Runs something that blocks off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Inner>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        done(tokio::task::spawn_blocking(self.counted(work))).await
    }

    /// The same for what waits for its client meanwhile.
    pub(crate) async fn waiting<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Inner>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        done(minke_patience::spawn(self.counted(work))).await
    }

    /// Work during which the engine is busy.
    fn counted<T, W: FnOnce(Arc<Inner>) -> Result<T, Error>>(
        &self,
        work: W,
    ) -> impl FnOnce() -> Result<T, Error> + use<T, W> {
        let (inner, busy) = (Arc::clone(self.inner()), self.busy());
        move || {
            let result = work(inner);
            drop(busy);
            result
        }
    }
}

async fn done<T>(work: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    let failed = |error| Err(Error::new(ErrorKind::Internal, format!("the call failed: {error}")));
    work.await.unwrap_or_else(failed)
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Actors hold their own mailboxes open; this ends them. The containers live on.
        for container in self.containers() {
            container.leave();
        }
    }
}
