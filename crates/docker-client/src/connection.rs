//! One connection: a socket, HTTP/1.1 on it, and the place where idle ones wait for the next request.

use std::sync::{Mutex, PoisonError};
use std::{fmt, io};

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use crate::body::HttpBody;
use crate::resolve::resolve;
use crate::tls::{self, Tls};
use crate::{Endpoint, Error};

/// A connected socket of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Stream for T {}

pub(crate) type Socket = Box<dyn Stream>;

/// Where the engine is and what is spoken on the way.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    /// On TCP endpoints only.
    pub(crate) tls: Option<Tls>,
}

impl Route {
    /// Connects, TLS included.
    pub(crate) async fn connect(&self) -> Result<Socket, Error> {
        let failed =
            |source| self.error(source, |source| Error::Connect { endpoint: self.endpoint.clone(), source });
        match (&self.endpoint, &self.tls) {
            (Endpoint::Unix(path), _) => Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?)),
            (Endpoint::Ssh(destination), _) => Ok(Box::new(destination.connect().map_err(failed)?)),
            (Endpoint::Tcp { host, port, .. }, None) => {
                Ok(Box::new(connect_tcp(host, *port).await.map_err(failed)?))
            }
            (Endpoint::Tcp { host, port, .. }, Some(tls)) => {
                let stream = connect_tcp(host, *port).await.map_err(failed)?;
                Ok(Box::new(tls.connect(host, stream).await.map_err(failed)?))
            }
        }
    }

    /// The error of the certificates where it is theirs, else the `other`.
    pub(crate) fn error<E: std::error::Error + 'static>(
        &self,
        error: E,
        other: impl FnOnce(E) -> Error,
    ) -> Error {
        match self.tls.is_some().then(|| tls::problem(&error)).flatten() {
            Some(problem) => Error::Tls { endpoint: self.endpoint.clone(), problem },
            None => other(error),
        }
    }
}

async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = resolve(host, port).await?;
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    // Keystrokes of an attached terminal must not wait for Nagle's algorithm.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The sending half of an HTTP connection; its reading half runs as a task of its own.
pub(crate) type Sender = SendRequest<HttpBody>;

/// So many idle connections are kept: as many as Compose has requests at a time.
const KEPT: usize = 64;

/// Holds the idle connections of a client.
#[derive(Debug, Default)]
pub(crate) struct IdleSlots(Mutex<Vec<Sender>>);

impl IdleSlots {
    /// Takes the connection that was used last, without those that the engine has closed meanwhile.
    pub(crate) fn take(&self) -> Option<Sender> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection whose last answer was read to its end, or closes it where there are enough.
    pub(crate) async fn put(&self, mut sender: Sender) {
        if sender.ready().await.is_ok() {
            let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(sender);
            }
        }
    }
}

/// Sends `request` on an idle connection or on a new one; the returned sender may be kept once the body has
/// been read.
///
/// A kept connection that the engine closed in the same moment is replaced once, but only when hyper says
/// that nothing of the request had been sent.
pub(crate) async fn send(
    route: &Route,
    idle: &IdleSlots,
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
    let (mut sender, connection) = open(route, name).await?;
    let refused = match sender.send_request(request).await {
        Ok(response) => return Ok((response, sender)),
        Err(error) => error,
    };
    // Who reads is the connection: where it ended before the request went out, it alone knows why. And in TLS 1.3 an engine
    // refuses this client's certificate only after the client's part of the handshake.
    drop(sender);
    let told = match connection.await {
        Ok(Err(ended)) if refused.is_canceled() || tls::problem(&ended).is_some() => ended,
        _ => refused,
    };
    Err(route.error(told, |error| http_error(name, error)))
}

type Connection = JoinHandle<Result<(), hyper::Error>>;

async fn open(route: &Route, name: &str) -> Result<(Sender, Connection), Error> {
    let socket = route.connect().await?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|source| http_error(name, source))?;
    let connection = tokio::spawn(async move {
        let ended = connection.await;
        if let Err(error) = &ended {
            tracing::debug!(%error, "connection to the engine ended");
        }
        ended
    });
    Ok((sender, connection))
}

fn http_error(request: &str, source: hyper::Error) -> Error {
    Error::Http { request: request.to_owned(), source }
}
