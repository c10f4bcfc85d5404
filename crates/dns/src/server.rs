//! The server: one task for each container, which reads its two sockets.
//!
//! ```text
//!  task of a container ─┬─ datagram ─▶ answer ─┬─▶ known at once: sent
//!                       │                      └─▶ else: a task that asks name servers
//!                       └─ connection ─▶ a task that reads questions, each answered in the same way
//! ```
//!
//! The tasks of a container belong to its own one, so that nothing of it is left when that ends.

use std::{
    io, net,
    os::fd::OwnedFd,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::{
    net::{TcpListener, UdpSocket},
    runtime::Handle,
    sync::Semaphore,
    task::AbortHandle,
};

use limits::Limits;

use crate::{
    HostResolvers, View, Zones,
    forward::{Health, Opener},
};

pub(crate) mod answer;
mod connection;
mod limits;
mod listen;

/// The DNS server of an engine. Clones are the same server.
#[derive(Debug, Clone)]
pub struct Server(Arc<Shared>);

/// What all containers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) zones: Zones,
    pub(crate) host: HostResolvers,
    runtime: Handle,
    pub(crate) opener: Opener,
    /// Of the host's name servers.
    pub(crate) health: Health,
    pub(crate) limits: Limits,
}

/// The sockets that a container's questions come by, made in its network namespace. They need not be non-blocking, and the
/// TCP socket need not listen yet.
#[derive(Debug)]
pub struct Sockets {
    /// A bound UDP socket.
    pub udp: OwnedFd,
    /// A bound TCP socket.
    pub tcp: OwnedFd,
}

/// A container that is being served, until this is dropped.
#[derive(Debug)]
#[must_use = "a container is served only as long as this is kept"]
pub struct Serving {
    sandbox: Arc<Sandbox>,
    task: AbortHandle,
}

/// One container: what all its tasks share.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) shared: Arc<Shared>,
    view: RwLock<Arc<View>>,
    /// Of the name servers that are asked from its own namespace.
    pub(crate) health: Health,
    pub(crate) permits: Semaphore,
}

/// A container can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A socket is of another kind, or the runtime is gone.
    #[error("listen on the DNS {protocol} socket of a container")]
    Listen {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Server {
    /// A server that answers from `zones`, asks the name servers of `host`, and runs on `runtime`.
    pub fn new(zones: Zones, host: HostResolvers, runtime: Handle) -> Self {
        Self(Arc::new(Shared {
            zones,
            host,
            runtime,
            opener: Opener::default(),
            health: Health::default(),
            limits: Limits::of_this_process(),
        }))
    }

    /// The names that it knows.
    pub fn zones(&self) -> &Zones {
        &self.0.zones
    }

    /// The host's name servers, search domains and options.
    pub fn host(&self) -> &HostResolvers {
        &self.0.host
    }

    /// Serves a container. Any thread may call this.
    ///
    /// # Errors
    /// When the sockets are of another kind, or no descriptor can be watched. Trying again doesn't help.
    pub fn serve(&self, sockets: Sockets, view: View) -> Result<Serving, ServeError> {
        let _inside = self.0.runtime.enter();
        let udp = udp(sockets.udp).map_err(|source| ServeError::Listen { protocol: "UDP", source })?;
        let tcp = tcp(sockets.tcp).map_err(|source| ServeError::Listen { protocol: "TCP", source })?;
        let sandbox = Arc::new(Sandbox::new(self.0.clone(), view));
        let task = self.0.runtime.spawn(listen::listen(sandbox.clone(), udp, tcp)).abort_handle();
        Ok(Serving { sandbox, task })
    }
}

impl Serving {
    /// Shows the container something else from now on, e.g. when it was connected to a network. Questions that are being
    /// answered are not interrupted.
    pub fn update(&self, view: View) {
        *self.sandbox.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sandbox {
    fn new(shared: Arc<Shared>, view: View) -> Self {
        let permits = Semaphore::new(shared.limits.forwards_of_a_container);
        Self { shared, view: RwLock::new(Arc::new(view)), health: Health::default(), permits }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn udp(socket: OwnedFd) -> io::Result<UdpSocket> {
    expect_kind(&socket, rustix::net::SocketType::DGRAM)?;
    let socket = net::UdpSocket::from(socket);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn tcp(socket: OwnedFd) -> io::Result<TcpListener> {
    expect_kind(&socket, rustix::net::SocketType::STREAM)?;
    let listener = net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    rustix::net::listen(&listener, listen::BACKLOG)?;
    TcpListener::from_std(listener)
}

fn expect_kind(socket: &OwnedFd, kind: rustix::net::SocketType) -> io::Result<()> {
    let is_so = rustix::net::sockopt::socket_type(socket)? == kind;
    is_so.then_some(()).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a socket of another kind"))
}
