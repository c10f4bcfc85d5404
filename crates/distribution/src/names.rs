//! Looking hosts up without the C library, which a static program can't ask: `/etc/hosts`, then the name
//! servers of `/etc/resolv.conf`.
//!
//! An engine runs for months, and may start before the network is there, so both files are read again when
//! they have changed.

mod sockets;

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use hickory_resolver::{
    Resolver,
    config::{LookupIpStrategy, ResolveHosts},
    net::NetError,
    system_conf::parse_resolv_conf,
};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use self::sockets::Sockets;

use crate::NameFiles;

/// A name that could not be looked up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NameError {
    /// There is no such name.
    #[error("no such host: {0}")]
    Unknown(String),
    /// The name leads elsewhere than where it may lead.
    #[error("{0} has no address in the insecure networks")]
    Outside(String),
    /// The name servers are not known.
    #[error("look up {name}: read {path}")]
    NoServers {
        /// The name.
        name: String,
        /// The file that names them.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: NetError,
    },
    /// The name servers could not be asked.
    #[error("look up {name}")]
    Failed {
        /// The name.
        name: String,
        /// Why it failed.
        #[source]
        source: NetError,
    },
}

/// What looks names up. Clones share what was read.
#[derive(Clone)]
pub(crate) struct Names {
    files: NameFiles,
    read: Arc<Mutex<Option<Arc<Read>>>>,
}

/// Both files as they were when they had these stamps.
struct Read {
    stamps: [Option<Stamp>; 2],
    hosts: HashMap<String, Vec<IpAddr>>,
    servers: Result<Resolver<Sockets>, NetError>,
}

type Stamp = (SystemTime, u64);

impl Names {
    pub(crate) fn new(files: NameFiles) -> Self {
        Self { files, read: Arc::default() }
    }

    /// The addresses of a name.
    pub(crate) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        let read = self.read();
        if let Some(addresses) = local(&read.hosts, name) {
            return Ok(addresses);
        }
        let servers = read.servers.as_ref().map_err(|error| NameError::NoServers {
            name: name.to_owned(),
            path: self.files.resolv_conf.clone(),
            source: error.clone(),
        })?;
        match servers.lookup_ip(name).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => {
                Err(NameError::Unknown(name.to_owned()))
            }
            Err(source) => Err(NameError::Failed { name: name.to_owned(), source }),
        }
    }

    /// The files as they are now. Reading them is a matter of microseconds, and done only when they changed.
    fn read(&self) -> Arc<Read> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = [stamp(&self.files.hosts), stamp(&self.files.resolv_conf)];
        match &*read {
            Some(known) if known.stamps == stamps => known.clone(),
            _ => {
                // A host without the file has no names of its own.
                let hosts = fs::read(&self.files.hosts).unwrap_or_default();
                let new = Arc::new(Read {
                    stamps,
                    hosts: parse_hosts(&String::from_utf8_lossy(&hosts)),
                    servers: servers(&self.files.resolv_conf),
                });
                read.insert(new).clone()
            }
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn servers(path: &Path) -> Result<Resolver<Sockets>, NetError> {
    let (config, mut options) = parse_resolv_conf(fs::read(path)?)?;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    Resolver::builder_with_config(config, Sockets::default()).with_options(options).build()
}

/// Addresses by name (hosts(5)).
fn parse_hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            hosts.entry(name.to_ascii_lowercase()).or_default().push(address);
        }
    }
    hosts
}

/// What is known without a name server. `localhost` is this host even where no file says so (RFC 6761).
fn local(hosts: &HashMap<String, Vec<IpAddr>>, name: &str) -> Option<Vec<IpAddr>> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let itself = || vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    hosts.get(&name).cloned().or_else(|| (name == "localhost").then(itself))
}

/// The same for the HTTP client, with the networks that names have to lead to; none: anywhere.
pub(crate) struct Within {
    pub(crate) names: Names,
    pub(crate) networks: Arc<[IpNet]>,
}

impl Resolve for Within {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, networks) = (self.names.clone(), self.networks.clone());
        Box::pin(async move {
            let mut found = names.lookup(name.as_str()).await?;
            if !networks.is_empty() {
                found.retain(|address| networks.iter().any(|network| network.contains(address)));
            }
            match found.is_empty() {
                true => Err(NameError::Outside(name.as_str().to_owned()).into()),
                false => Ok(Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs),
            }
        })
    }
}
