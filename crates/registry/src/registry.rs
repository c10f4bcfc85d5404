//! A registry as its owner sees it: opened, served, cleaned.

use std::{io, sync::Arc, time::Duration};

use minke_tls::{Clients, ServerTls};
use tokio::{net::TcpListener, time::interval};

use crate::{
    Collected, GarbageOptions, HtpasswdError, RegistryConfig, StoreError, TlsError, api::Service,
    auth::Users, cache::Cache, server, store::Store,
};

/// How often uploads are looked at that nobody goes on with.
const EXPIRY: Duration = Duration::from_secs(60);
/// How often the certificate is read again: it may have been renewed.
const RENEWAL: Duration = Duration::from_secs(600);
/// How often the engine's store is looked at for what it has as well.
const SHARING: Duration = Duration::from_secs(60);

/// A registry.
pub struct Registry {
    service: Arc<Service>,
    tls: Option<ServerTls>,
    garbage: Option<GarbageOptions>,
}

/// A registry that can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder or database; another process may have it open.
    #[error("open the registry's store")]
    Store(#[from] StoreError),
    /// Its certificate.
    #[error("set TLS up")]
    Tls(#[from] TlsError),
    /// Its users.
    #[error("read the users")]
    Htpasswd(#[from] HtpasswdError),
}

impl Registry {
    /// Opens a registry, or makes a new one. Blocks while it reads.
    ///
    /// # Errors
    /// [`OpenError`], with the file that is wrong.
    pub fn open(config: RegistryConfig) -> Result<Self, OpenError> {
        let tls = config.tls.map(|files| ServerTls::open(files, Clients::Everybody)).transpose()?;
        let users = config.htpasswd.as_deref().map(Users::open).transpose()?;
        let limits = config.limits;
        let store = Arc::new(Store::open(&config.root, config.twin, limits.uploads, limits.reserve)?);
        let service = Service {
            cache: config.upstream.map(|upstream| Cache::new(upstream, store.clone(), limits)),
            store,
            users,
            limits,
            read_only: config.read_only,
            deletion: config.deletion,
            complete: config.complete,
        };
        Ok(Self { service: Arc::new(service), tls, garbage: config.garbage })
    }

    /// Serves on `listeners` until `shutdown` resolves; then no connection is accepted any more, and requests
    /// in flight have ten seconds to finish. In between it collects garbage, as far as it was told to.
    ///
    /// # Errors
    /// When a listener itself fails; errors of single connections are only logged.
    pub async fn serve(
        &self,
        listeners: Vec<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let serving = server::serve(self.service.clone(), self.tls.clone(), listeners, shutdown);
        tokio::select! {
            result = serving => result,
            () = self.clean() => Ok(()),
        }
    }

    /// Removes what nothing names from repositories that nobody has pushed to within `grace`. Blocks.
    ///
    /// # Errors
    /// [`StoreError`]; what was removed until then is gone, the rest is found by the next run.
    pub fn collect_garbage(&self, grace: Duration) -> Result<Collected, StoreError> {
        self.service.store.uploads.expire(self.service.limits.upload_expiry);
        self.service.store.collect_garbage(grace)
    }

    /// Never ends.
    async fn clean(&self) {
        let uploads = async {
            let mut ticks = interval(EXPIRY);
            loop {
                ticks.tick().await;
                let service = self.service.clone();
                let expire = move || service.store.uploads.expire(service.limits.upload_expiry);
                if let Ok(dropped @ 1..) = tokio::task::spawn_blocking(expire).await {
                    tracing::info!(dropped, "uploads that nobody went on with");
                }
            }
        };
        let garbage = async {
            let Some(options) = self.garbage else { return std::future::pending::<()>().await };
            let mut ticks = interval(options.every.max(Duration::from_secs(1)));
            ticks.tick().await;
            loop {
                ticks.tick().await;
                let store = self.service.store.clone();
                match tokio::task::spawn_blocking(move || store.collect_garbage(options.grace)).await {
                    Ok(Ok(collected)) => tracing::info!(?collected, "garbage"),
                    Ok(Err(error)) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "garbage was not collected");
                    }
                    Err(error) => tracing::error!(%error, "garbage was not collected"),
                }
            }
        };
        let sharing = async {
            let (mut ticks, mut seen) = (interval(SHARING), None);
            loop {
                ticks.tick().await;
                let (store, before) = (self.service.store.clone(), seen);
                let share = move || {
                    let mut seen = before;
                    let saved = store.share(&mut seen);
                    (saved, seen)
                };
                let Ok((saved, now)) = tokio::task::spawn_blocking(share).await else { continue };
                seen = now;
                match saved {
                    Ok(0) => {}
                    Ok(bytes) => tracing::info!(bytes, "shared with the engine's store"),
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "nothing is shared");
                    }
                }
            }
        };
        let certificates = async {
            let Some(tls) = &self.tls else { return };
            let mut ticks = interval(RENEWAL);
            loop {
                ticks.tick().await;
                if let Err(error) = tls.reload() {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the certificate stays as it was"
                    );
                }
            }
        };
        tokio::join!(uploads, garbage, sharing, certificates);
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}
