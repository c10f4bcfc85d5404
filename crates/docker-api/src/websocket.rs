//! WebSockets (RFC 6455): the handshake, and a connection whose messages carry a process's streams.
//!
//! ```text
//!  process ─▶ frames of Docker's streams ─▶ their headers taken off ─▶ one message a piece ─▶ client
//!  process ◀─ bytes ◀───────────────────────────────────────────────── messages of any kind ◀─ client
//! ```
//! A close message of the client's ends the session: what it sent before reaches the process.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use hyper::StatusCode;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::call::Call;
use crate::error::ApiError;
use crate::hijack::{Session, Takeover};
use crate::respond::{self, Outcome, Response};
use crate::version::ApiVersion;

/// The longest message that is taken from a client.
const LONGEST_MESSAGE: usize = 16 << 20;

/// A request's offer to speak WebSocket, checked.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: String,
    protocol: Option<HeaderValue>,
}

impl Handshake {
    /// Reads a request's headers.
    ///
    /// # Errors
    /// 400 that names what is missing.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let has = |name: HeaderName, word: &str| {
            let values = headers.get_all(name);
            let words =
                values.iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
            words.into_iter().any(|found| found.trim().eq_ignore_ascii_case(word))
        };
        let refuse = |what: &str| Err(ApiError::invalid(format!("not a WebSocket handshake: want {what}")));
        if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
            return refuse("the headers Upgrade: websocket and Connection: Upgrade");
        }
        if !has(SEC_WEBSOCKET_VERSION, "13") {
            return refuse("Sec-WebSocket-Version: 13");
        }
        let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else { return refuse("a Sec-WebSocket-Key") };
        let protocol = headers.get(SEC_WEBSOCKET_PROTOCOL).cloned();
        // A client that offers several wants a choice, and there is nothing to choose by.
        if protocol.as_ref().is_some_and(|offered| offered.as_bytes().contains(&b',')) {
            return refuse("at most one Sec-WebSocket-Protocol");
        }
        Ok(Self { accept: derive_accept_key(key.as_bytes()), protocol })
    }

    fn answer(self) -> Result<Response, ApiError> {
        let accept = HeaderValue::from_str(&self.accept)
            .map_err(|_| ApiError::invalid("not a WebSocket handshake: a malformed Sec-WebSocket-Key"))?;
        let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        Ok(response)
    }
}

/// Answers a handshake and runs the session on the connection; `framed` is whether its output has Docker's frames.
pub(crate) fn start(call: Call, handshake: Handshake, session: Session, framed: bool) -> Outcome {
    let Takeover::Upgrade(upgrade) = call.takeover else {
        return Err(ApiError::invalid("not a WebSocket handshake: this connection can't be taken over"));
    };
    let response = handshake.answer()?;
    // Text before, although nobody promises that a process writes UTF-8 (moby#28176).
    let kind = if call.version >= ApiVersion(1, 28) { Data::Binary } else { Data::Text };
    let (guard, stopped) = (call.context.life.activity.request(), call.context.life.stopped());
    tokio::spawn(async move {
        let _guard = guard;
        match upgrade.await {
            Ok(io) => {
                let socket = WebSocketIo::new(TokioIo::new(io), kind, framed).await;
                tokio::select! {
                    () = session.run(socket) => {}
                    () = stopped => {}
                }
            }
            Err(error) => tracing::debug!(%error, "a WebSocket's connection was not handed over"),
        }
    });
    Ok(response)
}

/// A WebSocket as a stream of bytes both ways.
struct WebSocketIo<S> {
    socket: WebSocketStream<S>,
    kind: Data,
    /// The rest of the last message from the client.
    unread: Bytes,
    frames: Option<Unframed>,
}

/// Where in Docker's frames the output is.
#[derive(Default)]
struct Unframed {
    header: [u8; 8],
    /// How much of a header there is.
    known: usize,
    /// Bytes of the payload that are yet to come.
    left: usize,
}

