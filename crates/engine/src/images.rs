//! The calls about images: the store's blocking work on blocking threads, with events and what containers
//! have to do with it.

mod commit;
mod describe;
mod downloads;
mod pull;
mod push;
mod registries;
mod transfer;

pub(crate) use self::{
    downloads::Downloads,
    registries::{DOWNLOADS_AT_ONCE, Registries, UPLOADS_AT_ONCE},
};
pub use self::{
    pull::PullOptions,
    push::PushOptions,
    transfer::{TransferEvent, TransferStream},
};

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::Arc,
    time::Instant,
};

use bollard_stubs::models::{
    ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect, ImagePruneResponse, ImageSummary,
};
use futures_util::stream;
use minke_image::{FindError, Image, LoadError, RemoveError, Removed, SaveError, Saving, TagError, User};
use minke_model::{ImageId, Platform, Reference};
use time::OffsetDateTime;
use tokio::{io::AsyncRead, sync::mpsc};

use crate::{
    ByteStream, Engine, Error, ErrorKind, Filters, ImageListOptions, ImportOptions, LoadEvent, LoadStream,
    container::Record, engine::Inner, error::chain, events::About, metrics::ImageAction, pipes,
    rootfs::Layers, time_text,
};

impl Engine {
    /// Loads the images of an archive (docker-archive or OCI layout; plain, gzip or zstd).
    ///
    /// # Errors
    /// None before the stream; in it [`ErrorKind::InvalidParameter`] for a bad archive,
    /// [`ErrorKind::Internal`].
    pub async fn image_load<R: AsyncRead + Send + Unpin + 'static>(
        &self,
        archive: R,
        platform: Option<&str>,
    ) -> Result<LoadStream, Error> {
        let platform = platform.map(str::parse::<Platform>).transpose();
        let platform = platform.map_err(|error| Error::invalid(error.to_string()))?;
        let (pipe, reader) = pipes::to_blocking();
        tokio::spawn(pipes::pump(archive, pipe));
        let (events, receiver) = mpsc::channel(64);
        let (inner, busy) = (Arc::clone(self.inner()), self.busy());
        minke_patience::spawn(move || {
            let mut progress = |progress: minke_image::LoadProgress| {
                let event = LoadEvent::Progress {
                    layer: progress.layer.to_string(),
                    current: progress.current,
                    total: Some(progress.total),
                };
                // A slow client misses some steps of the bar, and holds up nothing.
                let _ = events.try_send(Ok(event));
            };
            match inner.images.load_for(platform.as_ref(), reader, &mut progress) {
                Ok(loaded) => {
                    for image in loaded {
                        let id = image.id.to_string();
                        inner.image_event("load", &id, &id);
                        let _ = events.blocking_send(Ok(LoadEvent::Loaded { id, names: image.names }));
                    }
                }
                Err(error) => drop(events.blocking_send(Err(load_error("load", &error)))),
            }
            drop(busy);
        });
        Ok(Box::pin(stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        })))
    }

    /// Images as an archive that both Docker and OCI tools read. A name without a tag stands for all of its repository.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when one of the names isn't there.
    pub async fn image_save(&self, names: Vec<String>) -> Result<ByteStream, Error> {
        // Before the client has an answer: it may take the names away while it still reads.
        let (names, saving) = self
            .blocking(move |inner| {
                let names = names.into_iter().flat_map(|name| inner.all_tags_of(name));
                let found = names.map(|name| Ok((inner.find_image(&name)?.id, name)));
                let found: Vec<(ImageId, String)> = found.collect::<Result<_, Error>>()?;
                let names: Vec<String> = found.iter().map(|(_, name)| name.clone()).collect();
                let saving = inner.images.save(&names).map_err(|error| match error {
                    SaveError::Find(error) => inner.find_error(&error),
                    error => Error::internal("save the images", &error),
                })?;
                Ok((found, saving))
            })
            .await?;
        let inner = Arc::clone(self.inner());
        Ok(self.written(saving, move || {
            for (id, name) in &names {
                inner.image_event("save", &id.to_string(), name);
            }
        }))
    }

    /// The archive of an image that a build composed.
    pub fn save_composed(&self, saving: Saving) -> ByteStream {
        self.written(saving, || {})
    }

    fn written(&self, saving: Saving, then: impl FnOnce() + Send + 'static) -> ByteStream {
        let (mut writer, stream) = pipes::to_async(self.busy());
        minke_patience::spawn(move || match saving.write(&mut writer) {
            Ok(()) => {
                let _ = writer.flush();
                then();
            }
            Err(error) => writer.fail(std::io::Error::other(chain(&error))),
        });
        stream
    }

    /// Makes an image of a root file system's tar.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] for a bad archive, name or change.
    pub async fn image_import<R: AsyncRead + Send + Unpin + 'static>(
        &self,
        rootfs: R,
        options: ImportOptions,
    ) -> Result<ImageId, Error> {
        let (pipe, reader) = pipes::to_blocking();
        let pumping = tokio::spawn(pipes::pump(rootfs, pipe));
        let imported = self.waiting(move |inner| {
            let name = options.name.clone();
            let options = minke_image::ImportOptions {
                name: options.name,
                message: options.message,
                changes: options.changes,
                platform: options.platform,
                created: OffsetDateTime::now_utc(),
            };
            let id = inner.images.import(reader, options).map_err(|error| load_error("import", &error))?;
            inner.image_event("import", &id.to_string(), name.as_deref().unwrap_or(&id.to_string()));
            Ok(id)
        });
        let result = imported.await;
        pumping.abort();
        result
    }

    /// The images that match: `reference`, `dangling`, `label`, `before`, `since`, `until`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] for an unknown filter, [`ErrorKind::NotFound`] for the image that
    /// `before` and `since` name.
    pub async fn image_list(&self, options: ImageListOptions) -> Result<Vec<ImageSummary>, Error> {
        self.blocking(move |inner| describe::list(&inner, &options)).await
    }

    /// Everything about an image.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn image_inspect(&self, name: &str) -> Result<ImageInspect, Error> {
        let inner = self.inner();
        Ok(describe::inspect(inner, &inner.find_image(name)?))
    }

    /// The image that one was committed or built from on this host, if that is known.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn image_parent(&self, name: &str) -> Result<Option<ImageId>, Error> {
        Ok(self.inner().find_image(name)?.parent)
    }

    /// How an image came about.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn image_history(&self, name: &str) -> Result<Vec<ImageHistoryResponseItem>, Error> {
        let began = Instant::now();
        let inner = self.inner();
        let history = inner.images.history(name).map_err(|error| inner.find_error(&error))?;
        let item = |entry: minke_image::HistoryEntry| ImageHistoryResponseItem {
            id: entry.id,
            created: entry.created,
            created_by: entry.created_by,
            tags: entry.tags.unwrap_or_default(),
            size: i64::try_from(entry.size).unwrap_or(i64::MAX),
            comment: entry.comment,
        };
        inner.counts.image(ImageAction::History).since(began);
        Ok(history.into_iter().map(item).collect())
    }

    /// Gives an image a further name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::InvalidParameter`] for a bad name.
    pub async fn image_tag(&self, source: &str, repo: &str, tag: &str) -> Result<(), Error> {
        let (source, name) =
            (source.to_owned(), if tag.is_empty() { repo.to_owned() } else { format!("{repo}:{tag}") });
        self.blocking(move |inner| {
            let image = inner.find_image(&source)?;
            inner.images.tag(&source, &name).map_err(|error| match error {
                TagError::Find(error) => inner.find_error(&error),
                TagError::Store(error) => Error::internal("tag the image", &error),
                error => Error::invalid(chain(&error)),
            })?;
            inner.image_event("tag", &image.id.to_string(), &familiar(&name));
            Ok(())
        })
        .await
    }

    /// Takes a name away, and the image with its last one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Conflict`] while containers need it or names are left.
    pub async fn image_remove(
        &self,
        name: &str,
        force: bool,
        no_prune: bool,
    ) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        // Layers that nothing needs go in any case: this store has no images without names to keep.
        let _ = no_prune;
        let name = name.to_owned();
        self.blocking(move |inner| {
            let began = Instant::now();
            let removed = inner.remove_image(&name, force)?;
            inner.counts.image(ImageAction::Delete).since(began);
            Ok(removed)
        })
        .await
    }

    /// Removes images without a name, with the filter `dangling=false` all that no container needs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameter`] for an unknown filter.
    pub async fn image_prune(&self, filters: &Filters) -> Result<ImagePruneResponse, Error> {
        filters.expect(&["dangling", "until", "label", "label!"])?;
        let all = filters.boolean("dangling")? == Some(false);
        let until = filters.single("until")?.map(time_text::until).transpose()?;
        let filters = filters.clone();
        self.blocking(move |inner| {
            // With the names that containers were made from.
            let mut used: BTreeMap<ImageId, BTreeSet<String>> = BTreeMap::new();
            for record in inner.containers().iter().map(|container| container.record()) {
                used.entry(record.image).or_default().insert(familiar(record.image_name()));
                for mount in record.mounts.iter().filter_map(|mount| mount.image.as_ref()) {
                    if let Some(image) = mount.id {
                        used.entry(image).or_default().insert(familiar(&mount.reference));
                    }
                }
            }
            let doomed = |image: &&Arc<Image>| {
                let labels = &image.config.config.labels;
                let created = image.created.as_deref().and_then(time_text::parse);
                (all || image.names.is_empty())
                    && filters.labels(|key| labels.get(key).map(String::as_str))
                    && until.is_none_or(|until| created.is_some_and(|created| created < until))
            };
            let images = inner.images.list().map_err(|error| Error::internal("list images", &error))?;
            let before = inner.images.size_of(&images);
            let mut deleted = Vec::new();
            for image in images.iter().filter(doomed) {
                let (words, force) = match used.get(&image.id) {
                    None => (vec![image.id.to_string()], true),
                    Some(kept) => (surplus(&image.names, kept).cloned().collect(), false),
                };
                for word in words {
                    match inner.remove_image(&word, force) {
                        Ok(removed) => deleted.extend(removed),
                        // Somebody else was faster, or needs it by now.
                        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            let left = inner.images.list().map_err(|error| Error::internal("list images", &error))?;
            let reclaimed = before.saturating_sub(inner.images.size_of(&left));
            let told = [("reclaimed".to_owned(), reclaimed.to_string())];
            inner.events.emit(About::Image, "prune", "", told);
            Ok(ImagePruneResponse {
                images_deleted: Some(deleted).filter(|deleted| !deleted.is_empty()),
                space_reclaimed: Some(i64::try_from(reclaimed).unwrap_or(i64::MAX)),
            })
        })
        .await
    }
}

/// What `ps` shows in the IMAGE column: the name the container was made from, as long as it still means
/// that image, and the image's id then.
pub(crate) struct ImageNames<'a> {
    inner: &'a Inner,
    known: BTreeMap<String, Option<ImageId>>,
}

impl ImageNames<'_> {
    pub(crate) fn shown(&mut self, record: &Record) -> String {
        let asked = record.image_name();
        let inner = self.inner;
        let now = self
            .known
            .entry(asked.to_owned())
            .or_insert_with(|| inner.images.find(asked).ok().map(|image| image.id));
        match *now == Some(record.image) {
            true => asked.to_owned(),
            false => record.image.to_string(),
        }
    }
}

