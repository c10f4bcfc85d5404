//! Blobs while they come (OCI distribution specification 1.1, "Pulling blobs"): a transfer goes on where it
//! was cut, and from the next endpoint when one gives up.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use minke_model::Digest;
use reqwest::{Method, header::HeaderValue};
use tokio::time::sleep;
use url::Url;

use crate::{
    Error, Repository,
    answer::Answer,
    hosts_toml::Capability,
    manifests::sha256,
    range::{self, Misfit},
    scope::Scopes,
    session::{Ask, Carried, Session, checked},
};

/// How far a transfer must have come for its failures to be forgotten: a connection that brings a few bytes
/// each time would never end.
const PROGRESS: u64 = 64 << 10;

/// A blob while it comes. Its length is checked here, its digest by whoever reads it.
///
/// What is dropped is not fetched any further. After an error it is at its end.
pub struct BlobStream {
    inner: BoxStream<'static, Result<Bytes, Error>>,
}

impl Repository {
    /// A blob of `size` bytes. Nothing is asked before the first piece is wanted.
    ///
    /// Transfers that are cut or stall go on where they stopped. The stream ends with an error when more or
    /// fewer bytes come than the blob has, or when the registry gives up.
    pub fn blob(&self, digest: &Digest, size: u64) -> BlobStream {
        self.blob_from(digest, size, &[])
    }

    /// The same for content that may be elsewhere: `urls` of its descriptor are tried after the registry,
    /// without the user's credentials.
    pub fn blob_from(&self, digest: &Digest, size: u64, urls: &[String]) -> BlobStream {
        let transfer = Transfer {
            repository: self.clone(),
            digest: *digest,
            size,
            urls: urls.to_vec(),
            sources: None,
            body: None,
            offset: 0,
            opened: 0,
            failed: 0,
        };
        BlobStream::new(transfer)
    }

    /// A small blob of `size` bytes as a whole, its digest checked.
    ///
    /// # Errors
    /// [`Error::TooLong`] when `size` is more than `limit`; [`Error::NotFound`] when there is no such blob;
    /// [`Error::Digest`] when something else came; [`Error`] otherwise.
    pub async fn blob_bytes(&self, digest: &Digest, size: u64, limit: usize) -> Result<Bytes, Error> {
        self.first(Capability::Pull, |session| async move {
            let request = crate::answer::name(&Method::GET, &session.blob_url(self, digest));
            if size > limit as u64 {
                return Err(Error::TooLong { request, limit: limit as u64 });
            }
            let mut blob = BlobStream::new(Transfer::of_one(self.clone(), *digest, size, session));
            let mut bytes = BytesMut::new();
            while let Some(piece) = blob.next().await {
                bytes.extend_from_slice(&piece?);
            }
            match sha256(&bytes) {
                actual if actual == *digest => Ok(bytes.freeze()),
                actual => Err(Error::Digest { request, wanted: *digest, actual }),
            }
        })
        .await
    }

    /// The length of a blob; `None` when there is none.
    ///
    /// # Errors
    /// [`Error`] when nobody could be asked.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let asked = self.first(Capability::Pull, |session| async move {
            session.head_blob(self, digest, Scopes::pull(self.name())).await
        });
        match asked.await {
            Err(error) if error.is_not_found() => Ok(None),
            size => size.map(Some),
        }
    }
}

impl Session {
    pub(crate) fn blob_url(&self, repository: &Repository, digest: &Digest) -> Url {
        self.endpoint.url(repository.name().path(), &format!("blobs/{digest}"))
    }

    pub(crate) async fn head_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        scopes: Scopes,
    ) -> Result<u64, Error> {
        let ask = Ask::new(self, Method::HEAD, self.blob_url(repository, digest), scopes);
        let answer = self.ask(&ask).await?;
        answer.length().ok_or_else(|| Error::answer(&answer.request, "it has no Content-Length"))
    }
}

/// Where a blob may come from.
enum Source {
    Endpoint(Session),
    /// An address of its own, asked by the client of the registry, but in nobody's name.
    Elsewhere(Session, Url),
}

/// A transfer under way.
struct Transfer {
    repository: Repository,
    digest: Digest,
    size: u64,
    urls: Vec<String>,
    /// What is left to try, the first being in use; `None` before the first request.
    sources: Option<VecDeque<Source>>,
    body: Option<Answer>,
    /// Bytes that were handed on.
    offset: u64,
    /// The offset when failures were last forgotten.
    opened: u64,
    /// Failures in a row without progress.
    failed: u32,
}

