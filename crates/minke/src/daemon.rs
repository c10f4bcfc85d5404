//! `minke daemon`: the engine, served at its sockets until a signal comes or, where asked for, nothing is left to do.

mod idle;
mod settings;
mod socket;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgMatches, CommandFactory, Parser, parser::ValueSource};
use minke_docker_api::Server;
use minke_docker_client::Endpoint;
use minke_engine::{Engine, EngineConfig, ProxySettings, RegistrySettings, RuntimeProgram};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tracing_subscriber::EnvFilter;

use crate::{
    cli::verb::{Action, Arity, Verb, typed},
    context::Globals,
    endpoint::DEFAULT_HOST,
    failure::{Failure, chain},
    output,
};

/// Where everything that survives a reboot is, unless `--root` says otherwise.
pub(crate) const DEFAULT_ROOT: &str = "/var/lib/minke";

/// Where certificates of registries are looked for, by host.
pub(crate) const CERTIFICATE_FOLDERS: [&str; 3] =
    ["/etc/minke/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d"];

/// How long an engine waits for work before it leaves with `--leave-when-idle`.
const DEFAULT_PATIENCE: &str = "60";

/// Flags of `daemon`.
#[derive(Debug, Parser)]
pub(crate) struct Daemon {
    /// Further OCI runtime that containers may ask for by name; may be given several times
    #[arg(long, value_name = "name=path", value_parser = settings::runtime)]
    add_runtime: Vec<(String, RuntimeProgram)>,
    /// Subnet of the default bridge, e.g. 172.29.0.1/16 (default: a free one)
    #[arg(long, value_name = "subnet")]
    bip: Option<String>,
    /// Configuration file, with dockerd's names; command line and file may not both set the same
    #[arg(long, value_name = "file", default_value = settings::DEFAULT_FILE)]
    config_file: PathBuf,
    /// Leave the session of whoever started it
    #[arg(long, hide = true)]
    detached: bool,
    /// Group that may use the sockets
    #[arg(short = 'G', long, value_name = "string")]
    group: Option<String>,
    /// Socket to listen on; may be given several times
    #[arg(short = 'H', long, value_name = "list", default_value = DEFAULT_HOST)]
    host: Vec<String>,
    /// Registry (host, host:port or network) that may be spoken to without TLS or verification; may be given several times
    #[arg(long, value_name = "list")]
    insecure_registry: Vec<String>,
    /// Leave after so many seconds without running containers and requests (default 60)
    #[arg(long, value_name = "seconds", num_args = 0..=1, require_equals = true, default_missing_value = DEFAULT_PATIENCE)]
    leave_when_idle: Option<u64>,
    /// Logging level: debug, info, warn or error
    #[arg(short, long, value_name = "string", value_parser = ["trace", "debug", "info", "warn", "error", "fatal"])]
    log_level: Option<String>,
    /// Layers that are pulled at the same time
    #[arg(long, value_name = "int")]
    max_concurrent_downloads: Option<usize>,
    /// What names of the bridge, the nftables table and the cgroup parent begin with
    #[arg(long, value_name = "string", default_value = "minke")]
    name_prefix: String,
    /// Mirror of Docker Hub, tried before it; may be given several times
    #[arg(long, value_name = "list")]
    registry_mirror: Vec<String>,
    /// Root directory of persistent state
    #[arg(long, alias = "data-root", value_name = "string", default_value = DEFAULT_ROOT)]
    root: PathBuf,
    /// Path to minke-oci (default: beside this program)
    #[arg(long, value_name = "string")]
    runtime: Option<PathBuf>,
    /// Root directory of state that dies with the boot
    #[arg(long, alias = "exec-root", value_name = "string", default_value = "/run/minke")]
    state: PathBuf,
}

pub(crate) static DAEMON: Verb = Verb {
    about: "Run the engine",
    usage: "[OPTIONS]",
    arity: Arity::None,
    flags_anywhere: true,
    build: Daemon::command,
    action: Action::Plain(daemon),
};

/// Worker threads: the engine waits more than it computes, and each thread costs memory.
const WORKERS: usize = 2;

/// Threads for blocking file work; they end when they have nothing to do.
const BLOCKING: usize = 32;

fn daemon(globals: Globals, matches: &ArgMatches) -> Result<(), Failure> {
    let mut args = typed::<Daemon>(matches)?;
    let given = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    settings::read(&args.config_file, given("config_file"))?.apply(&mut args, &given)?;
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("minke daemon: the engine needs root: start it with sudo"));
    }
    if args.detached {
        // It fails only for the leader of a process group, which is a session's of its own soon enough.
        let _ = rustix::process::setsid();
    }
    minke_kernel::memory::limit_arenas(2);
    start_log(args.log_level.as_deref().or(globals.log_level.as_deref()))?;
    let sockets = socket_paths(&args.host)?;
    let runtime = runtime_program(args.runtime.as_deref())?;
    let event_loop = event_loop()?;
    let outcome = event_loop.block_on(run(args, &sockets, runtime));
    event_loop.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// What a server runs on.
