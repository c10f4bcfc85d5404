//! Layers on their way in. Pulls that want the same layer at the same time wait for one download.
//!
//! ```text
//!  pull A ─┐                        slot ─▶ registry ─▶ pipe ─▶ blocking thread: digest, decompress, unpack
//!  pull B ─┴─▶ Arc<Download> ─task─▶
//! ```
//! A download lives as long as a pull waits for it: with the last handle its task ends and leaves nothing. So many go on
//! at a time as there are slots, whatever the number of pulls, which bounds memory and threads.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use minke_distribution::Repository;
use minke_image::{ImageStore, LayerId, LayerState, PulledLayer, StagedLayer};
use tokio::{
    sync::{Semaphore, watch},
    task::AbortHandle,
};

use super::{load_error, registries::registry_error};
use crate::{Error, ErrorKind, pipes};

/// Progress of one layer is told at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// All downloads of an engine.
#[derive(Debug)]
pub(crate) struct Downloads {
    running: Mutex<HashMap<LayerId, Weak<Download>>>,
    slots: Mutex<Arc<Semaphore>>,
}

/// One layer on its way.
#[derive(Debug)]
pub(super) struct Download {
    state: watch::Receiver<State>,
    task: AbortHandle,
}

/// How far it is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Others are before it.
    Waiting,
    /// So many bytes of its blob are here, and unpacked.
    Bytes(u64),
    /// All bytes are here, the end is being unpacked.
    Received,
    /// It is unpacked.
    Done(Arc<StagedLayer>),
    /// It failed; its slot is free again.
    Failed(Error),
}

impl Downloads {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { running: Mutex::default(), slots: Mutex::new(Arc::new(Semaphore::new(at_once))) }
    }

    /// Changes how many layers come at a time. What has begun or waits keeps to the old number.
    pub(crate) fn limit(&self, at_once: usize) {
        *self.slots.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Semaphore::new(at_once));
    }

    /// The download of a layer: one that goes on, or a new one.
    pub(super) fn join(
        &self,
        images: &ImageStore,
        repository: &Repository,
        layer: &PulledLayer,
    ) -> Arc<Download> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, download| download.strong_count() > 0);
        let known = running.get(&layer.chain).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| !matches!(*known.state.borrow(), State::Failed(_))) {
            return known;
        }
        let (sender, state) = watch::channel(State::Waiting);
        let job = Job {
            images: images.clone(),
            repository: repository.clone(),
            layer: layer.clone(),
            slots: Arc::clone(&self.slots.lock().unwrap_or_else(PoisonError::into_inner)),
            state: sender,
        };
        let task = tokio::spawn(job.run()).abort_handle();
        let download = Arc::new(Download { state, task });
        running.insert(layer.chain, Arc::downgrade(&download));
        download
    }
}

impl Download {
    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Job {
    images: ImageStore,
    repository: Repository,
    layer: PulledLayer,
    slots: Arc<Semaphore>,
    state: watch::Sender<State>,
}

impl Job {
    async fn run(self) {
        // The semaphore is never closed.
        let _slot = Arc::clone(&self.slots).acquire_owned().await;
        let result = match self.layer.state {
            LayerState::Stored | LayerState::Unpacked => self.unpack_stored().await,
            LayerState::Absent => self.receive().await,
        };
        self.state.send_replace(match result {
            Ok(layer) => State::Done(Arc::new(layer)),
            Err(error) => State::Failed(error),
        });
    }

    async fn unpack_stored(&self) -> Result<StagedLayer, Error> {
        let (images, layer) = (self.images.clone(), self.layer.clone());
        let unpacking = tokio::task::spawn_blocking(move || images.unpack_stored(&layer));
        unpacking.await.map_err(lost)?.map_err(|error| load_error("unpack a layer", &error))
    }

    async fn receive(&self) -> Result<StagedLayer, Error> {
        let blob = &self.layer.blob;
        let urls = blob.urls.as_deref().unwrap_or_default();
        let mut bytes = self.repository.blob_from(&blob.digest, blob.size, urls);
        let (pipe, reader) = pipes::received();
        let (images, layer, state) = (self.images.clone(), self.layer.clone(), self.state.clone());
        let unpacking = tokio::task::spawn_blocking(move || {
            let told = Mutex::new(Instant::now());
            let progress = |count: u64| {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if count == layer.blob.size {
                    state.send_replace(State::Received);
                } else if told.elapsed() >= PROGRESS_INTERVAL {
                    *told = Instant::now();
                    state.send_replace(State::Bytes(count));
                }
            };
            images.receive_layer(&layer, reader, &progress)
        });
        let mut failure = None;
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| {
                let line = std::io::Error::other(error.to_string());
                failure = Some(error);
                line
            });
            let ended = piece.is_err();
            // Nobody reads any more when unpacking has failed; its error is the better one.
            if pipe.send(piece).await.is_err() || ended {
                break;
            }
        }
        drop(pipe);
        let unpacked = unpacking.await.map_err(lost)?;
        match (unpacked, failure) {
            (Ok(layer), _) => Ok(layer),
            (Err(_), Some(error)) => Err(registry_error(&format!("download layer {}", blob.digest), &error)),
            (Err(error), None) => Err(load_error("pull", &error)),
        }
    }
}

fn lost(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, format!("a layer was not unpacked: {error}"))
}
