//! Bodies in both directions: what a request carries and the stream that an answer brings.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::Error;

/// How much of a reader goes into one chunk of a request: large enough that an image's gigabytes cost few
/// system calls, small enough to keep a client's memory flat.
const CHUNK: usize = 64 * 1024;

/// What a request carries, together with its `Content-Type`.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// A body that is already in memory.
    Bytes {
        /// e.g. `application/json`
        content_type: &'static str,
        /// The body itself.
        bytes: Bytes,
    },
    /// A body that is read while it is sent (chunked), e.g. the tar of `docker load`.
    Reader {
        /// e.g. `application/x-tar`
        content_type: &'static str,
        /// Where it comes from.
        reader: Pin<Box<dyn AsyncRead + Send>>,
    },
}

impl Body {
    /// A JSON body.
    ///
    /// # Errors
    /// When `value` has no JSON form.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::Bytes { content_type: "application/json", bytes: serde_json::to_vec(value)?.into() })
    }

    /// A body that is read while it is sent.
    pub fn reader(content_type: &'static str, reader: impl AsyncRead + Send + 'static) -> Self {
        Self::Reader { content_type, reader: Box::pin(reader) }
    }

    pub(crate) fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Empty => None,
            Self::Bytes { content_type, .. } | Self::Reader { content_type, .. } => Some(content_type),
        }
    }

    pub(crate) fn into_http(self) -> HttpBody {
        match self {
            Self::Empty => Empty::new().map_err(|never| match never {}).boxed_unsync(),
            Self::Bytes { bytes, .. } => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
            Self::Reader { reader, .. } => {
                ReaderBody { reader: Some(reader), buffer: BytesMut::new() }.boxed_unsync()
            }
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes { bytes, .. } => write!(f, "Bytes({})", bytes.len()),
            Self::Reader { content_type, .. } => write!(f, "Reader({content_type})"),
        }
    }
}

/// The one body type of this client's connections.
pub(crate) type HttpBody = UnsyncBoxBody<Bytes, io::Error>;

struct ReaderBody {
    reader: Option<Pin<Box<dyn AsyncRead + Send>>>,
    buffer: BytesMut,
}

impl hyper::body::Body for ReaderBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let Some(reader) = &mut this.reader else { return Poll::Ready(None) };
        this.buffer.resize(CHUNK, 0);
        let mut read = ReadBuf::new(&mut this.buffer);
        let result = ready!(reader.as_mut().poll_read(cx, &mut read));
        let filled = read.filled().len();
        if result.is_err() || filled == 0 {
            this.reader = None;
        }
        Poll::Ready(match result {
            Err(error) => Some(Err(error)),
            Ok(()) if filled == 0 => None,
            Ok(()) => Some(Ok(Frame::data(this.buffer.split_to(filled).freeze()))),
        })
    }
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct StreamResponse {
    /// Always below 400: errors were taken out.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The answer's body.
    pub body: ByteStream,
}

/// A body while it arrives: a [`Stream`] of chunks and, just as well, an [`AsyncRead`]. Dropping it closes
/// the connection, which is how a client tells an engine to stop following a log.
#[derive(Debug)]
pub struct ByteStream {
    body: Incoming,
    pending: Bytes,
}

impl ByteStream {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, pending: Bytes::new() }
    }

    /// Reads all of it; fails when the connection breaks before the end.
    pub(crate) async fn collect(self, request: &str) -> Result<Bytes, Error> {
        debug_assert!(self.pending.is_empty(), "collected after it was read from");
        match self.body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(source) => Err(Error::Http { request: request.to_owned(), source }),
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame_data(cx)) {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(chunk)) => Some(Ok(chunk)),
                Some(Err(error)) => Some(Err(io::Error::other(error))),
                None => None,
            });
        }
    }
}

/// Frames without their trailers, which Docker's API doesn't have.
trait PollData {
    fn poll_frame_data(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>>;
}

impl PollData for Incoming {
    fn poll_frame_data(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        let frame = ready!(hyper::body::Body::poll_frame(self, cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default())))
    }
}

impl Stream for ByteStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.pending.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.pending))));
        }
        self.poll_chunk(cx)
    }
}

impl AsyncBufRead for ByteStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.pending.is_empty()
            && let Some(chunk) = ready!(this.poll_chunk(cx))
        {
            this.pending = chunk?;
        }
        Poll::Ready(Ok(&this.pending))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.pending.advance(amount);
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let available = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = available.len().min(buf.remaining());
        buf.put_slice(&available[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}
