//! Pulls over bad networks and from bad registries. All of them end, and in time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use minke_distribution::{Error, RegistrySettings, Target, TransportError};

use crate::{
    client::{Client, content, digest, push_image, read, tag, words},
    debian::DebianRegistry,
    fake::{Fake, answer, blob, endless, refusal},
    faults::{Fault, FaultProxy},
};

/// Far longer than anything here takes, and far shorter than for ever.
const LONG: Duration = Duration::from_secs(20);

/// A client of one host without TLS, so that the first connection is the first request.
fn client_of(host: impl std::fmt::Display, change: impl FnOnce(&mut RegistrySettings)) -> Client {
    let client = Client::with(change);
    client.write(&format!("{host}/hosts.toml"), &format!("server = \"http://{host}\""));
    client
}

#[tokio::test]
async fn a_transfer_goes_on_where_it_was_cut() {
    let registry = DebianRegistry::start().await;
    let content = content(1_000_000);
    push_image(&Client::new().repository(registry.address, "a"), &tag("v1"), std::slice::from_ref(&content))
        .await;
    // More cuts than there are retries, but each time it comes farther.
    let cut = |n| if n < 5 { Fault::CutAnswer(150_000) } else { Fault::None };
    let proxy = FaultProxy::start(registry.address, cut).await;
    let client = client_of(proxy.address, |_| {});
    assert_eq!(read(&client.repository(proxy.address, "a"), &content).await.unwrap(), content);
    assert_eq!(proxy.connections(), 6);
}

#[tokio::test]
async fn a_transfer_that_never_comes_farther_ends() {
    let content = content(1_000_000);
    let stored = content.clone();
    let fake = Fake::start(move |seen| blob(seen, &stored)).await;
    let proxy = FaultProxy::start(fake.address, |_| Fault::CutAnswer(1000)).await;
    let client = client_of(proxy.address, |_| {});
    let error = read(&client.repository(proxy.address, "a"), &content).await.unwrap_err();
    assert!(words(&error).contains("the connection broke"), "{}", words(&error));
    assert_eq!(proxy.connections(), 3, "one try and two more");
}

#[tokio::test]
async fn a_transfer_that_stalls_is_cut_and_goes_on() {
    let content = content(400_000);
    let stored = content.clone();
    let fake = Fake::start(move |seen| blob(seen, &stored)).await;
    let stall = |n| if n < 2 { Fault::StallAnswer(150_000) } else { Fault::None };
    let proxy = FaultProxy::start(fake.address, stall).await;
    let client = client_of(proxy.address, |settings| settings.stall_timeout = Duration::from_millis(700));
    let begun = Instant::now();
    assert_eq!(read(&client.repository(proxy.address, "a"), &content).await.unwrap(), content);
    assert!(begun.elapsed() < LONG);
    let ranges: Vec<_> = fake.seen().iter().map(|seen| seen.header("range").to_owned()).collect();
    assert!(
        ranges[0].is_empty() && ranges[1].starts_with("bytes=1") && ranges[2].starts_with("bytes=2"),
        "{ranges:?}"
    );
}

