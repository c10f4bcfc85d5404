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
    arrive_and_are_held(false).await;
}

#[tokio::test]
async fn one_that_has_waited_gets_them_too() {
    arrive_and_are_held(true).await;
}

async fn arrive_and_are_held(by_one_that_waits: bool) {
    let (namespace, name) = network_namespace();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let mut bench = shell("readlink /proc/self/ns/net; sleep 30");
    let namespaces = bench.spec["linux"]["namespaces"].as_array_mut().unwrap();
    let network = namespaces.iter_mut().find(|namespace| namespace["type"] == "network").unwrap();
    network["path"] = format!("/proc/self/fd/{NETNS_FD}").into();
    let inherit = Inherit { netns: Some(namespace), held: vec![port.into()] };
    let waiting = by_one_that_waits.then(|| bench.waiting());
    eventually("it waits", || bench.waiters().len() == usize::from(by_one_that_waits)).await;
    let waiters = bench.waiters();
    let spawned = bench.try_spawn_with(waiting, inherit).await.unwrap();
    let container = bench.running(spawned.supervisor, spawned.pid).start().await;
    assert_eq!(waiters.contains(&container.supervisor_pid().to_string()), by_one_that_waits);
    eventually("the namespace is named", || container.logged("stdout") == format!("{name}\n")).await;
    TcpStream::connect(address).expect("the supervisor holds the port");
    container.supervisor.signal(Target::Init, 9).await.unwrap();
    container.wait().await;
    eventually("the port is free again", || TcpStream::connect(address).is_err()).await;
}

#[tokio::test]
async fn more_than_one_message_holds_is_for_another() {
    let bench = shell("exit 3");
    let held = (0..30).map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses: Vec<_>;
    let held: Vec<OwnedFd> = {
        let held: Vec<_> = held.collect();
        addresses = held.iter().map(|port| port.local_addr().unwrap()).collect();
        held.into_iter().map(OwnedFd::from).collect()
    };
    let waiting = bench.waiting();
    let spawned = bench.try_spawn_with(Some(waiting), Inherit { netns: None, held }).await.unwrap();
    for address in addresses {
        TcpStream::connect(address).expect("the supervisor holds the port");
    }
    eventually("the one that waited is gone", || bench.waiters().is_empty()).await;
    let container = bench.running(spawned.supervisor, spawned.pid).start().await;
    assert_eq!(container.wait().await.exit_code, 3);
}

#[tokio::test]
async fn one_that_waits_ends_with_who_started_it() {
    let bench = shell("exit 3");
    let waiting = bench.waiting();
    eventually("it waits", || bench.waiters().len() == 1).await;
    drop(waiting);
    eventually("it is gone", || bench.waiters().is_empty()).await;
}

#[tokio::test]
async fn one_that_was_killed_is_replaced() {
    let bench = shell("exit 3");
    let waiting = bench.waiting();
    // It executes itself once more, and between has no words.
    eventually("it waits", || bench.waiters().len() == 1).await;
    for pid in bench.waiters() {
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    eventually("it is gone", || bench.waiters().is_empty()).await;
    let spawned = bench.try_spawn_with(Some(waiting), Inherit::default()).await.unwrap();
    let container = bench.running(spawned.supervisor, spawned.pid).start().await;
    assert_eq!(container.wait().await.exit_code, 3);
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
