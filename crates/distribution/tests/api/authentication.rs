//! Tokens: where they come from, what they are for, and who never sees a secret.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use minke_distribution::{Credentials, Error};

use crate::{
    certificates::{Authority, acceptor},
    client::{Client, ann, at, content, digest, push, read, tag, words},
    fake::{Answer, Fake, Seen, answer, blob, refusal},
    faults::{Fault, FaultProxy},
};

/// `ann:hush-hush`
const BASIC: &str = "Basic YW5uOmh1c2gtaHVzaA==";

/// The tokens of a token server: `t0`, `t1`, …
fn tokens(seen: &Seen, count: &AtomicUsize) -> Answer {
    let n = count.fetch_add(1, Ordering::SeqCst);
    let refresh = if seen.query.contains("offline_token=true") { "identity" } else { "" };
    let body = format!(r#"{{"token":"t{n}","expires_in":300,"refresh_token":"{refresh}"}}"#);
    answer(200, &[("content-type", "application/json")], body)
}

async fn token_server() -> Fake {
    let count = AtomicUsize::new(0);
    Fake::start(move |seen| tokens(seen, &count)).await
}

fn challenge(realm: &str, scope: &str) -> Answer {
    let header = format!(r#"Bearer realm="{realm}",service="the registry",scope="{scope}""#);
    answer(401, &[("www-authenticate", &header)], "")
}

/// A registry with one blob for whoever has one of these tokens.
async fn registry(realm: String, good: &'static [&'static str], content: Bytes) -> Fake {
    Fake::start(move |seen| match good.contains(&seen.header("authorization")) {
        true => blob(seen, &content),
        false => challenge(&realm, "repository:team/app:pull"),
    })
    .await
}

fn realm(server: &Fake) -> String {
    format!("http://{}/token", server.address)
}

fn query(seen: &Seen) -> Vec<(String, String)> {
    url::form_urlencoded::parse(seen.query.as_bytes()).into_owned().collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn nobodys_token_is_fetched_once_for_all() {
    let auth = token_server().await;
    let content = content(1000);
    let registry = registry(realm(&auth), &["Bearer t0"], content.clone()).await;
    let client = Client::new();
    for _ in 0..3 {
        let repository = client.repository(registry.address, "team/app");
        assert_eq!(read(&repository, &content).await.unwrap(), content);
    }
    let asked = auth.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        query(&asked[0]),
        pairs(&[("service", "the registry"), ("scope", "repository:team/app:pull"), ("client_id", "minke")])
    );
    assert_eq!(asked[0].header("authorization"), "");
    assert_eq!(registry.seen().len(), 4, "only the first request of all is refused");
}

#[tokio::test]
async fn a_password_goes_to_the_token_server_and_never_to_the_registry() {
    let auth = token_server().await;
    let content = content(1000);
    let registry = registry(realm(&auth), &["Bearer t0"], content.clone()).await;
    let client = Client::new();
    let repository = client.repository_as(registry.address, "team/app", ann());
    assert_eq!(read(&repository, &content).await.unwrap(), content);
    let asked = &auth.seen()[0];
    assert_eq!(asked.header("authorization"), BASIC);
    assert!(query(asked).contains(&("account".to_owned(), "ann".to_owned())));
    assert!(registry.seen().iter().all(|seen| seen.header("authorization") != BASIC));
}

#[tokio::test]
async fn an_identity_token_is_posted_for_an_access_token() {
    let auth = Fake::start(|seen| {
        assert_eq!(seen.method, "POST");
        answer(200, &[], r#"{"access_token":"t0"}"#)
    })
    .await;
    let content = content(1000);
    let registry = registry(realm(&auth), &["Bearer t0"], content.clone()).await;
    let client = Client::new();
    let who = Credentials::IdentityToken("hush".to_owned());
    let repository = client.repository_as(registry.address, "team/app", who);
    assert_eq!(read(&repository, &content).await.unwrap(), content);
    let asked = &auth.seen()[0];
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    let form: Vec<_> = url::form_urlencoded::parse(&asked.body).into_owned().collect();
    assert_eq!(
        form,
        pairs(&[
            ("grant_type", "refresh_token"),
            ("service", "the registry"),
            ("client_id", "minke"),
            ("scope", "repository:team/app:pull"),
            ("refresh_token", "hush"),
        ])
    );
}

#[tokio::test]
async fn a_registry_token_is_used_as_it_is() {
    let auth = token_server().await;
    let content = content(1000);
    let registry = registry(realm(&auth), &["Bearer hush"], content.clone()).await;
    let client = Client::new();
    let who = |token: &str| Credentials::RegistryToken(token.to_owned());
    let repository = client.repository_as(registry.address, "team/app", who("hush"));
    assert_eq!(read(&repository, &content).await.unwrap(), content);
    assert_eq!(registry.seen().len(), 1);
    let repository = client.repository_as(registry.address, "team/app", who("hush-hush"));
    let error = read(&repository, &content).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized(_)), "{}", words(&error));
    let error = client.repository_as(registry.address, "team/app", who("a\nb")).tags().await.unwrap_err();
    assert!(words(&error).contains("bytes that no header may have"));
    assert!(auth.seen().is_empty());
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_is_renewed() {
    let auth = token_server().await;
    let content = content(300_000);
    let (realm, wanted) = (realm(&auth), content.clone());
    // The first token is good for the first request alone.
    let used = AtomicUsize::new(0);
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        "Bearer t0" if used.fetch_add(1, Ordering::SeqCst) == 0 => blob(seen, &content),
        "Bearer t1" => blob(seen, &content),
        _ => challenge(&realm, "repository:team/app:pull"),
    })
    .await;
    let cut = |n| if n == 1 { Fault::CutAnswer(100_000) } else { Fault::None };
    let proxy = FaultProxy::start(registry.address, cut).await;
    let client = Client::new();
    let repository = client.repository(proxy.address, "team/app");
    assert_eq!(read(&repository, &wanted).await.unwrap(), wanted);
    assert_eq!(auth.seen().len(), 2);
    assert!(registry.seen().iter().any(|seen| seen.header("range").starts_with("bytes=")));
}

