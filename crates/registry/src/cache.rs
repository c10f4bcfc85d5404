//! Being another registry's cache: what is not here is fetched, kept and served at once.
//!
//! ```text
//!   upstream ──▶ fetch (one per blob) ──▶ an upload's file ──▶ a blob
//!                                              │ as it grows
//!                       client, client, … ◀────┘ the last byte only when the digest is right
//! ```
//! A fetch goes on when its clients leave: the next one will want it. A tag is asked for upstream on every
//! pull, and served from here when nobody answers there.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    sync::{OwnedMutexGuard, watch},
    time::timeout,
};

use crate::{
    Digest, Limits, Reference, RepositoryName, Tag, Upstream, UpstreamBlob, UpstreamError,
    error::ApiError,
    manifest::{Document, digest_like},
    store::{Store, uploads::Upload},
};

/// Bytes that are given to a client, and written, at a time.
const PIECE: usize = 256 << 10;

/// The registry that is cached, and what is coming from it.
pub(crate) struct Cache {
    upstream: Arc<dyn Upstream>,
    store: Arc<Store>,
    limits: Limits,
    fetches: Fetches,
}

type Fetches = Arc<Mutex<HashMap<(RepositoryName, Digest), Fetch>>>;

/// A blob that is coming, as its readers see it.
#[derive(Clone)]
pub(crate) struct Fetch {
    file: Arc<File>,
    pub(crate) size: u64,
    progress: watch::Receiver<Progress>,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    /// So many bytes are in the file.
    Bytes(u64),
    /// All are, and they are the right ones.
    Done,
    Failed,
}

impl Cache {
    pub(crate) fn new(upstream: Arc<dyn Upstream>, store: Arc<Store>, limits: Limits) -> Self {
        Self { upstream, store, limits, fetches: Arc::default() }
    }

