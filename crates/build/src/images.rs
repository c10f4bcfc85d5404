//! Base images: found in the engine's store or pulled, for the platform that is wanted.

use std::sync::Arc;

use futures_util::StreamExt;
use minke_dockerfile::plan::ImageOrigin;
use minke_engine::{Engine, PullOptions, TransferEvent};
use minke_image::{BuiltLayer, HeldLayers, Image};
use minke_model::{Digest, Platform, image_config::ImageConfig};
use time::OffsetDateTime;

use crate::{
    BuildError, Client, ContextError, Event, Material, Status,
    attest::Sources,
    cache::{Cached, Key, failed},
    progress::Node,
};

/// An image, or what another build came to, that is here and stays as long as this lives.
#[derive(Debug, Clone)]
pub(crate) struct BaseImage {
    config: Arc<ImageConfig>,
    pub(crate) layers: Vec<BuiltLayer>,
    /// Its name with its digest, for progress.
    pub(crate) title: String,
    /// What it is, where everybody can have it, or else what it was made of.
    pub(crate) made_of: Arc<Sources>,
    _held: Option<Arc<HeldLayers>>,
}

impl BaseImage {
    pub(crate) fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// What was brought here for this build.
    pub(crate) fn of_cached(
        config: Arc<ImageConfig>,
        cached: Cached,
        title: String,
        material: Material,
    ) -> Self {
        Self {
            config,
            layers: cached.layers,
            title,
            made_of: Arc::new(Sources::of(material)),
            _held: Some(cached.held),
        }
    }

    /// The same, known to be made of this.
    pub(crate) fn made_of(self, made_of: Arc<Sources>) -> Self {
        Self { made_of, ..self }
    }

    /// What it runs on, where it says so.
    pub(crate) fn platform(&self) -> Option<Platform> {
        (!self.config.architecture.is_empty()).then(|| platform_of(&self.config))
    }

    /// What steps on it are cached by: its files alone.
    pub(crate) fn key(&self) -> Digest {
        let top = self.layers.last().map(|layer| layer.chain.hex()).unwrap_or_default();
        Key::new("image").and(top).digest()
    }
}

/// Finds an image, or pulls it.
pub(crate) async fn resolve(
    engine: &Engine,
    client: &Client,
    origin: &ImageOrigin,
    always_ask: bool,
) -> Result<BaseImage, BuildError> {
    let node = Node::new(
        &client.progress,
        Key::new("metadata").and(&origin.written).and(format!("{:?}", origin.platform)).digest(),
        format!("[internal] load metadata for {}", origin.reference),
    );
    node.start();
    let result = find_or_pull(engine, client, origin, always_ask, &node).await;
    node.end(result.as_ref().err());
    result
}

async fn find_or_pull(
    engine: &Engine,
    client: &Client,
    origin: &ImageOrigin,
    always_ask: bool,
    node: &Node,
) -> Result<BaseImage, BuildError> {
    let here = || engine.image_store().find(&origin.reference.to_string()).ok();
    let by_id = || engine.image_store().find(&origin.written).ok();
    // What there is for one platform alone will do where none is named.
    let is_sole = |image: &Image| {
        !origin.is_platform_asked_for && engine.image_store().is_sole(&origin.reference, image)
    };
    let fits = |image: &Image| suits(image, origin) || is_sole(image);
    if !always_ask {
        let found = match here().filter(fits).or_else(|| by_id().filter(fits)) {
            Some(image) => Some(image),
            None => of_index(engine, origin).await?,
        };
        if let Some(image) = found {
            return hold(engine, origin, image).await;
        }
    }
    let image = pull(engine, client, origin, node).await.map_err(|mut error| {
        if let (BuildError::Client(error), Some(other)) = (&mut error, here().filter(|image| !fits(image))) {
            let platform = platform_of(&other.config);
            error.message +=
                &format!(" (the one that is here is for {platform}; --platform={platform} asks for it)");
        }
        error
    })?;
    hold(engine, origin, image).await
}

