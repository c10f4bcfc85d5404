//! Removing veth pairs where nobody waits for it.
//!
//! The kernel takes 20 to 30 ms to remove a network interface (it waits until no processor can
//! still be looking at it), which would be most of what a short container costs. Usually the pair
//! goes with the sandbox's namespace anyway, a moment after its last process. So a detach only
//! queues the name; a thread that lives as long as there is work removes what is still there, all
//! that has queued up at once.
//!
//! The host's knowledge of who has the addresses goes first. Whoever gets one of them again calls [`Reaper::keep`] before it
//! tells the host anew: what is forgotten while a packet waits for it takes the packet along.

use std::{
    mem,
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use minke_netlink::{
    Error,
    route::{Batch, RouteSocket},
};

use super::locked;
use crate::error::chain;

/// The interfaces that are to go.
#[derive(Debug, Default, Clone)]
pub(super) struct Reaper(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    idle: Condvar,
}

/// What is left of a sandbox on the host.
#[derive(Debug)]
pub(super) struct Remains {
    /// The host's end of its veth pair.
    pub(super) interface: String,
    /// The bridge that has its addresses as neighbours.
    pub(super) bridge: Option<u32>,
    /// The addresses.
    pub(super) addresses: Vec<IpAddr>,
}

#[derive(Debug, Default)]
struct Queue {
    remains: Vec<Remains>,
    working: bool,
    /// What is being forgotten at this moment: neighbours of bridges.
    forgetting: Vec<(u32, IpAddr)>,
}

impl Reaper {
    /// Removes them soon. The calling thread's network namespace is where it is.
    pub(super) fn remove(&self, remains: Remains) {
        let mut queue = locked(&self.0.queue);
        queue.remains.push(remains);
        if mem::replace(&mut queue.working, true) {
            return;
        }
        drop(queue);
        let reaper = self.clone();
        let started = thread::Builder::new().name("net-reaper".to_owned()).spawn(move || reaper.work());
        if started.is_err() {
            // No thread to be had: then the caller waits after all.
            self.work();
        }
    }

    /// Has the addresses of a bridge that are in use again stay known.
    pub(super) fn keep(&self, bridge: u32, addresses: &[IpAddr]) {
        let mut queue = locked(&self.0.queue);
        for remains in queue.remains.iter_mut().filter(|remains| remains.bridge == Some(bridge)) {
            remains.addresses.retain(|address| !addresses.contains(address));
        }
        while queue.forgetting.iter().any(|(on, address)| *on == bridge && addresses.contains(address)) {
            queue = self.0.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all that was queued is removed.
    pub(super) fn finish(&self) {
        let mut queue = locked(&self.0.queue);
        while queue.working {
            queue = self.0.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        loop {
            let mut queue = locked(&self.0.queue);
            let remains = mem::take(&mut queue.remains);
            if remains.is_empty() {
                queue.working = false;
                self.0.idle.notify_all();
                return;
            }
            let neighbours: Vec<(u32, IpAddr)> = remains.iter().flat_map(Remains::neighbours).collect();
            queue.forgetting.clone_from(&neighbours);
            drop(queue);
            let forget = |batch: Batch, (bridge, address)| batch.forget_neighbour(bridge, address);
            let forgotten = run(neighbours.into_iter().fold(Batch::new(), forget));
            locked(&self.0.queue).forgetting.clear();
            self.0.idle.notify_all();
            let names = remains.iter().map(|remains| remains.interface.as_str());
            for error in [forgotten, run(Batch::new().remove_all(names))].into_iter().filter_map(Result::err)
            {
                let error = chain(&error);
                tracing::warn!(error, "interfaces of sandboxes that are gone could not be removed");
            }
        }
    }
}

impl Remains {
    fn neighbours(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        self.bridge
            .into_iter()
            .flat_map(|bridge| self.addresses.iter().map(move |address| (bridge, *address)))
    }
}

fn run(batch: Batch) -> Result<(), Error> {
    RouteSocket::open()?.run(batch)
}
