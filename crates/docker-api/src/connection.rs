//! One connection from its first byte: looked at for old hijacks, then served by hyper.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming as HyperBody;
use hyper::service::service_fn;
use hyper::{Method, Request, Response as HttpResponse};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;

use crate::body::{Guarded, RequestBody};
use crate::call::Life;
use crate::dispatch::Incoming;
use crate::hijack::{self, Io, Takeover};
use crate::respond::Response;
use crate::sniff::{RawRequest, Sniffed, sniff, with_clean_target};

/// The longest head of a request, including its path and query (filters can be long).
const HEAD_LIMIT: usize = 256 * 1024;
/// The most headers a request may have.
const HEADERS: usize = 100;

/// Whoever answers requests.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    /// Answers one request; errors are answers too.
    fn answer(&self, request: Incoming) -> impl Future<Output = Response> + Send;
}

/// Serves a connection to its end.
pub(crate) async fn serve(mut io: impl Io + 'static, life: Life, answer: impl Answer) {
    let _open = life.activity.connection();
    let mut first = BytesMut::with_capacity(4096);
    let raw = tokio::select! {
        raw = first_request(&mut io, &mut first) => raw,
        () = life.stopped() => return,
    };
    match raw {
        Ok(Some(request)) => {
            first.advance(request.end);
            run_raw(Replay { early: first.freeze(), io }, request, life, answer).await;
        }
        Ok(None) => run_http(Replay { early: with_clean_target(first).freeze(), io }, life, answer).await,
        Err(error) => tracing::debug!(%error, "reading from a new connection"),
    }
}

/// Reads until it is clear whose the connection is.
async fn first_request(io: &mut impl Io, first: &mut BytesMut) -> io::Result<Option<RawRequest>> {
    loop {
        if io.read_buf(first).await? == 0 {
            return Ok(None);
        }
        match sniff(first) {
            Sniffed::More => {}
            Sniffed::Http => return Ok(None),
            Sniffed::Raw(request) => return Ok(Some(request)),
        }
    }
}

async fn run_http(io: Replay<impl Io + 'static>, life: Life, answer: impl Answer) {
    let stopped = life.stopped();
    let service = service_fn(move |request| {
        let (life, answer) = (life.clone(), answer.clone());
        async move { Ok::<_, Infallible>(handle(&life, &answer, request).await) }
    });
    // Half-closed connections count as closed, as in Docker: it is the only way to notice that the reader of
    // a silent log has gone. Hijacked connections are no longer hyper's and may be half-closed.
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(HEAD_LIMIT)
        .max_headers(HEADERS)
        // As Go writes them: scripts look for `Api-Version:` with their eyes, not by the standard.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

async fn handle(life: &Life, answer: &impl Answer, mut request: Request<HyperBody>) -> HttpResponse<Guarded> {
    let guard = life.activity.request();
    let takeover = Takeover::of(&mut request);
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let incoming = Incoming {
        method: parts.method,
        target,
        headers: parts.headers,
        body: RequestBody::incoming(body),
        takeover,
    };
    answer.answer(incoming).await.map(|body| Guarded::new(body, guard))
}

/// Answers a hijack without an upgrade on the socket itself.
async fn run_raw(mut io: Replay<impl Io>, request: RawRequest, life: Life, answer: impl Answer) {
    let _guard = life.activity.request();
    let (sender, mut session) = oneshot::channel();
    let incoming = Incoming {
        method: Method::POST,
        target: request.target,
        headers: request.headers,
        body: RequestBody::Bytes(request.body),
        takeover: Takeover::Raw(sender),
    };
    let response = answer.answer(incoming).await;
    let written = match session.try_recv() {
        Ok(session) => match io.write_all(&hijack::raw_head()).await {
            Ok(()) => {
                tokio::select! {
                    () = session.run(&mut io) => {}
                    () = life.stopped() => {}
                }
                Ok(())
            }
            Err(error) => Err(error),
        },
        Err(_) => write_response(&mut io, response).await,
    };
    if let Err(error) = written {
        tracing::debug!(%error, "answering a raw hijack");
    }
}

/// Writes a small answer (an error, or the end of a detached exec's start) by hand and closes.
async fn write_response(io: &mut (impl AsyncWrite + Unpin), response: Response) -> io::Result<()> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut head = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    io.write_all(&head).await?;
    io.write_all(&body).await?;
    io.shutdown().await
}

/// A socket whose first bytes have been read already.
pub(crate) struct Replay<T> {
    early: Bytes,
    io: T,
}

impl<T> Replay<T> {
    /// The same, with bytes back that were read from it.
    pub(crate) fn after(mut self, read: &[u8]) -> Self {
        if !read.is_empty() {
            self.early = [read, &self.early].concat().into();
        }
        self
    }

    /// The socket.
    pub(crate) fn get_ref(&self) -> &T {
        &self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Replay<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let amount = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..amount]);
        self.early.advance(amount);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Replay<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
