//! `pull`: from a name to an image, through a registry.
//!
//! ```text
//!  tag ─HEAD─▶ digest ─▶ known? done
//!                └─▶ index ─▶ manifest ─▶ configuration ─▶ layers (Downloads) ∥ attestations ─▶ one commit
//! ```

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{StreamExt, future};
use minke_distribution::{Repository, Target};
use minke_image::{
    LayerState, LoadError, StagedLayer,
    manifest::{Document, Index, Manifest},
    pull::{DEEPEST_INDEX, LONGEST_DOCUMENT, Pull, PullPlan},
};
use minke_model::{Descriptor, Digest, ImageId, Platform, Reference};

use super::{
    downloads::{Download, State},
    load_error,
    registries::{registry_error, words},
    transfer::{Reports, TransferEvent, TransferStream},
};
use crate::{
    Credentials, Engine, Error, ErrorKind, engine::Inner, events::About, metrics::ImageAction, pipes,
};

/// Most bytes of an attestation's blob: SBOMs of whole distributions have a tenth of it.
const LONGEST_ATTESTATION: u64 = 256 << 20;

/// Options of [`Engine::image_pull`].
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The image, with or without a tag or a digest.
    pub image: String,
    /// A tag or a digest; where neither this nor `image` has one, all tags are pulled.
    pub tag: Option<String>,
    /// `os/architecture[/variant]`; this host's where absent.
    pub platform: Option<String>,
    /// Whether it is what a build starts from: an image that there is for one platform alone will do, whichever that
    /// is, and one for another platform than this host's takes no name from what containers are made of.
    pub for_build: bool,
    /// What the registry may want to know.
    pub credentials: Option<Credentials>,
}

impl Engine {
    /// Pulls an image, or all of a repository.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] for a bad name or platform; what the registry says comes in the stream. Ends
    /// when the stream is dropped.
    pub async fn image_pull(&self, options: PullOptions) -> Result<TransferStream, Error> {
        let name = reference(&options.image, options.tag.as_deref())?;
        let platform = options.platform.as_deref().map(str::parse::<Platform>).transpose();
        let platform = platform.map_err(|error| Error::invalid(error.to_string()))?;
        let inner = Arc::clone(self.inner());
        let repository = inner.live().registries.repository(&name, options.credentials)?;
        let (reports, stream) = Reports::new();
        let busy = self.busy();
        tokio::spawn(async move {
            let for_build = options.for_build;
            let pulling = Pulling { inner, repository, platform, for_build, reports: reports.clone() };
            tokio::select! {
                result = pulling.all(&name) => if let Err(error) = result {
                    reports.fail(error).await;
                },
                () = reports.gone() => tracing::info!(image = %name, "pull given up: the client has gone"),
            }
            drop(busy);
        });
        Ok(stream)
    }
}

/// The reference of `image` and `tag` as `POST /images/create` has them.
pub(super) fn reference(image: &str, tag: Option<&str>) -> Result<Reference, Error> {
    let invalid = |error: minke_model::ReferenceError| Error::invalid(error.to_string());
    let name: Reference = image.parse().map_err(invalid)?;
    match tag.filter(|tag| !tag.is_empty()) {
        None => Ok(name),
        Some(tag) => match tag.parse::<Digest>() {
            Ok(digest) => Ok(name.with_digest(digest)),
            Err(_) => name.with_tag(tag).map_err(invalid),
        },
    }
}

struct Pulling {
    inner: Arc<Inner>,
    repository: Repository,
    platform: Option<Platform>,
    for_build: bool,
    reports: Reports,
}

impl Pulling {
    async fn all(&self, name: &Reference) -> Result<(), Error> {
        let began = Instant::now();
        let names = match name.is_name_only() {
            false => vec![name.clone()],
            true => {
                let tags = self.repository.tags().await.map_err(|error| self.refused(name, &error))?;
                let tag = |tag: &String| name.with_tag(tag);
                let tagged = tags.iter().map(tag).collect::<Result<_, _>>();
                tagged.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?
            }
        };
        let mut newer = false;
        for name in &names {
            newer |= self.one(name).await?;
        }
        self.status(newer, &name.familiar()).await;
        self.inner.counts.image(ImageAction::Pull).since(began);
        Ok(())
    }

