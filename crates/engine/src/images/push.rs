//! `push`: an image, or all tags of a repository, to a registry.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use minke_distribution::{Pushed, Repository, Target};
use minke_image::{
    LayerForm,
    push::{CompressedLayer, OutgoingBlob, Push, PushError},
};
use minke_model::{Descriptor, Digest, Platform, Reference};
use serde_json::json;

use super::{
    pull::{on_blocking, reference, short},
    registries::registry_error,
    transfer::{Reports, TransferEvent, TransferStream},
};
use crate::{
    Credentials, Engine, Error, ErrorKind, engine::Inner, error::chain, events::About, metrics::ImageAction,
};

/// Other repositories of the same registry that are tried for a blob before it is sent.
const MOST_ORIGINS: usize = 3;

/// Options of [`Engine::image_push`].
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// The image, without a tag.
    pub image: String,
    /// The tag; where it is absent, all tags of the repository are pushed.
    pub tag: Option<String>,
    /// Push the image only if it is for this platform, and not the index it came with.
    pub platform: Option<String>,
    /// What the registry may want to know.
    pub credentials: Option<Credentials>,
}

impl Engine {
    /// Pushes an image, or all tags of a repository.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such image, [`ErrorKind::InvalidParameter`] for a bad name or platform;
    /// what the registry says comes in the stream. Ends when the stream is dropped.
    pub async fn image_push(&self, options: PushOptions) -> Result<TransferStream, Error> {
        let name = reference(&options.image, options.tag.as_deref())?;
        if name.digest().is_some() {
            return Err(Error::invalid("cannot push a digest reference"));
        }
        let platform = options.platform.as_deref().map(str::parse::<Platform>).transpose();
        let platform = platform.map_err(|error| Error::invalid(error.to_string()))?;
        let inner = Arc::clone(self.inner());
        let tags = match name.tag() {
            Some(_) => vec![name.clone()],
            None => inner.images.tags(&name),
        };
        if tags.is_empty() || tags.iter().any(|tag| inner.images.find(&tag.to_string()).is_err()) {
            let problem = format!("An image does not exist locally with the tag: {}", name.familiar_name());
            return Err(Error::not_found(problem));
        }
        self.push_to(&name.clone(), platform, options.credentials, move |pushing| {
            async move { pushing.all(&name, &tags).await }.boxed()
        })
    }

    /// Pushes an image that a build composed, under its tag or under its digest alone. The store learns nothing of it.
    ///
    /// # Errors
    /// As [`Engine::image_push`].
    pub fn push_composed(
        &self,
        push: Arc<Push>,
        name: Reference,
        by_digest: bool,
        credentials: Option<Credentials>,
    ) -> Result<TransferStream, Error> {
        self.push_to(&name.clone(), None, credentials, move |pushing| {
            let sent = async move {
                pushing.blobs(&push, &name).await?;
                let target = pushing.documents(&name, &push, by_digest).await?;
                let aux = json!({ "Digest": target.digest.to_string(), "Size": target.size });
                pushing.reports.send(TransferEvent::Aux(aux)).await;
                Ok(())
            };
            sent.boxed()
        })
    }

    /// Does it as long as somebody listens.
    fn push_to(
        &self,
        name: &Reference,
        platform: Option<Platform>,
        credentials: Option<Credentials>,
        work: impl FnOnce(Pushing) -> BoxFuture<'static, Result<(), Error>> + Send + 'static,
    ) -> Result<TransferStream, Error> {
        let inner = Arc::clone(self.inner());
        let repository = inner.live().registries.repository(name, credentials)?;
        let name = name.clone();
        let (reports, stream) = Reports::new();
        let busy = self.busy();
        tokio::spawn(async move {
            let pushing = Pushing { inner, repository, platform, reports: reports.clone() };
            tokio::select! {
                result = work(pushing) => if let Err(error) = result {
                    reports.fail(error).await;
                },
                () = reports.gone() => tracing::info!(image = %name, "push given up: the client has gone"),
            }
            drop(busy);
        });
        Ok(stream)
    }
}

struct Pushing {
    inner: Arc<Inner>,
    repository: Repository,
    platform: Option<Platform>,
    reports: Reports,
}

impl Pushing {
    async fn all(&self, name: &Reference, tags: &[Reference]) -> Result<(), Error> {
        let began = Instant::now();
        self.reports.say(format!("The push refers to repository [{}]", name.name())).await;
        for tag in tags {
            self.one(tag).await?;
        }
        self.inner.counts.image(ImageAction::Push).since(began);
        Ok(())
    }

    async fn one(&self, tag: &Reference) -> Result<(), Error> {
        let mut push = self.prepare(tag).await?;
        for blob in push.blobs.iter().filter(|blob| blob.is_layer) {
            self.reports.about(&short(&blob.descriptor.digest), "Preparing").await;
        }
        let compressed = self.blobs(&push, tag).await?;
        push = self
            .on_blocking(move |_| {
                push.manifest(compressed)
                    .map(|()| push)
                    .map_err(|error| Error::internal("write a manifest", &error))
            })
            .await?;
        let target = self.documents(tag, &push, false).await?;
        let shown = tag.tag().unwrap_or_default().to_owned();
        let (digest, size) = (target.digest, target.size);
        let remembered = tag.clone();
        self.on_blocking(move |_| {
            push.commit(&remembered, digest)
                .map_err(|error| Error::internal("remember what was pushed", &error))
        })
        .await?;
        self.reports.say(format!("{shown}: digest: {digest} size: {size}")).await;
        let aux = json!({ "Tag": shown, "Digest": digest.to_string(), "Size": size });
        self.reports.send(TransferEvent::Aux(aux)).await;
        let attributes = [("name".to_owned(), tag.familiar_name())];
        self.inner.events.emit(About::Image, "push", &tag.familiar(), attributes);
        Ok(())
    }

