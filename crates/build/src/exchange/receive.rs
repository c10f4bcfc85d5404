//! A step that others have done, brought here: the layers that are missing are received, and all of them pinned as if the step had
//! been carried out.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use minke_engine::Engine;
use minke_image::{BuiltLayer, LayerState, PulledLayer, StagedLayer};
use minke_model::{Descriptor, Digest, chain};

use super::{ExchangeError, Imports, Place, import::warn, place::StreamReader};
use crate::{
    build::Build,
    cache::{Cache, Cached, now},
    progress::Node,
};

/// Layers that come at the same time.
const AT_ONCE: usize = 3;

/// A result that may be elsewhere.
pub(crate) struct Wanted<'a> {
    /// Its content key.
    pub(crate) key: Digest,
    /// What leads to it.
    pub(crate) definition: Option<Digest>,
    /// The layers of its base image.
    pub(crate) base: &'a [BuiltLayer],
    /// The step, for lists of the cache.
    pub(crate) title: &'a str,
    /// Its vertex.
    pub(crate) node: &'a Node,
}

impl Imports {
    /// Brings a result here, if somebody has it. What fails is told of and forgotten.
    pub(crate) async fn bring(&self, build: &Build, wanted: &Wanted<'_>) -> Option<Cached> {
        let base: Vec<Digest> = wanted.base.iter().map(|layer| layer.diff_id).collect();
        for offer in self.offers(&wanted.key, &base) {
            let layers: Vec<_> =
                offer.layers.iter().map(|layer| (layer.diff_id, layer.blob.clone())).collect();
            let times = offer.layers.iter().map(|layer| layer.created.clone().unwrap_or_else(now)).collect();
            let place = &*offer.import.place;
            match receive(&build.engine, &build.cache, place, wanted, &layers, times).await {
                Ok(cached) => return Some(cached),
                Err(error) => {
                    let text = format!("a cached step is not used: {}", chain(&error));
                    warn(&build.client, wanted.node, text);
                }
            }
        }
        self.forget(&wanted.key);
        None
    }
}

/// Brings layers here that aren't, and pins all of them as what a step came to.
pub(super) async fn receive(
    engine: &Engine,
    cache: &Arc<Cache>,
    place: &dyn Place,
    wanted: &Wanted<'_>,
    layers: &[(Digest, Descriptor)],
    times: Vec<String>,
) -> Result<Cached, ExchangeError> {
    let arrival = engine.image_store().expect_layers(wanted.base, layers);
    let arrival = arrival.map_err(|error| stored(&error))?;
    let missing = arrival.layers().iter().filter(|layer| layer.state != LayerState::Unpacked);
    let received = missing.map(|layer| one(engine, place, layer, wanted.node)).collect::<Vec<_>>();
    let received: Vec<StagedLayer> = stream::iter(received).buffer_unordered(AT_ONCE).try_collect().await?;
    let (cache, key, definition, title) =
        (Arc::clone(cache), wanted.key, wanted.definition, wanted.title.to_owned());
    let pinned =
        tokio::task::spawn_blocking(move || cache.take_in(key, definition, arrival, received, times, &title));
    let pinned = pinned.await.map_err(|error| stored(&error))?;
    pinned.map_err(|error| ExchangeError::Store(error.to_string()))
}

async fn one(
    engine: &Engine,
    place: &dyn Place,
    layer: &PulledLayer,
    node: &Node,
) -> Result<StagedLayer, ExchangeError> {
    let (store, task) = (engine.image_store().clone(), layer.clone());
    if layer.state == LayerState::Stored {
        let unpacked = tokio::task::spawn_blocking(move || store.unpack_stored(&task));
        return unpacked.await.map_err(|error| stored(&error))?.map_err(|error| stored(&error));
    }
    let transfer = node.transfer(&layer.blob.digest.to_string(), "", layer.blob.size);
    let told = transfer.clone();
    let from = StreamReader::new(place.blob(&layer.blob), 0);
    let work = move |from: &mut (dyn std::io::Read + Send)| {
        store.receive_layer(&task, from, &|count| told.at(count))
    };
    let received = engine.read_blocking(from, work).await;
    let received = received.map_err(|error| stored(&error))?.map_err(|error| stored(&error))?;
    transfer.done();
    Ok(received)
}

/// An error of the store with its causes.
pub(super) fn stored(error: &dyn std::error::Error) -> ExchangeError {
    ExchangeError::Store(crate::cache::failed(error).to_string())
}
