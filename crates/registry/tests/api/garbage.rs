//! What the collection of garbage takes, and what it never takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use minke_registry::Collected;

use crate::http::{IMAGE, Server, image, sha256};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_blob_that_no_manifest_names_goes_when_nobody_pushes_any_more() {
    let server = Server::start().await;
    server.push_image("a", "v1", b"layer").await;
    let stray = server.push_blob("a", b"stray").await;
    let target = format!("/v2/a/blobs/{stray}");
    assert_eq!(server.registry.collect_garbage(HOUR).unwrap(), Collected::default());
    let upload = server.begin("a").await;
    assert_eq!(server.registry.collect_garbage(Duration::ZERO).unwrap(), Collected::default());
    assert_eq!(server.get(&target).await.status, 200, "the upload's manifest may name it");
    server.call("DELETE", &upload, &[], b"").await;
    let collected = server.registry.collect_garbage(Duration::ZERO).unwrap();
    assert_eq!(collected, Collected { links: 1, blobs: 1, bytes: 5 });
    server.get(&target).await.refused(404, "BLOB_UNKNOWN");
    assert_eq!(server.get("/v2/a/manifests/v1").await.status, 200);
    assert_eq!(server.get(&format!("/v2/a/blobs/{}", sha256(b"layer"))).await.status, 200);
}

#[tokio::test]
async fn what_a_client_asked_for_before_its_push_stays_until_its_manifest_comes() {
    let server = Server::start().await;
    let json = server.push_image("a", "v1", b"layer").await;
    assert_eq!(
        server.call("DELETE", &format!("/v2/a/manifests/{}", sha256(json.as_bytes())), &[], b"").await.status,
        202
    );
    let head = server.call("HEAD", &format!("/v2/a/blobs/{}", sha256(b"layer")), &[], b"").await;
    assert_eq!(head.status, 200);
    assert_eq!(server.registry.collect_garbage(HOUR).unwrap().links, 0);
    assert_eq!(server.push_manifest("a", "v2", IMAGE, &json).await.status, 201);
}

#[tokio::test]
async fn a_repository_without_anything_is_forgotten_with_its_files() {
    let server = Server::start().await;
    let json = server.push_image("a", "v1", b"layer").await;
    server.push_image("b", "v1", b"layer").await;
    let target = format!("/v2/a/manifests/{}", sha256(json.as_bytes()));
    assert_eq!(server.call("DELETE", &target, &[], b"").await.status, 202);
    let collected = server.registry.collect_garbage(Duration::ZERO).unwrap();
    assert_eq!((collected.links, collected.blobs), (2, 0), "the other repository has them too");
    assert_eq!(server.get("/v2/_catalog").await.json()["repositories"], serde_json::json!(["b"]));
    let target = target.replace("/a/", "/b/");
    assert_eq!(server.call("DELETE", &target, &[], b"").await.status, 202);
    assert_eq!(server.registry.collect_garbage(Duration::ZERO).unwrap().blobs, 2);
    let blobs = server.folder.as_ref().unwrap().path().join("registry/content/blobs/sha256");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_accepted_manifest_has_all_its_blobs_however_often_garbage_is_collected() {
    let server = Arc::new(Server::start().await);
    let pushers: Vec<_> = (0..4)
        .map(|pusher| {
            let server = server.clone();
            tokio::spawn(async move {
                let (mut accepted, mut round) = (0, 0);
                let deadline = Instant::now() + Duration::from_secs(30);
                // How many of them a collection comes before is the machine's mood.
                while accepted < 5 && Instant::now() < deadline {
                    round += 1;
                    let name = format!("p{pusher}");
                    // All push the same layer, and so publish and collect the same file.
                    let (config, layer) =
                        (server.push_blob(&name, b"{}").await, server.push_blob(&name, b"same").await);
                    let answer = server
                        .push_manifest(&name, &format!("t{round}"), IMAGE, &image(&config, &layer))
                        .await;
                    if answer.status != 201 {
                        answer.refused(400, "MANIFEST_BLOB_UNKNOWN");
                        continue;
                    }
                    accepted += 1;
                    for digest in [&config, &layer] {
                        assert_eq!(server.get(&format!("/v2/{name}/blobs/{digest}")).await.status, 200);
                    }
                    let manifest = server.get(&format!("/v2/{name}/manifests/t{round}")).await;
                    let target = format!("/v2/{name}/manifests/{}", manifest.header("docker-content-digest"));
                    assert_eq!(server.call("DELETE", &target, &[], b"").await.status, 202);
                }
                accepted
            })
        })
        .collect();
    let pushed = Arc::new(AtomicBool::new(false));
    let collecting = {
        let (registry, pushed) = (server.registry.clone(), pushed.clone());
        tokio::task::spawn_blocking(move || {
            while !pushed.load(Ordering::Relaxed) {
                registry.collect_garbage(Duration::ZERO).unwrap();
                // Room for a push to come between two of them.
                std::thread::sleep(Duration::from_millis(2));
            }
        })
    };
    for pusher in pushers {
        assert_eq!(pusher.await.unwrap(), 5);
    }
    pushed.store(true, Ordering::Relaxed);
    collecting.await.unwrap();
}