#[tokio::test]
async fn who_is_refused_with_a_new_token_does_not_ask_for_ever() {
    let auth = token_server().await;
    let registry = registry(realm(&auth), &[], Bytes::new()).await;
    let client = Client::new();
    for _ in 0..2 {
        let repository = client.repository_as(registry.address, "team/app", ann());
        let error = repository.manifest(&tag("v1")).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized(_)), "{}", words(&error));
    }
    // The second time the token of the first one is tried, and another.
    assert_eq!((registry.seen().len(), auth.seen().len()), (4, 2));
}

#[tokio::test]
async fn a_wrong_password_is_told_in_the_token_servers_words() {
    let auth = Fake::start(|_| answer(401, &[], r#"{"details":"incorrect username or password"}"#)).await;
    let registry = registry(realm(&auth), &[], Bytes::new()).await;
    let client = Client::new();
    let error = client.repository_as(registry.address, "a", ann()).manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized(_)), "{}", words(&error));
    let wanted = format!("GET http://{}/token: incorrect username or password (status 401)", auth.address);
    assert_eq!(words(&error), wanted);
    let error = client.distribution.login(&registry.address.to_string(), &ann()).await.unwrap_err();
    assert_eq!(words(&error), wanted);
}

#[tokio::test]
async fn login_by_token_brings_an_identity_token() {
    let auth = token_server().await;
    let registry = registry(realm(&auth), &["Bearer t0"], Bytes::new()).await;
    let client = Client::new();
    let login = client.distribution.login(&format!("http://{}/v1/", registry.address), &ann()).await.unwrap();
    assert_eq!(login.identity_token.as_deref(), Some("identity"));
    assert_eq!(registry.lines(), ["GET /v2/", "GET /v2/"]);
    assert_eq!(auth.seen()[0].header("authorization"), BASIC);
}

#[tokio::test]
async fn scopes_grow_with_what_is_done() {
    let auth = token_server().await;
    let realm = realm(&auth);
    let registry = Fake::start(move |seen| {
        let authorized = seen.header("authorization").starts_with("Bearer ");
        match (authorized, seen.method.as_str()) {
            (false, _) => challenge(&realm, "repository:team/app:pull"),
            (true, "HEAD") => answer(404, &[], ""),
            (true, "POST") if seen.query.contains("mount") => refusal(403, "DENIED", "not yours"),
            (true, "POST") => answer(202, &[("location", "/v2/team/app/blobs/uploads/1")], ""),
            (true, "PUT") => answer(201, &[], ""),
            (true, _) => refusal(404, "MANIFEST_UNKNOWN", "none"),
        }
    })
    .await;
    let client = Client::new();
    let repository = client.repository(registry.address, "team/app");
    repository.manifest(&tag("v1")).await.unwrap_err();
    let blob = content(10);
    let from = [format!("{}/base", registry.address).parse().unwrap()];
    repository.push_blob(&digest(&blob), 10, &from, &blob, &|_| {}).await.unwrap();
    let scopes = |seen: &Seen| {
        let all = query(seen).into_iter().filter(|(name, _)| name == "scope");
        all.map(|(_, scope)| scope).collect::<Vec<_>>().join(" ")
    };
    let asked: Vec<_> = auth.seen().iter().map(scopes).collect();
    assert_eq!(
        asked,
        [
            "repository:team/app:pull",
            "repository:team/app:pull,push",
            "repository:base:pull repository:team/app:pull,push"
        ]
    );
}

