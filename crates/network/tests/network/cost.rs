//! What an attach and a detach cost, printed for whoever looks (`--no-capture`); never asserted.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::world::*;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn attaching_many_at_once_costs_little_more_than_one_after_another() {
    const AT_ONCE: usize = 20;
    let world = World::new();
    let networks = world.networks("costs");
    let _first = world.attach(&networks, vec![]);
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    let times: Vec<Vec<Duration>> = thread::scope(|scope| {
        let attach = || {
            world.on_host(|| {
                let mut times = Vec::new();
                while next.fetch_add(1, Ordering::Relaxed) < AT_ONCE {
                    let begin = Instant::now();
                    networks.attach(request(vec![tcp(0, 80)])).unwrap();
                    times.push(begin.elapsed());
                }
                times
            })
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(attach)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    println!("20 attaches at once, 8 threads, all    {:?}", begin.elapsed());
    println!("20 attaches at once, 8 threads, median {:?}", median(times.concat()));
}

#[test]
fn attaching_is_flat_up_to_200_sandboxes() {
    let world = World::new();
    let networks = world.networks("cost");
    let (attaches, namespaces, attached) = world.on_host(|| {
        let (mut attaches, mut namespaces, mut attached) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..200u16 {
            let begin = Instant::now();
            drop(minke_network::loopback_only().unwrap());
            namespaces.push(begin.elapsed());
            let begin = Instant::now();
            attached.push(networks.attach(request(vec![tcp(10_000 + i, 80)])).unwrap());
            attaches.push(begin.elapsed());
        }
        (attaches, namespaces, attached)
    });
    let detaches: Vec<Duration> = world.on_host(|| {
        let detach = |sandbox: &minke_network::Attached| {
            let begin = Instant::now();
            networks.detach(&sandbox.attachment).unwrap();
            begin.elapsed()
        };
        attached.iter().map(detach).collect()
    });
    println!("first attach (with bridge and table)  {:?}", attaches[0]);
    println!("attach 2 to 21, median                {:?}", median(attaches[1..21].to_vec()));
    println!("attach 180 to 200, median             {:?}", median(attaches[180..].to_vec()));
    println!("a bare namespace with lo, median      {:?}", median(namespaces));
    println!("detach, median                        {:?}", median(detaches));
    assert_eq!(world.elements("cost", "ports4"), 0);
    let begin = Instant::now();
    world.on_host(|| networks.close()).unwrap();
    println!("close, with what detaches left        {:?}", begin.elapsed());
    assert_eq!(world.links().len(), 2);
}

#[test]
fn connecting_is_flat_up_to_300_endpoints() {
    use std::os::fd::AsFd as _;
    let world = World::new();
    let networks = world.networks("connects");
    let (home, other) = (world.network(&networks, "home", &[]), world.network(&networks, "other", &[]));
    let app = world.on(&networks, &[&home], vec![tcp(8080, 80)]);
    let wish = || minke_network::EndpointRequest::new(other.id.clone(), "other");
    let mut others = Vec::new();
    for count in [1, 100, 300] {
        while others.len() < count {
            others.push(world.on(&networks, &[&other], vec![]));
        }
        let (mut connects, mut disconnects) = (Vec::new(), Vec::new());
        world.on_host(|| {
            for _ in 0..20 {
                let begin = Instant::now();
                let both = networks.connect(app.netns.as_fd(), &app.attachment, wish(), &[]).unwrap();
                connects.push(begin.elapsed());
                let begin = Instant::now();
                networks.disconnect(app.netns.as_fd(), &both, &other.id).unwrap();
                disconnects.push(begin.elapsed());
            }
        });
        println!(
            "beside {count:3}: connect {:?}, disconnect {:?}, median of 20",
            median(connects),
            median(disconnects)
        );
    }
    let begin = Instant::now();
    world.on_host(|| networks.reconcile()).unwrap();
    println!("reconcile, first look, 301 endpoints  {:?}", begin.elapsed());
    let begin = Instant::now();
    world.on_host(|| networks.reconcile()).unwrap();
    println!("reconcile, nothing wrong              {:?}", begin.elapsed());
}
