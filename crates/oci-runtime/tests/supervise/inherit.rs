//! What a supervisor inherits from the engine: a network namespace and bound ports.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::Command,
};

use minke_supervisor::{Inherit, NETNS_FD, Target};

use crate::bench::{eventually, shell};

/// A network namespace that nothing but the descriptor keeps.
fn network_namespace() -> (OwnedFd, String) {
    let mut holder = Command::new("unshare").args(["--net", "sleep", "30"]).spawn().unwrap();
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    while std::fs::read_link(&path).unwrap() == own {
        std::thread::yield_now();
    }
    let name = std::fs::read_link(&path).unwrap().display().to_string();
    let namespace = std::fs::File::open(&path).unwrap().into();
    holder.kill().unwrap();
    holder.wait().unwrap();
    (namespace, name)
}

#[tokio::test]
async fn a_network_namespace_and_a_port_arrive_and_are_held() {
    let (namespace, name) = network_namespace();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let mut bench = shell("readlink /proc/self/ns/net; sleep 30");
    let namespaces = bench.spec["linux"]["namespaces"].as_array_mut().unwrap();
    let network = namespaces.iter_mut().find(|namespace| namespace["type"] == "network").unwrap();
    network["path"] = format!("/proc/self/fd/{NETNS_FD}").into();
    let inherit = Inherit { netns: Some(namespace), held: vec![port.into()] };
    let spawned = bench.try_spawn_with(inherit).await.unwrap();
    let container = bench.running(spawned.supervisor, spawned.pid).start().await;
    eventually("the namespace is named", || container.logged("stdout") == format!("{name}\n")).await;
    TcpStream::connect(address).expect("the supervisor holds the port");
    container.supervisor.signal(Target::Init, 9).await.unwrap();
    container.wait().await;
    eventually("the port is free again", || TcpStream::connect(address).is_err()).await;
}
