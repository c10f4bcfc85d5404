//! `--cache-from`: which steps others have done, asked before anything is planned.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use futures_util::future::join_all;
use minke_engine::Engine;
use minke_image::{
    ImageConfig,
    manifest::{Document, Index, Manifest},
};
use minke_model::{Digest, chain};
use serde::Deserialize;

use super::{
    ExchangeError, Place, Registry,
    endpoint::reference,
    format::{CONFIG, InlineCache, Known, KnownLayer, damaged},
    local::Local,
};
use crate::{BuildError, BuildRequest, CacheEndpoint, Client, Event, Warning, cache::Key, progress::Node};

/// The most images of one index whose own caches are read.
const MOST_IMAGES: usize = 32;

/// Caches that a build may take steps from.
#[derive(Default)]
pub(crate) struct Imports(Vec<Import>);

/// One of them.
pub(super) struct Import {
    pub(super) place: Arc<dyn Place>,
    known: Mutex<Known>,
}

/// Layers of a step that others have done.
pub(super) struct Offer<'a> {
    pub(super) import: &'a Import,
    /// Those above the base image's, lowest first.
    pub(super) layers: Vec<KnownLayer>,
}

impl Imports {
    /// The content key that a definition leads to.
    pub(crate) fn content(&self, definition: &Digest) -> Option<Digest> {
        self.0.iter().find_map(|import| import.with(|known| known.content(definition)))
    }

    /// Whether there is a result of a content key.
    pub(crate) fn has(&self, key: &Digest) -> bool {
        self.0.iter().any(|import| import.with(|known| known.has(key)))
    }

    /// Whoever has a result that lies on these layers.
    pub(super) fn offers(&self, key: &Digest, base: &[Digest]) -> Vec<Offer<'_>> {
        let layers = |import: &Import| import.with(|known| known.own_layers(key, base));
        self.0.iter().filter_map(|import| Some(Offer { import, layers: layers(import)? })).collect()
    }

    /// Forgets a result, which could not be had.
    pub(super) fn forget(&self, key: &Digest) {
        self.0.iter().for_each(|import| import.with(|known| known.forget(key)));
    }
}

impl Import {
    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads every cache that the request names. One that can't be read is told of and left out.
pub(crate) async fn imports(engine: &Engine, client: &Client, request: &BuildRequest) -> Imports {
    if request.no_cache || request.check_only {
        return Imports::default();
    }
    let all = request.cache_from.iter().map(|endpoint| import(engine, client, endpoint));
    Imports(join_all(all).await.into_iter().flatten().collect())
}

async fn import(engine: &Engine, client: &Client, endpoint: &CacheEndpoint) -> Vec<Import> {
    let attribute = |key: &str| endpoint.attributes.get(key).cloned();
    let title = attribute("ref").or_else(|| attribute("src")).unwrap_or_else(|| endpoint.kind.clone());
    let name = format!("importing cache manifest from {title}");
    let node = Node::new(&client.progress, Key::new("import").and(&endpoint.kind).and(&title).digest(), name);
    node.start();
    let read = async {
        let place = open(engine, client, endpoint).await.map_err(|error| error.to_string())?;
        read(&place).await.map_err(|error| chain(&error))
    };
    let read = read.await;
    node.done(false, None);
    match read {
        Ok(known) => {
            known.into_iter().map(|(place, known)| Import { place, known: Mutex::new(known) }).collect()
        }
        Err(problem) => {
            warn(client, &node, format!("--cache-from {title} is not used: {problem}"));
            Vec::new()
        }
    }
}

async fn open(
    engine: &Engine,
    client: &Client,
    endpoint: &CacheEndpoint,
) -> Result<Arc<dyn Place>, BuildError> {
    match endpoint.kind.as_str() {
        "registry" => Ok(Arc::new(Registry::open(engine, client, &reference(endpoint)?).await?)),
        "local" => {
            let attribute = |key: &str| endpoint.attributes.get(key).map(String::as_str).unwrap_or_default();
            Ok(Arc::new(Local::cache(client, attribute("src"), attribute("digest").parse().ok())?))
        }
        other => Err(BuildError::Invalid(format!("there are no caches of type {other} here"))),
    }
}

/// Tells of something that costs time and is no error.
pub(super) fn warn(client: &Client, node: &Node, short: String) {
    client.progress.event(Event::Warning(Warning {
        vertex: node.digest(),
        level: 1,
        short,
        detail: Vec::new(),
        url: String::new(),
        file: String::new(),
        lines: Vec::new(),
    }));
}

type Found = Vec<(Arc<dyn Place>, Known)>;

/// What is in a place: a cache by itself, as a manifest or as an index of blobs; an image that holds its own; several of them.
async fn read(place: &Arc<dyn Place>) -> Result<Found, ExchangeError> {
    let (media_type, bytes) = place.root().await?;
    let document = Document::parse("the cache", &media_type, &bytes).map_err(|error| damaged(&error))?;
    match document {
        Document::Manifest(manifest) => Ok(of_manifest(place, &manifest)
            .await?
            .map(|known| (Arc::clone(place), known))
            .into_iter()
            .collect()),
        Document::Index(index) => of_index(place, &index).await,
    }
}

async fn of_index(place: &Arc<dyn Place>, index: &Index) -> Result<Found, ExchangeError> {
    if let Some(config) = index.manifests().iter().find(|one| one.media_type == CONFIG) {
        let json = place.document(config).await?;
        return Ok(vec![(Arc::clone(place), Known::read(&json, index.manifests())?)]);
    }
    let mut found = Vec::new();
    for image in index.manifests().iter().filter(|one| one.is_image()).take(MOST_IMAGES) {
        let bytes = place.document(image).await?;
        let document =
            Document::parse("an image", &image.media_type, &bytes).map_err(|error| damaged(&error))?;
        if let Document::Manifest(manifest) = document {
            found.extend(of_manifest(place, &manifest).await?.map(|known| (Arc::clone(place), known)));
        }
    }
    Ok(found)
}

async fn of_manifest(place: &Arc<dyn Place>, manifest: &Manifest) -> Result<Option<Known>, ExchangeError> {
    let json = place.document(manifest.config()).await?;
    if manifest.config().media_type == CONFIG {
        return Known::read(&json, manifest.layers()).map(Some);
    }
    let inline: InlineCache = parse(&json)?;
    let Some(records) = inline.cache else { return Ok(None) };
    let records = base64::engine::general_purpose::STANDARD.decode(records);
    let config: ImageConfig = parse(&json)?;
    Known::of_image(&records.map_err(|error| damaged(&error))?, manifest.layers(), &config).map(Some)
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ExchangeError> {
    serde_json::from_slice(json).map_err(|error| damaged(&error))
}