impl Transfer {
    fn of_one(repository: Repository, digest: Digest, size: u64, session: Session) -> Self {
        let sources = Some(VecDeque::from([Source::Endpoint(session)]));
        let urls = Vec::new();
        Self { repository, digest, size, urls, sources, body: None, offset: 0, opened: 0, failed: 0 }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.sources.is_none() {
            self.sources = Some(self.find().await?);
        }
        loop {
            if self.body.is_none() && self.offset == self.size {
                return Ok(None);
            }
            match self.piece().await {
                Ok(Some(piece)) => return Ok(Some(piece)),
                Ok(None) => {}
                // All is there: how the connection ends doesn't matter.
                Err(Error::Transport { .. }) if self.offset == self.size => self.body = None,
                Err(error) => {
                    self.body = None;
                    self.recover(error).await?;
                }
            }
        }
    }

    async fn find(&self) -> Result<VecDeque<Source>, Error> {
        let sessions = self.repository.readers(Capability::Pull).await?;
        let mut last = sessions.last().cloned();
        let mut sources: VecDeque<_> = sessions.into_iter().map(Source::Endpoint).collect();
        for url in self.urls.iter().filter_map(|url| Url::parse(url).ok()) {
            if matches!(url.scheme(), "http" | "https")
                && let Some(session) = &mut last
            {
                session.credentials = None;
                sources.push_back(Source::Elsewhere(session.clone(), url));
            }
        }
        Ok(sources)
    }

    /// A piece of the answer, which is asked for where there is none; `None` at its end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let (mut body, mut skip) = match self.body.take() {
            Some(body) => (body, 0),
            None => self.open().await?,
        };
        loop {
            let Some(mut piece) = body.next().await? else {
                return match self.offset == self.size {
                    true => Ok(None),
                    false => Err(self.length(&body, self.offset)),
                };
            };
            let skipped = skip.min(piece.len() as u64);
            skip -= skipped;
            // It is at most the length of a piece in memory.
            piece.advance(usize::try_from(skipped).unwrap_or(piece.len()));
            if piece.is_empty() {
                continue;
            }
            let offset = self.offset + piece.len() as u64;
            if offset > self.size {
                return Err(self.length(&body, offset));
            }
            self.offset = offset;
            self.body = Some(body);
            return Ok(Some(piece));
        }
    }

    fn length(&self, body: &Answer, actual: u64) -> Error {
        Error::Length { request: body.request.clone(), wanted: self.size, actual }
    }

    /// An answer, and how many of its bytes are known already.
    async fn open(&self) -> Result<(Answer, u64), Error> {
        let answer = match self.sources.as_ref().and_then(VecDeque::front) {
            Some(Source::Endpoint(session)) => {
                let url = session.blob_url(&self.repository, &self.digest);
                session.attempt(&self.ask(session, url)).await?
            }
            Some(Source::Elsewhere(session, url)) => {
                let carried = Carried { foreign: true, ..Carried::default() };
                checked(session.follow(&self.ask(session, url.clone()), &carried).await?).await?
            }
            None => return Err(Error::answer(self.digest.to_string(), "nobody is left to ask")),
        };
        let (status, range) = (answer.status.as_u16(), answer.header("content-range"));
        match range::skip(status, range, answer.length(), self.offset, self.size) {
            Ok(skip) => Ok((answer, skip)),
            Err(Misfit::Length(actual)) => Err(self.length(&answer, actual)),
            Err(Misfit::Other(reason)) => Err(Error::answer(&answer.request, reason)),
        }
    }

    fn ask(&self, session: &Session, url: Url) -> Ask<'static> {
        let ask = Ask::new(session, Method::GET, url, Scopes::pull(self.repository.name()))
            .with("accept-encoding", HeaderValue::from_static("identity"));
        match self.offset {
            0 => ask,
            offset => {
                let range = HeaderValue::try_from(format!("bytes={offset}-"));
                range.into_iter().fold(ask, |ask, range| ask.with("range", range))
            }
        }
    }

    /// Waits before the next try, or turns to the next source. An error ends the transfer.
    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        if self.offset - self.opened >= PROGRESS {
            (self.opened, self.failed) = (self.offset, 0);
        }
        self.failed += 1;
        let Some(sources) = &mut self.sources else { return Err(error) };
        let settings = &self.repository.shared().settings;
        let policy = match sources.front() {
            Some(Source::Endpoint(session)) if !session.endpoint.is_registry && sources.len() > 1 => {
                settings.retry_policy().once()
            }
            _ => settings.retry_policy(),
        };
        if let Some(pause) = policy.pause(self.failed, error.hope(), fastrand::f64()) {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                offset = self.offset,
                ?pause,
                "a transfer goes on"
            );
            sleep(pause).await;
            return Ok(());
        }
        if sources.len() <= 1 {
            return Err(error);
        }
        if let Some(Source::Endpoint(session)) = sources.pop_front() {
            self.repository.passed_over(&session.endpoint, &error);
        }
        self.failed = 0;
        Ok(())
    }
}

impl BlobStream {
    fn new(transfer: Transfer) -> Self {
        let pieces = futures_util::stream::try_unfold(transfer, |mut transfer| async move {
            Ok(transfer.next().await?.map(|piece| (piece, transfer)))
        });
        Self { inner: pieces.boxed() }
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStream").finish_non_exhaustive()
    }
}