impl Inner {
    /// The image of this name or id.
    ///
    /// # Errors
    /// `NotFound` in Docker's words, which make its clients pull.
    pub(crate) fn find_image(&self, name: &str) -> Result<Image, Error> {
        self.images.find(name).map_err(|error| self.find_error(&error))
    }

    /// The names that a repository's name stands for; another one stands for itself.
    fn all_tags_of(&self, name: String) -> Vec<String> {
        let repository = name.parse::<Reference>().ok().filter(Reference::is_name_only);
        let tags: Vec<String> =
            repository.iter().flat_map(|name| self.images.tags(name)).map(|tag| tag.familiar()).collect();
        if tags.is_empty() { vec![name] } else { tags }
    }

    fn find_error(&self, error: &FindError) -> Error {
        let kind = match error {
            FindError::NotFound(_) => ErrorKind::NotFound,
            FindError::Store(_) => ErrorKind::Internal,
            _ => ErrorKind::InvalidParameter,
        };
        Error::new(kind, chain(error))
    }

    /// The directories of a container's root.
    ///
    /// # Errors
    /// `NotFound` when its image is gone, `Internal` when the image's layers are damaged.
    pub(crate) fn layers(&self, record: &Record) -> Result<Layers, Error> {
        let image = self.find_image(&record.image.to_string())?;
        let lower = self
            .images
            .lower_dirs(&image)
            .map_err(|error| Error::internal("find the image's layers", &error))?;
        let directory = self.places(&record.id).directory;
        Ok(Layers { lower, upper: directory.join("upper"), work: directory.join("work") })
    }

