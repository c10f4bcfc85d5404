//! Pushes over bad networks and to registries with wishes.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use minke_distribution::{Pushed, RegistrySettings};
use minke_model::media_type::MANIFEST;

use crate::{
    client::{Client, ann, content, digest, push, read, tag, words},
    debian::DebianRegistry,
    fake::{Answer, Fake, Seen, answer, refusal},
    faults::{Fault, FaultProxy},
    own::OwnRegistry,
};

fn client_of(host: impl std::fmt::Display, change: impl FnOnce(&mut RegistrySettings)) -> Client {
    let client = Client::with(change);
    client.write(&format!("{host}/hosts.toml"), &format!("server = \"http://{host}\""));
    client
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_cut() {
    let (debian, own) = (DebianRegistry::start().await, OwnRegistry::start().await);
    for registry in [debian.address, own.address] {
        let blob = content(6_000_000);
        let cut = |n| if n < 2 { Fault::CutRequest(2_000_000) } else { Fault::None };
        let proxy = FaultProxy::start(registry, cut).await;
        let client = client_of(proxy.address, |_| {});
        let told = Mutex::new(Vec::new());
        let repository = client.repository(proxy.address, "a");
        let progress = |sent| told.lock().unwrap().push(sent);
        let pushed = repository.push_blob(&digest(&blob), 6_000_000, &[], &blob, &progress).await;
        assert_eq!(pushed.unwrap(), Pushed::Uploaded);
        assert_eq!(read(&Client::new().repository(registry, "a"), &blob).await.unwrap(), blob);
        assert!(proxy.connections() >= 3);
        let told = told.into_inner().unwrap();
        // It does not go back to the beginning.
        let again = told.iter().skip_while(|sent| **sent < 1_000_000);
        assert!(again.min().is_some_and(|sent| *sent >= 1_000_000), "{told:?}");
        assert_eq!(told.last(), Some(&6_000_000));
    }
}

/// A registry that takes one upload at a time, in the ways that a test wants.
#[derive(Default)]
struct Uploads {
    /// The most bytes that a request may have.
    most: Option<usize>,
    /// The smallest piece, but for the last.
    least: Option<usize>,
    /// How many requests with content are answered with "unknown".
    lose: usize,
    /// How many ends are answered with a failure although they succeed.
    mumble: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: usize,
    upload: Option<Vec<u8>>,
    blob: Option<Vec<u8>>,
    pieces: Vec<(String, usize)>,
    lost: usize,
    mumbled: usize,
}

impl Uploads {
    fn answer(&self, seen: &Seen) -> Answer {
        let mut state = self.state.lock().unwrap();
        if self.most.is_some_and(|most| seen.body.len() > most) {
            return answer(413, &[], "<html>too large</html>");
        }
        match seen.method.as_str() {
            "HEAD" if state.blob.is_some() => answer(200, &[("content-length", "0")], ""),
            "HEAD" => answer(404, &[], ""),
            "POST" => {
                state.begun += 1;
                state.upload = Some(Vec::new());
                self.begun(state.begun)
            }
            _ if state.upload.is_none() || !seen.path.ends_with(&format!("/{}", state.begun)) => {
                refusal(404, "BLOB_UPLOAD_UNKNOWN", "unknown")
            }
            "PATCH" if state.lost < self.lose => {
                state.lost += 1;
                state.upload = None;
                refusal(404, "BLOB_UPLOAD_UNKNOWN", "unknown")
            }
            "PATCH" => self.patch(&mut state, seen),
            "PUT" => self.commit(&mut state, seen),
            "GET" => {
                let range = format!("0-{}", state.upload.as_ref().unwrap().len().saturating_sub(1));
                answer(204, &[("range", &range)], "")
            }
            _ => answer(405, &[], ""),
        }
    }

    fn begun(&self, number: usize) -> Answer {
        let location = format!("/v2/a/blobs/uploads/{number}?state=x%2By");
        let least = self.least.map(|least| least.to_string()).unwrap_or_default();
        let mut headers = vec![("location", location.as_str())];
        if !least.is_empty() {
            headers.push(("oci-chunk-min-length", &least));
        }
        answer(202, &headers, "")
    }

    fn patch(&self, state: &mut State, seen: &Seen) -> Answer {
        let range = seen.header("content-range").to_owned();
        let upload = state.upload.as_mut().unwrap();
        let first = range.split('-').next().unwrap();
        if !first.is_empty() && first != upload.len().to_string() {
            return refusal(416, "BLOB_UPLOAD_INVALID", "elsewhere");
        }
        assert_eq!(seen.query, "state=x%2By");
        upload.extend_from_slice(&seen.body);
        let has = format!("0-{}", upload.len() - 1);
        state.pieces.push((range, seen.body.len()));
        answer(202, &[("range", &has)], "")
    }

    fn commit(&self, state: &mut State, seen: &Seen) -> Answer {
        let mut blob = state.upload.take().unwrap();
        blob.extend_from_slice(&seen.body);
        assert!(seen.query.starts_with("state=x%2By&digest=sha256%3A"), "{}", seen.query);
        state.blob = Some(blob);
        if state.mumbled < self.mumble {
            state.mumbled += 1;
            return answer(500, &[], "");
        }
        answer(201, &[], "")
    }

    async fn serve(self) -> (Fake, Arc<Self>) {
        let uploads = Arc::new(self);
        let serving = uploads.clone();
        (Fake::start(move |seen| serving.answer(seen)).await, uploads)
    }

    fn blob(&self) -> Bytes {
        self.state.lock().unwrap().blob.clone().unwrap().into()
    }

    fn pieces(&self) -> Vec<(String, usize)> {
        self.state.lock().unwrap().pieces.clone()
    }
}

#[tokio::test]
async fn a_small_blob_goes_with_the_end_and_a_large_one_in_a_stream() {
    for (size, lines) in
        [(1000, vec!["HEAD", "POST", "PUT"]), (2_000_000, vec!["HEAD", "POST", "PATCH", "PUT"])]
    {
        let (fake, uploads) = Uploads::default().serve().await;
        let blob = content(size);
        assert_eq!(
            push(&client_of(fake.address, |_| {}).repository(fake.address, "a"), &blob).await.unwrap(),
            Pushed::Uploaded
        );
        assert_eq!(uploads.blob(), blob);
        let methods: Vec<_> = fake.seen().iter().map(|seen| seen.method.clone()).collect();
        assert_eq!(methods, lines);
        assert!(fake.seen().iter().all(|seen| seen.header("transfer-encoding").is_empty()));
        assert!(uploads.pieces().iter().all(|(range, _)| range.is_empty()));
    }
}

#[tokio::test]
async fn what_is_too_much_at_a_time_goes_in_pieces() {
    for size in [2_000_000, 600_000] {
        let (fake, uploads) = Uploads { most: Some(300_000), ..Uploads::default() }.serve().await;
        let blob = content(size);
        let client = client_of(fake.address, |_| {});
        assert_eq!(push(&client.repository(fake.address, "a"), &blob).await.unwrap(), Pushed::Uploaded);
        assert_eq!(uploads.blob(), blob);
        let pieces = uploads.pieces();
        assert!(pieces.len() > 1 && pieces.iter().all(|(_, length)| *length <= 300_000), "{pieces:?}");
        assert_eq!(pieces[0].0, format!("0-{}", pieces[0].1 - 1));
    }
}

#[tokio::test]
async fn an_announced_least_length_makes_pieces() {
    let (fake, uploads) = Uploads { least: Some(20 << 20), ..Uploads::default() }.serve().await;
    let blob = content(45 << 20);
    let client = client_of(fake.address, |_| {});
    assert_eq!(push(&client.repository(fake.address, "a"), &blob).await.unwrap(), Pushed::Uploaded);
    assert!(uploads.blob() == blob);
    let lengths: Vec<_> = uploads.pieces().iter().map(|(_, length)| *length).collect();
    assert_eq!(lengths, [20 << 20, 20 << 20, 5 << 20]);
}

#[tokio::test]
async fn a_lost_upload_begins_anew() {
    let (fake, uploads) = Uploads { lose: 2, ..Uploads::default() }.serve().await;
    let blob = content(2_000_000);
    let client = client_of(fake.address, |_| {});
    assert_eq!(push(&client.repository(fake.address, "a"), &blob).await.unwrap(), Pushed::Uploaded);
    assert_eq!((uploads.blob(), uploads.state.lock().unwrap().begun), (blob, 3));
    let (fake, _) = Uploads { lose: 100, ..Uploads::default() }.serve().await;
    let client = client_of(fake.address, |_| {});
    let error = push(&client.repository(fake.address, "a"), &content(2_000_000)).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().code.as_deref(), Some("BLOB_UPLOAD_UNKNOWN"), "{}", words(&error));
}

