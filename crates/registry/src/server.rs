//! Listeners and connections: accepted up to a number, spoken to in TLS or not, seen off in bounded time.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use minke_tls::ServerTls;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{api::Service, patience::Impatient};

/// How long requests in flight may take to finish after the server was told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long accepting pauses when the process is out of descriptors; connections wait in the listener's
/// backlog meanwhile.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);
/// The most headers a request may have.
const HEADERS: usize = 100;

/// Serves all listeners until `shutdown` resolves, or one of them fails.
pub(crate) async fn serve(
    service: Arc<Service>,
    tls: Option<ServerTls>,
    listeners: Vec<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(service.limits.connections));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, service.clone(), tls.clone(), slots.clone(), stopping.clone()));
    }
    drop(stopping);
    let result = tokio::select! {
        () = shutdown => Ok(()),
        Some(ended) = accepting.join_next() => ended.unwrap_or(Ok(())),
    };
    // Nobody listens when there was no listener.
    let _ = stop.send(true);
    let drained = timeout(GRACE, async { while accepting.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!("requests did not finish in time and are cut off");
    }
    result
}

async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    tls: Option<ServerTls>,
    slots: Arc<Semaphore>,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let result = loop {
        // A connection is accepted when there is room for it, so that it waits outside and costs nothing.
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((listener.accept().await?.0, slot))
        };
        tokio::select! {
            () = stopped(&mut stopping) => break Ok(()),
            accepted = accepted => match accepted {
                Ok((socket, slot)) => {
                    let (service, tls, stopping) = (service.clone(), tls.clone(), stopping.clone());
                    connections.spawn(async move {
                        connection(socket, service, tls, stopping).await;
                        drop(slot);
                    });
                }
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, "accepting a connection");
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                }
                Err(error) => break Err(error),
            },
            Some(_) = connections.join_next() => {}
        }
    };
    drop(listener);
    while connections.join_next().await.is_some() {}
    result
}

async fn connection(
    socket: TcpStream,
    service: Arc<Service>,
    tls: Option<ServerTls>,
    stopping: watch::Receiver<bool>,
) {
    // Answers are small or whole pieces, so there is nothing to wait for.
    let _ = socket.set_nodelay(true);
    let patience = service.limits.patience;
    let socket = Impatient::new(socket, patience);
    match tls {
        None => http(socket, service, stopping).await,
        Some(tls) => match timeout(patience, TlsAcceptor::from(tls.current()).accept(socket)).await {
            Ok(Ok(stream)) => http(stream, service, stopping).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
    }
}

async fn http(
    io: impl AsyncRead + AsyncWrite + Unpin,
    service: Arc<Service>,
    mut stopping: watch::Receiver<bool>,
) {
    let limits = service.limits;
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.patience)
        // hyper's least is 8 KiB.
        .max_buf_size(limits.head.max(8 << 10))
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(io), answer);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Resolves when the server is told to stop, or is gone.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Whether accepting may work again by itself: the other side gave up (`ECONNABORTED`), or descriptors or
/// memory are short (`EMFILE` 24, `ENFILE` 23, `ENOBUFS` 105, `ENOMEM` 12).
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105))
}