    pub(crate) fn image_names(&self) -> ImageNames<'_> {
        ImageNames { inner: self, known: BTreeMap::new() }
    }

    /// Bytes of an image's files.
    pub(crate) fn image_size(&self, id: &ImageId) -> i64 {
        let image = self.images.find(&id.to_string());
        image.map_or(0, |image| i64::try_from(image.size).unwrap_or(i64::MAX))
    }

    /// The ids of these images and of those built on them: they have all of one's layers, and its history.
    pub(crate) fn image_descendants(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let ancestors: Vec<Image> = names.iter().filter_map(|name| self.images.find(name).ok()).collect();
        let images = self.images.list().unwrap_or_default();
        let descends = |image: &&Arc<Image>| {
            ancestors.iter().any(|ancestor| {
                image.id == ancestor.id
                    || (!ancestor.layers.is_empty()
                        && image.layers.starts_with(&ancestor.layers)
                        && image.config.history.starts_with(&ancestor.config.history))
            })
        };
        images.iter().filter(descends).map(|image| image.id.to_string()).collect()
    }

    fn remove_image(&self, name: &str, force: bool) -> Result<Vec<ImageDeleteResponseItem>, Error> {
        let used_by = |id: &ImageId| {
            let mut users: Vec<_> = self
                .containers()
                .into_iter()
                .filter(|c| c.record().images().any(|image| image == *id))
                .collect();
            users.sort_by_key(|container| !container.is_active());
            users.first().map(|container| User {
                container: container.id.short().to_owned(),
                running: container.is_active(),
            })
        };
        let found = self.find_image(name)?;
        let removed = self.images.remove(name, force, &used_by).map_err(|error| match error {
            RemoveError::Find(error) => self.find_error(&error),
            RemoveError::Store(error) => Error::internal("remove the image", &error),
            error => Error::conflict(chain(&error)),
        })?;
        let mut items = Vec::new();
        for effect in removed {
            match effect {
                Removed::Untagged(name) => {
                    self.image_event("untag", &found.id.to_string(), &name);
                    items.push(ImageDeleteResponseItem { untagged: Some(name), deleted: None });
                }
                Removed::Deleted(digest) => {
                    let digest = digest.to_string();
                    if digest == found.id.to_string() {
                        self.image_event("delete", &digest, &digest);
                    }
                    items.push(ImageDeleteResponseItem { untagged: None, deleted: Some(digest) });
                }
            }
        }
        Ok(items)
    }

    pub(crate) fn image_event(&self, action: &str, id: &str, name: &str) {
        // As in Docker with the image's labels, as long as it is there.
        let labels = self.images.find(id).map(|image| image.config.config.labels.clone()).unwrap_or_default();
        let attributes = labels.into_iter().chain([("name".to_owned(), name.to_owned())]);
        self.events.emit(About::Image, action, id, attributes);
    }
}

/// The names that an image which containers use can do without: all but those that the containers were made from, or all but
/// the last.
fn surplus<'a>(names: &'a [String], kept: &BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    let is_kept = |name: &String| kept.contains(&familiar(name));
    let spared = names.iter().position(is_kept).is_none();
    names
        .iter()
        .enumerate()
        .filter(move |(at, name)| !(is_kept(name) || spared && *at + 1 == names.len()))
        .map(|(_, name)| name)
}

/// A name as people write it, with its tag.
pub(crate) fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.with_default_tag().familiar())
}

fn load_error(action: &str, error: &LoadError) -> Error {
    match error {
        LoadError::Store(error) => Error::internal(format!("{action} the archive"), error),
        error => Error::invalid(chain(error)),
    }
}
