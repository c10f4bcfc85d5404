//! Hijacking: an answer after which the connection carries a process's streams both ways (attach, exec
//! start).
//!
//! ```text
//!  request with Upgrade      101, then the socket from hyper        full duplex, half-close reaches stdin
//!  first on its connection   200, then the socket itself (sniff)    the same, for clients that never ask for it
//!  any other                 200, output as the answer's body       stdin is the request's body
//! ```
//!
//! BuildKit's two calls become HTTP/2 instead ([`to_h2c`]), which can't be had without asking for the upgrade.

use std::io;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use minke_engine::AttachSession;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::activity::RequestGuard;
use crate::body::RequestBody;
use crate::call::{Call, Life};
use crate::connection::Replay;
use crate::respond::{self, Response};
use crate::version::ApiVersion;

mod after_head;
pub(crate) use after_head::AfterHead;

/// The media type of a terminal's stream, and of every hijacked stream before API 1.42.
pub(crate) const RAW: &str = "application/vnd.docker.raw-stream";
/// The media type of framed streams since API 1.42.
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

/// How far output runs ahead of a client that reads it as an answer's body.
const BUFFER: usize = 64 * 1024;

/// The media type of a container's streams.
pub(crate) fn media_type(version: ApiVersion, tty: bool) -> &'static str {
    match !tty && version >= ApiVersion(1, 42) {
        true => MULTIPLEXED,
        false => RAW,
    }
}

/// How a request's connection can be had.
pub(crate) enum Takeover {
    /// Not at all.
    None,
    /// hyper hands it over after 101.
    Upgrade(OnUpgrade),
    /// The connection's task holds it already and waits for what to run.
    Raw(oneshot::Sender<Session>),
}

impl Takeover {
    /// What a request from hyper offers.
    pub(crate) fn of<B>(request: &mut Request<B>) -> Self {
        match request.headers().contains_key(UPGRADE) {
            true => Self::Upgrade(hyper::upgrade::on(request)),
            false => Self::None,
        }
    }
}

/// A connection as a session sees it.
pub type BoxIo<'a> = Box<dyn Io + 'a>;

/// A socket of any kind.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

type Run = Box<dyn for<'a> FnOnce(BoxIo<'a>) -> BoxFuture<'a, io::Result<()>> + Send>;

/// What a taken-over connection carries.
pub(crate) struct Session {
    tty: bool,
    run: Run,
}

impl Session {
    /// A session; `run` gets the connection once it has been taken over.
    pub(crate) fn new(
        tty: bool,
        run: impl for<'a> FnOnce(BoxIo<'a>) -> BoxFuture<'a, io::Result<()>> + Send + 'static,
    ) -> Self {
        Self { tty, run: Box::new(run) }
    }

    /// A process's streams.
    pub(crate) fn attached(session: AttachSession) -> Self {
        Self::new(session.tty(), |io| Box::pin(session.run(io)))
    }

    /// Runs until either side ends it.
    pub(crate) async fn run(self, mut io: impl Io) {
        if let Err(error) = (self.run)(Box::new(&mut io)).await {
            tracing::debug!(%error, "attached connection ended");
        }
        // The client may be gone already.
        let _ = io.shutdown().await;
    }
}

