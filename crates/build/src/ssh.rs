//! The client's ssh agent in a step: a socket whose every connection is one to the agent.

use std::{io, path::Path, sync::Arc};

use tokio::net::UnixListener;

use crate::{SshAgents, copy::handle_path};

/// Connections to an agent at the same time.
const MOST_CONNECTIONS: usize = 64;

/// A socket that is served as long as this lives.
pub(crate) struct Forward(tokio::task::JoinHandle<()>);

impl Forward {
    /// Listens at `path`, in a directory that only root may enter.
    pub(crate) fn start(path: &Path, agents: Arc<dyn SshAgents>, id: String) -> io::Result<Self> {
        // A socket's path has 107 bytes at most, so it is named by its directory's handle.
        let directory = std::fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
        let listener =
            UnixListener::bind(handle_path(&directory).join(path.file_name().unwrap_or_default()))?;
        Ok(Self(tokio::spawn(serve(listener, agents, id))))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(listener: UnixListener, agents: Arc<dyn SshAgents>, id: String) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept a connection to an ssh agent");
                return;
            }
        };
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        let (agents, id) = (Arc::clone(&agents), id.clone());
        connections.spawn(async move {
            let mut stream = stream;
            match agents.connect(&id).await {
                Ok(mut agent) => drop(tokio::io::copy_bidirectional(&mut stream, &mut agent).await),
                Err(error) => tracing::info!(%error, "connect to the client's ssh agent"),
            }
        });
    }
}
