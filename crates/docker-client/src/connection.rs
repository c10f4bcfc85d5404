//! One connection: a socket, HTTP/1.1 on it, and the slot where an idle one waits for the next request.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::body::HttpBody;
use crate::resolve::resolve;
use crate::{Endpoint, Error};

/// A connected socket of either kind.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Socket {
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        let result = match endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            Endpoint::Tcp { host, port, .. } => connect_tcp(host, *port).await.map(Self::Tcp),
        };
        result.map_err(|source| Error::Connect { endpoint: endpoint.clone(), source })
    }
}

async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = resolve(host, port).await?;
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    // Keystrokes of an attached terminal must not wait for Nagle's algorithm.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// The sending half of an HTTP connection; its reading half runs as a task of its own.
pub(crate) type Sender = SendRequest<HttpBody>;

/// Holds the one idle connection of a client.
#[derive(Debug, Default)]
pub(crate) struct IdleSlot(Mutex<Option<Sender>>);

impl IdleSlot {
    /// Takes the idle connection, unless the engine has closed it meanwhile.
    pub(crate) fn take(&self) -> Option<Sender> {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        sender.is_ready().then_some(sender)
    }

    /// Keeps a connection whose last answer was read to its end. What stood there before is closed.
    pub(crate) async fn put(&self, mut sender: Sender) {
        if sender.ready().await.is_ok() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        }
    }
}

/// Sends `request` on the idle connection or on a new one; the returned sender may be kept once the body has
/// been read.
///
/// A kept connection that the engine closed in the same moment is replaced once, but only when hyper says
/// that nothing of the request had been sent.
pub(crate) async fn send(
    endpoint: &Endpoint,
    idle: &IdleSlot,
    mut request: Request<HttpBody>,
    name: &str,
) -> Result<(Response<Incoming>, Sender), Error> {
    if let Some(mut sender) = idle.take() {
        match sender.try_send_request(request).await {
            Ok(response) => return Ok((response, sender)),
            Err(mut refused) => match refused.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(http_error(name, refused.into_error())),
            },
        }
    }
    let mut sender = open(endpoint, name).await?;
    let response = sender.send_request(request).await.map_err(|source| http_error(name, source))?;
    Ok((response, sender))
}

async fn open(endpoint: &Endpoint, name: &str) -> Result<Sender, Error> {
    let socket = Socket::connect(endpoint).await?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|source| http_error(name, source))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the engine ended");
        }
    });
    Ok(sender)
}

fn http_error(request: &str, source: hyper::Error) -> Error {
    Error::Http { request: request.to_owned(), source }
}
