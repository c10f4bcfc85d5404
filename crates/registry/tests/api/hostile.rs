//! Clients that mean no good: slow, many, long.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::http::Server;

/// Far more than anything here takes, so that a test that waits for nothing ends.
const LONG: Duration = Duration::from_secs(60);

async fn impatient() -> Server {
    Server::with(|config| {
        config.limits.patience = Duration::from_millis(300);
        config.limits.slowest = 1000;
    })
    .await
}

/// What the server says until it closes.
async fn rest(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, socket.read_to_end(&mut text)).await.expect("the server ends it");
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_body_that_does_not_come_and_one_that_drips_are_given_up() {
    let server = impatient().await;
    let at = server.begin("a").await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let head = format!("PATCH {at} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = socket.split();
    let drip = async {
        while writing.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 12];
    tokio::select! {
        read = timeout(LONG, reading.read_exact(&mut answer)) => drop(read.unwrap().unwrap()),
        () = drip => unreachable!(),
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(server.get(&at).await.status, 204, "the upload may go on");
}

#[tokio::test]
async fn headers_that_do_not_end_are_cut_off() {
    let server = impatient().await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET /v2/ HTTP/1.1\r\nhost:").await.unwrap();
    assert!(!rest(&mut socket).await.contains(" 200 "));
    let long = "x".repeat(1 << 20);
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let _ = socket.write_all(format!("GET /v2/ HTTP/1.1\r\nhost: {long}\r\n\r\n").as_bytes()).await;
    assert!(!rest(&mut socket).await.contains(" 200 "));
    let many = "x: y\r\n".repeat(1000);
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let _ = socket.write_all(format!("GET /v2/ HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
    assert!(!rest(&mut socket).await.contains(" 200 "));
    assert_eq!(server.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn a_reader_that_stops_loses_its_connection_and_its_place() {
    let server = Server::with(|config| {
        config.limits.patience = Duration::from_millis(300);
        config.limits.connections = 1;
    })
    .await;
    let digest = server.push_blob("a", &vec![7; 32 << 20]).await;
    let mut stopped = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: x\r\n\r\n");
    stopped.write_all(request.as_bytes()).await.unwrap();
    let next = timeout(LONG, server.get("/v2/")).await.expect("the only place is free again");
    assert_eq!(next.status, 200);
}

#[tokio::test]
async fn more_uploads_than_the_limit_are_429_until_one_ends() {
    let server = Server::with(|config| config.limits.uploads = 2).await;
    let first = server.begin("a").await;
    server.begin("b").await;
    let refused = server.call("POST", "/v2/c/blobs/uploads/", &[], b"").await;
    refused.refused(429, "TOOMANYREQUESTS");
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
    assert_eq!(server.call("DELETE", &first, &[], b"").await.status, 204);
    server.begin("c").await;
}

#[tokio::test]
async fn a_push_in_one_request_that_breaks_leaves_no_upload() {
    let server = Server::with(|config| config.limits.uploads = 1).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let digest = crate::http::sha256(b"x");
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let upload = server.folder.as_ref().unwrap().path().join("registry/uploads/a");
    let until = async |there: bool| {
        while std::fs::exists(&upload).unwrap() != there {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, until(true)).await.expect("the upload begins");
    drop(socket);
    timeout(LONG, until(false)).await.expect("the upload ends with its request");
    server.begin("b").await;
}

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_expire() {
    let server = Server::with(|config| config.limits.upload_expiry = Duration::ZERO).await;
    let at = server.begin("a").await;
    server.registry.collect_garbage(LONG).unwrap();
    server.get(&at).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_blob_longer_than_allowed_is_413_and_takes_no_room() {
    let server = Server::with(|config| config.limits.blob = 100).await;
    let at = server.begin("a").await;
    server.call("PATCH", &at, &[], &[0; 101]).await.refused(413, "SIZE_INVALID");
    assert_eq!(server.call("PATCH", &at, &[], &[0; 60]).await.header("range"), "0-59");
    server.call("PATCH", &at, &[], &[0; 60]).await.refused(413, "SIZE_INVALID");
    assert_eq!(server.get(&at).await.header("range"), "0-59");
}

#[tokio::test]
async fn a_path_never_leaves_the_folder_of_blobs() {
    let server = Server::start().await;
    let folder = server.folder.as_ref().unwrap().path();
    std::fs::write(folder.join("secret"), "secret").unwrap();
    for target in [
        "/v2/a/blobs/../../../../secret",
        "/v2/a/blobs/sha256:..%2f..%2f..%2fsecret",
        "/v2/a/blobs/uploads/..%2f..%2fsecret",
        "/v2/a/manifests/..%2f..%2fsecret",
        "/v2/..%2f..%2fsecret/tags/list",
        "/../secret",
        "//secret",
    ] {
        let answer = server.get(target).await;
        assert!(answer.status.is_client_error(), "{target}: {answer:?}");
        assert!(!answer.body.windows(6).any(|part| part == b"secret"), "{target}");
    }
}
