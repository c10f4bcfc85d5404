//! The server: accepts connections until it is told to stop, and then sees them off in bounded time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use minke_build::Builder;
use minke_engine::Engine;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::activity::Activity;
use crate::build::session::Uploads;
use crate::buildkit::BuildKit;
use crate::call::{Context, Life};
use crate::listener::Listener;

/// How long requests in flight may take to finish after the server was told to stop. Streams end at once.
const GRACE: Duration = Duration::from_secs(5);

/// How long accepting pauses when the process is out of descriptors; connections wait in the listener's
/// backlog meanwhile.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

/// Serves the Docker API on `listener` until `shutdown` resolves.
///
/// # Errors
/// When the listener itself fails; errors of single connections are only logged.
pub async fn serve(
    listener: impl Into<Listener>,
    engine: Engine,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    Server::new(engine).serve(listener, shutdown).await
}

/// A server whose activity can be watched.
pub struct Server {
    context: Arc<Context>,
    stop: watch::Sender<bool>,
}

impl Server {
    /// A server in front of `engine`, with a builder of its own.
    pub fn new(engine: Engine) -> Self {
        let builder = Builder::new(engine.clone());
        Self::with_builder(engine, builder)
    }

    /// A server in front of `engine` and its one builder: all servers of an engine are to share that.
    pub fn with_builder(engine: Engine, builder: Builder) -> Self {
        Self::with_buildkit(engine, builder, None)
    }

    /// The same, and who speaks BuildKit's protocol beside it.
    pub fn with_buildkit(engine: Engine, builder: Builder, buildkit: Option<Arc<dyn BuildKit>>) -> Self {
        let (stop, stopping) = watch::channel(false);
        let version = engine.version().version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
        let server = format!("Minke/{version} (linux)");
        let life = Life { activity: Activity::new(), stopping };
        Self {
            context: Arc::new(Context {
                engine,
                builder,
                buildkit,
                uploads: Uploads::default(),
                server,
                life,
            }),
            stop,
        }
    }

    /// Who is talking to the engine; stays valid after the server has ended.
    pub fn activity(&self) -> Arc<Activity> {
        self.context.life.activity.clone()
    }

    /// Serves `listener` until `shutdown` resolves: then no connection is accepted any more, streams and
    /// sessions end, and other requests in flight have five seconds to finish.
    ///
    /// # Errors
    /// When the listener itself fails.
    pub async fn serve(
        self,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let listener = listener.into();
        let mut connections = JoinSet::new();
        let result = tokio::select! {
            result = self.accept(&listener, &mut connections) => result,
            () = shutdown => Ok(()),
        };
        drop(listener);
        // Nobody listens when no connection was ever made.
        let _ = self.stop.send(true);
        let drained = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests did not finish in time and are cut off"
            );
        }
        result
    }

    async fn accept(&self, listener: &Listener, connections: &mut JoinSet<()>) -> io::Result<()> {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => {
                        let life = self.context.life.clone();
                        connections.spawn(accepted.serve(life, self.context.clone()));
                    }
                    Err(error) if is_passing(&error) => {
                        tracing::warn!(%error, "accepting a connection");
                        tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                    }
                    Err(error) => return Err(error),
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// Whether accepting may work again by itself: the other side gave up (`ECONNABORTED`), or descriptors or
/// memory are short (`EMFILE` 24, `ENFILE` 23, `ENOBUFS` 105, `ENOMEM` 12).
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
        || matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105))
}
