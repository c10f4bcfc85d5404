//! A network namespace that a test makes, so that its traffic and tables are its own.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use minke_netlink::{
    namespace,
    route::{Batch, RouteSocket},
};

/// A network namespace with its loopback up; it goes when the last process and handle in it are gone.
#[derive(Clone)]
pub struct NetworkNamespace(Arc<OwnedFd>);

impl NetworkNamespace {
    /// A fresh one.
    ///
    /// # Panics
    /// When the kernel refuses (not root).
    pub fn new() -> Self {
        let making = namespace::make(|| {
            RouteSocket::open()
                .and_then(|mut socket| socket.run(Batch::new().up("lo")))
                .map_err(io::Error::other)?;
            namespace::current()
        });
        let made = making.and_then(namespace::Making::finish);
        Self(Arc::new(made.expect("a network namespace can be made (as root)")))
    }

    /// Runs `work` on a thread of this namespace; sockets and processes it makes stay in it.
    ///
    /// # Panics
    /// When `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::run_in(self.0.as_fd(), work).expect("the namespace can be entered")
    }
}

impl Default for NetworkNamespace {
    fn default() -> Self {
        Self::new()
    }
}