    async fn status(&self, newer: bool, name: &str) {
        let text = if newer { "Downloaded newer image for" } else { "Image is up to date for" };
        self.reports.say(format!("Status: {text} {name}")).await;
    }

    /// Pulls one tag or digest. Returns whether the name means something new.
    async fn one(&self, name: &Reference) -> Result<bool, Error> {
        let refused = |error: minke_distribution::Error| self.refused(name, &error);
        let shown = name
            .tag()
            .map_or_else(|| name.digest().map_or_else(String::new, |d| d.to_string()), str::to_owned);
        let root =
            match name.digest().and_then(|digest| self.inner.images.pulled(name, &digest).map(|_| digest)) {
                Some(digest) => digest,
                None => self.repository.resolve(&Target::of(name)).await.map_err(refused)?.digest,
            };
        self.reports.about(&shown, &format!("Pulling from {}", name.path())).await;
        let before = self.inner.images.find(&name.to_string()).ok();
        if let Some(id) = self.is_here(name, &root) {
            self.came(name, id, &root).await;
            return Ok(false);
        }
        let session = Session::begin(&self.inner).await?;
        let image = self.documents(&session, root).await.map_err(|fault| fault.told(self, name))?;
        let config = session
            .document(&self.repository, image.manifest.config())
            .await
            .map_err(|fault| fault.told(self, name))?;
        let plan = session.plan(image.descriptor.clone(), image.manifest.clone(), config).await?;
        let is_sole = image.descriptor.digest == root;
        if !(self.for_build && is_sole) {
            self.check_platform(name, &plan)?;
        }
        let (layers, ()) = future::try_join(self.layers(&plan), self.companions(&session, &image)).await?;
        let names = self.names(name, root, &plan.platform, is_sole);
        let id = session.commit(plan, layers, names, root).await?;
        self.came(name, id, &root).await;
        Ok(before.is_none_or(|before| before.id != id))
    }

    async fn came(&self, name: &Reference, id: ImageId, root: &Digest) {
        self.reports.say(format!("Digest: {root}")).await;
        self.reports.send(TransferEvent::Image(id)).await;
        self.event(name);
    }

    /// The image that the name means already, for a platform that will do.
    fn is_here(&self, name: &Reference, root: &Digest) -> Option<ImageId> {
        let id = self.inner.images.pulled(name, root)?;
        let image = self.inner.images.find(&id.to_string()).ok()?;
        let has = platform_of(&image.config);
        let will_do = match &self.platform {
            None => !self.for_build || Platform::host().suitability(&has) > 0,
            Some(wanted) => wanted.suitability(&has) > 0,
        };
        let is_sole = self.for_build && image.manifest == *root;
        (self.inner.images.lower_dirs(&image).is_ok() && (will_do || is_sole)).then_some(id)
    }

    /// What the image is called from now on.
    fn names(&self, name: &Reference, root: Digest, platform: &Platform, is_sole: bool) -> Vec<Reference> {
        let by_digest = name.with_digest(root);
        let tag = name.digest().is_none().then(|| name.clone());
        if !self.for_build {
            return tag.into_iter().chain([by_digest]).collect();
        }
        let is_foreign = |platform: &Platform| Platform::host().suitability(platform) == 0;
        let holder = |name: &Reference| self.inner.images.find(&name.to_string()).ok();
        let prefix = format!("{}@", name.familiar_name());
        let is_free = |name: &Reference| match holder(name) {
            None => is_sole || !is_foreign(platform),
            // What somebody has made or loaded keeps its name.
            Some(image) => {
                image.digests.iter().any(|known| known.starts_with(&prefix))
                    && (is_foreign(&platform_of(&image.config)) || !is_foreign(platform))
            }
        };
        let takes_digest = !is_foreign(platform) || holder(&by_digest).is_none();
        tag.filter(is_free).into_iter().chain(takes_digest.then_some(by_digest)).collect()
    }

