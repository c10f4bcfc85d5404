//! `--http-proxy` and its kind: how the engine reaches registries, files by URL and repositories, else the environment says.

use clap::Args;
use minke_engine::ProxySettings;

use crate::failure::Failure;

/// Flags about proxies.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ProxyArgs {
    /// Proxy of the engine's requests without TLS (default: HTTP_PROXY)
    #[arg(long, value_name = "string")]
    pub(super) http_proxy: Option<String>,
    /// Proxy of the engine's requests with TLS (default: HTTPS_PROXY)
    #[arg(long, value_name = "string")]
    pub(super) https_proxy: Option<String>,
    /// Hosts, domains and networks that are reached directly, separated by commas (default: NO_PROXY)
    #[arg(long, value_name = "string")]
    pub(super) no_proxy: Option<String>,
}

impl ProxyArgs {
    /// What the engine is told: each of the three from its flag or from the environment.
    ///
    /// # Errors
    /// When a proxy is no address.
    pub(super) fn settings(&self) -> Result<ProxySettings, Failure> {
        ProxySettings::with_environment(
            self.http_proxy.as_deref(),
            self.https_proxy.as_deref(),
            self.no_proxy.as_deref(),
        )
        .map_err(|error| Failure::new(format!("minke daemon: {error}")))
    }
}
