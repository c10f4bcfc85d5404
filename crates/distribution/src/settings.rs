//! What the configuration of this host says about registries.

use std::{io, path::PathBuf, time::Duration};

use rustls_pki_types::pem;

use crate::{insecure::InsecureRegistries, mirror, proxy::ProxySettings, retry::RetryPolicy};

/// How registries are reached. The default is Docker's: no mirrors, nothing insecure but this host itself.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Registries that may be spoken to without verification and without TLS: `host`, `host:port`, or a
    /// network such as `10.0.0.0/8`. `localhost`, `127.0.0.0/8` and `::1` always are.
    ///
    /// A host that is listed by its network alone is looked up by name, and then only the addresses within
    /// the network are connected to.
    pub insecure_registries: Vec<String>,
    /// Addresses that have what docker.io has, tried in this order before it: `https://mirror.example`.
    pub mirrors: Vec<String>,
    /// Where certificates lie by registry, as Docker (`<host:port>/*.crt`, `*.cert`, `*.key`) and containerd
    /// (`<host:port>/hosts.toml`) lay them out. The first folder that knows a registry is the one that
    /// counts.
    pub certificate_folders: Vec<PathBuf>,
    /// The proxies between this host and the world.
    pub proxies: ProxySettings,
    /// What this client calls itself.
    pub user_agent: String,
    /// How long a connection may take to be made: the name, TCP and TLS.
    pub connect_timeout: Duration,
    /// How long a registry may send nothing, or take nothing.
    pub stall_timeout: Duration,
    /// Tries after the first one. Transfers count those in a row without progress.
    pub retries: u32,
    /// The pause before the second try; each further one is twice as long.
    pub retry_pause: Duration,
    /// The longest pause that a registry may ask for with `Retry-After`. When it wants more, the request
    /// fails.
    pub longest_pause: Duration,
    /// Bytes of a manifest.
    pub manifest_limit: usize,
    /// The files that tell how names are looked up.
    pub names: NameFiles,
}

/// Where names are looked up. Both files are read again when they change.
#[derive(Debug, Clone)]
pub struct NameFiles {
    /// Names and addresses of this host's own, `/etc/hosts`.
    pub hosts: PathBuf,
    /// The name servers, `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            insecure_registries: Vec::new(),
            mirrors: Vec::new(),
            certificate_folders: Vec::new(),
            proxies: ProxySettings::default(),
            user_agent: concat!("minke/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            retries: 4,
            retry_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(60),
            manifest_limit: 4 << 20,
            names: NameFiles::default(),
        }
    }
}

impl Default for NameFiles {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into() }
    }
}

impl RegistrySettings {
    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy { retries: self.retries, first: self.retry_pause, longest: self.longest_pause }
    }

    /// Reads what is text here.
    pub(crate) fn parsed(&self) -> Result<(InsecureRegistries, Vec<url::Url>), SettingsError> {
        let insecure = InsecureRegistries::parse(&self.insecure_registries)?;
        let mirrors = self.mirrors.iter().map(|mirror| mirror::parse(mirror)).collect::<Result<_, _>>()?;
        Ok((insecure, mirrors))
    }
}

/// The configuration of this host can't be used. Trying again helps only after it was changed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An insecure registry is neither a host nor a network.
    #[error("{0:?} is no insecure registry: want host, host:port or a network such as 10.0.0.0/8")]
    Insecure(String),
    /// A mirror is no plain address.
    #[error("{mirror:?} is no registry mirror: {reason}; want an address such as https://mirror.example")]
    Mirror {
        /// As it was written.
        mirror: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A proxy is no address. Its text is not shown, since it may have a password in it.
    #[error("the {0} proxy is no address: want http://host:port, https://host:port or socks5://host:port")]
    Proxy(&'static str),
    /// The user agent has bytes that no header may have.
    #[error("{0:?} can't be the user agent: want printable ASCII")]
    UserAgent(String),
    /// A registry's name is no host.
    #[error("{0:?} is no registry: want host or host:port")]
    Host(String),
    /// A file or folder can't be read.
    #[error("read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file has no certificate, or no key.
    #[error("read {path}: want PEM with {wanted}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// Why it failed.
        #[source]
        source: pem::Error,
    },
    /// A certificate for clients has no key beside it, or the other way around.
    #[error("{path} has no {missing} beside it")]
    Pair {
        /// The file that is there.
        path: PathBuf,
        /// The name of the file that is not.
        missing: String,
    },
    /// A `hosts.toml` is wrong.
    #[error("{path}, line {line}: {reason}")]
    HostsToml {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// An address or header in a `hosts.toml` is none.
    #[error("{path}: {reason}")]
    Address {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate, a key or both can't be used for TLS.
    #[error("use the certificates for {host}")]
    Tls {
        /// Where they were to be used, `host[:port]`.
        host: String,
        /// Why it failed.
        #[source]
        source: rustls::Error,
    },
    /// The HTTP client can't be made.
    #[error("make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// The settings keep everybody from doing this.
    #[error("no endpoint of {registry} may be used to {action}: see capabilities in its hosts.toml")]
    NoEndpoint {
        /// The registry.
        registry: String,
        /// `pull`, `resolve` or `push`.
        action: &'static str,
    },
    /// A thread that read files broke down.
    #[error("read the settings of {0}: the reading thread ended")]
    Thread(String),
}
