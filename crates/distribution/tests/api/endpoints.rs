//! What stands in for a registry, and what happens when it can't.

use bytes::Bytes;
use minke_distribution::Target;
use minke_model::media_type::MANIFEST;

use crate::{
    client::{Client, ann, content, digest, push, read, tag, words},
    fake::{Fake, Seen, answer, blob, refusal},
    faults::{Fault, FaultProxy},
};

/// A registry with this manifest under every name, and this blob.
async fn registry(manifest: &'static str, content: Bytes) -> Fake {
    Fake::start(move |seen| answer_with(seen, manifest, &content)).await
}

fn answer_with(seen: &Seen, manifest: &'static str, content: &Bytes) -> crate::fake::Answer {
    match seen.method.as_str() {
        "POST" => answer(202, &[("location", "/v2/a/blobs/uploads/1")], ""),
        "PUT" => answer(201, &[], ""),
        "HEAD" if seen.path.contains("/blobs/") => answer(404, &[], ""),
        _ if seen.path.contains("/manifests/") => answer(200, &[("content-type", MANIFEST)], manifest),
        _ => blob(seen, content),
    }
}

fn client(registry: &Fake, mirrors: &[(std::net::SocketAddr, &str)]) -> Client {
    let client = Client::new();
    let mut file = format!("server = \"http://{}\"\n", registry.address);
    for (mirror, options) in mirrors {
        file += &format!("[host.\"http://{mirror}\"]\n{options}\n");
    }
    client.write("registry.test/hosts.toml", &file);
    client
}

const READ: &str = "capabilities = [\"pull\", \"resolve\"]";