/// The image for the platform in the index that the name means here.
async fn of_index(engine: &Engine, origin: &ImageOrigin) -> Result<Option<Image>, BuildError> {
    let (store, name, platform) =
        (engine.image_store().clone(), origin.reference.clone(), origin.platform.clone());
    let found = tokio::task::spawn_blocking(move || store.image_for(&name, &platform));
    found.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// Whether the image is for the platform that is wanted.
fn suits(image: &Image, origin: &ImageOrigin) -> bool {
    image.config.architecture.is_empty() || origin.platform.suitability(&platform_of(&image.config)) > 0
}

fn platform_of(config: &ImageConfig) -> Platform {
    Platform::normalised(&config.os, &config.architecture, config.variant.as_deref())
}

async fn hold(engine: &Engine, origin: &ImageOrigin, image: Image) -> Result<BaseImage, BuildError> {
    let store = engine.image_store().clone();
    let title = format!("{}@{}", origin.reference, image.manifest);
    let material = material(origin, &image);
    let layers = tokio::task::spawn_blocking(move || {
        let layers = store.built_layers(&image).map_err(|error| failed(&error))?;
        Ok::<_, BuildError>((image.config, layers))
    });
    let (config, layers) = layers.await.map_err(|error| failed(&error))??;
    let made_of = Arc::new(Sources::of(material));
    Ok(hold_layers(engine, config, layers, title).await?.made_of(made_of))
}

/// The image by the digest that its name has in its registry, as far as that is known.
fn material(origin: &ImageOrigin, image: &Image) -> Material {
    let prefix = format!("{}@", origin.reference.familiar_name());
    let there = image.digests.iter().find_map(|known| known.strip_prefix(&prefix)?.parse().ok());
    let digest = origin.reference.digest().or(there).unwrap_or(image.manifest);
    Material::image(&origin.reference, &origin.platform, &digest)
}

/// An image of these layers, which stay as long as it lives.
pub(crate) async fn hold_layers(
    engine: &Engine,
    config: Arc<ImageConfig>,
    layers: Vec<BuiltLayer>,
    title: String,
) -> Result<BaseImage, BuildError> {
    let store = engine.image_store().clone();
    let held = tokio::task::spawn_blocking(move || {
        let held = store.hold_layers(&layers).map_err(|error| failed(&error))?;
        let held = held.ok_or_else(|| BuildError::Failed(format!("layers of {title} are missing")))?;
        let held = Some(Arc::new(held));
        Ok::<_, BuildError>(BaseImage { config, layers, title, made_of: Arc::default(), _held: held })
    });
    held.await.map_err(|error| failed(&error))?
}

async fn pull(
    engine: &Engine,
    client: &Client,
    origin: &ImageOrigin,
    node: &Node,
) -> Result<Image, BuildError> {
    let credentials = match &client.auth {
        Some(auth) => auth.credentials(origin.reference.domain()).await?,
        None => None,
    };
    let platform = &origin.platform;
    let options = PullOptions {
        image: origin.reference.to_string(),
        tag: None,
        platform: origin.is_platform_asked_for.then(|| platform.to_string()),
        for_build: true,
        credentials,
    };
    let mut stream = engine.image_pull(options).await?;
    let mut came = None;
    while let Some(event) = stream.next().await {
        match event {
            Ok(TransferEvent::Progress { id, action, current, total }) => {
                let now = OffsetDateTime::now_utc();
                client.progress.event(Event::Status(Status {
                    id,
                    vertex: node.digest(),
                    name: action.to_ascii_lowercase(),
                    current,
                    total,
                    time: now,
                    started: Some(now),
                    completed: (current == total).then_some(now),
                }));
            }
            Ok(TransferEvent::Image(id)) => came = Some(id),
            Ok(TransferEvent::Status { .. } | TransferEvent::Aux(_)) => {}
            Err(error) => {
                return Err(BuildError::Client(ContextError::invalid(format!(
                    "{}: {error}",
                    origin.reference
                ))));
            }
        }
    }
    let image = came.and_then(|id| engine.image_store().find(&id.to_string()).ok());
    image.ok_or_else(|| BuildError::Invalid(format!("{}: not found", origin.reference)))
}
