//! Connections over in-memory sockets, answered by fakes: what travels, and what ends when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;

use super::*;
use crate::activity::Activity;
use crate::hijack::Session;
use crate::respond;
use crate::version::ApiVersion;

/// Answers by the path: echoes on `/containers/x/attach`, never ends on `/forever`, repeats the body on
/// anything else.
#[derive(Clone, Default)]
struct Fake {
    /// Streams of `/forever` that live.
    open: Arc<AtomicUsize>,
    life: Option<Life>,
}

struct Open(Arc<AtomicUsize>);
impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Answer for Fake {
    async fn answer(&self, request: Incoming) -> Response {
        match request.target.as_str() {
            "/containers/x/attach" | "/later/containers/x/attach" => {
                let echo = Session::new(true, |mut io| {
                    Box::pin(async move {
                        let mut text = Vec::new();
                        io.read_to_end(&mut text).await?;
                        io.write_all(b"after the end: ").await?;
                        io.write_all(&text).await
                    })
                });
                let life = self.life.as_ref().unwrap();
                hijack::take_over(request.takeover, request.body, ApiVersion::NEWEST, life, echo)
            }
            "/containers/refused/attach" => {
                respond::error(&crate::error::ApiError::new(StatusCode::CONFLICT, "is paused"))
            }
            "/forever" => {
                self.open.fetch_add(1, Ordering::SeqCst);
                let open = Open(self.open.clone());
                let never = stream::once(async { Ok(Bytes::from_static(b"first")) }).chain(stream::pending());
                let stopped = Box::pin(self.life.as_ref().unwrap().stopped());
                respond::stream("text/plain", never.map(move |item| (item, &open).0).take_until(stopped))
            }
            _ => match request.body.read_whole().await {
                Ok(body) => respond::bytes(StatusCode::OK, "text/plain", body),
                Err(error) => respond::error(&error),
            },
        }
    }
}

struct Rig {
    client: DuplexStream,
    stop: watch::Sender<bool>,
    fake: Fake,
    server: tokio::task::JoinHandle<()>,
    activity: Arc<Activity>,
}

fn rig() -> Rig {
    let (client, io) = duplex(64 * 1024);
    let (stop, stopping) = watch::channel(false);
    let activity = Activity::new();
    let life = Life { activity: activity.clone(), stopping };
    let fake = Fake { life: Some(life.clone()), ..Fake::default() };
    let server = tokio::spawn(serve(io, life, fake.clone()));
    Rig { client, stop, fake, server, activity }
}

impl Rig {
    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.push(self.client.read_u8().await.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    async fn read_rest(&mut self) -> String {
        let mut text = String::new();
        self.client.read_to_string(&mut text).await.unwrap();
        text
    }
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let mut rig = rig();
    for body in ["one", "two"] {
        rig.send(&format!("POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\n{body}")).await;
        assert!(rig.read_until(body).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!((rig.activity.connections(), rig.activity.requests()), (1, 0));
    drop(rig.client);
    rig.server.await.unwrap();
    assert_eq!(rig.activity.connections(), 0);
}

#[tokio::test]
async fn an_upgraded_connection_may_be_half_closed() {
    let mut rig = rig();
    rig.send(
        "POST /containers/x/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly ",
    )
    .await;
    let head = rig.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("Content-Type: application/vnd.docker.raw-stream\r\n"), "{head}");
    assert!(head.contains("Upgrade: tcp\r\n") && head.contains("Connection: Upgrade\r\n"), "{head}");
    assert_eq!(rig.activity.requests(), 1);
    rig.send("late").await;
    rig.client.shutdown().await.unwrap();
    assert_eq!(rig.read_rest().await, "after the end: early late");
}

#[tokio::test]
async fn a_hijack_without_upgrade_takes_the_socket_over() {
    let mut rig = rig();
    rig.send("POST /containers/x/attach HTTP/1.1\r\nHost: d\r\nContent-Type: text/plain\r\n\r\nraw").await;
    rig.client.shutdown().await.unwrap();
    assert_eq!(
        rig.read_rest().await,
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nafter the end: raw"
    );
    rig.server.await.unwrap();
}

#[tokio::test]
async fn a_refused_hijack_without_upgrade_is_an_ordinary_error() {
    let mut rig = rig();
    rig.send("POST /containers/refused/attach HTTP/1.1\r\nHost: d\r\n\r\n").await;
    let answer = rig.read_rest().await;
    assert!(answer.starts_with("HTTP/1.1 409 Conflict\r\n"), "{answer}");
    assert!(
        answer.contains("content-length: 24\r\n") && answer.ends_with("{\"message\":\"is paused\"}\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_later_hijack_without_upgrade_streams_as_a_body() {
    let mut rig = rig();
    rig.send("GET /echo HTTP/1.1\r\nHost: d\r\n\r\n").await;
    rig.read_until("\r\n\r\n").await;
    rig.send("POST /later/containers/x/attach HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\ninput").await;
    let answer = rig.read_until("0\r\n\r\n").await;
    assert!(answer.contains("Transfer-Encoding: chunked"), "{answer}");
    assert!(answer.contains("after the end: ") && answer.contains("input"), "{answer}");
}

#[tokio::test]
async fn a_stream_starts_at_once_and_ends_when_its_reader_goes() {
    let mut rig = rig();
    rig.send("GET /forever HTTP/1.1\r\nHost: d\r\n\r\n").await;
    rig.read_until("first").await;
    assert_eq!(rig.fake.open.load(Ordering::SeqCst), 1);
    drop(rig.client);
    rig.server.await.unwrap();
    assert_eq!((rig.fake.open.load(Ordering::SeqCst), rig.activity.requests()), (0, 0));
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_streams() {
    let mut rig = rig();
    rig.send("GET /forever HTTP/1.1\r\nHost: d\r\n\r\n").await;
    rig.read_until("first").await;
    rig.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), rig.server).await.unwrap().unwrap();

    let idle = self::rig();
    idle.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), idle.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_while_it_is_sent() {
    let mut rig = rig();
    rig.send("POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999\r\n\r\n").await;
    let chunk = vec![b' '; 64 * 1024];
    let (mut reader, mut writer) = tokio::io::split(rig.client);
    let sending = tokio::spawn(async move { while writer.write_all(&chunk).await.is_ok() {} });
    let mut head = [0; 12];
    reader.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
    drop(reader);
    sending.abort();
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let mut rig = rig();
    rig.send("\x16\x03\x01 is how TLS begins\r\n\r\n").await;
    assert!(rig.read_rest().await.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    rig.server.await.unwrap();
}