#[tokio::test]
async fn a_mirror_is_asked_first_and_never_written_to_nor_told_a_password() {
    let content = content(1000);
    let (mirror, registry) =
        (registry("mirrored", content.clone()).await, registry("own", content.clone()).await);
    let client = client(&registry, &[(mirror.address, READ)]);
    let repository = client.repository_as("registry.test", "a", ann());
    assert_eq!(repository.manifest(&tag("v1")).await.unwrap().bytes, "mirrored");
    assert_eq!(read(&repository, &content).await.unwrap(), content);
    assert!(registry.seen().is_empty());
    push(&repository, &content).await.unwrap();
    repository.put_manifest(&tag("v1"), MANIFEST, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(registry.seen().len(), 4);
    assert_eq!(mirror.seen().len(), 2);
}

#[tokio::test]
async fn a_password_is_only_for_the_registry_itself() {
    let wants = |seen: &Seen| match seen.header("authorization") {
        "" => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        _ => answer(200, &[("content-type", MANIFEST)], "x"),
    };
    let (mirror, gateway, registry) =
        (Fake::start(wants).await, Fake::start(wants).await, Fake::start(wants).await);
    let client = client(&registry, &[(mirror.address, READ)]);
    client.repository_as("registry.test", "a", ann()).manifest(&tag("v1")).await.unwrap();
    assert_eq!((mirror.seen().len(), registry.seen().len()), (1, 2));
    // Whoever may be written to is the registry.
    client.write(
        "registry.test/hosts.toml",
        &format!("server = \"http://{}\"\n[host.\"http://{}\"]", registry.address, gateway.address),
    );
    client.repository_as("registry.test", "a", ann()).manifest(&tag("v1")).await.unwrap();
    assert_eq!((gateway.seen().len(), registry.seen().len()), (2, 2));
}

#[tokio::test]
async fn a_mirror_that_fails_is_left_alone_for_a_while() {
    let broken = Fake::start(|_| answer(500, &[], "")).await;
    let registry = registry("own", Bytes::new()).await;
    let client = client(&registry, &[(broken.address, READ)]);
    for _ in 0..3 {
        let repository = client.repository("registry.test", "a");
        assert_eq!(repository.manifest(&tag("v1")).await.unwrap().bytes, "own");
    }
    assert_eq!((broken.seen().len(), registry.seen().len()), (1, 3));
}

#[tokio::test]
async fn a_mirror_that_takes_too_long_to_connect_to_is_given_up() {
    // The kernel takes the connection, and nobody shakes hands.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = registry("own", Bytes::new()).await;
    let client = Client::new();
    let file = format!(
        "server = \"http://{}\"\n[host.\"https://{}\"]\n{READ}\ndial_timeout = \"200ms\"\n",
        registry.address,
        silent.local_addr().unwrap()
    );
    client.write("registry.test/hosts.toml", &file);
    let begun = std::time::Instant::now();
    let repository = client.repository("registry.test", "a");
    assert_eq!(repository.manifest(&tag("v1")).await.unwrap().bytes, "own");
    assert!(begun.elapsed() < std::time::Duration::from_secs(8), "the host's own limit is ten seconds");
}

#[tokio::test]
async fn a_mirror_that_lacks_something_is_asked_again_for_something_else() {
    let empty = Fake::start(|_| refusal(404, "MANIFEST_UNKNOWN", "none")).await;
    let registry = registry("own", Bytes::new()).await;
    let client = client(&registry, &[(empty.address, READ)]);
    for _ in 0..3 {
        let repository = client.repository("registry.test", "a");
        assert_eq!(repository.manifest(&tag("v1")).await.unwrap().bytes, "own");
    }
    assert_eq!(empty.seen().len(), 3);
}

#[tokio::test]
async fn what_a_mirror_gets_wrong_comes_from_the_registry() {
    let (right, wrong) = (content(1000), Bytes::from(vec![0; 1000]));
    let (mirror, registry) = (registry("mirrored", wrong).await, registry("own", right.clone()).await);
    let client = client(&registry, &[(mirror.address, READ)]);
    let repository = client.repository("registry.test", "a");
    let target = Target::Digest(digest(b"own"));
    assert_eq!(repository.manifest(&target).await.unwrap().bytes, "own");
    assert_eq!(repository.blob_bytes(&digest(&right), 1000, 1000).await.unwrap(), right);
    assert_eq!((mirror.seen().len(), registry.seen().len()), (2, 2));
}

#[tokio::test]
async fn a_blob_that_a_mirror_began_comes_to_its_end_from_the_registry() {
    let content = content(300_000);
    let (mirror, registry) =
        (registry("mirrored", content.clone()).await, registry("own", content.clone()).await);
    let proxy = FaultProxy::start(mirror.address, |_| Fault::CutAnswer(100_000)).await;
    let client = client(&registry, &[(proxy.address, READ)]);
    assert_eq!(read(&client.repository("registry.test", "a"), &content).await.unwrap(), content);
    assert_eq!(proxy.connections(), 1);
    assert!(registry.seen()[0].header("range").starts_with("bytes="));
}

#[tokio::test]
async fn a_mirror_for_content_alone_is_not_asked_what_a_tag_is() {
    let content = content(1000);
    let (mirror, registry) =
        (registry("mirrored", content.clone()).await, registry("own", content.clone()).await);
    let client = client(&registry, &[(mirror.address, "capabilities = [\"pull\"]")]);
    let repository = client.repository("registry.test", "a");
    assert_eq!(repository.manifest(&tag("v1")).await.unwrap().bytes, "own");
    assert!(mirror.seen().is_empty());
    assert_eq!(read(&repository, &content).await.unwrap(), content);
    assert_eq!(mirror.seen().len(), 1);
}

#[tokio::test]
async fn when_nobody_has_it_the_registrys_words_count() {
    let mirror = Fake::start(|_| refusal(500, "UNKNOWN", "mirror is sick")).await;
    let registry = Fake::start(|_| refusal(404, "MANIFEST_UNKNOWN", "manifest unknown")).await;
    let client = client(&registry, &[(mirror.address, READ)]);
    let error = client.repository("registry.test", "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let wanted = format!(
        "GET http://{}/v2/a/manifests/v1: manifest unknown (status 404, MANIFEST_UNKNOWN)",
        registry.address
    );
    assert_eq!(words(&error), wanted);
}
