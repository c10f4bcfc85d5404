//! A cache of another registry, with a made-up one behind it.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, ready},
    stream,
};
use minke_registry::{
    Algorithm, Digest, Reference, RepositoryName, Upstream, UpstreamBlob, UpstreamError, UpstreamManifest,
};

use crate::http::{IMAGE, Server, image, sha256};

#[derive(Default)]
struct Fake {
    tags: Mutex<HashMap<String, Digest>>,
    content: Mutex<HashMap<Digest, Bytes>>,
    /// Digests whose content is told wrong.
    corrupt: AtomicBool,
    away: AtomicBool,
    manifests: AtomicUsize,
    blobs: AtomicUsize,
}

impl Fake {
    fn add(&self, content: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, content);
        self.content.lock().unwrap().insert(digest.clone(), Bytes::copy_from_slice(content));
        digest
    }

    fn add_image(&self, tag: &str, layer: &[u8]) -> String {
        let json = image(&self.add(b"{}").to_string(), &self.add(layer).to_string());
        let digest = self.add(json.as_bytes());
        self.tags.lock().unwrap().insert(tag.to_owned(), digest);
        json
    }

    fn answer<T: Send + 'static>(&self, value: T) -> BoxFuture<'static, Result<T, UpstreamError>> {
        let error = || UpstreamError { action: "ask".to_owned(), source: "away".into() };
        ready(if self.away.load(Ordering::SeqCst) { Err(error()) } else { Ok(value) }).boxed()
    }

    fn content(&self, digest: &Digest) -> Option<Bytes> {
        self.content.lock().unwrap().get(digest).cloned()
    }
}

impl Upstream for Fake {
    fn resolve<'a>(
        &'a self,
        _: &'a RepositoryName,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<Option<Digest>, UpstreamError>> {
        self.answer(self.tags.lock().unwrap().get(&reference.to_string()).cloned())
    }

    fn manifest<'a>(
        &'a self,
        _: &'a RepositoryName,
        digest: &'a Digest,
        _: usize,
    ) -> BoxFuture<'a, Result<Option<UpstreamManifest>, UpstreamError>> {
        self.manifests.fetch_add(1, Ordering::SeqCst);
        let manifest = |bytes| UpstreamManifest { media_type: IMAGE.to_owned(), bytes };
        self.answer(self.content(digest).map(manifest))
    }

    fn blob<'a>(
        &'a self,
        _: &'a RepositoryName,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Option<UpstreamBlob>, UpstreamError>> {
        self.blobs.fetch_add(1, Ordering::SeqCst);
        let corrupt = self.corrupt.load(Ordering::SeqCst);
        let blob = self.content(digest).map(|bytes| {
            let size = bytes.len() as u64;
            let pieces: Vec<_> = bytes.chunks(100_000).map(Bytes::copy_from_slice).collect();
            let pieces = pieces
                .into_iter()
                .map(move |piece| if corrupt { Bytes::from(vec![0; piece.len()]) } else { piece });
            // Its end comes late, so that whoever was given all of it by then believes that it is well.
            let end =
                stream::once(tokio::time::sleep(Duration::from_millis(200))).filter_map(async |()| None);
            let content = stream::iter(pieces.map(Ok::<_, io::Error>)).chain(end);
            UpstreamBlob { size, content: content.boxed() }
        });
        self.answer(blob)
    }
}

async fn cache() -> (Server, Arc<Fake>) {
    let fake = Arc::new(Fake::default());
    let upstream = fake.clone();
    (Server::with(|config| config.upstream = Some(upstream)).await, fake)
}

#[tokio::test]
async fn an_image_is_fetched_once_and_served_when_the_upstream_is_away() {
    let (server, fake) = cache().await;
    let layer = vec![9; 1_000_000];
    let json = fake.add_image("v1", &layer);
    let target = format!("/v2/library/app/blobs/{}", sha256(&layer));
    for _ in 0..2 {
        assert_eq!(&server.get("/v2/library/app/manifests/v1").await.body[..], json.as_bytes());
        assert_eq!(server.call("HEAD", &target, &[], b"").await.header("content-length"), "1000000");
        assert!(server.get(&target).await.body == layer);
    }
    assert_eq!((fake.manifests.load(Ordering::SeqCst), fake.blobs.load(Ordering::SeqCst)), (1, 2));
    fake.away.store(true, Ordering::SeqCst);
    assert_eq!(&server.get("/v2/library/app/manifests/v1").await.body[..], json.as_bytes());
    assert!(server.get(&target).await.body == layer);
    server.get("/v2/library/app/manifests/v2").await.refused(502, "UNKNOWN");
}

#[tokio::test]
async fn a_tag_follows_the_upstream() {
    let (server, fake) = cache().await;
    fake.add_image("v1", b"one");
    assert_eq!(server.get("/v2/a/manifests/v1").await.status, 200);
    let two = fake.add_image("v1", b"two");
    assert_eq!(&server.get("/v2/a/manifests/v1").await.body[..], two.as_bytes());
    fake.tags.lock().unwrap().clear();
    server.get("/v2/a/manifests/v1").await.refused(404, "MANIFEST_UNKNOWN");
    let digest = sha256(two.as_bytes());
    assert_eq!(server.get(&format!("/v2/a/manifests/{digest}")).await.status, 200);
    server.get(&format!("/v2/a/blobs/{}", sha256(b"none"))).await.refused(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn wrong_content_is_never_kept_nor_given_whole() {
    let (server, fake) = cache().await;
    let layer = vec![9; 300_000];
    fake.add_image("v1", &layer);
    fake.corrupt.store(true, Ordering::SeqCst);
    let (address, target) = (server.address, format!("/v2/a/blobs/{}", sha256(&layer)));
    let wanted = target.clone();
    let pull = tokio::spawn(async move { crate::http::call(address, "GET", &wanted, &[], b"").await });
    assert!(pull.await.is_err(), "the body ends too early");
    fake.corrupt.store(false, Ordering::SeqCst);
    assert!(server.get(&target).await.body == layer);
}

#[tokio::test]
async fn many_clients_share_one_fetch() {
    let (server, fake) = cache().await;
    let layer: Vec<u8> = (0..2_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    fake.add_image("v1", &layer);
    let target = format!("/v2/a/blobs/{}", sha256(&layer));
    let pulls = futures_util::future::join_all((0..8).map(|_| server.get(&target))).await;
    assert!(pulls.iter().all(|answer| answer.body == layer));
}

#[tokio::test]
async fn nobody_pushes_to_a_cache() {
    let (server, _) = cache().await;
    server.call("POST", "/v2/a/blobs/uploads/", &[], b"").await.refused(405, "UNSUPPORTED");
    server.push_manifest("a", "v1", IMAGE, "{}").await.refused(405, "UNSUPPORTED");
}
