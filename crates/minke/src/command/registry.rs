//! `registry`: a registry of one's own, without an engine.

mod upstream;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::{ArgMatches, CommandFactory, Parser};
use minke_model::quantity;
use minke_registry::{Registry, RegistryConfig, TlsFiles, Upstream};
use tokio::{net::TcpListener, signal::unix::SignalKind};

use crate::{
    cli::verb::{Action, Arity, Verb, typed},
    context::Globals,
    daemon,
    failure::{Failure, chain},
    output,
};

/// Where a registry keeps its content, unless `--root` says otherwise.
const DEFAULT_ROOT: &str = "/var/lib/minke-registry";

/// Flags of `registry serve`.
#[derive(Debug, Parser)]
struct Serve {
    /// Address and port to listen on; may be given several times
    #[arg(short, long, value_name = "address:port", default_value = "127.0.0.1:5000")]
    listen: Vec<SocketAddr>,
    /// Folder of everything the registry keeps
    #[arg(long, value_name = "string", default_value = DEFAULT_ROOT)]
    root: PathBuf,
    /// Root folder of an engine on this host: what both have is on the disk once, if they are on one file system
    #[arg(long, value_name = "folder", default_value = daemon::DEFAULT_ROOT)]
    engine_root: PathBuf,
    /// Certificate to serve TLS with, in PEM
    #[arg(long, value_name = "file")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "file")]
    tls_key: Option<PathBuf>,
    /// File of user:bcrypt lines, as htpasswd -B writes them; without it everybody may do everything
    #[arg(long, value_name = "file")]
    htpasswd: Option<PathBuf>,
    /// Be the cache of another registry (docker.io, or with http:// or https:// before it): fetch from there what is not here
    #[arg(long, value_name = "registry")]
    cache_of: Option<String>,
    /// User to be at the registry that is cached
    #[arg(long, value_name = "string", requires = "cache_of")]
    upstream_user: Option<String>,
    /// File with that user's password
    #[arg(long, value_name = "file", requires = "cache_of")]
    upstream_password_file: Option<PathBuf>,
    /// Refuse pushes and deletions
    #[arg(long)]
    read_only: bool,
    /// Refuse deletions
    #[arg(long)]
    no_delete: bool,
    /// Logging level: debug, info, warn or error
    #[arg(long, value_name = "string", value_parser = ["trace", "debug", "info", "warn", "error", "fatal"])]
    log_level: Option<String>,
}

/// Flags of `registry prune`.
#[derive(Debug, Parser)]
struct Prune {
    /// Folder of everything the registry keeps; no registry may be serving it
    #[arg(long, value_name = "string", default_value = DEFAULT_ROOT)]
    root: PathBuf,
}

pub(crate) static SERVE: Verb = Verb {
    about: "Serve a registry (the OCI distribution API)",
    usage: "[OPTIONS]",
    arity: Arity::None,
    flags_anywhere: true,
    build: Serve::command,
    action: Action::Plain(serve),
};

pub(crate) static PRUNE: Verb = Verb {
    about: "Remove what no manifest of a registry names",
    usage: "[OPTIONS]",
    arity: Arity::None,
    flags_anywhere: true,
    build: Prune::command,
    action: Action::Plain(prune),
};

fn serve(globals: Globals, matches: &ArgMatches) -> Result<(), Failure> {
    let args = typed::<Serve>(matches)?;
    daemon::Log::start(args.log_level.as_deref().or(globals.log_level.as_deref()))?;
    let open = args.listen.iter().any(|address| !address.ip().is_loopback());
    if open && args.htpasswd.is_none() && !args.read_only && args.cache_of.is_none() {
        tracing::warn!(
            "whoever reaches this registry may push and delete; --htpasswd or --read-only keeps others out"
        );
    }
    let upstream = args.cache_of.as_deref().map(|address| {
        upstream::Remote::new(address, args.upstream_user.clone(), args.upstream_password_file.as_deref())
    });
    let upstream = upstream.transpose()?.map(|remote| Arc::new(remote) as Arc<dyn Upstream>);
    let config = RegistryConfig {
        twin: Some(args.engine_root.join("content/blobs")),
        upstream,
        read_only: args.read_only,
        deletion: !args.no_delete,
        tls: tls_files(args.tls_cert, args.tls_key)?,
        htpasswd: args.htpasswd,
        ..RegistryConfig::new(args.root)
    };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let registry = opened(config)?;
    daemon::event_loop()?.block_on(async {
        let mut stop = daemon::stop_signals(&[SignalKind::hangup()])?;
        let mut listeners = Vec::new();
        for address in args.listen {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(|error| Failure::doing(format!("listen on {address}"), error))?;
            let bound =
                listener.local_addr().map_err(|error| Failure::doing("ask for the address", error))?;
            output::line(&format!("Registry listens on {scheme}://{bound}"))?;
            listeners.push(listener);
        }
        let stopped = async move {
            // The sender lives as long as the process.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        registry.serve(listeners, stopped).await.map_err(|error| Failure::doing("serve the registry", error))
    })
}

fn tls_files(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, Failure> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        _ => Err(Failure::new("minke registry: --tls-cert and --tls-key need each other")),
    }
}

fn prune(_: Globals, matches: &ArgMatches) -> Result<(), Failure> {
    let registry = opened(RegistryConfig::new(typed::<Prune>(matches)?.root))?;
    // Nobody pushes while nobody serves.
    let gone = registry.collect_garbage(Duration::ZERO);
    let gone = gone.map_err(|error| Failure::new(format!("minke registry prune: {}", chain(&error))))?;
    output::line(&format!("Removed {} blobs", gone.blobs))?;
    output::line(&format!("Total reclaimed space: {}", quantity::decimal_size(gone.bytes as f64, 4)))
}

fn opened(config: RegistryConfig) -> Result<Registry, Failure> {
    Registry::open(config).map_err(|error| Failure::new(format!("minke registry: {}", chain(&error))))
}
