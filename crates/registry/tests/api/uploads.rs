//! Uploads: in one request, in chunks, from another repository, given up.

use crate::http::{Server, sha256, sha512};

#[tokio::test]
async fn chunks_in_order_make_a_blob_and_one_out_of_order_is_416_and_harmless() {
    let server = Server::start().await;
    let at = server.begin("a").await;
    let first = server.call("PATCH", &at, &[("content-range", "0-3")], b"0123").await;
    assert_eq!(
        (first.status.as_u16(), first.header("range"), first.header("location")),
        (202, "0-3", at.as_str())
    );
    for (method, target) in [("PATCH", at.clone()), ("PUT", format!("{at}?digest={}", sha256(b"012389")))] {
        let wrong = server.call(method, &target, &[("content-range", "8-9")], b"89").await;
        wrong.refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!((wrong.header("range"), wrong.header("location")), ("0-3", at.as_str()));
    }
    let status = server.get(&at).await;
    assert_eq!((status.status.as_u16(), status.header("range")), (204, "0-3"));
    let digest = sha256(b"01234567");
    let put =
        server.call("PUT", &format!("{at}?digest={digest}"), &[("content-range", "4-7")], b"4567").await;
    assert_eq!(
        (put.status.as_u16(), put.header("location")),
        (201, format!("/v2/a/blobs/{digest}").as_str())
    );
    assert_eq!(&server.get(put.header("location")).await.body[..], b"01234567");
    server.get(&at).await.refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_stream_without_ranges_and_an_empty_put_make_a_blob() {
    let server = Server::start().await;
    let at = server.begin("a").await;
    assert_eq!(server.call("PATCH", &at, &[], b"stream").await.header("range"), "0-5");
    let digest = sha512(b"stream");
    let put = server.call("PUT", &format!("{at}?digest={digest}"), &[], b"").await;
    assert_eq!((put.status.as_u16(), put.header("docker-content-digest")), (201, digest.as_str()));
    assert_eq!(&server.get(&format!("/v2/a/blobs/{digest}")).await.body[..], b"stream");
}

#[tokio::test]
async fn content_of_another_digest_is_refused_and_leaves_nothing() {
    let server = Server::start().await;
    let wrong = sha256(b"something else");
    let target = format!("/v2/a/blobs/uploads/?digest={wrong}");
    server.call("POST", &target, &[], b"content").await.refused(400, "DIGEST_INVALID");
    let at = server.begin("a").await;
    server.call("PUT", &at, &[], b"content").await.refused(400, "DIGEST_INVALID");
    server.call("PUT", &format!("{at}?digest=md5:00"), &[], b"content").await.refused(400, "DIGEST_INVALID");
    server.call("PUT", &format!("{at}?digest={wrong}"), &[], b"content").await.refused(400, "DIGEST_INVALID");
    server.get(&format!("/v2/a/blobs/{wrong}")).await.refused(404, "BLOB_UNKNOWN");
    let uploads = server.folder.as_ref().unwrap().path().join("registry/uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
    let target = "/v2/a/blobs/uploads/?digest-algorithm=md5";
    server.call("POST", target, &[], b"").await.refused(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn a_chunk_that_is_not_as_long_as_it_says_is_taken_back() {
    let server = Server::start().await;
    let at = server.begin("a").await;
    server.call("PATCH", &at, &[("content-range", "0-3")], b"0123456").await.refused(400, "SIZE_INVALID");
    server.call("PATCH", &at, &[("content-range", "nonsense")], b"0").await.refused(400, "UNSUPPORTED");
    assert_eq!(server.call("PATCH", &at, &[("content-range", "0-3")], b"0123").await.header("range"), "0-3");
}

#[tokio::test]
async fn a_cancelled_upload_is_gone_and_belongs_to_its_repository_alone() {
    let server = Server::start().await;
    let at = server.begin("a").await;
    let elsewhere = at.replace("/v2/a/", "/v2/b/");
    server.call("DELETE", &elsewhere, &[], b"").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.call("DELETE", &at, &[], b"").await.status, 204);
    server.call("PATCH", &at, &[], b"x").await.refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository_or_from_any() {
    let server = Server::start().await;
    let digest = server.push_blob("a", b"content").await;
    for (name, query) in [("b", format!("mount={digest}&from=a")), ("c", format!("mount={digest}"))] {
        let answer = server.call("POST", &format!("/v2/{name}/blobs/uploads/?{query}"), &[], b"").await;
        assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (201, digest.as_str()));
        assert_eq!(&server.get(&format!("/v2/{name}/blobs/{digest}")).await.body[..], b"content");
    }
    for from in ["nowhere", "Not/A/Name", "../../a"] {
        let target = format!("/v2/d/blobs/uploads/?mount={digest}&from={from}");
        let answer = server.call("POST", &target, &[], b"").await;
        assert_eq!(answer.status, 202, "an upload instead");
        assert!(answer.header("location").starts_with("/v2/d/blobs/uploads/"));
    }
}

#[tokio::test]
async fn an_upload_outlives_the_registry() {
    let folder = tempfile::tempdir().unwrap();
    let config = minke_registry::RegistryConfig::new(folder.path());
    let server = Server::open(config.clone()).await;
    let at = server.begin("team/app").await;
    assert_eq!(server.call("PATCH", &at, &[], b"first ").await.status, 202);
    let registry = server.registry.clone();
    drop(server);
    // The database has one owner: wait until the old one has let go of it.
    let weak = std::sync::Arc::downgrade(&registry);
    drop(registry);
    while weak.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
    let server = reopen(config).await;
    assert_eq!(server.get(&at).await.header("range"), "0-5");
    let digest = sha256(b"first second");
    let put =
        server.call("PUT", &format!("{at}?digest={digest}"), &[("content-range", "6-11")], b"second").await;
    assert_eq!(put.status, 201);
    assert_eq!(&server.get(&format!("/v2/team/app/blobs/{digest}")).await.body[..], b"first second");
}

/// Connections end a moment after their registry was dropped.
async fn reopen(config: minke_registry::RegistryConfig) -> Server {
    for _ in 0..500 {
        match minke_registry::Registry::open(config.clone()) {
            Ok(registry) => drop(registry),
            Err(_) => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        }
        return Server::open(config).await;
    }
    panic!("the database is still open");
}
