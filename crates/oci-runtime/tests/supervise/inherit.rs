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

#[tokio::test]
async fn no_descriptor_of_the_supervisor_is_open_in_the_container() {
    let list = "for f in /proc/$$/fd/*; do readlink $f; done; true";
    let container = shell(&format!("{list}; sleep 30")).spawn().await.start().await;
    let supervisor = format!("/proc/{}/fd", container.supervisor_pid());
    assert!(std::fs::read_dir(supervisor).unwrap().count() > 8, "it has descriptors that could be found");
    let is_own = |line: &str| line == "/dev/null" || line.starts_with("pipe:");
    eventually("three streams", || container.logged("stdout").lines().count() >= 3).await;
    let open = container.logged("stdout");
    assert!(open.lines().count() == 3 && open.lines().all(is_own), "{open}");
    let mut added =
        container.supervisor.exec("e", crate::bench::added(list), crate::bench::OUTPUT, false).await.unwrap();
    let (stdout, _) =
        crate::bench::demultiplex(&crate::bench::read_all(added.stream.as_mut().unwrap()).await);
    let open = String::from_utf8(stdout).unwrap();
    assert!(open.lines().count() == 3 && open.lines().all(is_own), "{open}");
}
