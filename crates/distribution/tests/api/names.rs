//! Names: asked for at a name server of a network of the test's own, where port 53 is free.

use std::{fs, future::Future, sync::Arc, time::Duration};

use minke_distribution::{Error, NameFiles, TransportError};
use minke_testkit::NetworkNamespace;
use tokio::{net::UdpSocket, task::JoinHandle};

use crate::{
    client::{Client, at, tag, words},
    fake::{Fake, refusal},
};

/// Runs a test in a network of its own.
fn apart<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    NetworkNamespace::new().enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    });
}

/// A name server that knows `registry.example`, an IPv4 address of this host.
async fn name_server() -> JoinHandle<()> {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:53").await.unwrap());
    tokio::spawn(async move {
        let mut query = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut query).await.unwrap();
            socket.send_to(&reply(&query[..length]), from).await.unwrap();
        }
    })
}

/// The reply to one question (RFC 1035, section 4.1).
fn reply(query: &[u8]) -> Vec<u8> {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap();
    let question = &query[12..12 + name + 5];
    let known = question.starts_with(b"\x08registry\x07example\0");
    let is_ipv4 = question.ends_with(&[0, 1, 0, 1]);
    let answers = u8::from(known && is_ipv4);
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, answers, 0, 0, 0, 0]);
    reply.extend(question);
    if answers == 1 {
        // The name of the question, an IPv4 address, for a minute.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    reply
}

fn client(host: String) -> Client {
    Client::with(|settings| {
        settings.insecure_registries = vec![host];
        settings.connect_timeout = Duration::from_secs(5);
    })
}

async fn error(client: &Client, host: &str) -> Error {
    client.repository(host, "a").manifest(&tag("v1")).await.unwrap_err()
}

#[test]
fn a_name_server_is_asked_for_what_no_file_knows() {
    apart(|| async {
        let server = name_server().await;
        let fake = Fake::start(|_| refusal(404, "MANIFEST_UNKNOWN", "none")).await;
        let host = at("registry.example", fake.address);
        let client = client(host.clone());
        let found = error(&client, &host).await;
        assert!(found.is_not_found(), "{}", words(&found));
        let unknown = error(&client, "nowhere.example").await;
        let Error::Transport { source, .. } = &unknown else { panic!("{unknown}") };
        assert_eq!(*source, TransportError::NoSuchHost("nowhere.example".to_owned()));
        server.abort();
    });
}

#[test]
fn a_name_server_that_is_off_is_not_waited_for() {
    apart(|| async {
        let client = client("registry.example".to_owned());
        // A slow one has twice five seconds, at each of five tries.
        let off =
            tokio::time::timeout(Duration::from_secs(9), error(&client, "registry.example")).await.unwrap();
        let Error::Transport { source: TransportError::Lookup(_), .. } = &off else { panic!("{off}") };
    });
}

#[test]
fn files_are_read_again_when_they_change() {
    apart(|| async {
        let server = name_server().await;
        let fake = Fake::start(|_| refusal(404, "MANIFEST_UNKNOWN", "none")).await;
        let host = at("registry.example", fake.address);
        let folder = tempfile::tempdir().unwrap();
        let (hosts, resolv_conf) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
        let names = NameFiles { hosts: hosts.clone(), resolv_conf: resolv_conf.clone() };
        let client = Client::with(|settings| {
            settings.insecure_registries = vec![host.clone()];
            settings.names = names;
        });
        let early = error(&client, &host).await;
        assert!(words(&early).contains("resolv.conf"), "{}", words(&early));
        fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
        let found = error(&client, &host).await;
        assert!(found.is_not_found(), "{}", words(&found));
        fs::write(&hosts, "127.0.0.2 registry.example # elsewhere\n").unwrap();
        // Connections that are there are used as long as they live.
        let other = Client::with(|settings| {
            settings.insecure_registries = vec![host.clone()];
            settings.names = NameFiles { hosts, resolv_conf };
        });
        let refused = error(&other, &host).await;
        assert!(words(&refused).contains("refused"), "{}", words(&refused));
        server.abort();
    });
}
