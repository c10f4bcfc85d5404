//! Blobs: pulled whole and in parts, checked for, deleted.

use std::{fs, os::unix::fs::MetadataExt};

use crate::http::{Server, sha256};

#[tokio::test]
async fn a_blob_comes_back_as_it_was_pushed_and_head_says_what_get_would() {
    let server = Server::start().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let digest = server.push_blob("team/app", &content).await;
    let target = format!("/v2/team/app/blobs/{digest}");
    let answer = server.get(&target).await;
    assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (200, digest.as_str()));
    assert!(answer.body == content);
    let head = server.call("HEAD", &target, &[], b"").await;
    assert_eq!((head.header("content-length"), head.body.len()), ("3000000", 0));
    let etag = format!("\"{digest}\"");
    assert_eq!(server.call("GET", &target, &[("if-none-match", &etag)], b"").await.status, 304);
}

#[tokio::test]
async fn a_range_brings_that_part_and_one_outside_is_416() {
    let server = Server::start().await;
    let digest = server.push_blob("a", b"0123456789").await;
    let target = format!("/v2/a/blobs/{digest}");
    for (range, part, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let answer = server.call("GET", &target, &[("range", range)], b"").await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (206, part.as_bytes()), "{range}");
        assert_eq!(answer.header("content-range"), content_range);
    }
    for range in ["bytes=10-", "bytes=5-0"] {
        let answer = server.call("GET", &target, &[("range", range)], b"").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-range")), (416, "bytes */10"));
    }
    let other = [("range", "bytes=2-4"), ("if-range", "\"sha256:other\"")];
    assert_eq!(server.call("GET", &target, &other, b"").await.status, 200);
}

#[tokio::test]
async fn a_blob_belongs_to_its_repository_until_it_is_deleted() {
    let server = Server::start().await;
    let digest = server.push_blob("a", b"content").await;
    server.get(&format!("/v2/b/blobs/{digest}")).await.refused(404, "BLOB_UNKNOWN");
    let target = format!("/v2/a/blobs/{digest}");
    assert_eq!(server.call("DELETE", &target, &[], b"").await.status, 202);
    server.get(&target).await.refused(404, "BLOB_UNKNOWN");
    server.call("DELETE", &target, &[], b"").await.refused(404, "BLOB_UNKNOWN");
    let file = server.blob_file(&digest);
    assert!(!file.exists(), "nobody links the file any more");
}

#[tokio::test]
async fn a_blob_that_an_engine_has_too_is_on_the_disk_once() {
    let twin = tempfile::tempdir().unwrap();
    let write = |content: &[u8], name: &str| {
        fs::create_dir_all(twin.path().join("sha256")).unwrap();
        fs::write(twin.path().join("sha256").join(&name[7..]), content).unwrap();
    };
    write(b"content", &sha256(b"content"));
    write(b"shortened", &sha256(b"shortened as it was"));
    let server = Server::with(|config| config.twin = Some(twin.path().to_owned())).await;
    for content in [&b"content"[..], b"shortened as it was", b"alone"] {
        let digest = server.push_blob("a", content).await;
        assert_eq!(&server.get(&format!("/v2/a/blobs/{digest}")).await.body[..], content);
        let file = server.blob_file(&digest);
        assert_eq!(fs::metadata(&file).unwrap().nlink(), if content == b"content" { 2 } else { 1 });
    }
    // The engine removes its image, the registry keeps its own.
    fs::remove_dir_all(twin.path()).unwrap();
    assert_eq!(&server.get(&format!("/v2/a/blobs/{}", sha256(b"content"))).await.body[..], b"content");
}

#[tokio::test]
async fn a_blob_of_two_repositories_stays_for_the_other_one() {
    let server = Server::start().await;
    let digest = server.push_blob("a", b"content").await;
    assert_eq!(server.push_blob("b", b"content").await, digest);
    assert_eq!(server.call("DELETE", &format!("/v2/a/blobs/{digest}"), &[], b"").await.status, 202);
    assert_eq!(&server.get(&format!("/v2/b/blobs/{digest}")).await.body[..], b"content");
}

#[tokio::test]
async fn what_is_no_digest_or_no_name_is_said_so() {
    let server = Server::start().await;
    server.get("/v2/a/blobs/sha256:short").await.refused(400, "DIGEST_INVALID");
    server.get(&format!("/v2/A/blobs/{}", sha256(b""))).await.refused(400, "NAME_INVALID");
    server.get(&format!("/v2/a/%2e%2e/%2e%2e/blobs/{}", sha256(b""))).await.refused(400, "NAME_INVALID");
    server.get("/v2/nothing/here").await.refused(404, "UNSUPPORTED");
    server.call("PATCH", "/v2/a/tags/list", &[], b"").await.refused(405, "UNSUPPORTED");
    let ping = server.get("/v2/").await;
    assert_eq!((ping.status.as_u16(), ping.header("docker-distribution-api-version")), (200, "registry/2.0"));
}
