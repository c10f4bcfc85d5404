//! Registries that mean no good: too much, too long, to where nobody should go.

use minke_distribution::{Error, RegistrySettings};

use crate::{
    certificates::{Authority, acceptor},
    client::{Client, at, content, digest, read, tag, words},
    fake::{Fake, answer, endless},
};

fn client_of(host: impl std::fmt::Display, change: impl FnOnce(&mut RegistrySettings)) -> Client {
    let client = Client::with(change);
    client.write(&format!("{host}/hosts.toml"), &format!("server = \"http://{host}\""));
    client
}

#[tokio::test]
async fn a_manifest_has_an_end() {
    for announced in [false, true] {
        let fake = Fake::start(move |_| match announced {
            true => answer(200, &[], vec![b' '; 100_001]),
            false => endless(200, &[], &[b' '; 1000]),
        })
        .await;
        let client = client_of(fake.address, |settings| settings.manifest_limit = 100_000);
        let error = client.repository(fake.address, "a").manifest(&tag("v1")).await.unwrap_err();
        assert!(matches!(error, Error::TooLong { limit: 100_000, .. }), "{}", words(&error));
    }
}

#[tokio::test]
async fn a_token_and_a_refusal_have_an_end() {
    let fake = Fake::start(|seen| match seen.path.as_str() {
        "/token" => endless(200, &[], &[b' '; 1000]),
        "/v2/b/manifests/v1" => endless(400, &[], b"no! "),
        _ => answer(401, &[("www-authenticate", "Bearer realm=\"/token\"")], ""),
    })
    .await;
    let client = client_of(fake.address, |_| {});
    let error = client.repository(fake.address, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { limit: 1_048_576, .. }), "{}", words(&error));
    let error = client.repository(fake.address, "b").manifest(&tag("v1")).await.unwrap_err();
    assert!(words(&error).len() < 700 && words(&error).contains("no! no!"), "{}", words(&error));
}

#[tokio::test]
async fn a_list_has_an_end_and_stays_where_it_is() {
    let other = Fake::start(|_| answer(200, &[], r#"{"tags":["stolen"]}"#)).await;
    let elsewhere = format!("<http://{}/v2/a/tags/list>; rel=\"next\"", other.address);
    let fake = Fake::start(move |seen| {
        let page = seen.query.split("page=").nth(1).map_or(0, |page| page.parse::<u64>().unwrap());
        let next = format!("</v2/a/tags/list?page={}>; rel=\"next\"", page + 1);
        let body = r#"{"tags":["x"]}"#;
        match seen.path.as_str() {
            "/v2/a/tags/list" => answer(200, &[("link", &next)], body),
            "/v2/b/tags/list" => answer(200, &[("link", &elsewhere)], body),
            _ => answer(200, &[("link", "<?n=1000>; rel=next")], body),
        }
    })
    .await;
    let client = client_of(fake.address, |_| {});
    let error = client.repository(fake.address, "a").tags().await.unwrap_err();
    assert!(words(&error).contains("more than 1000 pages"), "{}", words(&error));
    for name in ["b", "c"] {
        let error = client.repository(fake.address, name).tags().await.unwrap_err();
        assert!(words(&error).contains("goes on somewhere else"), "{}", words(&error));
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_circle_of_redirects_is_left() {
    let fake = Fake::start(|_| answer(307, &[("location", "/round")], "")).await;
    let client = client_of(fake.address, |_| {});
    let error = read(&client.repository(fake.address, "a"), b"x").await.unwrap_err();
    assert!(words(&error).contains("more than 10 redirects"), "{}", words(&error));
    assert_eq!(fake.seen().len(), 11);
}

#[tokio::test]
async fn nobody_is_led_out_of_tls_or_to_files() {
    let stored = content(100);
    let plain = Fake::start(move |_| answer(200, &[], stored.clone())).await;
    let authority = Authority::new();
    let server = acceptor(&authority.sign(&["registry.test"]), &["http/1.1"], None);
    let to = format!("http://{}/x", at("cdn.test", plain.address));
    let tls = Fake::tls(server, move |seen| match seen.path.starts_with("/v2/a/") {
        true => answer(307, &[("location", &to)], ""),
        false => answer(307, &[("location", "file:///etc/passwd")], ""),
    })
    .await;
    let (host, client) = (at("registry.test", tls.address), Client::new());
    client.write(&format!("{host}/ca.crt"), &authority.pem);
    let error = read(&client.repository(&host, "a"), &content(100)).await.unwrap_err();
    assert!(words(&error).contains("from TLS to plain HTTP"), "{}", words(&error));
    let error = read(&client.repository(&host, "b"), &content(100)).await.unwrap_err();
    assert!(words(&error).contains("file is no scheme for registries"), "{}", words(&error));
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn nonsense_is_not_understood_and_says_so() {
    let fake = Fake::start(|_| answer(200, &[("docker-content-digest", "sha256:x")], "{")).await;
    let client = client_of(fake.address, |_| {});
    let repository = client.repository(fake.address, "a");
    let error = repository.tags().await.unwrap_err();
    assert!(words(&error).starts_with("the answer to GET http://"), "{}", words(&error));
    let fetched = repository.manifest(&tag("v1")).await.unwrap();
    assert_eq!((fetched.digest, fetched.media_type.as_str()), (digest(b"{"), ""));
}
