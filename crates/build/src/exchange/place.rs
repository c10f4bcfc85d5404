//! Where caches are kept: a registry, or a directory of the client's.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::{StreamExt, future::BoxFuture};
use minke_distribution::{BlobReader, BlobSource, Repository, Target};
use minke_engine::{ByteStream, Engine};
use minke_image::pull::LONGEST_DOCUMENT;
use minke_model::{Descriptor, Reference};
use tokio::io::{AsyncRead, ReadBuf};

use super::ExchangeError;
use crate::{BuildError, Client};

/// A place where a cache is kept.
pub(crate) trait Place: Send + Sync {
    /// The document that everything begins with, and its type where that is known.
    fn root(&self) -> BoxFuture<'_, Result<(String, Bytes), ExchangeError>>;

    /// A document, bounded and with its digest checked.
    fn document<'a>(&'a self, what: &'a Descriptor) -> BoxFuture<'a, Result<Bytes, ExchangeError>>;

    /// A blob as it comes; whoever takes it checks it.
    fn blob(&self, what: &Descriptor) -> ByteStream;

    /// Keeps a blob, unless it is there.
    fn put<'a>(
        &'a self,
        what: &'a Descriptor,
        content: &'a Content,
    ) -> BoxFuture<'a, Result<(), ExchangeError>>;

    /// Keeps the document that everything begins with, all that it names being there.
    fn put_root<'a>(&'a self, what: &'a Descriptor, bytes: Bytes)
    -> BoxFuture<'a, Result<(), ExchangeError>>;

    /// The repository that it is in, where it is in one.
    fn repository(&self) -> Option<&Reference> {
        None
    }
}

/// What is put somewhere.
#[derive(Clone)]
pub(crate) enum Content {
    File(PathBuf),
    Bytes(Bytes),
    /// What another place has.
    Elsewhere(Arc<dyn Place>, Descriptor),
}

impl BlobSource for Content {
    fn open(&self, offset: u64) -> BoxFuture<'_, io::Result<BlobReader>> {
        match self {
            Self::File(path) => path.open(offset),
            Self::Bytes(bytes) => bytes.open(offset),
            Self::Elsewhere(place, what) => {
                let reader = StreamReader::new(place.blob(what), offset);
                Box::pin(async move { Ok(Box::pin(reader) as BlobReader) })
            }
        }
    }
}

/// A repository of a registry.
pub(crate) struct Registry {
    repository: Repository,
    name: Reference,
}

impl Registry {
    /// The one that a reference names, in the client's name.
    pub(crate) async fn open(engine: &Engine, client: &Client, name: &Reference) -> Result<Self, BuildError> {
        let credentials = match &client.auth {
            Some(auth) => auth.credentials(name.domain()).await?,
            None => None,
        };
        let repository = engine.registry_repository(name, credentials)?;
        Ok(Self { repository, name: name.clone() })
    }
}

impl Place for Registry {
    fn root(&self) -> BoxFuture<'_, Result<(String, Bytes), ExchangeError>> {
        Box::pin(async move {
            let fetched = self.repository.manifest(&Target::of(&self.name)).await?;
            Ok((fetched.media_type, fetched.bytes))
        })
    }

    fn document<'a>(&'a self, what: &'a Descriptor) -> BoxFuture<'a, Result<Bytes, ExchangeError>> {
        Box::pin(async move {
            let is_manifest = what.is_index() || minke_model::media_type::is_manifest(&what.media_type);
            match is_manifest {
                true => Ok(self.repository.manifest(&Target::Digest(what.digest)).await?.bytes),
                false => Ok(self.repository.blob_bytes(&what.digest, what.size, LONGEST_DOCUMENT).await?),
            }
        })
    }

    fn blob(&self, what: &Descriptor) -> ByteStream {
        Box::pin(self.repository.blob(&what.digest, what.size).map(|piece| piece.map_err(io::Error::other)))
    }

    fn put<'a>(
        &'a self,
        what: &'a Descriptor,
        content: &'a Content,
    ) -> BoxFuture<'a, Result<(), ExchangeError>> {
        Box::pin(async move {
            let from: Vec<Reference> = match content {
                Content::Elsewhere(place, _) => place.repository().into_iter().cloned().collect(),
                _ => Vec::new(),
            };
            self.repository.push_blob(&what.digest, what.size, &from, content, &|_| {}).await?;
            Ok(())
        })
    }

    fn put_root<'a>(
        &'a self,
        what: &'a Descriptor,
        bytes: Bytes,
    ) -> BoxFuture<'a, Result<(), ExchangeError>> {
        Box::pin(async move {
            self.repository.put_manifest(&Target::of(&self.name), &what.media_type, bytes).await?;
            Ok(())
        })
    }

    fn repository(&self) -> Option<&Reference> {
        Some(&self.name)
    }
}

/// A stream of pieces as one of bytes, from some place on.
pub(super) struct StreamReader {
    /// Locked by nobody: it makes the reader one that can be shared, as readers of blobs must be.
    pieces: Mutex<ByteStream>,
    current: Bytes,
    skip: u64,
}

impl StreamReader {
    pub(super) fn new(pieces: ByteStream, skip: u64) -> Self {
        Self { pieces: Mutex::new(pieces), current: Bytes::new(), skip }
    }

    /// The next piece with something in it; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let pieces = self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(piece) = ready!(pieces.as_mut().poll_next(cx)) else { return Poll::Ready(Ok(None)) };
            let mut piece = piece?;
            // It is at most the length of a piece in memory.
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(skipped);
            self.skip -= skipped as u64;
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.current.is_empty() {
            match ready!(self.poll_piece(cx))? {
                Some(piece) => self.current = piece,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.current.len().min(buffer.remaining());
        buffer.put_slice(&self.current.split_to(length));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_stream_is_read_from_some_place_on() {
        let pieces = ["one", "", "two", "three"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        let mut reader = StreamReader::new(Box::pin(futures_util::stream::iter(pieces)), 4);
        let mut text = String::new();
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "wothree");
    }
}