#[tokio::test]
async fn a_secure_registrys_password_does_not_go_to_a_token_server_in_the_clear() {
    let auth = token_server().await;
    let authority = Authority::new();
    let realm = format!("http://{}/token", at("auth.test", auth.address));
    let server = acceptor(&authority.sign(&["registry.test"]), &["http/1.1"], None);
    let registry = Fake::tls(server, move |_| challenge(&realm, "repository:a:pull")).await;
    let (host, client) = (at("registry.test", registry.address), Client::new());
    client.write(&format!("{host}/ca.crt"), &authority.pem);
    let error = client.repository_as(&host, "a", ann()).manifest(&tag("v1")).await.unwrap_err();
    assert!(words(&error).contains("without TLS"), "{}", words(&error));
    let error = client.distribution.login(&host, &ann()).await.unwrap_err();
    assert!(words(&error).contains("without TLS"), "{}", words(&error));
    assert!(auth.seen().is_empty());
    // Who has no secret has nothing to lose.
    let error = client.repository(&host, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized(_)), "{}", words(&error));
    assert_eq!(auth.seen().len(), 1);
}

#[tokio::test]
async fn nothing_secret_follows_a_redirect_to_another_host() {
    let content = content(5000);
    let stored = content.clone();
    let cdn = Fake::start(move |seen| blob(seen, &stored)).await;
    let to = format!("http://{}/x?signature=hush", cdn.address);
    let registry = Fake::start(move |seen| match seen.header("authorization") {
        BASIC => answer(307, &[("location", &to)], ""),
        _ => answer(401, &[("www-authenticate", "Negotiate, Basic realm=x")], ""),
    })
    .await;
    let client = Client::new();
    let folder = registry.address.to_string();
    let file = format!("server = \"http://{folder}\"\n[header]\nx-secret = \"hush\"");
    client.write(&format!("{folder}/hosts.toml"), &file);
    let repository = client.repository_as(registry.address, "a", ann());
    assert_eq!(read(&repository, &content).await.unwrap(), content);
    assert!(registry.seen().iter().all(|seen| seen.header("x-secret") == "hush"));
    let there = &cdn.seen()[0];
    assert_eq!((there.header("authorization"), there.header("x-secret")), ("", ""));
    // What the other host refuses is told without the signature.
    let gone = Fake::start(|_| answer(403, &[], "expired")).await;
    let to = format!("http://{}/x?signature=hush", gone.address);
    let registry = Fake::start(move |_| answer(302, &[("location", &to)], "")).await;
    let error = read(&client.repository(registry.address, "a"), &content).await.unwrap_err();
    assert!(words(&error).contains("expired"), "{}", words(&error));
}

#[tokio::test]
async fn a_token_request_with_a_password_is_not_redirected() {
    let thief = token_server().await;
    let to = format!("http://{}/", thief.address);
    let auth = Fake::start(move |_| answer(307, &[("location", &to)], "")).await;
    let registry = registry(realm(&auth), &["Bearer t0"], Bytes::new()).await;
    let client = Client::new();
    for who in [ann(), Credentials::IdentityToken("hush".to_owned())] {
        let error = client.repository_as(registry.address, "a", who).manifest(&tag("v1")).await.unwrap_err();
        assert!(words(&error).contains("credentials are not sent to another host"), "{}", words(&error));
    }
    assert!(thief.seen().is_empty());
}

#[tokio::test]
async fn one_token_is_fetched_for_many_at_once() {
    let auth = token_server().await;
    let content = content(1000);
    let registry = Arc::new(registry(realm(&auth), &["Bearer t0"], content.clone()).await);
    let client = Client::new();
    let repository = client.repository(registry.address, "team/app");
    let pulls = (0..16).map(|_| read(&repository, &content));
    for pull in futures_util::future::join_all(pulls).await {
        assert_eq!(pull.unwrap(), content);
    }
    assert_eq!(auth.seen().len(), 1);
}

#[tokio::test]
async fn a_push_without_rights_is_denied() {
    let registry = Fake::start(|seen| match seen.method.as_str() {
        "HEAD" => answer(404, &[], ""),
        _ => refusal(403, "DENIED", "requested access to the resource is denied"),
    })
    .await;
    let client = Client::new();
    let error = push(&client.repository(registry.address, "a"), &content(10)).await.unwrap_err();
    assert!(matches!(error, Error::Denied(_)), "{}", words(&error));
    assert!(words(&error).contains("requested access to the resource is denied"));
}

#[tokio::test]
async fn who_has_no_name_and_password_is_told_so() {
    let registry = Fake::start(|_| answer(401, &[("www-authenticate", "Basic realm=x")], "{}")).await;
    let error = Client::new().repository(registry.address, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(words(&error).contains("no basic auth credentials"), "{}", words(&error));
    let error =
        Client::new().repository_as(registry.address, "a", ann()).manifest(&tag("v1")).await.unwrap_err();
    assert!(!words(&error).contains("no basic auth credentials"), "{}", words(&error));
}