    /// Sees to it that a manifest is here, if there is one.
    pub(crate) async fn fetch_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        limit: usize,
    ) -> Result<(), ApiError> {
        match reference {
            Reference::Digest(digest) => self.fetch_by_digest(name, digest, None, limit).await,
            Reference::Tag(tag) => match self.upstream.resolve(name, reference).await {
                Ok(Some(digest)) => self.fetch_by_digest(name, &digest, Some(tag), limit).await,
                Ok(None) => self.forget(name, tag).await,
                Err(error) => self.fall_back(name, reference, error).await,
            },
        }
    }

    async fn fetch_by_digest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        tag: Option<&Tag>,
        limit: usize,
    ) -> Result<(), ApiError> {
        let (repository, wanted, given) = (name.clone(), digest.clone(), tag.cloned());
        let here = self
            .blocking(move |store| {
                let here = store.manifest(&repository, &wanted)?.is_some();
                if let (true, Some(tag)) = (here, given)
                    && store.resolve(&repository, &Reference::Tag(tag.clone()))?.as_ref() != Some(&wanted)
                {
                    store.tag(&repository, &tag, &wanted)?;
                }
                Ok(here)
            })
            .await?;
        if here {
            return Ok(());
        }
        let Some(manifest) = self.upstream.manifest(name, digest, limit).await? else { return Ok(()) };
        let wrong =
            |why: String| UpstreamError { action: format!("take {name}@{digest}"), source: why.into() };
        if manifest.bytes.len() > limit {
            return Err(wrong(format!("it is longer than {limit} bytes")).into());
        }
        let actual = digest_like(Some(digest), &manifest.bytes);
        if actual != *digest {
            return Err(wrong(format!("its content is {actual}")).into());
        }
        let media_type = manifest.media_type.split(';').next().unwrap_or_default().trim();
        let document = Document::read(Some(media_type), manifest.bytes.to_vec(), digest).map_err(wrong)?;
        let (name, digest, tags) = (name.clone(), digest.clone(), Vec::from_iter(tag.cloned()));
        let put =
            self.blocking(move |store| store.put_manifest(&name, &digest, &tags, &document, false)).await?;
        put.map_err(ApiError::ManifestBlobUnknown)
    }

    async fn forget(&self, name: &RepositoryName, tag: &Tag) -> Result<(), ApiError> {
        let (name, reference) = (name.clone(), Reference::Tag(tag.clone()));
        self.blocking(move |store| match store.resolve(&name, &reference)? {
            Some(_) => store.delete(&name, &reference).map(drop),
            None => Ok(()),
        })
        .await
    }

    /// What is here is better than nothing.
    async fn fall_back(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        error: UpstreamError,
    ) -> Result<(), ApiError> {
        let (repository, wanted) = (name.clone(), reference.clone());
        match self.blocking(move |store| store.resolve(&repository, &wanted)).await? {
            None => Err(error.into()),
            Some(digest) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, %name, %reference, %digest, "served as it was known last");
                Ok(())
            }
        }
    }

    /// A blob's size; nothing is fetched.
    pub(crate) async fn size(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<u64>, ApiError> {
        Ok(self.upstream.blob(name, digest).await?.map(|blob| blob.size))
    }

    /// A blob that is coming, or begins to.
    pub(crate) async fn fetch_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Fetch>, ApiError> {
        let key = (name.clone(), digest.clone());
        if let Some(fetch) = fetches(&self.fetches).get(&key) {
            return Ok(Some(fetch.clone()));
        }
        let Some(blob) = self.upstream.blob(name, digest).await? else { return Ok(None) };
        if blob.size > self.limits.blob {
            return Err(ApiError::BlobTooLong(self.limits.blob));
        }
        let repository = name.clone();
        let algorithm = digest.algorithm();
        let upload = self.blocking(move |store| store.uploads.begin(&repository, algorithm)).await?;
        let mut upload = upload.ok_or(ApiError::TooManyUploads)?;
        let file = File::open(upload.path())
            .map_err(crate::store::error::io_error("open", upload.path()))
            .map_err(ApiError::from)?;
        let (sender, progress) = watch::channel(Progress::Bytes(0));
        let fetch = Fetch { file: Arc::new(file), size: blob.size, progress };
        let other = {
            let mut fetches = fetches(&self.fetches);
            let other = fetches.get(&key).cloned();
            if other.is_none() {
                fetches.insert(key.clone(), fetch.clone());
            }
            other
        };
        if let Some(other) = other {
            // Somebody was faster while this request waited for the upstream.
            self.store.uploads.discard(&mut upload);
            return Ok(Some(other));
        }
        let task = FetchTask {
            key,
            sender,
            store: self.store.clone(),
            limits: self.limits,
            fetches: self.fetches.clone(),
        };
        tokio::spawn(task.run(upload, blob));
        Ok(Some(fetch))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, crate::StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(result) => Ok(result?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn fetches(list: &Fetches) -> MutexGuard<'_, HashMap<(RepositoryName, Digest), Fetch>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Brings one blob in.
struct FetchTask {
    key: (RepositoryName, Digest),
    sender: watch::Sender<Progress>,
    store: Arc<Store>,
    limits: Limits,
    fetches: Fetches,
}

impl FetchTask {
    async fn run(self, upload: OwnedMutexGuard<Upload>, blob: UpstreamBlob) {
        let end = match self.fetch(upload, blob).await {
            Ok(()) => Progress::Done,
            Err(error) => {
                let (name, digest) = &self.key;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, %name, %digest, "a blob was not fetched");
                Progress::Failed
            }
        };
        fetches(&self.fetches).remove(&self.key);
        self.sender.send_replace(end);
    }

    async fn fetch(&self, upload: OwnedMutexGuard<Upload>, blob: UpstreamBlob) -> io::Result<()> {
        let mut content = blob.content;
        let mut upload = Some(upload);
        let result = loop {
            let piece = match timeout(self.limits.patience, content.next()).await {
                Err(_) => break Err(io::ErrorKind::TimedOut.into()),
                Ok(None) => break Ok(()),
                Ok(Some(Err(error))) => break Err(error),
                Ok(Some(Ok(piece))) => piece,
            };
            let Some(mut writing) = upload.take() else { break Err(io::ErrorKind::BrokenPipe.into()) };
            if writing.length() + piece.len() as u64 > blob.size {
                upload = Some(writing);
                break Err(io::Error::other("it is longer than was announced"));
            }
            let written = tokio::task::spawn_blocking(move || {
                let result = writing.append(&[piece]);
                (writing, result)
            });
            let (writing, result) = written.await.map_err(io::Error::other)?;
            self.sender.send_replace(Progress::Bytes(writing.length()));
            upload = Some(writing);
            if let Err(error) = result {
                break Err(io::Error::other(error));
            }
        };
        let Some(mut upload) = upload else { return result };
        let (store, digest) = (self.store.clone(), self.key.1.clone());
        let finish = move || match result {
            Ok(()) => store
                .finish(&mut upload, &digest)
                .map_err(io::Error::other)?
                .map_err(|actual| io::Error::other(format!("its content is {actual}"))),
            Err(error) => {
                store.uploads.discard(&mut upload);
                Err(error)
            }
        };
        tokio::task::spawn_blocking(finish).await.map_err(io::Error::other)?
    }
}

impl Fetch {
    /// The blob as it comes. It fails before its last byte when it does not turn out to be the right one.
    pub(crate) fn pieces(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold((self, 0), |(mut fetch, at)| async move {
            if at == fetch.size && matches!(fetch.state(at).await?, Progress::Done) {
                return Ok(None);
            }
            let until = match fetch.state(at).await? {
                Progress::Done => fetch.size,
                Progress::Bytes(written) => written.min(fetch.size.saturating_sub(1)),
                Progress::Failed => return Err(io::Error::other("the blob could not be fetched")),
            };
            let file = fetch.file.clone();
            let length = usize::try_from(until - at).map_or(PIECE, |left| left.min(PIECE));
            let read = move || -> io::Result<Bytes> {
                let mut piece = vec![0; length];
                file.read_exact_at(&mut piece, at)?;
                Ok(piece.into())
            };
            let piece = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
            Ok(Some((piece, (fetch, at + length as u64))))
        })
    }

    /// The progress once there is something after byte `at`, or an end.
    async fn state(&mut self, at: u64) -> io::Result<Progress> {
        let held = self.size.saturating_sub(1);
        let more = |progress: &Progress| match progress {
            Progress::Bytes(written) => (*written).min(held) > at,
            Progress::Done | Progress::Failed => true,
        };
        let progress = self.progress.wait_for(more).await;
        Ok(progress.map(|progress| *progress).unwrap_or(Progress::Failed))
    }
}