#[tokio::test]
async fn a_blob_whose_end_was_not_confirmed_is_looked_for() {
    for size in [1000, 2_000_000] {
        let (fake, uploads) = Uploads { mumble: 1, ..Uploads::default() }.serve().await;
        let blob = content(size);
        let client = client_of(fake.address, |_| {});
        assert_eq!(push(&client.repository(fake.address, "a"), &blob).await.unwrap(), Pushed::Uploaded);
        assert_eq!((uploads.blob(), uploads.state.lock().unwrap().begun), (blob, 1));
    }
}

#[tokio::test]
async fn a_registry_that_stops_reading_is_given_up() {
    let registry = OwnRegistry::start().await;
    let proxy = FaultProxy::start(registry.address, |_| Fault::StallRequest(500_000)).await;
    let client = client_of(proxy.address, |settings| {
        settings.stall_timeout = Duration::from_millis(500);
        settings.connect_timeout = Duration::from_millis(500);
    });
    let begun = Instant::now();
    let error = push(&client.repository(proxy.address, "a"), &content(30_000_000)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(matches!(error, minke_distribution::Error::Transport { .. }), "{}", words(&error));
}

#[tokio::test]
async fn an_upload_elsewhere_is_made_in_nobodys_name() {
    let stored = Arc::new(Mutex::new(Bytes::new()));
    let kept = stored.clone();
    let storage = Fake::start(move |seen| {
        *kept.lock().unwrap() = seen.body.clone();
        answer(201, &[], "")
    })
    .await;
    let to = format!("http://{}/bucket?signature=hush", storage.address);
    let registry = Fake::start(move |seen| match (seen.header("authorization"), seen.method.as_str()) {
        ("", _) => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        (_, "POST") => answer(202, &[("location", &to)], ""),
        _ => answer(404, &[], ""),
    })
    .await;
    let client = client_of(registry.address, |_| {});
    let blob = content(1000);
    push(&client.repository_as(registry.address, "a", ann()), &blob).await.unwrap();
    assert_eq!(*stored.lock().unwrap(), blob);
    let seen = &storage.seen()[0];
    assert!(seen.header("authorization").is_empty() && seen.query.starts_with("signature=hush&digest="));
}

#[tokio::test]
async fn a_manifest_is_written_again_when_the_registry_stumbles() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let wanted = digest(b"{}");
    let fake = Fake::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
        0 => answer(502, &[], ""),
        _ => answer(201, &[("docker-content-digest", &wanted.to_string())], ""),
    })
    .await;
    let client = client_of(fake.address, |_| {});
    let repository = client.repository(fake.address, "a");
    let put = repository.put_manifest(&tag("v1"), MANIFEST, Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!((put, fake.seen().len()), (wanted, 2));
    assert_eq!(fake.seen()[1].header("content-type"), MANIFEST);
    let error = repository.put_manifest(&tag("v1"), MANIFEST, Bytes::from_static(b"{ }")).await.unwrap_err();
    assert!(matches!(error, minke_distribution::Error::Digest { .. }), "{}", words(&error));
}