pub(crate) fn event_loop() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_keep_alive(Duration::from_secs(5))
        .thread_stack_size(1 << 20)
        .thread_name("minke")
        .enable_all()
        .build()
        .map_err(|error| Failure::doing("start the event loop", error))
}

/// What a server says goes to standard error.
pub(crate) fn start_log(level: Option<&str>) -> Result<(), Failure> {
    let level = if level == Some("fatal") { "error" } else { level.unwrap_or("info") };
    let filter = EnvFilter::try_new(level).map_err(|error| Failure::doing("--log-level", error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(crate::terminal::stderr_is_terminal())
        .init();
    Ok(())
}

fn socket_paths(hosts: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let path = |host: &String| match Endpoint::parse(host) {
        Ok(Endpoint::Unix(path)) => Ok(path),
        Ok(_) => Err(Failure::new(format!(
            "minke daemon: --host {host}: only unix:// sockets are supported yet (the API without TLS gives root to everyone)"
        ))),
        Err(error) => Err(Failure::doing("minke daemon: --host", error)),
    };
    hosts.iter().map(path).collect()
}

/// `--runtime`, else `minke-oci` beside this program.
fn runtime_program(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let program = match given {
        Some(path) => std::path::absolute(path).map_err(|error| Failure::doing("--runtime", error))?,
        None => std::env::current_exe()
            .map_err(|error| Failure::doing("find minke itself", error))?
            .with_file_name("minke-oci"),
    };
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::new(format!(
        "minke daemon: there is no {}; name minke-oci with --runtime",
        program.display()
    )))
}

async fn run(args: Daemon, sockets: &[PathBuf], runtime: PathBuf) -> Result<(), Failure> {
    // Caught first, so that a signal during the start ends it in order.
    let stop = stop_signals()?;
    for path in sockets {
        socket::refuse_if_served(path)?;
    }
    let config = EngineConfig {
        root: args.root,
        state: args.state,
        name_prefix: args.name_prefix,
        runtime,
        runtimes: args.add_runtime.into_iter().collect(),
        bridge_subnet: args.bip,
        registries: RegistrySettings {
            insecure_registries: args.insecure_registry,
            mirrors: args.registry_mirror,
            certificate_folders: CERTIFICATE_FOLDERS.map(PathBuf::from).into(),
            proxies: ProxySettings::from_environment()
                .map_err(|error| Failure::new(format!("minke daemon: {error}")))?,
            ..RegistrySettings::default()
        },
        downloads_at_once: args.max_concurrent_downloads,
        version: env!("CARGO_PKG_VERSION"),
    };
    let engine = Engine::open(config)
        .await
        .map_err(|error| Failure::new(format!("minke daemon: {}", chain(&error))))?;
    let served = serve(&engine, sockets, args.group.as_deref(), args.leave_when_idle, stop).await;
    engine.close().await;
    tracing::info!("engine stopped");
    served
}

/// Serves all sockets until a signal comes or the engine has been idle for long enough.
async fn serve(
    engine: &Engine,
    sockets: &[PathBuf],
    group: Option<&str>,
    patience: Option<u64>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let group = group.map(socket::group_id).transpose()?;
    let (ending, ended) = watch::channel(false);
    let (mut servers, mut activities, mut bound) = (JoinSet::new(), Vec::new(), Vec::new());
    for path in sockets {
        let listener = socket::listen(path, group)?;
        bound.push(socket::Bound::new(path));
        let server = Server::new(engine.clone());
        activities.push(server.activity());
        let mut ended = ended.clone();
        servers.spawn(server.serve(listener, async move {
            // The sender lives until the end of this function, which awaits this task.
            let _ = ended.wait_for(|ended| *ended).await;
        }));
        output::line(&format!("API listen on unix://{}", path.display()))?;
    }
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => tracing::info!("signal received, stopping"),
        () = idle::left_alone(engine, &activities, patience) => tracing::info!("nothing left to do, leaving"),
        Some(Ok(Err(error))) = servers.join_next() => return Err(Failure::doing("serve the API", error)),
    }
    // New clients find no socket any more and start another engine; those that are connected are served to the end.
    drop(bound);
    let _ = ending.send(true);
    while servers.join_next().await.is_some() {}
    Ok(())
}

/// Becomes true at SIGTERM, SIGINT, SIGQUIT or SIGHUP.
pub(crate) fn stop_signals() -> Result<watch::Receiver<bool>, Failure> {
    let (sender, receiver) = watch::channel(false);
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()] {
        let mut signals = signal(kind).map_err(|error| Failure::doing("catch signals", error))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            signals.recv().await;
            let _ = sender.send(true);
        });
    }
    Ok(receiver)
}
