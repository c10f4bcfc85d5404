//! TLS: who is trusted, by which files, and who need not be.

use minke_distribution::{Error, TransportError};

use crate::{
    certificates::{Authority, acceptor, self_signed},
    client::{Client, at, content, push_image, read, tag, words},
    debian::{DebianRegistry, Options},
    fake::{Fake, answer, refusal},
};

fn transport(error: Error) -> TransportError {
    match error {
        Error::Transport { source, .. } => source,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_registry_is_verified_by_the_authority_in_its_folder() {
    let authority = Authority::new();
    let server = authority.sign(&["registry.test"]);
    let registry = DebianRegistry::with(Options { certificate: Some(&server), ..Options::default() }).await;
    let (host, client) = (at("registry.test", registry.address), Client::new());

    let error = client.repository(&host, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(words(&error).contains("UnknownIssuer"), "{}", words(&error));
    assert!(matches!(transport(error), TransportError::Tls(_)));

    client.write(&format!("{host}/ca.crt"), &authority.pem);
    let repository = client.repository(&host, "a");
    let layer = content(2_000_000);
    push_image(&repository, &tag("v1"), std::slice::from_ref(&layer)).await;
    assert_eq!(read(&repository, &layer).await.unwrap(), layer);

    // The certificate is for another name.
    let other = at("mirror.test", registry.address);
    client.write(&format!("{other}/ca.crt"), &authority.pem);
    let error = client.repository(&other, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(transport(error), TransportError::Tls(_)));
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_trusted_where_it_lies() {
    let server = self_signed("registry.test");
    let fake =
        Fake::tls(acceptor(&server, &["http/1.1"], None), |_| refusal(404, "MANIFEST_UNKNOWN", "none")).await;
    let (host, client) = (at("registry.test", fake.address), Client::new());
    let error = client.repository(&host, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(transport(error), TransportError::Tls(_)));
    client.write(&format!("{host}/domain.crt"), &server.certificate);
    assert!(client.repository(&host, "a").manifest(&tag("v1")).await.unwrap_err().is_not_found());
    // Not for another name.
    let other = at("mirror.test", fake.address);
    client.write(&format!("{other}/domain.crt"), &server.certificate);
    let error = client.repository(&other, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(transport(error), TransportError::Tls(_)));
    // Not another one of the same name.
    client.write(&format!("{host}/domain.crt"), &self_signed("registry.test").certificate);
    let error = client.repository(&host, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(transport(error), TransportError::Tls(_)));
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_one_is_wanted() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let (server, own) = (authority.sign(&["registry.test"]), clients.sign(&["ann"]));
    let options = Options { certificate: Some(&server), clients: Some(&clients), ..Options::default() };
    let registry = DebianRegistry::with(options).await;
    let (host, client) = (at("registry.test", registry.address), Client::new());
    client.write(&format!("{host}/ca.crt"), &authority.pem);
    let error = client.repository(&host, "a").manifest(&tag("v1")).await.unwrap_err();
    // Over HTTP/2 the server's reason may be lost with the connection.
    assert!(matches!(transport(error), TransportError::Tls(_) | TransportError::Cut(_)));

    client.write(&format!("{host}/client.cert"), &own.certificate);
    client.write(&format!("{host}/client.key"), &own.key);
    push_image(&client.repository(&host, "a"), &tag("v1"), &[]).await;

    // The same in containerd's words.
    let client = Client::new();
    let folder = host.replace(':', "_") + "_";
    client.write(&format!("{folder}/ca.pem"), &authority.pem);
    client.write(&format!("{folder}/both.pem"), &(own.certificate + &own.key));
    client.write(&format!("{folder}/hosts.toml"), "ca = \"ca.pem\"\nclient = \"both.pem\"");
    assert_eq!(client.repository(&host, "a").tags().await.unwrap(), ["v1"]);
}

#[tokio::test]
async fn plain_http_is_never_tried_where_nobody_allowed_it() {
    let fake = Fake::start(|_| answer(200, &[], "")).await;
    let (host, client) = (at("registry.test", fake.address), Client::new());
    let error = client.repository(&host, "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(transport(error), TransportError::NoTls(_)));
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn an_insecure_registry_is_asked_with_tls_first_and_then_without() {
    let server = Authority::new().sign(&["elsewhere.test"]);
    let refuse = |_: &_| refusal(404, "MANIFEST_UNKNOWN", "none");
    let tls = Fake::tls(acceptor(&server, &["http/1.1"], None), refuse).await;
    let plain = Fake::start(refuse).await;
    let by_name = Client::with(|settings| {
        settings.insecure_registries =
            vec![at("registry.test", tls.address), at("registry.test", plain.address)];
    });
    let by_network = Client::with(|settings| settings.insecure_registries = vec!["127.0.0.0/24".to_owned()]);
    for (client, host) in [(&by_name, "registry.test"), (&by_network, "mirror.test"), (&by_name, "127.0.0.1")]
    {
        for address in [tls.address, plain.address] {
            let repository = client.repository(at(host, address), "a");
            let error = repository.manifest(&tag("v1")).await.unwrap_err();
            assert!(error.is_not_found(), "{}", words(&error));
        }
    }
    let elsewhere = Client::with(|settings| settings.insecure_registries = vec!["10.0.0.0/8".to_owned()]);
    let error =
        elsewhere.repository(at("mirror.test", tls.address), "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(matches!(transport(error), TransportError::Tls(_)));
}

#[tokio::test]
async fn a_host_that_is_known_to_be_plain_may_learn_tls() {
    let plain = Fake::start(|_| refusal(404, "MANIFEST_UNKNOWN", "none")).await;
    let client = Client::new();
    let repository = client.repository(plain.address, "a");
    assert!(repository.manifest(&tag("v1")).await.unwrap_err().is_not_found());
    let address = plain.address;
    drop(plain);
    let server = Authority::new().sign(&["x.test"]);
    let listening = tokio::net::TcpListener::bind(address).await;
    let Ok(listener) = listening else { return };
    let tls = acceptor(&server, &["http/1.1"], None);
    let serving = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut socket) = tls.accept(socket).await else { continue };
            let text = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, text).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut socket).await;
        }
    });
    let error = repository.manifest(&tag("v1")).await.unwrap_err();
    assert!(error.is_not_found(), "{}", words(&error));
    serving.abort();
}

#[tokio::test]
async fn files_that_can_not_be_used_are_named() {
    let client = Client::new();
    client.write("registry.test/ca.crt", "nothing");
    let error = client.repository("registry.test", "a").tags().await.unwrap_err();
    assert!(words(&error).contains("registry.test/ca.crt: want PEM with certificates"), "{}", words(&error));
    client.write("mirror.test/hosts.toml", "server = 1");
    let error = client.repository("mirror.test", "a").tags().await.unwrap_err();
    assert!(words(&error).contains("mirror.test/hosts.toml, line 1: "), "{}", words(&error));
    client.write("auth.test/hosts.toml", "server = \"ftp://x\"");
    let error = client.repository("auth.test", "a").tags().await.unwrap_err();
    assert!(words(&error).contains("auth.test/hosts.toml: \"ftp://x\" is no address"), "{}", words(&error));
    client.write("cdn.test/hosts.toml", "capabilities = [\"pull\"]");
    let error = client.repository("cdn.test", "a").manifest(&tag("v1")).await.unwrap_err();
    assert!(words(&error).contains("no endpoint of cdn.test may be used to resolve"), "{}", words(&error));
}
