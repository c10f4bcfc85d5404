//! `/grpc` and `/session`: connections that become somebody else's.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use minke_docker_api::{BoxIo, BuildKit, BuildTold, HeaderMap, SessionBuild};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::Rig;

/// Says back what it hears, after a word of its own; refuses sessions without an id.
struct Echo;

impl Echo {
    async fn run(greeting: String, mut io: BoxIo<'static>) {
        let _ = io.write_all(greeting.as_bytes()).await;
        let mut buffer = [0; 64];
        while let Ok(count @ 1..) = io.read(&mut buffer).await {
            let _ = io.write_all(&buffer[..count]).await;
        }
    }
}

impl BuildKit for Echo {
    fn control(&self, io: BoxIo<'static>) -> BoxFuture<'static, ()> {
        Box::pin(Self::run("control ".into(), io))
    }

    fn check_session(&self, headers: &HeaderMap) -> Result<(), String> {
        headers.get("x-id").map(drop).ok_or_else(|| "a session needs an id".to_owned())
    }

    fn solve(&self, build: SessionBuild) -> BoxStream<'static, BuildTold> {
        let end = match build.files {
            Some(_) => Ok([("containerimage.digest".to_owned(), "sha256:ab".to_owned())].into()),
            None => Err(format!("{} has no files", build.id)),
        };
        Box::pin(stream::iter([BuildTold::Status(b"told"[..].into()), BuildTold::End(end)]))
    }

    fn cancel(&self, _: &str) {}

    fn session(&self, headers: HeaderMap, io: BoxIo<'static>) -> BoxFuture<'static, ()> {
        Box::pin(Self::run(format!("session {} ", headers["x-id"].to_str().unwrap()), io))
    }
}

/// What comes back for a request that is followed by `hello` at once, until `end`.
async fn talk(rig: &Rig, request: &str, end: &str) -> String {
    let mut stream = UnixStream::connect(rig.dir.path().join("sock")).await.unwrap();
    stream.write_all(format!("{request}\r\nHost: d\r\n\r\nhello").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 1024];
    while !answer.contains(end) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "it ended after {answer:?}");
        answer += std::str::from_utf8(&buffer[..count]).unwrap();
    }
    answer
}

const UPGRADE: &str = "\r\nConnection: Upgrade\r\nUpgrade: h2c";

#[tokio::test]
async fn a_connection_is_handed_over_in_every_version() {
    let rig = Rig::start_with(Some(Arc::new(Echo))).await;
    for version in ["", "/v1.38", "/v1.51"] {
        let answer = talk(&rig, &format!("POST {version}/grpc HTTP/1.1{UPGRADE}"), "hello").await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("Upgrade: h2c\r\n") && answer.ends_with("\r\n\r\ncontrol hello"), "{answer}");
    }
    let answer = talk(&rig, &format!("POST /session HTTP/1.1\r\nX-Id: 7{UPGRADE}"), "hello").await;
    assert!(answer.ends_with("session 7 hello"), "{answer}");
    rig.end().await;
}

#[tokio::test]
async fn what_asks_for_no_upgrade_or_another_is_told_so() {
    let rig = Rig::start_with(Some(Arc::new(Echo))).await;
    for (request, told) in [
        ("POST /grpc HTTP/1.1\r\nContent-Length: 5", "no upgrade proto in request"),
        (
            "POST /grpc HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 5",
            "protocol tcp not supported",
        ),
        (
            "POST /session HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5",
            "a session needs an id",
        ),
    ] {
        let answer = talk(&rig, request, told).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    rig.end().await;
}

#[tokio::test]
async fn a_build_for_a_session_tells_its_status_in_the_answer() {
    let rig = Rig::start_with(Some(Arc::new(Echo))).await;
    let post = |query: &str, body: &str| {
        format!("POST /build?version=2{query} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let empty = "\0".repeat(1024);
    let answer = rig.raw(&post("", &empty)).await;
    for part in [
        r#""id":"moby.buildkit.trace""#,
        r#""aux":"dG9sZA==""#,
        r#""id":"moby.image.id""#,
        r#""aux":{"ID":"sha256:ab"}"#,
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let quiet = rig.raw(&post("&q=1", &empty)).await;
    assert!(!quiet.contains("trace") && quiet.contains(r#"{"stream":"sha256:ab\n"}"#), "{quiet}");
    let failed = rig.raw(&post("&buildid=b1&remote=client-session", "")).await;
    assert!(failed.contains(r#""error":"b1 has no files""#), "{failed}");
    let build = post("&buildid=b2&remote=upload-request", "");
    let upload = post("&buildid=upload-request:b2", &empty);
    let (built, uploaded) = tokio::join!(rig.raw(&build), rig.raw(&upload));
    assert!(built.contains("sha256:ab") && uploaded.starts_with("HTTP/1.1 200 "), "{built}{uploaded}");
    let two = "&outputs=%5B%7B%22Type%22%3A%22tar%22%7D%2C%7B%22Type%22%3A%22tar%22%7D%5D";
    assert!(rig.raw(&post(two, &empty)).await.contains("multiple outputs not supported"));
    let cancelled = rig.raw("POST /build/cancel?id=b1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await;
    assert!(cancelled.starts_with("HTTP/1.1 200 "), "{cancelled}");
    rig.end().await;
}

#[tokio::test]
async fn clients_are_told_which_builder_to_use() {
    let rig = Rig::start_with(Some(Arc::new(Echo))).await;
    assert!(rig.raw("GET /_ping HTTP/1.1\r\n\r\n").await.contains("Builder-Version: 2\r\n"));
    rig.end().await;
}
