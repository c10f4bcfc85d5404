//! A made-up server: answers as the test says, and remembers what it was asked.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `GET /v2/`
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

pub(crate) type Answer = Response<BoxBody<Bytes, io::Error>>;

/// A server that serves until it is dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

type Handler = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

impl Fake {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(None, handler).await
    }

    pub(crate) async fn tls(
        acceptor: TlsAcceptor,
        handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(acceptor), handler).await
    }

    async fn serve(
        tls: Option<TlsAcceptor>,
        handler: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, handler): (_, Handler) = (seen.clone(), Arc::new(handler));
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(socket, tls.clone(), log.clone(), handler.clone()));
            }
        });
        Self { address, seen, task }
    }

    /// All requests until now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// All requests until now, `GET /v2/`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connection(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    seen: Arc<Mutex<Vec<Seen>>>,
    handler: Handler,
) {
    match tls {
        None => http(socket, seen, handler).await,
        Some(tls) => {
            if let Ok(socket) = tls.accept(socket).await {
                http(socket, seen, handler).await;
            }
        }
    }
}

async fn http(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seen: Arc<Mutex<Vec<Seen>>>,
    handler: Handler,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, handler) = (seen.clone(), handler.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let one = Seen {
                method: head.method.to_string(),
                path: head.uri.path().to_owned(),
                query: head.uri.query().unwrap_or_default().to_owned(),
                headers: head.headers,
                body,
            };
            let answer = handler(&one);
            seen.lock().unwrap().push(one);
            Ok::<_, Infallible>(answer)
        }
    });
    // The client may leave whenever it likes.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

/// An answer with headers and a body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let full = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed();
    with_body(status, headers, full)
}

/// The same with a body that never ends.
pub(crate) fn endless(status: u16, headers: &[(&str, &str)], piece: &'static [u8]) -> Answer {
    let frames = futures_util::stream::repeat_with(move || Ok(Frame::data(Bytes::from_static(piece))));
    with_body(status, headers, BodyExt::boxed(StreamBody::new(frames)))
}

/// The specification's error document.
pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
    answer(status, &[("content-type", "application/json")], body.to_string())
}

fn with_body(status: u16, headers: &[(&str, &str)], body: BoxBody<Bytes, io::Error>) -> Answer {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body).unwrap()
}

/// What a registry answers to a request for (a part of) a blob.
pub(crate) fn blob(seen: &Seen, content: &Bytes) -> Answer {
    let first = seen.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let Some(first) = first else { return answer(200, &[], content.clone()) };
    let first: usize = first.parse().unwrap();
    let range = format!("bytes {first}-{}/{}", content.len() - 1, content.len());
    answer(206, &[("content-range", &range)], content.slice(first..))
}
