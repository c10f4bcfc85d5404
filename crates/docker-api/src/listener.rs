//! Where connections come from: a unix socket, TCP, or TCP with TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use minke_tls::ServerTls;
use rustix::net::sockopt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::call::{Context, Life};
use crate::connection;

/// How long a client may take for TLS to stand.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client that is refused may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);
/// The first byte of whoever begins a TLS handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// After how long of silence the kernel asks whether a client is still there; then it asks nine times.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What to tell who speaks HTTP where TLS is wanted, in Go's words, since people look them up.
const NO_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// A socket that is listened on, and what is spoken there.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Unix(UnixListener),
    Tcp(TcpListener),
    Tls(TcpListener, Tls),
}

/// One connection before anything was said on it.
pub(crate) enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(TcpStream, SocketAddr, Tls),
}

#[derive(Debug, Clone)]
pub(crate) struct Tls(ServerTls);

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self(Kind::Unix(listener))
    }
}

impl From<TcpListener> for Listener {
    /// Whoever reaches it is root of this host.
    fn from(listener: TcpListener) -> Self {
        Self(Kind::Tcp(listener))
    }
}

impl Listener {
    /// TLS on TCP. Whom it lets in, `tls` says at each handshake.
    pub fn tls(listener: TcpListener, tls: ServerTls) -> Self {
        Self(Kind::Tls(listener, Tls(tls)))
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        Ok(match &self.0 {
            Kind::Unix(listener) => Accepted::Unix(listener.accept().await?.0),
            Kind::Tcp(listener) => Accepted::Tcp(tuned(listener.accept().await?.0)),
            Kind::Tls(listener, tls) => {
                let (socket, peer) = listener.accept().await?;
                Accepted::Tls(tuned(socket), peer, tls.clone())
            }
        })
    }
}

impl Accepted {
    /// Serves it to its end.
    pub(crate) async fn serve(self, life: Life, context: Arc<Context>) {
        match self {
            Self::Unix(socket) => connection::serve(socket, life, context).await,
            Self::Tcp(socket) => connection::serve(socket, life, context).await,
            Self::Tls(socket, peer, tls) => {
                let stopped = life.stopped();
                let stream = tokio::select! {
                    stream = tls.begin(socket, peer) => stream,
                    () = stopped => None,
                };
                if let Some(stream) = stream {
                    connection::serve(stream, life, context).await;
                }
            }
        }
    }
}

impl Tls {
    async fn begin(&self, mut socket: TcpStream, peer: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let mut first = [HANDSHAKE];
        let handshake = async {
            socket.peek(&mut first).await.ok()?;
            if first[0] != HANDSHAKE {
                return Some(Err((io::Error::other("no TLS"), socket)));
            }
            Some(TlsAcceptor::from(self.0.current()).accept(socket).into_fallible().await)
        };
        match timeout(PATIENCE, handshake).await.ok().flatten()? {
            Ok(stream) => Some(stream),
            Err((error, refused)) => {
                tracing::info!(%peer, %error, "a client was refused");
                socket = refused;
                if first[0] != HANDSHAKE {
                    let _ = socket.write_all(NO_TLS).await;
                }
                see_off(socket).await;
                None
            }
        }
    }
}

/// Closes a connection so that its client reads what was said last: bytes that nobody has read would turn the end into a
/// reset, which takes the last words with it.
async fn see_off(mut socket: TcpStream) {
    let reading = async {
        socket.shutdown().await?;
        let mut rest = [0; 4096];
        while socket.read(&mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whoever is gone needs no farewell.
    let _ = timeout(FAREWELL, reading).await;
}

/// Small answers go out at once, and clients that vanished are noticed also where nothing is sent.
fn tuned(socket: TcpStream) -> TcpStream {
    // A socket that can't be tuned serves all the same.
    let _ = socket.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(&socket, true);
    let _ = sockopt::set_tcp_keepidle(&socket, KEEPALIVE);
    let _ = sockopt::set_tcp_keepintvl(&socket, KEEPALIVE);
    socket
}