/// What takes the place of the output of a process that could not be started: Docker writes it to stdout's
/// frames and ends it as a terminal needs it.
pub(crate) fn message(framed: bool, text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 10);
    if framed {
        let length = u32::try_from(text.len() + 2).unwrap_or(u32::MAX);
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

/// Answers a hijack and runs the session on whatever connection there is.
pub(crate) fn start(call: Call, session: Session) -> Response {
    take_over(call.takeover, call.body, call.version, &call.context.life, session)
}

/// The same with what it needs of a call.
pub(crate) fn take_over(
    takeover: Takeover,
    body: RequestBody,
    version: ApiVersion,
    life: &Life,
    session: Session,
) -> Response {
    let media = media_type(version, session.tty);
    let guard = life.activity.request();
    match takeover {
        Takeover::Upgrade(upgrade) => {
            tokio::spawn(on_upgrade(upgrade, session, life.stopped(), guard));
            switching_protocols(media)
        }
        Takeover::Raw(connection) => {
            // The connection's task counts itself, and a closed channel means that it ended with the client.
            let _ = connection.send(session);
            respond::typed(respond::empty(StatusCode::OK), RAW)
        }
        Takeover::None => as_body(body, session, media, guard),
    }
}

/// Hands the connection to whoever speaks HTTP/2 on it from now on; the request asked for an upgrade to `h2c`.
pub(crate) fn to_h2c(
    upgrade: OnUpgrade,
    life: &Life,
    run: impl FnOnce(BoxIo<'static>) -> BoxFuture<'static, ()> + Send + 'static,
) -> Response {
    let (guard, stopped) = (life.activity.request(), life.stopped());
    tokio::spawn(async move {
        let _guard = guard;
        match upgrade.await {
            // The client speaks first and knows what it has read.
            Ok(io) => tokio::select! {
                () = run(Box::new(TokioIo::new(io))) => {}
                () = stopped => {}
            },
            Err(error) => tracing::debug!(%error, "upgraded connection was not handed over"),
        }
    });
    let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("h2c"));
    response
}

async fn on_upgrade(
    upgrade: OnUpgrade,
    session: Session,
    stopped: impl Future<Output = ()>,
    _guard: RequestGuard,
) {
    match upgrade.await {
        Ok(io) => tokio::select! {
            () = session.run(without_hyper(io)) => {}
            () = stopped => {}
        },
        Err(error) => tracing::debug!(%error, "hijacked connection was not handed over"),
    }
}

/// The connection itself, or, where it is none whose reader can be watched, as hyper has it.
fn without_hyper(io: Upgraded) -> BoxIo<'static> {
    match io.downcast::<TokioIo<Replay<UnixStream>>>() {
        Ok(parts) => Box::new(AfterHead::new(parts.io.into_inner().after(&parts.read_buf), Replay::get_ref)),
        Err(io) => Box::new(TokioIo::new(io)),
    }
}

fn switching_protocols(media: &'static str) -> Response {
    let mut response = respond::typed(respond::empty(StatusCode::SWITCHING_PROTOCOLS), media);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("tcp"));
    response
}

/// Output as the answer's body, input from the request's: all that plain HTTP allows.
fn as_body(body: RequestBody, session: Session, media: &'static str, guard: RequestGuard) -> Response {
    let (near, far) = tokio::io::duplex(BUFFER);
    let (output, mut input) = tokio::io::split(near);
    tokio::spawn(async move {
        let _guard = guard;
        session.run(far).await;
    });
    tokio::spawn(async move {
        // Either side may end first; the session notices both.
        let _ = tokio::io::copy(&mut body.into_reader(), &mut input).await;
        let _ = input.shutdown().await;
    });
    let chunks = stream::unfold(output, |mut output| async move {
        let mut chunk = bytes::BytesMut::with_capacity(8 * 1024);
        match output.read_buf(&mut chunk).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(chunk.freeze()), output)),
            Err(error) => Some((Err(error), output)),
        }
    });
    respond::stream(media, chunks)
}

/// The head of the answer to a hijack without an upgrade, to be written to the socket itself.
pub(crate) fn raw_head() -> Bytes {
    Bytes::from(format!("HTTP/1.1 200 OK\r\nContent-Type: {RAW}\r\n\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_depend_on_version_and_terminal() {
        assert_eq!(media_type(ApiVersion(1, 41), false), RAW);
        assert_eq!(media_type(ApiVersion(1, 42), false), MULTIPLEXED);
        assert_eq!(media_type(ApiVersion(1, 51), true), RAW);
    }

    #[test]
    fn a_message_is_framed_as_stdout() {
        assert_eq!(message(true, "no"), b"\x01\0\0\0\0\0\0\x04no\r\n");
        assert_eq!(message(false, "no"), b"no\r\n");
    }

    #[tokio::test]
    async fn an_answers_body_carries_the_session_where_no_takeover_is_possible() {
        use http_body_util::BodyExt;
        let session = Session::new(true, |mut io| Box::pin(async move { io.write_all(b"gone\r\n").await }));
        let body = RequestBody::Bytes(Bytes::from_static(b"input"));
        let response = as_body(body, session, RAW, crate::activity::Activity::new().request());
        assert_eq!(response.headers()["content-type"], RAW);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "gone\r\n");
    }
}