    /// From the root down to the manifest of the image.
    async fn documents(&self, session: &Session, root: Digest) -> Result<Chosen, Fault> {
        let wanted = self.platform.clone().unwrap_or_else(Platform::host);
        let mut descriptor = Descriptor::new("", root, 0);
        let mut attestations = Vec::new();
        for _ in 0..=DEEPEST_INDEX {
            let (mut full, bytes) = session.manifest(&self.repository, &descriptor).await?;
            let name = full.digest.to_string();
            let document = Document::parse(&name, &full.media_type, &bytes).map_err(Fault::Load)?;
            document.media_type().clone_into(&mut full.media_type);
            match document {
                Document::Manifest(manifest) => {
                    return Ok(Chosen { descriptor: full, manifest, attestations });
                }
                Document::Index(index) => {
                    let best = choose(&name, &index, &wanted)?;
                    attestations.extend(index.attestations(best.digest).cloned());
                    session.keep(full);
                    descriptor = best;
                }
            }
        }
        let problem = format!("more than {DEEPEST_INDEX} image indexes within each other");
        Err(Fault::Load(LoadError::Invalid(problem)))
    }

    /// A platform that was asked for by name is not replaced by another.
    fn check_platform(&self, name: &Reference, plan: &PullPlan) -> Result<(), Error> {
        let Some(wanted) = &self.platform else { return Ok(()) };
        let has = &plan.platform;
        match wanted.suitability(has) {
            0 => Err(Error::not_found(format!(
                "image with reference {} was found but its platform ({has}) does not match the specified platform ({wanted})",
                name.familiar()
            ))),
            _ => Ok(()),
        }
    }

    /// Everything that is not here yet, unpacked.
    async fn layers(&self, plan: &PullPlan) -> Result<Vec<Arc<StagedLayer>>, Error> {
        let mut downloads = Vec::new();
        for layer in &plan.layers {
            let id = short(&layer.blob.digest);
            match layer.state {
                LayerState::Unpacked => self.reports.about(&id, "Already exists").await,
                LayerState::Stored | LayerState::Absent => {
                    self.reports.about(&id, "Pulling fs layer").await;
                    let download = self.inner.downloads.join(&self.inner.images, &self.repository, layer);
                    downloads.push(self.wait(id, download, layer.blob.size));
                }
            }
        }
        future::try_join_all(downloads).await
    }

    /// Waits for a download and tells how it goes.
    async fn wait(&self, id: String, download: Arc<Download>, size: u64) -> Result<Arc<StagedLayer>, Error> {
        let mut states = download.state();
        let mut received = false;
        loop {
            let state = states.borrow_and_update().clone();
            match state {
                State::Waiting => {}
                State::Bytes(count) => self.reports.progress(&id, "Downloading", count, size),
                State::Received => received = self.received(&id, received, size).await,
                State::Failed(error) => return Err(error),
                State::Done(layer) => {
                    self.received(&id, received, size).await;
                    self.reports.about(&id, "Pull complete").await;
                    return Ok(layer);
                }
            }
            if states.changed().await.is_err() {
                return Err(Error::new(ErrorKind::Internal, format!("the download of layer {id} was lost")));
            }
        }
    }

    async fn received(&self, id: &str, before: bool, size: u64) -> bool {
        if !before {
            self.reports.about(id, "Download complete").await;
            let (id, action) = (id.to_owned(), "Extracting");
            self.reports.send(TransferEvent::Progress { id, action, current: size, total: size }).await;
        }
        true
    }

    /// Attestations of the image: small, and no reason to be without the image.
    async fn companions(&self, session: &Session, image: &Chosen) -> Result<(), Error> {
        for attestation in &image.attestations {
            if let Err(fault) = session.attestation(&self.repository, attestation).await {
                let error = fault.plain();
                tracing::warn!(%error, digest = %attestation.digest, "an attestation was not pulled");
            }
        }
        Ok(())
    }

