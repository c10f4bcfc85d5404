//! The end of a registry: requests in flight finish, nobody else comes in.

use minke_registry::{Registry, RegistryConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::http::call;

#[tokio::test]
async fn a_request_in_flight_finishes_and_the_registry_can_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(RegistryConfig::new(folder.path())).unwrap();
    let listeners =
        [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let result = registry.serve(listeners.into(), async { drop(stopped.await) }).await;
        drop(registry);
        result
    });
    let begun = call(addresses[0], "POST", "/v2/a/blobs/uploads/", &[], b"").await;
    let at = begun.header("location").to_owned();
    let mut socket = TcpStream::connect(addresses[1]).await.unwrap();
    let head = format!("PATCH {at} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    socket.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"));
    stop.send(()).unwrap();
    while TcpStream::connect(addresses[0]).await.is_ok() {
        tokio::task::yield_now().await;
    }
    socket.write_all(b"data").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.contains("range: 0-3"), "{answer}");
    serving.await.unwrap().unwrap();
    Registry::open(RegistryConfig::new(folder.path())).unwrap();
}