#[tokio::test]
async fn a_peer_that_says_nothing_or_drips_is_given_up() {
    let content = content(400_000);
    let stored = content.clone();
    let fake = Fake::start(move |seen| blob(seen, &stored)).await;
    for fault in
        [Fault::StallAnswer(0), Fault::StallAnswer(5), Fault::DripAnswer(500, Duration::from_millis(20))]
    {
        let proxy = FaultProxy::start(fake.address, move |_| fault).await;
        let client = client_of(proxy.address, |settings| {
            settings.stall_timeout = Duration::from_millis(300);
            settings.connect_timeout = Duration::from_millis(300);
        });
        let begun = Instant::now();
        let error = read(&client.repository(proxy.address, "a"), &content).await.unwrap_err();
        let Error::Transport { source, .. } = &error else { panic!("{error}") };
        assert!(matches!(source, TransportError::Stalled(_)), "{fault:?}: {}", words(&error));
        assert!(begun.elapsed() < LONG, "{fault:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_again() {
    let content = content(300_000);
    let stored = content.clone();
    let fake = Fake::start(move |_| answer(200, &[], stored.clone())).await;
    let cut = |n| if n < 2 { Fault::CutAnswer(100_000 + 80_000 * n) } else { Fault::None };
    let proxy = FaultProxy::start(fake.address, cut).await;
    let client = client_of(proxy.address, |_| {});
    assert_eq!(read(&client.repository(proxy.address, "a"), &content).await.unwrap(), content);
}

#[tokio::test]
async fn an_answer_that_goes_on_elsewhere_or_is_of_another_length_is_refused() {
    let content = content(200_000);
    for (range, short) in [("bytes 5-199999/200000", 0), ("bytes 0-199999/200001", 0), ("", 1), ("", 2)] {
        let stored = content.clone();
        let fake = Fake::start(move |seen| match (seen.header("range"), short) {
            ("", 1) => answer(200, &[], stored.slice(1..)),
            ("", 2) => endless(200, &[], &[7; 1000]),
            ("", _) => answer(200, &[], stored.clone()),
            _ => answer(206, &[("content-range", range)], stored.clone()),
        })
        .await;
        let cut = |n| if n == 0 { Fault::CutAnswer(100_000) } else { Fault::None };
        let proxy = FaultProxy::start(fake.address, cut).await;
        let host = if short == 0 { proxy.address } else { fake.address };
        let client = client_of(host, |_| {});
        let error = read(&client.repository(host, "a"), &content).await.unwrap_err();
        match range {
            "" | "bytes 0-199999/200001" => {
                assert!(matches!(error, Error::Length { wanted: 200_000, .. }), "{error}");
            }
            _ => assert!(words(&error).contains("Content-Range"), "{}", words(&error)),
        }
    }
}

#[tokio::test]
async fn damaged_content_is_noticed() {
    let registry = DebianRegistry::start().await;
    let client = Client::new();
    let layer = content(100);
    let manifest =
        push_image(&client.repository(registry.address, "a"), &tag("v1"), std::slice::from_ref(&layer)).await;
    for target in [tag("v1"), Target::Digest(digest(&manifest))] {
        // Past the headers, which are about 400 bytes.
        let proxy = FaultProxy::start(registry.address, |_| Fault::CorruptAnswer(560)).await;
        let client = client_of(proxy.address, |_| {});
        let error = client.repository(proxy.address, "a").manifest(&target).await.unwrap_err();
        assert!(
            matches!(error, Error::Digest { wanted, .. } if wanted == digest(&manifest)),
            "{}",
            words(&error)
        );
    }
    let fake = Fake::start(|_| answer(200, &[], vec![0; 100])).await;
    let client = client_of(fake.address, |_| {});
    let error =
        client.repository(fake.address, "a").blob_bytes(&digest(&layer), 100, 1000).await.unwrap_err();
    assert!(matches!(error, Error::Digest { wanted, .. } if wanted == digest(&layer)), "{}", words(&error));
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let content = content(1000);
    let (stored, count) = (content.clone(), AtomicUsize::new(0));
    let fake = Fake::start(move |seen| match count.fetch_add(1, Ordering::SeqCst) {
        0 => answer(503, &[], ""),
        1 => answer(429, &[("retry-after", "0")], ""),
        _ => blob(seen, &stored),
    })
    .await;
    let client = client_of(fake.address, |_| {});
    assert_eq!(read(&client.repository(fake.address, "a"), &content).await.unwrap(), content);
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn a_limit_is_told_in_the_registrys_words() {
    let words_of_hub = "You have reached your pull rate limit";
    let fake = Fake::start(move |_| refusal(429, "TOOMANYREQUESTS", words_of_hub)).await;
    let client = client_of(fake.address, |_| {});
    let repository = client.repository(fake.address, "a");
    let error = repository.manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(error, Error::TooManyRequests(_)), "{error}");
    assert_eq!(error.refusal().unwrap().message, words_of_hub);
    assert_eq!(fake.seen().len(), 3);
    // HEAD has no words, so they are asked for.
    let error = repository.resolve(&tag("v1")).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().message, words_of_hub);

    let fake = Fake::start(move |_| answer(429, &[("retry-after", "3600")], words_of_hub)).await;
    let client = client_of(fake.address, |_| {});
    let error = client.repository(fake.address, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(error, Error::TooManyRequests(_)), "{error}");
    assert_eq!(fake.seen().len(), 1, "nobody waits an hour");
}

#[tokio::test]
async fn a_registry_without_head_is_asked_with_get() {
    let manifest = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
    for bare in [false, true] {
        let fake = Fake::start(move |seen| match seen.method.as_str() {
            "HEAD" if bare => answer(200, &[], ""),
            "HEAD" => answer(405, &[], ""),
            _ => answer(200, &[("content-type", "application/json")], manifest),
        })
        .await;
        let client = client_of(fake.address, |_| {});
        let resolved = client.repository(fake.address, "a").resolve(&tag("v1")).await.unwrap();
        assert_eq!((resolved.digest, resolved.size), (digest(manifest.as_bytes()), manifest.len() as u64));
        assert_eq!(resolved.media_type, "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(fake.lines(), ["HEAD /v2/a/manifests/v1", "GET /v2/a/manifests/v1"]);
    }
}

#[tokio::test]
async fn nobody_listening_is_told_at_once_and_who_hangs_up_after_some_tries() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    // With this much patience a second try would be noticed.
    let client = client_of(address, |settings| settings.retry_pause = Duration::from_secs(3600));
    let error = client.repository(address, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(words(&error).contains("Connection refused"), "{}", words(&error));
    let proxy = FaultProxy::start(address, |_| Fault::Refuse).await;
    let client = client_of(proxy.address, |_| {});
    let error = client.repository(proxy.address, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{}", words(&error));
    assert_eq!(proxy.connections(), 3);
}

#[tokio::test]
async fn content_that_is_elsewhere_is_fetched_there_in_nobodys_name() {
    let content = content(2000);
    let stored = content.clone();
    let elsewhere = Fake::start(move |seen| blob(seen, &stored)).await;
    let registry = Fake::start(|_| refusal(404, "BLOB_UNKNOWN", "none")).await;
    let client = Client::new();
    let repository = client.repository(registry.address, "a");
    let urls = ["not an address".to_owned(), format!("http://{}/layer", elsewhere.address)];
    let blob = repository.blob_from(&digest(&content), 2000, &urls);
    let pieces: Vec<_> = futures_util::StreamExt::collect(blob).await;
    let all: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.unwrap()).collect();
    assert_eq!(all, content);
    assert_eq!(elsewhere.lines(), ["GET /layer"]);
}
