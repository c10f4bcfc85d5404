//! The client against a scripted engine on a unix socket: what goes over the wire, byte by byte.

#![expect(clippy::unwrap_used, reason = "a failed step of the script is the test's failure")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use minke_docker_client::{
    ApiVersion, Body, Changed, Client, Endpoint, Error, HeaderMap, Method, json_lines,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// A socket path of its own that is removed at the end.
struct Socket(PathBuf);

impl Socket {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("minke-client-{}-{}.sock", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn client(&self) -> Client {
        let endpoint = Endpoint::Unix(self.0.clone());
        Client::new(endpoint).with_version(ApiVersion::new(1, 44))
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(&self.0).unwrap()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn answer(stream: &mut UnixStream, text: &str) -> String {
    let head = read_head(stream).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    head
}

#[tokio::test]
async fn two_requests_use_one_connection() {
    let socket = Socket::new();
    let listener = socket.listen();
    let engine = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]").await;
        let second = answer(&mut stream, "HTTP/1.1 304 Not Modified\r\n\r\n").await;
        (first, second)
    });
    let client = socket.client();
    let list: Vec<u8> = client.get("/containers/json", &[("all", "1".into())]).await.unwrap();
    assert!(list.is_empty());
    let changed: Changed = client.post_empty("/containers/web/start", &[]).await.unwrap();
    assert_eq!(changed, Changed::No);
    let (first, second) = engine.await.unwrap();
    assert!(first.starts_with("GET /v1.44/containers/json?all=1 HTTP/1.1\r\n"), "{first}");
    assert!(second.starts_with("POST /v1.44/containers/web/start HTTP/1.1\r\n"), "{second}");
}

#[tokio::test]
async fn a_connection_that_the_engine_closed_is_replaced() {
    let socket = Socket::new();
    let listener = socket.listen();
    let engine = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7").await;
        }
    });
    let client = socket.client();
    for _ in 0..2 {
        assert_eq!(client.get::<u8>("/x", &[]).await.unwrap(), 7);
    }
    engine.await.unwrap();
}

#[tokio::test]
async fn requests_at_the_same_time_leave_their_connections_to_the_next() {
    let socket = Socket::new();
    let listener = socket.listen();
    let engine = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            answer(&mut first, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7").await;
            answer(&mut second, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7").await;
        }
    });
    let client = socket.client();
    for _ in 0..2 {
        let (one, other) = tokio::join!(client.get::<u8>("/x", &[]), client.get::<u8>("/x", &[]));
        assert_eq!((one.unwrap(), other.unwrap()), (7, 7));
    }
    engine.await.unwrap();
}

#[tokio::test]
async fn the_version_is_agreed_on_once() {
    let socket = Socket::new();
    let listener = socket.listen();
    let engine = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let ping =
            answer(&mut stream, "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\n\r\n").await;
        let get = answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7").await;
        let again = answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n8").await;
        [ping, get, again]
    });
    let client = Client::new(Endpoint::Unix(socket.0.clone()));
    assert_eq!(client.get::<u8>("/x", &[]).await.unwrap(), 7);
    assert_eq!(client.get::<u8>("/x", &[]).await.unwrap(), 8);
    assert_eq!(client.version(), Some(ApiVersion::new(1, 41)));
    let heads = engine.await.unwrap();
    assert!(heads[0].starts_with("HEAD /_ping "), "{}", heads[0]);
    assert!(heads[1].starts_with("GET /v1.41/x "), "{}", heads[1]);
    assert!(heads[2].starts_with("GET /v1.41/x "), "{}", heads[2]);
}

#[tokio::test]
async fn nobody_listening_is_told_with_the_endpoint() {
    let socket = Socket::new();
    let error = socket.client().get::<u8>("/x", &[]).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }));
    assert_eq!(
        error.to_string(),
        format!("Cannot connect to the engine at unix://{}. Is it running?", socket.0.display())
    );
}

#[tokio::test]
async fn an_engines_refusal_keeps_its_status_and_words() {
    let socket = Socket::new();
    let listener = socket.listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let body = r#"{"message":"No such container: web"}"#;
        answer(
            &mut stream,
            &format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        )
        .await;
    });
    let error = socket.client().delete::<()>("/containers/web", &[]).await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(error.to_string(), "Error response from daemon: No such container: web");
}

#[tokio::test]
async fn a_reader_is_sent_in_chunks_and_json_comes_back_line_by_line() {
    let socket = Socket::new();
    let listener = socket.listen();
    let engine = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            body.push(stream.read_u8().await.unwrap());
        }
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n1\r\n3\r\n0\r\n\r\n",
            )
            .await
            .unwrap();
        (head, body)
    });
    let body = Body::reader("application/x-tar", &b"tar bytes"[..]);
    let client = socket.client();
    let response = client.stream(Method::POST, "/images/load", &[], body, HeaderMap::new()).await.unwrap();
    let values: Vec<u8> = json_lines::<u8>(response.body).map(Result::unwrap).collect().await;
    assert_eq!(values, [1, 2, 3]);
    let (head, body) = engine.await.unwrap();
    assert!(head.contains("content-type: application/x-tar\r\n"), "{head}");
    assert_eq!(body, b"9\r\ntar bytes\r\n0\r\n\r\n");
}

async fn hijacked(status: &'static str) {
    let socket = Socket::new();
    let listener = socket.listen();
    let engine = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let text =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nearly ");
        let head = answer(&mut stream, &text).await;
        let mut input = Vec::new();
        stream.read_to_end(&mut input).await.unwrap();
        // The other half is still open after the end of the input.
        stream.write_all(b"late").await.unwrap();
        (head, input)
    });
    let mut hijacked =
        socket.client().hijack::<()>("/containers/x/attach", &[("stream", "1".into())], None).await.unwrap();
    hijacked.io.write_all(b"input").await.unwrap();
    hijacked.io.shutdown().await.unwrap();
    let mut output = String::new();
    hijacked.io.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "early late");
    assert_eq!(hijacked.content_type, "application/vnd.docker.raw-stream");
    let (head, input) = engine.await.unwrap();
    assert!(head.starts_with("POST /v1.44/containers/x/attach?stream=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Upgrade: tcp\r\n") && head.contains("Connection: Upgrade\r\n"), "{head}");
    assert_eq!(input, b"input");
}

#[tokio::test]
async fn a_hijacked_connection_can_be_half_closed() {
    hijacked("101 UPGRADED").await;
}

#[tokio::test]
async fn an_old_engine_hijacks_with_200() {
    hijacked("200 OK").await;
}

#[tokio::test]
async fn a_refused_hijack_is_the_engines_error() {
    let socket = Socket::new();
    let listener = socket.listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let text = "HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n17\r\n{\"message\":\"is paused\"}\r\n0\r\n\r\n";
        answer(&mut stream, text).await;
        // The connection stays open: the client must not wait for its end.
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    });
    let error = socket.client().hijack::<()>("/exec/x/start", &[], None).await.unwrap_err();
    assert_eq!(
        (error.status(), error.to_string().as_str()),
        (Some(409), "Error response from daemon: is paused")
    );
}
