//! Our own registry.

use std::{future::pending, net::SocketAddr};

use minke_registry::{Registry, RegistryConfig};
use tokio::{net::TcpListener, task::JoinHandle};

/// A registry that serves until it is dropped.
pub(crate) struct OwnRegistry {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl OwnRegistry {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut RegistryConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = RegistryConfig::new(folder.path().join("registry"));
        change(&mut config);
        let registry = Registry::open(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { registry.serve(vec![listener], pending()).await.unwrap() });
        Self { address, task, _folder: folder }
    }
}

impl Drop for OwnRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}
