//! A proxy for HTTP, as companies have them, and what goes through it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    certificates::{Authority, acceptor},
    client::{Client, at, content, read, words},
    fake::{Fake, blob},
};

/// A proxy that works until it is dropped. It knows where hosts are that nobody else knows.
pub(crate) struct HttpProxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl HttpProxy {
    /// `hosts` are addresses by `host:port`. With a password, it is wanted.
    pub(crate) async fn start(hosts: &[(&str, SocketAddr)], password: Option<&'static str>) -> Self {
        let hosts: HashMap<_, _> = hosts.iter().map(|(name, to)| ((*name).to_owned(), *to)).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(socket, hosts.clone(), password, log.clone()));
            }
        });
        Self { address, seen, task }
    }

    /// The first line of each request that it saw.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut client: TcpStream,
    hosts: HashMap<String, SocketAddr>,
    password: Option<&'static str>,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let Some(head) = head(&mut client).await else { return };
    let line = head.lines().next().unwrap().to_owned();
    seen.lock().unwrap().push(line.clone());
    if password.is_some_and(|password| !head.contains(&format!("asic {password}\r\n"))) {
        let refused = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        let _ = client.write_all(refused).await;
        return;
    }
    let target = line.split(' ').nth(1).unwrap();
    let host = target.strip_prefix("http://").map_or(target, |rest| rest.split('/').next().unwrap());
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let Some(to) = hosts.get(&host) else {
        let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    let mut server = TcpStream::connect(to).await.unwrap();
    match line.starts_with("CONNECT ") {
        true => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap(),
        false => server.write_all(head.as_bytes()).await.unwrap(),
    }
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// A request up to its empty line.
async fn head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn settings(proxy: &HttpProxy, user: &str, direct: &str) -> minke_distribution::ProxySettings {
    let address = format!("http://{user}{}", proxy.address);
    minke_distribution::ProxySettings::new(&address, &address, direct).unwrap()
}

#[tokio::test]
async fn both_schemes_go_through_their_proxy() {
    let content = content(100_000);
    let (one, two) = (content.clone(), content.clone());
    let plain = Fake::start(move |seen| blob(seen, &one)).await;
    let authority = Authority::new();
    let server = acceptor(&authority.sign(&["secret.example"]), &["http/1.1"], None);
    let tls = Fake::tls(server, move |seen| blob(seen, &two)).await;
    let hosts = [("plain.example:80", plain.address), ("secret.example:443", tls.address)];
    // `ann:hush-hush`
    let proxy = HttpProxy::start(&hosts, Some("YW5uOmh1c2gtaHVzaA==")).await;
    let client = Client::with(|with| with.proxies = settings(&proxy, "ann:hush-hush@", ""));
    client.write("secret.example/ca.crt", &authority.pem);
    client.write("plain.example/hosts.toml", "server = \"http://plain.example\"");
    for host in ["plain.example", "secret.example"] {
        assert_eq!(read(&client.repository(host, "a"), &content).await.unwrap(), content);
    }
    let seen = proxy.seen();
    assert!(seen[0].starts_with("GET http://plain.example/v2/a/blobs/sha256:"), "{seen:?}");
    assert_eq!(seen[1], "CONNECT secret.example:443 HTTP/1.1");

    let client = Client::with(|with| with.proxies = settings(&proxy, "ann:hush@", ""));
    let error = read(&client.repository("secret.example", "a"), &content).await.unwrap_err();
    assert!(words(&error).contains("proxy"), "{}", words(&error));
}

#[tokio::test]
async fn what_is_reached_directly_and_this_host_go_around_it() {
    let content = content(1000);
    let stored = content.clone();
    let fake = Fake::start(move |seen| blob(seen, &stored)).await;
    let proxy = HttpProxy::start(&[], None).await;
    let client = Client::with(|with| with.proxies = settings(&proxy, "", ".test"));
    let host = at("registry.test", fake.address);
    client.write(&format!("{host}/hosts.toml"), &format!("server = \"http://{host}\""));
    assert_eq!(read(&client.repository(&host, "a"), &content).await.unwrap(), content);
    assert_eq!(read(&client.repository(fake.address, "a"), &content).await.unwrap(), content);
    assert_eq!(proxy.seen(), [""; 0]);
}
