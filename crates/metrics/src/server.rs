//! The listener: `GET /metrics` and nothing else.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use minke_engine::Engine;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use crate::{accept, page::page, scrape::Scraper};

type Page = UnsyncBoxBody<Bytes, Infallible>;

/// Connections at the same time; who comes later waits in the listener's backlog.
const CONNECTIONS: usize = 32;
/// How long a connection may take to send a request's head, or say nothing between two.
const SILENCE: Duration = Duration::from_secs(120);
/// How long a connection is kept, so that a reader that has stopped doesn't hold its place for ever.
const LONGEST: Duration = Duration::from_secs(300);
/// How long accepting pauses when the system is out of something.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves `/metrics` of `engine` at `listener` until the future is dropped.
///
/// No connection counts as use of the engine: one that leaves when idle does so while it is watched.
pub async fn serve(listener: TcpListener, engine: Engine) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let scraper = Arc::new(Scraper::default());
    let mut connections = JoinSet::new();
    loop {
        // Never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let socket = match accept(&listener, &mut connections).await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "accept a connection for metrics");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (engine, scraper) = (engine.clone(), Arc::clone(&scraper));
        connections.spawn(async move {
            connection(socket, engine, scraper).await;
            drop(place);
        });
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &mut JoinSet<()>,
) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        tokio::select! {
            accepted = listener.accept() => return accepted,
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(socket: TcpStream, engine: Engine, scraper: Arc<Scraper>) {
    let service = service_fn(move |request| {
        let (engine, scraper) = (engine.clone(), Arc::clone(&scraper));
        async move { Ok::<_, Infallible>(answer(&request, engine, &scraper).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .serve_connection(TokioIo::new(socket), service);
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = tokio::time::sleep(LONGEST) => {
            // One that has just begun to scrape is served, one that doesn't read is not.
            serving.as_mut().graceful_shutdown();
            tokio::time::timeout(SILENCE, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection for metrics ended");
    }
}

async fn answer(request: &Request<Incoming>, engine: Engine, scraper: &Scraper) -> Response<Page> {
    if request.uri().path() != "/metrics" {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let wanted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = accept::format(&wanted.collect::<Vec<_>>().join(","));
    if request.method() == Method::HEAD {
        return typed(Empty::new().boxed_unsync(), format.content_type());
    }
    match scraper.measure(&engine).await {
        Ok(measured) => {
            let frames = page(engine, measured, format).map_ok(Frame::data);
            typed(StreamBody::new(frames).boxed_unsync(), format.content_type())
        }
        Err(error) => {
            tracing::warn!(%error, "a scrape failed");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "containers could not be measured; the engine's log says why\n",
            )
        }
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Page> {
    let mut response = typed(Full::from(text).boxed_unsync(), "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn typed(body: Page, content_type: &'static str) -> Response<Page> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
