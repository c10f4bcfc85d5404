//! Bodies: reading what a request carries, and the one body type of all answers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

use crate::activity::RequestGuard;
use crate::error::ApiError;

/// The largest JSON body that is read into memory. A container's creation with thousands of variables and
/// labels stays far below.
const JSON_LIMIT: usize = 8 * 1024 * 1024;

/// How long the rest of a refused body is read and thrown away.
const DRAIN: Duration = Duration::from_secs(10);

/// The body of a request: from hyper, or already read where a connection was taken over.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Incoming(Drained),
    Bytes(Bytes),
}

impl RequestBody {
    /// A body that hyper reads.
    pub(crate) fn incoming(body: Incoming) -> Self {
        Self::Incoming(Drained(Some(body)))
    }

    /// Reads a small body whole.
    ///
    /// # Errors
    /// 413 past the limit, 400 when the client breaks off.
    pub(crate) async fn read_whole(self) -> Result<Bytes, ApiError> {
        let mut incoming = match self {
            Self::Bytes(bytes) => return Ok(bytes),
            Self::Incoming(incoming) => incoming,
        };
        let mut whole = BytesMut::new();
        while let Some(chunk) = incoming.next().await {
            let chunk =
                chunk.map_err(|error| ApiError::invalid(format!("reading the request's body: {error}")))?;
            if whole.len() + chunk.len() > JSON_LIMIT {
                let message = format!("the request's body is larger than {JSON_LIMIT} bytes");
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Reads a large body while it comes.
    pub(crate) fn into_reader(self) -> BodyReader {
        match self {
            Self::Bytes(bytes) => BodyReader { body: Drained(None), pending: bytes },
            Self::Incoming(incoming) => BodyReader { body: incoming, pending: Bytes::new() },
        }
    }
}

/// A body whose rest is read on and thrown away for a while when it is dropped.
///
/// Closing a unix socket with unread bytes in it resets the connection, and a client that is still sending would never see
/// the answer that says why its archive was refused.
#[derive(Debug)]
pub(crate) struct Drained(Option<Incoming>);

impl Drained {
    async fn next(&mut self) -> Option<hyper::Result<Bytes>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next chunk that isn't empty; nothing more after an error.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Bytes>>> {
        while let Some(body) = &mut self.0 {
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) if !chunk.is_empty() => return Poll::Ready(Some(Ok(chunk))),
                    _ => {}
                },
                Some(Err(error)) => {
                    self.0 = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.0 = None,
            }
        }
        Poll::Ready(None)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take().filter(|body| !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime
            .spawn(tokio::time::timeout(DRAIN, async move { while let Some(Ok(_)) = body.frame().await {} }));
    }
}

/// A request's body as an [`AsyncRead`].
#[derive(Debug)]
pub(crate) struct BodyReader {
    body: Drained,
    pending: Bytes,
}

impl AsyncRead for BodyReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.pending.is_empty() {
            match ready!(this.body.poll_next(cx)) {
                Some(chunk) => this.pending = chunk.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let amount = this.pending.len().min(buf.remaining());
        buf.put_slice(&this.pending[..amount]);
        this.pending.advance(amount);
        Poll::Ready(Ok(()))
    }
}

/// The body of every answer.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, io::Error>;

/// A body that keeps its request counted until it has been sent or dropped.
pub(crate) struct Guarded {
    body: ResponseBody,
    _guard: RequestGuard,
}

impl Guarded {
    pub(crate) fn new(body: ResponseBody, guard: RequestGuard) -> Self {
        Self { body, _guard: guard }
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