    fn event(&self, name: &Reference) {
        let attributes = [("name".to_owned(), name.familiar_name())];
        self.inner.events.emit(About::Image, "pull", &name.familiar(), attributes);
    }

    /// The registry's answer in Docker's words.
    fn refused(&self, name: &Reference, error: &minke_distribution::Error) -> Error {
        use minke_distribution::Error as Fault;
        match error {
            Fault::NotFound(refusal) if refusal.code.as_deref() == Some("NAME_UNKNOWN") => {
                Error::not_found(format!("repository {} not found: {}", name.familiar_name(), words(refusal)))
            }
            Fault::NotFound(refusal) => {
                Error::not_found(format!("manifest for {} not found: {}", name.familiar(), words(refusal)))
            }
            Fault::Denied(refusal) => Error::not_found(format!(
                "pull access denied for {}, repository does not exist or may require 'docker login': {}",
                name.familiar_name(),
                words(refusal)
            )),
            _ => registry_error(&format!("pull {}", name.familiar()), error),
        }
    }
}

/// The image that a root leads to.
struct Chosen {
    descriptor: Descriptor,
    manifest: Manifest,
    attestations: Vec<Descriptor>,
}

fn choose(name: &str, index: &Index, wanted: &Platform) -> Result<Descriptor, Fault> {
    let lacks = || {
        LoadError::Invalid(format!(
            "no matching manifest for {wanted} in the manifest list entries: {}",
            index.lacks(name, wanted)
        ))
    };
    index.best(wanted).cloned().ok_or_else(lacks).map_err(Fault::NoPlatform)
}

fn platform_of(config: &minke_image::ImageConfig) -> Platform {
    Platform::normalised(&config.os, &config.architecture, config.variant.as_deref())
}

/// The twelve digits by which a layer is shown.
pub(super) fn short(digest: &Digest) -> String {
    digest.hex()[..12].to_owned()
}

/// Why a document was not taken in.
enum Fault {
    Registry(minke_distribution::Error),
    Load(LoadError),
    NoPlatform(LoadError),
    Other(Error),
}

impl Fault {
    fn told(self, pulling: &Pulling, name: &Reference) -> Error {
        match self {
            Self::Registry(error) => pulling.refused(name, &error),
            other => other.plain(),
        }
    }

    fn plain(self) -> Error {
        match self {
            Self::Registry(error) => registry_error("pull", &error),
            Self::Load(error) => load_error("pull", &error),
            Self::NoPlatform(error) => Error::not_found(error.to_string()),
            Self::Other(error) => error,
        }
    }
}

/// The store's side of one pull; its work is done on blocking threads.
#[derive(Clone)]
struct Session(Arc<Mutex<Option<Pull>>>);

impl Session {
    async fn begin(inner: &Arc<Inner>) -> Result<Self, Error> {
        let images = inner.images.clone();
        let pull = on_blocking(move || images.begin_pull()).await?;
        let pull = pull.map_err(|error| Error::internal("begin a pull", &error))?;
        Ok(Self(Arc::new(Mutex::new(Some(pull)))))
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Pull) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, Error> {
        let pull = Arc::clone(&self.0);
        let done = on_blocking(move || {
            let mut pull = pull.lock().unwrap_or_else(PoisonError::into_inner);
            pull.as_mut().map(work)
        });
        match done.await? {
            Some(result) => result.map_err(|error| load_error("pull", &error)),
            None => Err(Error::new(ErrorKind::Internal, "the pull has ended")),
        }
    }

    async fn known(&self, document: &Descriptor) -> Result<Option<Vec<u8>>, Fault> {
        let document = document.clone();
        self.with(move |pull| Ok(pull.known(&document)?)).await.map_err(Fault::Other)
    }

    async fn take_in(&self, digest: Digest, bytes: Bytes) -> Result<(), Fault> {
        self.with(move |pull| pull.document(digest, &bytes)).await.map_err(Fault::Other)
    }

