//! Published ports that no rule can lead to their container, since it has no address of the family that clients come by
//! (`curl http://[::1]:8080` and a container with IPv4 alone): connections and datagrams are taken here, and passed on (record
//! 32).
//!
//! ```text
//!  client ─ IPv6 ─▶ [::]:8080 ─▶ relay ─ IPv4 ─▶ 172.17.0.2:80
//! ```
//!
//! A relay ends with its engine, as the name server does, and the next engine goes on with the port.

mod datagrams;
mod streams;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use minke_model::ContainerId;
use minke_network::{Attachment, Networks, Protocol, PublishedPort, Relay};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, UdpSocket},
    runtime::Handle,
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, watch},
    task::JoinHandle,
};

/// Which part of the engine's descriptors relays may have.
const PART_OF_DESCRIPTORS: u64 = 4;
/// How many of them a connection takes.
const OF_A_CONNECTION: u64 = 2;

/// Which part of what all may have one port may have: its clients, or its container, would be in the way of all others.
const PART_OF_A_PORT: usize = 4;

/// Where a relay leads to, while there is a way.
type Target = watch::Receiver<Option<SocketAddr>>;

/// The relays of all containers.
#[derive(Debug)]
pub(crate) struct Relays {
    runtime: Handle,
    /// How many connections, and clients that send datagrams, there may be at the same time in all, and how many more.
    most: usize,
    all: Arc<Semaphore>,
    running: Mutex<HashMap<ContainerId, HashMap<PublishedPort, Running>>>,
}

/// How many connections, and clients that send datagrams, there may be at the same time: of a port, and in all.
#[derive(Debug)]
struct Budget {
    of_a_port: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// One of them.
type Permit = [OwnedSemaphorePermit; 2];

impl Budget {
    /// Waits until there may be one more.
    async fn acquire(&self) -> Result<Permit, AcquireError> {
        let own = Arc::clone(&self.of_a_port).acquire_owned().await?;
        Ok([own, Arc::clone(&self.all).acquire_owned().await?])
    }

    /// One more, if there may be.
    fn try_acquire(&self) -> Result<Permit, TryAcquireError> {
        let own = Arc::clone(&self.of_a_port).try_acquire_owned()?;
        Ok([own, Arc::clone(&self.all).try_acquire_owned()?])
    }
}

#[derive(Debug)]
struct Running {
    target: watch::Sender<Option<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Running {
    /// Leads it elsewhere, or nowhere; datagrams of clients that it knows go there too.
    fn lead(&self, target: Option<SocketAddr>) {
        self.target.send_if_modified(|before| std::mem::replace(before, target) != target);
    }
}

impl Relays {
    /// None yet; they will run here.
    pub(crate) fn new(runtime: Handle) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let budget =
            usize::try_from(descriptors / PART_OF_DESCRIPTORS / OF_A_CONNECTION).unwrap_or(usize::MAX);
        let most = budget.min(Semaphore::MAX_PERMITS);
        Self { runtime, most, all: Arc::new(Semaphore::new(most)), running: Mutex::default() }
    }

    /// Has the relays that an attachment needs as it is now: starts those that are new, and leads the others to where its
    /// ports are now. One that is needed no more turns everybody away as long as the container has its port.
    pub(crate) fn update(&self, networks: &Networks, attachment: &Attachment) {
        let id = &attachment.id;
        if attachment.late_ports.is_empty() {
            return;
        }
        let wanted = networks.relays(attachment).unwrap_or_else(|error| {
            tracing::warn!(%error, container = id.short(), "relay published ports");
            Vec::new()
        });
        let mut running = self.running();
        if wanted.is_empty() && !running.contains_key(id) {
            return;
        }
        let own = running.entry(id.clone()).or_default();
        for (port, relay) in own.iter() {
            if wanted.iter().all(|wanted| wanted.port != *port) {
                relay.lead(None);
            }
        }
        for relay in wanted {
            let (port, target) = (relay.port, relay.target);
            if let Some(known) = own.get(&port) {
                known.lead(Some(target));
                continue;
            }
            match self.start(relay) {
                Ok(relay) => drop(own.insert(port, relay)),
                Err(error) => {
                    tracing::warn!(%error, container = id.short(), port = port.host_port, "relay a published port");
                }
            }
        }
    }

    /// Ends the relays of a container; its ports are free as far as they had them.
    pub(crate) async fn stop(&self, id: &ContainerId) {
        let relays = self.running().remove(id);
        for relay in relays.into_iter().flat_map(HashMap::into_values) {
            relay.task.abort();
            // Its sockets are closed when it has ended.
            let _ = relay.task.await;
        }
    }

    fn start(&self, relay: Relay) -> io::Result<Running> {
        let Relay { port, target, socket } = relay;
        let _inside = self.runtime.enter();
        let (sender, target) = watch::channel(Some(target));
        let part = Arc::new(Semaphore::new((self.most / PART_OF_A_PORT).max(1)));
        let budget = Budget { of_a_port: part, all: Arc::clone(&self.all) };
        let task = match port.protocol {
            Protocol::Udp => {
                let socket = datagrams::Socket::new(UdpSocket::from_std(socket.into())?)?;
                self.runtime.spawn(datagrams::relay(socket, target, budget))
            }
            Protocol::Tcp => {
                self.runtime.spawn(streams::relay(TcpListener::from_std(socket.into())?, target, budget))
            }
            Protocol::Sctp => return Err(io::Error::from(io::ErrorKind::Unsupported)),
        };
        Ok(Running { target: sender, task })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<ContainerId, HashMap<PublishedPort, Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
