//! What every verb gets: the engine's client and the user's settings.

use std::{cell::OnceCell, path::PathBuf};

use minke_docker_client::{ApiVersion, Client, Tls};

use crate::{compose::flags::ProjectFlags, config_file::ConfigFile, endpoint, failure::Failure, output};

/// The flags that stand before the verb.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Globals {
    /// `--host`
    pub(crate) host: Option<String>,
    /// `--context`
    pub(crate) context: Option<String>,
    /// `--config`
    pub(crate) config: Option<PathBuf>,
    /// `--debug`, `--log-level`
    pub(crate) log_level: Option<String>,
    /// `--tls` and its kin.
    pub(crate) tls: TlsFlags,
    /// The engine where nothing names one; minke's own without.
    pub(crate) fallback_host: Option<String>,
    /// The flags between `compose` and its verb.
    pub(crate) compose: ProjectFlags,
}

/// The flags for TLS to an engine; what isn't given may be in the environment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct TlsFlags {
    /// `--tls`
    pub(crate) tls: Option<bool>,
    /// `--tlsverify`
    pub(crate) verify: Option<bool>,
    /// `--tlscacert`
    pub(crate) ca: Option<PathBuf>,
    /// `--tlscert`
    pub(crate) certificate: Option<PathBuf>,
    /// `--tlskey`
    pub(crate) key: Option<PathBuf>,
}

/// A verb's surroundings; the engine is looked for when it is first needed.
#[derive(Debug)]
pub(crate) struct Context {
    globals: Globals,
    client: OnceCell<Client>,
    config: OnceCell<ConfigFile>,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals, client: OnceCell::new(), config: OnceCell::new() }
    }

    /// The client of the engine that the flags and the environment name; without any, minke's own, which is
    /// started where none runs.
    ///
    /// # Errors
    /// When the address makes no sense or no engine could be started.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let target = endpoint::resolve(&self.globals, self.config())?;
        if target.is_default {
            endpoint::ensure_engine(&target.endpoint)?;
        }
        let mut client = Client::new(target.endpoint);
        if let Some(material) = target.tls {
            client =
                client.with_tls(Tls::new(&material).map_err(|error| Failure::doing("minke: TLS", error))?);
        }
        let headers: Vec<_> =
            self.config().http_headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if !headers.is_empty() {
            let headers = Client::headers(&headers)
                .map_err(|error| Failure::doing("HttpHeaders of config.json", error))?;
            client = client.with_headers(headers);
        }
        if let Some(version) = std::env::var("DOCKER_API_VERSION").ok().filter(|version| !version.is_empty())
        {
            client = client.with_version(fixed(&version)?);
        }
        Ok(self.client.get_or_init(|| client))
    }

    /// The name of the docker context in use.
    pub(crate) fn name(&self) -> String {
        endpoint::context_name(&self.globals, self.config())
    }

    /// The flags that stood before the verb.
    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// The user's `config.json`. One that can't be read is worth a warning and no more, as to the docker CLI.
    pub(crate) fn config(&self) -> &ConfigFile {
        self.config.get_or_init(|| {
            ConfigFile::load(self.globals.config.as_deref()).unwrap_or_else(|failure| {
                output::note(&format!("WARNING: Error loading config file: {}", failure.message));
                ConfigFile::unread(self.globals.config.as_deref())
            })
        })
    }

    /// The proxy variables that the user's configuration has for what runs on this engine.
    ///
    /// # Errors
    /// As [`Self::client`], when it has any.
    pub(crate) fn proxies(&self) -> Result<Vec<(String, String)>, Failure> {
        let config = self.config();
        match config.proxies.is_empty() {
            true => Ok(Vec::new()),
            false => Ok(config.proxy_environment(&self.client()?.endpoint().to_string())),
        }
    }
}

fn fixed(version: &str) -> Result<ApiVersion, Failure> {
    version.parse().map_err(|error| Failure::doing("DOCKER_API_VERSION", error))
}
