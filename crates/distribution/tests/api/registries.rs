//! Everything that the API has, against both real registries.

use std::{fs, sync::Mutex};

use bytes::Bytes;
use minke_distribution::{Credentials, Error, Pushed, Target};
use minke_model::{Reference, media_type::MANIFEST};

use crate::{
    client::{Client, ann, content, digest, manifest, push, push_image, read, tag, words},
    debian::{DebianRegistry, Options},
    own::OwnRegistry,
};

#[tokio::test]
async fn an_image_is_pushed_and_pulled_at_debians_registry() {
    let registry = DebianRegistry::start().await;
    an_image_is_pushed_and_pulled(&registry.address.to_string()).await;
}

#[tokio::test]
async fn an_image_is_pushed_and_pulled_at_our_registry() {
    let registry = OwnRegistry::start().await;
    an_image_is_pushed_and_pulled(&registry.address.to_string()).await;
}

async fn an_image_is_pushed_and_pulled(host: &str) {
    let client = Client::new();
    let repository = client.repository(host, "team/app");
    let layers = [content(3_000_000), content(5)];
    let manifest = push_image(&repository, &tag("v1"), &layers).await;
    let wanted = digest(&manifest);

    let resolved = repository.resolve(&tag("v1")).await.unwrap();
    assert_eq!((resolved.digest, resolved.size), (wanted, manifest.len() as u64));
    assert_eq!(resolved.media_type, MANIFEST);
    assert_eq!(repository.resolve(&Target::Digest(wanted)).await.unwrap(), resolved);
    for target in [tag("v1"), Target::Digest(wanted)] {
        let fetched = repository.manifest(&target).await.unwrap();
        assert_eq!((&fetched.bytes, fetched.descriptor()), (&manifest, resolved.clone()));
    }

    for layer in &layers {
        let size = layer.len() as u64;
        assert_eq!(read(&repository, layer).await.unwrap(), layer);
        assert_eq!(repository.blob_bytes(&digest(layer), size, 4 << 20).await.unwrap(), layer);
        assert_eq!(repository.blob_size(&digest(layer)).await.unwrap(), Some(size));
        assert_eq!(push(&repository, layer).await.unwrap(), Pushed::Existed);
    }
    let error = repository.blob_bytes(&digest(&layers[0]), 3_000_000, 1000).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { limit: 1000, .. }), "{error}");
    assert_eq!(repository.tags().await.unwrap(), ["v1"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_at_debians_registry() {
    let registry = DebianRegistry::start().await;
    what_is_not_there_is_not_found(&registry.address.to_string()).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found_at_our_registry() {
    let registry = OwnRegistry::start().await;
    what_is_not_there_is_not_found(&registry.address.to_string()).await;
}

async fn what_is_not_there_is_not_found(host: &str) {
    let client = Client::new();
    let repository = client.repository(host, "none");
    let absent = digest(b"absent");
    for error in [
        repository.resolve(&tag("v1")).await.unwrap_err(),
        repository.manifest(&tag("v1")).await.unwrap_err(),
        repository.manifest(&Target::Digest(absent)).await.unwrap_err(),
        repository.tags().await.unwrap_err(),
        read(&repository, b"absent").await.unwrap_err(),
    ] {
        assert!(error.is_not_found(), "{error}");
        let words = words(&error);
        assert!(words.contains(host) && words.contains("/v2/none/") && words.contains("404"), "{words}");
    }
    assert_eq!(repository.blob_size(&absent).await.unwrap(), None);
    assert_eq!(repository.referrers(&absent, None).await.unwrap(), []);
    let error = repository.manifest(&tag("no tag")).await.unwrap_err();
    assert!(matches!(error, Error::Argument { .. }), "{error}");
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository_at_debians_registry() {
    let registry = DebianRegistry::start().await;
    a_blob_is_mounted_from_another_repository(&registry.address.to_string()).await;
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository_at_our_registry() {
    let registry = OwnRegistry::start().await;
    a_blob_is_mounted_from_another_repository(&registry.address.to_string()).await;
}

async fn a_blob_is_mounted_from_another_repository(host: &str) {
    let client = Client::new();
    let blob = content(2_000_000);
    push_image(&client.repository(host, "base"), &tag("v1"), std::slice::from_ref(&blob)).await;
    let other = client.repository(host, "app");
    let from = |name: &str| -> Reference { name.parse().unwrap() };
    let base = from(&format!("{host}/base"));
    let mounted = other
        .push_blob(
            &digest(&blob),
            blob.len() as u64,
            &[from("elsewhere.test/base"), from(&format!("{host}/empty")), base.clone()],
            &blob,
            &|_| panic!("nothing is sent"),
        )
        .await;
    assert_eq!(mounted.unwrap(), Pushed::Mounted(base));
    assert_eq!(read(&other, &blob).await.unwrap(), blob);
    let new = content(2_000_001);
    let empty = [from(&format!("{host}/empty")), from(&format!("{host}/void"))];
    let uploaded = other.push_blob(&digest(&new), new.len() as u64, &empty, &new, &|_| {}).await.unwrap();
    assert_eq!(uploaded, Pushed::Uploaded);
    assert_eq!(read(&other, &new).await.unwrap(), new);
}

#[tokio::test]
async fn a_file_is_pushed_and_its_progress_told() {
    let registry = OwnRegistry::start().await;
    let client = Client::new();
    let blob = content(4_000_000);
    let file = client.folder.path().join("layer");
    fs::write(&file, &blob).unwrap();
    let told = Mutex::new(Vec::new());
    let repository = client.repository(registry.address, "a");
    let progress = |sent| told.lock().unwrap().push(sent);
    let pushed = repository.push_blob(&digest(&blob), blob.len() as u64, &[], &file, &progress).await;
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&4_000_000), "{told:?}");
    assert_eq!(read(&repository, &blob).await.unwrap(), blob);
    let absent = client.folder.path().join("absent");
    let error = repository.push_blob(&digest(b"x"), 1, &[], &absent, &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    let error = repository.push_blob(&digest(b"x"), 4_000_001, &[], &file, &|_| {}).await.unwrap_err();
    assert!(words(&error).ends_with("it ends 1 bytes too early"), "{}", words(&error));
}

#[tokio::test]
async fn content_that_is_not_what_it_should_be_is_refused() {
    let registry = DebianRegistry::start().await;
    let client = Client::new();
    let repository = client.repository(registry.address, "a");
    let error = repository.push_blob(&digest(b"one"), 3, &[], &Bytes::from_static(b"two"), &|_| {}).await;
    let error = error.unwrap_err();
    assert_eq!(error.refusal().unwrap().code.as_deref(), Some("DIGEST_INVALID"), "{error}");
    let target = Target::Digest(digest(b"other"));
    let error = repository.put_manifest(&target, MANIFEST, Bytes::from_static(b"{}")).await.unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
}

#[tokio::test]
async fn tags_are_read_over_all_pages() {
    let registry = OwnRegistry::with(|config| config.limits.page = 2).await;
    let client = Client::new();
    let repository = client.repository(registry.address, "a");
    let manifest = push_image(&repository, &tag("v0"), &[]).await;
    let mut wanted = vec!["v0".to_owned()];
    for n in 1..5 {
        wanted.push(format!("v{n}"));
        repository.put_manifest(&tag(&wanted[n]), MANIFEST, manifest.clone()).await.unwrap();
    }
    assert_eq!(repository.tags().await.unwrap(), wanted);
}

#[tokio::test]
async fn referrers_are_listed_by_the_registry_or_in_a_tag() {
    let own = OwnRegistry::start().await;
    let debian = DebianRegistry::start().await;
    let client = Client::new();
    for host in [own.address, debian.address] {
        let repository = client.repository(host, "a");
        let subject = push_image(&repository, &tag("v1"), &[]).await;
        let signature = manifest(&Bytes::from_static(b"{}"), &[], Some(&subject));
        let target = Target::Digest(digest(&signature));
        repository.put_manifest(&target, MANIFEST, signature.clone()).await.unwrap();
        // Twice the same is once; Debian's keeps no list, so that the client does.
        repository.put_manifest(&target, MANIFEST, signature.clone()).await.unwrap();
        let kind = "application/vnd.example.signature";
        for wanted in [None, Some(kind)] {
            let found = repository.referrers(&digest(&subject), wanted).await.unwrap();
            assert_eq!(found.len(), 1, "{host} {wanted:?}");
            assert_eq!(found[0].digest, digest(&signature));
            assert_eq!(found[0].artifact_type.as_deref(), Some(kind));
        }
        assert_eq!(repository.referrers(&digest(&subject), Some("other")).await.unwrap(), []);
        assert_eq!(repository.referrers(&digest(b"none"), None).await.unwrap(), []);
        let mut other = serde_json::from_slice::<serde_json::Value>(&signature).unwrap();
        other["annotations"] = serde_json::json!({ "a": "b" });
        let other = Bytes::from(other.to_string());
        repository.put_manifest(&Target::Digest(digest(&other)), MANIFEST, other.clone()).await.unwrap();
        let found = repository.referrers(&digest(&subject), None).await.unwrap();
        assert_eq!(found.len(), 2, "{host}");
        let annotated = found.iter().find(|entry| entry.digest == digest(&other)).unwrap();
        assert_eq!(annotated.annotation("a"), Some("b"), "{host}");
    }
}

#[tokio::test]
async fn a_password_is_wanted_by_debians_registry() {
    let users = users();
    let registry = DebianRegistry::with(Options { users: Some(&users), ..Options::default() }).await;
    a_password_is_wanted(&registry.address.to_string()).await;
}

#[tokio::test]
async fn a_password_is_wanted_by_our_registry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    fs::write(&path, users()).unwrap();
    let registry = OwnRegistry::with(|config| config.htpasswd = Some(path)).await;
    a_password_is_wanted(&registry.address.to_string()).await;
}

fn users() -> String {
    format!("ann:{}\n", bcrypt::hash("hush-hush", 4).unwrap())
}

async fn a_password_is_wanted(host: &str) {
    let client = Client::new();
    let repository = client.repository_as(host, "a", ann());
    push_image(&repository, &tag("v1"), &[content(100)]).await;
    assert_eq!(repository.tags().await.unwrap(), ["v1"]);
    let login = client.distribution.login(host, &ann()).await.unwrap();
    assert_eq!((login.status.as_str(), login.identity_token), ("Login Succeeded", None));

    let wrong = Credentials::password("ann", "hush");
    for error in [
        client.repository(host, "a").manifest(&tag("v1")).await.unwrap_err(),
        client.repository(host, "a").resolve(&tag("v1")).await.unwrap_err(),
        client.repository_as(host, "a", wrong.clone()).manifest(&tag("v1")).await.unwrap_err(),
        push(&client.repository(host, "a"), &content(7)).await.unwrap_err(),
        client.distribution.login(host, &wrong).await.unwrap_err(),
        client.distribution.login(host, &Credentials::IdentityToken("hush".to_owned())).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unauthorized(_)), "{error}");
        assert!(words(&error).contains(host), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_pull_at_the_same_time() {
    let registry = DebianRegistry::start().await;
    let client = Client::new();
    let repository = client.repository(registry.address, "a");
    let layers: Vec<_> = (0..8).map(|n| content(300_000 + n)).collect();
    push_image(&repository, &tag("v1"), &layers).await;
    let pulls = layers.iter().flat_map(|layer| [layer, layer]).map(|layer| {
        let (repository, layer) = (repository.clone(), layer.clone());
        tokio::spawn(async move { read(&repository, &layer).await.unwrap() == layer })
    });
    for pull in pulls.collect::<Vec<_>>() {
        assert!(pull.await.unwrap());
    }
}
