//! Hijacking: turning the connection of a request into a raw two-way stream (attach, exec).
//!
//! The request is written by hand instead of through hyper, which hands sockets over only after status 101:
//! older engines answer 200 and take the connection over all the same. The socket itself is returned, so that
//! closing the writing half (the end of stdin) leaves the reading half open.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, UPGRADE, USER_AGENT};
use hyper::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::client::{AGENT, Client, json_body, request_name, status_error};
use crate::connection::Socket;
use crate::{Body, Error, encode};

mod head;

/// Longest answer's head, and longest error message, that is read.
const LIMIT: usize = 64 * 1024;

/// A connection that was handed over.
#[derive(Debug)]
pub struct Hijacked {
    /// The connection: reading gives the container's output, writing is its stdin, shutting down the writing
    /// half is stdin's end.
    pub io: HijackedIo,
    /// `application/vnd.docker.multiplexed-stream`, `application/vnd.docker.raw-stream`, or empty when the
    /// engine doesn't say.
    pub content_type: String,
}

impl Hijacked {
    /// Whether the stream is framed ([`crate::stdcopy`]); `None` where the engine is older than 1.42 and
    /// says raw-stream for both, so that only the container's `Tty` tells.
    pub fn is_multiplexed(&self) -> Option<bool> {
        (self.content_type == "application/vnd.docker.multiplexed-stream").then_some(true)
    }
}

/// The socket, with what came in the same packet as the answer's head still before it.
#[derive(Debug)]
pub struct HijackedIo {
    early: Bytes,
    socket: Socket,
}

impl HijackedIo {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { early: Bytes::new(), socket }
    }
}

impl Client {
    /// Sends a `POST` and takes over its connection.
    ///
    /// # Errors
    /// `Status` when the engine refuses, `Hijack` when it answers with something that is no stream.
    pub async fn hijack<B: Serialize + ?Sized>(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: Option<&B>,
    ) -> Result<Hijacked, Error> {
        let bytes = match json_body(&Method::POST, path, body)? {
            Body::Bytes { bytes, .. } => Some(bytes),
            _ => None,
        };
        self.take_over("tcp", path, query, &HeaderMap::new(), bytes.as_deref()).await
    }

    /// Sends a `POST` without a body, whose connection speaks another protocol from then on: `h2c` on `/session`.
    ///
    /// # Errors
    /// As [`Client::hijack`].
    pub async fn upgrade(
        &self,
        protocol: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<HijackedIo, Error> {
        self.take_over(protocol, path, &[], headers, None).await.map(|hijacked| hijacked.io)
    }

    async fn take_over(
        &self,
        protocol: &str,
        path: &str,
        query: &[(&str, String)],
        headers: &HeaderMap,
        body: Option<&[u8]>,
    ) -> Result<Hijacked, Error> {
        let version = self.agreed_version().await?;
        let name = request_name(&Method::POST, path);
        let target = encode::target(self.endpoint().base(), Some(version), path, query);
        let mut all = self.common_headers().clone();
        all.extend(headers.clone());
        let request = request_text(&target, &self.endpoint().authority(), protocol, &all, body);
        let mut socket = self.route().connect().await?;
        let io = |source| self.route().error(source, |source| Error::Io { request: name.clone(), source });
        socket.write_all(&request).await.map_err(io)?;
        socket.flush().await.map_err(io)?;
        let (status, headers, early) = match read_head(&mut socket, &name).await {
            Err(Error::Io { source, .. }) => return Err(io(source)),
            read => read?,
        };
        accept(status, headers, early, socket, name).await
    }
}

fn request_text(
    target: &str,
    host: &str,
    protocol: &str,
    headers: &HeaderMap,
    body: Option<&[u8]>,
) -> Vec<u8> {
    const OWN: [HeaderName; 6] = [HOST, USER_AGENT, CONNECTION, UPGRADE, CONTENT_TYPE, CONTENT_LENGTH];
    let mut text = format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\n\
         Connection: Upgrade\r\nUpgrade: {protocol}\r\n"
    );
    if body.is_some() {
        text.push_str("Content-Type: application/json\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n", body.unwrap_or_default().len()));
    let mut text = text.into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| !OWN.contains(name)) {
        text.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(body.unwrap_or_default());
    text
}

/// Reads up to the end of the answer's head; what came after it is returned too.
async fn read_head(socket: &mut Socket, name: &str) -> Result<(StatusCode, HeaderMap, BytesMut), Error> {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        if let Some(end) = head::end_of(&buffer) {
            let text = buffer.split_to(end);
            let (status, headers) = head::parse(&text)
                .map_err(|reason| Error::Hijack { request: name.to_owned(), reason: reason.to_owned() })?;
            if status != StatusCode::CONTINUE {
                return Ok((status, headers, buffer));
            }
            continue;
        }
        let reason = match buffer.len() < LIMIT {
            false => "its answer's head is too long",
            true => match socket.read_buf(&mut buffer).await {
                Ok(0) => "it closed the connection without an answer",
                Ok(_) => continue,
                Err(source) => return Err(Error::Io { request: name.to_owned(), source }),
            },
        };
        return Err(Error::Hijack { request: name.to_owned(), reason: reason.to_owned() });
    }
}

async fn accept(
    status: StatusCode,
    headers: HeaderMap,
    early: BytesMut,
    socket: Socket,
    name: String,
) -> Result<Hijacked, Error> {
    let text = |header: &str| headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match status.as_u16() {
        101 | 200 => Ok(Hijacked {
            content_type: text("content-type").to_owned(),
            io: HijackedIo { early: early.freeze(), socket },
        }),
        400.. => {
            let body = read_error(&headers, early, socket)
                .await
                .map_err(|source| Error::Io { request: name, source })?;
            Err(status_error(status, &body))
        }
        _ => Err(Error::Hijack { request: name, reason: format!("it answered with status {status}") }),
    }
}

/// Reads the body of an error, whichever way its end is marked, up to [`LIMIT`].
async fn read_error(headers: &HeaderMap, mut body: BytesMut, mut socket: Socket) -> io::Result<Vec<u8>> {
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let chunked = headers.get("transfer-encoding").is_some_and(|value| value.as_bytes() == b"chunked");
    loop {
        match (chunked, length) {
            (true, _) => {
                if let Some(whole) = head::dechunk(&body) {
                    return Ok(whole);
                }
            }
            (false, Some(length)) if body.len() >= length => return Ok(body[..length].to_vec()),
            _ => {}
        }
        if body.len() >= LIMIT || socket.read_buf(&mut body).await? == 0 {
            return Ok(body.to_vec());
        }
    }
}

impl AsyncRead for HijackedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let amount = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..amount]);
        self.early.advance(amount);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HijackedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Closes the writing half only.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
