//! An answer while it comes: read in bounded time and up to a bounded size.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::{Error, TransportError, pace::Pace, refusal, retry, transport::explain};

/// What is read of a refusal.
const REFUSAL: usize = 64 << 10;

/// The headers of an answer, and its body as far as it is wanted.
pub(crate) struct Answer {
    /// `GET https://registry.example/v2/a/manifests/b`, for errors.
    pub(crate) request: String,
    /// Where it came from in the end.
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    response: Response,
    pace: Pace,
}

impl Answer {
    pub(crate) fn new(request: String, url: Url, mut response: Response, stall: Duration) -> Self {
        let headers = std::mem::take(response.headers_mut());
        let status = response.status();
        Self { request, url, status, headers, response, pace: Pace::new(stall) }
    }

    /// A header, where it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// All of a header that may be there several times.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// `Content-Length`.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// `Content-Type` without its parameters.
    pub(crate) fn media_type(&self) -> Option<&str> {
        let text = self.header("content-type")?.split(';').next()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let (begun, patience) = (Instant::now(), self.pace.patience());
        let piece = match timeout(patience, self.response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Err(self.broke(explain(&error))),
            Err(_) => return Err(self.broke(TransportError::Stalled(patience))),
        };
        self.pace.received(piece.as_ref().map_or(0, Bytes::len), begun.elapsed());
        Ok(piece)
    }

    fn broke(&self, source: TransportError) -> Error {
        Error::Transport { request: self.request.clone(), source }
    }

    /// All of it, at most `limit` bytes.
    pub(crate) async fn bytes(mut self, limit: usize) -> Result<Bytes, Error> {
        let too_long = |request: &str| Error::TooLong { request: request.to_owned(), limit: limit as u64 };
        if self.length().is_some_and(|length| length > limit as u64) {
            return Err(too_long(&self.request));
        }
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if all.len() + piece.len() > limit {
                return Err(too_long(&self.request));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// All of it as JSON.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(self, limit: usize) -> Result<T, Error> {
        let request = self.request.clone();
        let bytes = self.bytes(limit).await?;
        // The text of the error itself may show what is there, and that may be a token.
        serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Error::answer(
                request,
                format!("it is not the JSON that it should be, line {line}, column {column}"),
            )
        })
    }

    /// The error that it is. What can't be read of its words is left out.
    pub(crate) async fn refusal(mut self) -> Error {
        let mut body = BytesMut::new();
        while body.len() < REFUSAL
            && let Ok(Some(piece)) = self.next().await
        {
            body.extend_from_slice(&piece[..piece.len().min(REFUSAL - body.len())]);
        }
        let now = SystemTime::now();
        let wish = self.header(RETRY_AFTER.as_str()).and_then(|value| retry::retry_after(value, now));
        refusal::error(self.request, self.status.as_u16(), wish, &body)
    }
}

/// How errors name a request: without the query, where signatures and states are.
pub(crate) fn name(method: &Method, url: &Url) -> String {
    format!("{method} {}://{}{}", url.scheme(), crate::insecure::authority(url), url.path())
}
