//! What an attach and a detach cost, printed for whoever looks (`--no-capture`); never asserted.

use std::time::{Duration, Instant};

use crate::world::*;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
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
    assert_eq!(world.elements("cost", "ports"), 0);
    let begin = Instant::now();
    world.on_host(|| networks.close()).unwrap();
    println!("close, with what detaches left        {:?}", begin.elapsed());
    assert_eq!(world.links().len(), 2);
}