    /// Sends all blobs. Gives those that were compressed for it.
    async fn blobs(&self, push: &Push, tag: &Reference) -> Result<Vec<CompressedLayer>, Error> {
        let compressed = Mutex::new(Vec::new());
        let mut sending = Vec::with_capacity(push.blobs.len());
        for blob in &push.blobs {
            sending.push(self.blob(push, tag, blob, &compressed));
        }
        let at_once = self.inner.live().settings.uploads();
        stream::iter(sending).buffer_unordered(at_once).try_collect::<Vec<()>>().await?;
        Ok(compressed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    async fn prepare(&self, tag: &Reference) -> Result<Push, Error> {
        let (tag, platform) = (tag.clone(), self.platform.clone());
        let prepare = move |inner: &Inner| {
            inner.images.prepare_push(&tag, platform.as_ref()).map_err(|error| match error {
                PushError::Find(error) => inner.find_error(&error),
                PushError::Platform { .. } => Error::not_found(chain(&error)),
                error => Error::internal("prepare the push", &error),
            })
        };
        self.on_blocking(prepare).await
    }

    /// Sends one blob; a plain layer is compressed first.
    async fn blob(
        &self,
        push: &Push,
        tag: &Reference,
        blob: &OutgoingBlob,
        compressed: &Mutex<Vec<CompressedLayer>>,
    ) -> Result<(), Error> {
        let id = short(&blob.descriptor.digest);
        if !blob.is_plain {
            let path = push.path(&blob.descriptor.digest);
            return self.send(&id, tag, &blob.descriptor, path, blob.is_layer).await;
        }
        let (plain, reports, shown) = (blob.clone(), self.reports.clone(), id.clone());
        let compressing = self.on_blocking(move |inner| {
            let total = plain.descriptor.size;
            let mut progress = |done| reports.progress(&shown, "Preparing", done, total);
            inner
                .images
                .compress(&plain.descriptor, LayerForm::default(), &mut progress)
                .map_err(|error| Error::internal("compress a layer", &error))
        });
        let layer = compressing.await?;
        self.send(&id, tag, &layer.descriptor, layer.path(), true).await?;
        compressed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(layer);
        Ok(())
    }

    async fn send(
        &self,
        id: &str,
        tag: &Reference,
        blob: &Descriptor,
        path: std::path::PathBuf,
        is_layer: bool,
    ) -> Result<(), Error> {
        let origins = self.origins(tag, &blob.digest);
        let progress = |done| {
            if is_layer {
                self.reports.progress(id, "Pushing", done, blob.size);
            }
        };
        let pushed = self.repository.push_blob(&blob.digest, blob.size, &origins, &path, &progress).await;
        let pushed = pushed.map_err(|error| self.refused(tag, &error))?;
        if is_layer {
            let text = match pushed {
                Pushed::Existed => "Layer already exists".to_owned(),
                Pushed::Mounted(from) => format!("Mounted from {}", from.path()),
                Pushed::Uploaded => "Pushed".to_owned(),
            };
            self.reports.about(id, &text).await;
        }
        Ok(())
    }

    /// Other repositories of this registry that had the blob when an image of theirs was pulled or pushed.
    fn origins(&self, tag: &Reference, blob: &Digest) -> Vec<Reference> {
        let others = self.inner.images.repositories_with(blob, tag.domain());
        others.into_iter().filter(|other| other.path() != tag.path()).take(MOST_ORIGINS).collect()
    }

    /// Sends the documents; the tag means the last one, unless that is to have none.
    async fn documents(&self, tag: &Reference, push: &Push, by_digest: bool) -> Result<Descriptor, Error> {
        let Some((last, others)) = push.documents.split_last() else {
            return Err(Error::new(ErrorKind::Internal, "the image has no manifest"));
        };
        let tagged = match by_digest {
            true => Target::Digest(last.descriptor.digest),
            false => Target::Tag(tag.tag().unwrap_or_default().to_owned()),
        };
        let all = others.iter().map(|document| (Target::Digest(document.descriptor.digest), document));
        for (target, document) in all.chain([(tagged, last)]) {
            let bytes = Bytes::copy_from_slice(&document.bytes);
            let sent = self.repository.put_manifest(&target, &document.descriptor.media_type, bytes).await;
            sent.map_err(|error| self.refused(tag, &error))?;
        }
        Ok(last.descriptor.clone())
    }

    fn refused(&self, tag: &Reference, error: &minke_distribution::Error) -> Error {
        registry_error(&format!("push {}", tag.familiar()), error)
    }

    async fn on_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        on_blocking(move || work(&inner)).await?
    }
}
