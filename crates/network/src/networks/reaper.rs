//! Removing veth pairs where nobody waits for it.
//!
//! The kernel takes 20 to 30 ms to remove a network interface (it waits until no processor can
//! still be looking at it), which would be most of what a short container costs. Usually the pair
//! goes with the sandbox's namespace anyway, a moment after its last process. So a detach only
//! queues the name; a thread that lives as long as there is work removes what is still there, all
//! that has queued up at once.

use std::{
    mem,
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use minke_netlink::route::{Batch, RouteSocket};

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
    /// The addresses. They may be another sandbox's already, which is then found by asking.
    pub(super) addresses: Vec<IpAddr>,
}

#[derive(Debug, Default)]
struct Queue {
    remains: Vec<Remains>,
    working: bool,
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
            drop(queue);
            let forget = |batch: Batch, remains: &Remains| match remains.bridge {
                Some(bridge) => {
                    let forget = |batch: Batch, address: &IpAddr| batch.forget_neighbour(bridge, *address);
                    remains.addresses.iter().fold(batch, forget)
                }
                None => batch,
            };
            let batch = remains.iter().fold(Batch::new(), forget);
            let batch = batch.remove_all(remains.iter().map(|remains| remains.interface.as_str()));
            if let Err(error) = RouteSocket::open().and_then(|mut route| route.run(batch)) {
                let error = chain(&error);
                tracing::warn!(error, "interfaces of sandboxes that are gone could not be removed");
            }
        }
    }
}
