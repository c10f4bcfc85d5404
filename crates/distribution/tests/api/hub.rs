//! Docker Hub, whose addresses nobody chooses: it is behind a proxy that knows a made-up one.

use minke_distribution::{Error, ProxySettings, SearchFilters};
use minke_model::media_type::MANIFEST;

use crate::{
    certificates::{Authority, acceptor},
    client::{Client, ann, tag, words},
    fake::{Answer, Fake, Seen, answer, refusal},
    proxy::HttpProxy,
};

const NAMES: [&str; 3] = ["registry-1.docker.io", "auth.docker.io", "index.docker.io"];

fn hub(seen: &Seen) -> Answer {
    let host = seen.header("host");
    match (host, seen.path.as_str(), seen.header("authorization")) {
        ("auth.docker.io", "/token", who) => {
            let body =
                if who.is_empty() { r#"{"token":"hub"}"# } else { r#"{"token":"hub","refresh_token":"id"}"# };
            answer(200, &[], body)
        }
        ("registry-1.docker.io", _, "") => {
            let challenge = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#;
            answer(401, &[("www-authenticate", challenge)], "")
        }
        ("registry-1.docker.io", "/v2/", _) => answer(200, &[], "{}"),
        ("registry-1.docker.io", "/v2/library/redis/manifests/7", "Bearer hub") => {
            answer(200, &[("content-type", MANIFEST)], "hub")
        }
        ("index.docker.io", "/v1/search", _) => {
            let results = serde_json::json!([
                { "name": "redis", "description": "d", "star_count": 9, "is_official": true },
                { "name": "x/redis", "star_count": 1 },
            ]);
            answer(200, &[], serde_json::json!({ "results": results }).to_string())
        }
        _ => refusal(404, "MANIFEST_UNKNOWN", "none"),
    }
}

async fn start() -> (Fake, HttpProxy, Authority) {
    let authority = Authority::new();
    let fake = Fake::tls(acceptor(&authority.sign(&NAMES), &["http/1.1"], None), hub).await;
    let hosts: Vec<_> = NAMES.iter().map(|name| format!("{name}:443")).collect();
    let hosts: Vec<_> = hosts.iter().map(|host| (host.as_str(), fake.address)).collect();
    let proxy = HttpProxy::start(&hosts, None).await;
    (fake, proxy, authority)
}

fn client(proxy: &HttpProxy, authority: &Authority, mirrors: &[String]) -> Client {
    let client = Client::with(|settings| {
        settings.proxies = ProxySettings::new("", &proxy.address.to_string(), "").unwrap();
        settings.mirrors = mirrors.to_vec();
    });
    client.write("docker.io/ca.crt", &authority.pem);
    client.write("index.docker.io/ca.crt", &authority.pem);
    client
}

#[tokio::test]
async fn docker_hub_is_reached_at_its_own_addresses() {
    let (fake, proxy, authority) = start().await;
    let client = client(&proxy, &authority, &[]);
    let name = "redis:7".parse().unwrap();
    let repository = client.distribution.repository(&name, None);
    assert_eq!(repository.manifest(&tag("7")).await.unwrap().bytes, "hub");
    assert!(fake.seen()[1].query.contains("scope=repository%3Alibrary%2Fredis%3Apull"));
    let login = client.distribution.login("https://index.docker.io/v1/", &ann()).await.unwrap();
    assert_eq!(login.identity_token.as_deref(), Some("id"));
    let connected = proxy.seen();
    assert!(connected.contains(&"CONNECT auth.docker.io:443 HTTP/1.1".to_owned()), "{connected:?}");
}

#[tokio::test]
async fn mirrors_of_docker_hub_are_tried_in_their_order() {
    let (fake, proxy, authority) = start().await;
    let empty = Fake::start(|_| refusal(404, "MANIFEST_UNKNOWN", "none")).await;
    let full = Fake::start(|_| answer(200, &[("content-type", MANIFEST)], "mirrored")).await;
    let mirrors = [format!("http://{}", empty.address), format!("http://{}/", full.address)];
    let client = client(&proxy, &authority, &mirrors);
    let name = "redis".parse().unwrap();
    let repository = client.distribution.repository(&name, Some(ann()));
    assert_eq!(repository.manifest(&tag("7")).await.unwrap().bytes, "mirrored");
    assert_eq!(empty.lines(), ["GET /v2/library/redis/manifests/7"]);
    assert_eq!(full.lines(), ["GET /v2/library/redis/manifests/7"]);
    assert!(fake.seen().is_empty());
    // They stand in for Docker Hub alone.
    let other = client.repository("localhost:1", "a").manifest(&tag("7")).await.unwrap_err();
    assert!(matches!(other, Error::Transport { .. }), "{}", words(&other));
    assert_eq!((empty.seen().len(), full.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_search_asks_docker_hub_or_the_registry_of_its_term() {
    let (fake, proxy, authority) = start().await;
    let client = client(&proxy, &authority, &[]);
    let all = SearchFilters::default();
    let search = |term: &str, filters| {
        let (distribution, term) = (client.distribution.clone(), term.to_owned());
        async move { distribution.search(&term, Some(7), &filters, None).await }
    };
    let found = search("library/redis", all).await.unwrap();
    let names: Vec<_> = found.iter().map(|result| (result.name.as_str(), result.star_count)).collect();
    assert_eq!(names, [("redis", 9), ("x/redis", 1)]);
    assert_eq!(fake.seen()[0].query, "q=redis&n=7");
    let official = SearchFilters { is_official: Some(true), ..all };
    assert_eq!(search("redis", official).await.unwrap().len(), 1);

    let wants = |seen: &Seen| match seen.header("authorization") {
        "" => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        _ => answer(200, &[], r#"{"results":[{"name":"a"}]}"#),
    };
    let own = Fake::start(wants).await;
    let term = format!("{}/a b", own.address);
    let found = client.distribution.search(&term, None, &all, Some(ann())).await.unwrap();
    assert_eq!(found[0].name, "a");
    assert_eq!((own.seen()[1].path.as_str(), own.seen()[1].query.as_str()), ("/v1/search", "q=a+b&n=25"));
    for term in ["", "registry.test/"] {
        assert!(matches!(search(term, all).await.unwrap_err(), Error::Argument { .. }), "{term}");
    }
}