    /// A manifest or an index: the store's, else the registry's. Its descriptor is completed by what came.
    async fn manifest(
        &self,
        repository: &Repository,
        wanted: &Descriptor,
    ) -> Result<(Descriptor, Bytes), Fault> {
        if let Some(bytes) = self.known(wanted).await? {
            let full = Descriptor { size: bytes.len() as u64, ..wanted.clone() };
            return Ok((full, bytes.into()));
        }
        let fetched = repository.manifest(&Target::Digest(wanted.digest)).await.map_err(Fault::Registry)?;
        self.take_in(wanted.digest, fetched.bytes.clone()).await?;
        let size = fetched.bytes.len() as u64;
        Ok((Descriptor { media_type: fetched.media_type, size, ..wanted.clone() }, fetched.bytes))
    }

    /// A configuration: the store's, else the registry's.
    async fn document(&self, repository: &Repository, wanted: &Descriptor) -> Result<Vec<u8>, Fault> {
        if let Some(bytes) = self.known(wanted).await? {
            return Ok(bytes);
        }
        let bytes = repository
            .blob_bytes(&wanted.digest, wanted.size, LONGEST_DOCUMENT)
            .await
            .map_err(Fault::Registry)?;
        self.take_in(wanted.digest, bytes.clone()).await?;
        Ok(bytes.to_vec())
    }

    async fn attestation(&self, repository: &Repository, attestation: &Descriptor) -> Result<(), Fault> {
        let (full, bytes) = self.manifest(repository, attestation).await?;
        let parsed =
            Document::parse(&full.digest.to_string(), &full.media_type, &bytes).map_err(Fault::Load)?;
        let Document::Manifest(manifest) = parsed else { return Ok(()) };
        for blob in std::iter::once(manifest.config()).chain(manifest.layers()) {
            self.blob(repository, blob).await?;
        }
        for companion in std::iter::once(&full).chain([manifest.config()]).chain(manifest.layers()) {
            self.keep(companion.clone());
        }
        Ok(())
    }

    async fn blob(&self, repository: &Repository, blob: &Descriptor) -> Result<(), Fault> {
        if self.known(blob).await?.is_some() {
            return Ok(());
        }
        if blob.size > LONGEST_ATTESTATION {
            let problem = format!("{} bytes are more than an attestation may have", blob.size);
            return Err(Fault::Load(LoadError::Blob { layer: blob.digest, problem }));
        }
        let (pipe, reader) = pipes::received();
        let wanted = blob.clone();
        let storing = self.with(move |pull| pull.blob(&wanted, reader));
        let feeding = async {
            let mut bytes = repository.blob(&blob.digest, blob.size);
            while let Some(piece) = bytes.next().await {
                if pipe.send(piece.map_err(std::io::Error::other)).await.is_err() {
                    break;
                }
            }
            drop(pipe);
        };
        future::join(storing, feeding).await.0.map_err(Fault::Other)
    }

    fn keep(&self, companion: Descriptor) {
        if let Some(pull) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            pull.keep(companion);
        }
    }

    async fn plan(
        &self,
        descriptor: Descriptor,
        manifest: Manifest,
        config: Vec<u8>,
    ) -> Result<PullPlan, Error> {
        self.with(move |pull| pull.plan(&descriptor, &manifest, config)).await
    }

    async fn commit(
        self,
        plan: PullPlan,
        layers: Vec<Arc<StagedLayer>>,
        names: Vec<Reference>,
        target: Digest,
    ) -> Result<Digest, Error> {
        let committed = on_blocking(move || {
            let pull = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            pull.map(|pull| pull.commit(plan, layers, names, target))
        });
        match committed.await? {
            Some(result) => result.map_err(|error| load_error("pull", &error)),
            None => Err(Error::new(ErrorKind::Internal, "the pull has ended")),
        }
    }
}

/// Runs something that blocks off the async threads.
pub(super) async fn on_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(ErrorKind::Internal, format!("the call failed: {error}")))
}