impl Unframed {
    /// How many of these bytes belong to a header, and how many of those after it are payload.
    fn split(&mut self, bytes: &[u8]) -> (usize, usize) {
        if self.left > 0 {
            return (0, self.left.min(bytes.len()));
        }
        let taken = (self.header.len() - self.known).min(bytes.len());
        self.header[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
        self.known += taken;
        if self.known == self.header.len() {
            let [.., a, b, c, d] = self.header;
            (self.known, self.left) = (0, u32::from_be_bytes([a, b, c, d]) as usize);
        }
        (taken, self.left.min(bytes.len() - taken))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketIo<S> {
    async fn new(io: S, kind: Data, framed: bool) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        Self {
            socket: WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await,
            kind,
            unread: Bytes::new(),
            frames: framed.then(Unframed::default),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            self.unread = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Text(text))) => text.into(),
                // The half-close of a raw connection has no counterpart: who says goodbye is gone.
                Some(Ok(Message::Close(_))) | None => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                // Answered by the crate itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Bytes::new(),
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            };
        }
        let amount = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..amount]);
        self.unread.advance(amount);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // Before the header is looked at: a call that waits comes again with the same bytes.
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(io_error)?;
        let (header, payload) = match &mut self.frames {
            Some(frames) => frames.split(buf),
            None => (0, buf.len()),
        };
        if payload > 0 {
            let bytes = Bytes::copy_from_slice(&buf[header..header + payload]);
            let frame = Frame::message(bytes, OpCode::Data(self.kind), true);
            Pin::new(&mut self.socket).start_send(Message::Frame(frame)).map_err(io_error)?;
        }
        if let Some(frames) = &mut self.frames {
            frames.left -= payload;
        }
        Poll::Ready(Ok(header + payload))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    async fn pair(kind: Data, framed: bool) -> (WebSocketIo<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        (WebSocketIo::new(near, kind, framed).await, client)
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_handshake_is_answered_as_in_the_standards_example() {
        let mut offered = headers(&[
            (UPGRADE, "websocket"),
            (CONNECTION, "keep-alive, Upgrade"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ]);
        let answer = Handshake::of(&offered).unwrap().answer().unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(answer.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        offered.remove(SEC_WEBSOCKET_KEY);
        let refused = Handshake::of(&offered).unwrap_err();
        assert_eq!(
            (refused.status, refused.message.as_str()),
            (StatusCode::BAD_REQUEST, "not a WebSocket handshake: want a Sec-WebSocket-Key")
        );
        assert!(Handshake::of(&HeaderMap::new()).unwrap_err().message.contains("Upgrade: websocket"));
    }

    #[tokio::test]
    async fn output_loses_its_frames_wherever_it_is_cut() {
        let framed = b"\x01\0\0\0\0\0\0\x03one\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x03two";
        for size in 1..=framed.len() {
            let (mut io, mut client) = pair(Data::Binary, true).await;
            for piece in framed.chunks(size) {
                io.write_all(piece).await.unwrap();
            }
            io.shutdown().await.unwrap();
            drop(io);
            let mut got = Vec::new();
            while let Some(Ok(message)) = client.next().await {
                assert!(message.is_binary() || message.is_close(), "{message:?}");
                if message.is_binary() {
                    got.extend_from_slice(&message.into_data());
                }
            }
            assert_eq!(got, b"onetwo", "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn input_comes_in_messages_of_any_kind_until_the_client_leaves() {
        let (mut io, mut client) = pair(Data::Text, false).await;
        client.send(Message::text("a b")).await.unwrap();
        client.send(Message::Ping(Bytes::new())).await.unwrap();
        client.send(Message::binary(&b"\0c"[..])).await.unwrap();
        let mut got = [0; 5];
        io.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"a b\0c");
        io.write_all(b"answer").await.unwrap();
        io.flush().await.unwrap();
        let mut answers = [client.next().await.unwrap().unwrap(), client.next().await.unwrap().unwrap()];
        answers.sort_by_key(Message::is_pong);
        assert_eq!(answers, [Message::text("answer"), Message::Pong(Bytes::new())]);
        client.close(None).await.unwrap();
        let left = io.read_u8().await.unwrap_err();
        assert_eq!(left.kind(), io::ErrorKind::ConnectionAborted);
    }
}
