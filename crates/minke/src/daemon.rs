//! `minke daemon`: the engine, served at its sockets until a signal comes or, where asked for, nothing is left to do.
//!
//! ```text
//!   flags + daemon.json ─▶ addresses, TLS checked ─▶ engine opened ─▶ listeners ─▶ READY=1 ─▶ served
//!                 ▲                                                                              │
//!                 └────────────────────── SIGHUP: what may change is changed ◀───────────────────┘
//! ```

mod builds;
mod containers;
mod dockerds;
mod idle;
mod listen;
mod log;
mod metrics;
mod networks;
mod pid_file;
mod proxies;
mod reload;
mod service_manager;
mod settings;
mod socket;
mod transport;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{ArgMatches, CommandFactory, Parser, parser::ValueSource};
use listenfd::ListenFd;
use minke_docker_api::{BuildKit, Server};
use minke_engine::{BuildSettings, Engine, EngineConfig, RegistrySettings, RuntimeProgram, Settings};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

pub(crate) use self::log::Log;
use self::{
    containers::ContainerArgs,
    dockerds::DockerdArgs,
    listen::{Address, Listening},
    networks::NetworkArgs,
    pid_file::PidFile,
    proxies::ProxyArgs,
    settings::FileSettings,
    transport::{Tcp, Transport},
};
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
#[derive(Debug, Clone, Parser)]
pub(crate) struct Daemon {
    /// Further OCI runtime that containers may ask for by name; may be given several times
    #[arg(long, value_name = "name=path", value_parser = settings::runtime)]
    add_runtime: Vec<(String, RuntimeProgram)>,
    #[command(flatten)]
    containers: ContainerArgs,
    #[command(flatten)]
    dockerds: DockerdArgs,
    #[command(flatten)]
    proxies: ProxyArgs,
    /// Configuration file, with dockerd's names; command line and file may not both set the same. Read again at SIGHUP
    #[arg(long, value_name = "file", default_value = settings::DEFAULT_FILE)]
    config_file: PathBuf,
    /// What builds may do; only the file says it.
    #[arg(skip)]
    builds: BuildSettings,
    /// Enable debug mode
    #[arg(short = 'D', long)]
    debug: bool,
    /// Runtime of containers that ask for none (default: minke-oci)
    #[arg(long, value_name = "string")]
    default_runtime: Option<String>,
    /// Leave the session of whoever started it
    #[arg(long, hide = true)]
    detached: bool,
    /// Group that may use the unix sockets (default: docker, where there is one)
    #[arg(short = 'G', long, value_name = "string")]
    group: Option<String>,
    /// Address to listen at: unix://, tcp:// (see --tlsverify), or fd:// for sockets of a service manager; may be given several times
    #[arg(short = 'H', long, value_name = "list", default_value = DEFAULT_HOST)]
    host: Vec<String>,
    /// Registry (host, host:port or network) that may be spoken to without TLS or verification; may be given several times
    #[arg(long, value_name = "list")]
    insecure_registry: Vec<String>,
    /// Label of the engine, key=value; may be given several times
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Leave after so many seconds without running containers and requests (default 60)
    #[arg(long, value_name = "seconds", num_args = 0..=1, require_equals = true, default_missing_value = DEFAULT_PATIENCE)]
    leave_when_idle: Option<u64>,
    /// Logging level: debug, info, warn or error
    #[arg(short, long, value_name = "string", value_parser = LEVELS)]
    log_level: Option<String>,
    /// Layers that are pulled at the same time
    #[arg(long, value_name = "int")]
    max_concurrent_downloads: Option<usize>,
    /// Layers that a push sends at the same time (default 5)
    #[arg(long, value_name = "int")]
    max_concurrent_uploads: Option<usize>,
    /// Tries of each download (default 5)
    #[arg(long, value_name = "int", value_parser = clap::value_parser!(u32).range(1..))]
    max_download_attempts: Option<u32>,
    /// Address for Prometheus to read /metrics from, e.g. 127.0.0.1:9323 (default: none)
    #[arg(long, value_name = "string")]
    metrics_addr: Option<String>,
    /// What names of the bridge, the nftables table and the cgroup parent begin with
    #[arg(long, value_name = "string", default_value = "minke")]
    name_prefix: String,
    #[command(flatten)]
    networks: NetworkArgs,
    /// File that the engine's process id is written to
    #[arg(short, long, value_name = "file")]
    pidfile: Option<PathBuf>,
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
    /// Use TLS on TCP, and verify clients unless --tlsverify=false; with =false serve TCP without TLS, to whoever comes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls: Option<bool>,
    /// Authorities that clients' certificates have to be signed by (default: /etc/minke/ca.pem)
    #[arg(long, value_name = "file")]
    tlscacert: Option<PathBuf>,
    /// Certificate of the engine (default: /etc/minke/cert.pem)
    #[arg(long, value_name = "file")]
    tlscert: Option<PathBuf>,
    /// Private key of the certificate (default: /etc/minke/key.pem)
    #[arg(long, value_name = "file")]
    tlskey: Option<PathBuf>,
    /// Use TLS on TCP and verify clients; with =false use TLS and let everybody in
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tlsverify: Option<bool>,
    /// Check flags and configuration file, and exit
    #[arg(long)]
    validate: bool,
}

/// Docker's names of how much is logged, and one more.
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

impl Daemon {
    /// Settings that are read at the start alone.
    fn check(&self) -> Result<(), Failure> {
        self.networks.defaults()?;
        self.dockerds.check().map_err(|problem| Failure::new(format!("minke daemon: {problem}")))
    }
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

/// How long after it listens an engine is taken to have started.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Threads for blocking file work; they end when they have nothing to do.
const BLOCKING: usize = 32;

/// What the engine was started with. The configuration file is put on top of it, at the start and at each reload.
struct Command<'a> {
    args: Daemon,
    globals: Globals,
    matches: &'a ArgMatches,
}

impl Command<'_> {
    /// Flags and configuration file together.
    fn with_file(&self) -> Result<(Daemon, FileSettings), Failure> {
        let given = |flag: &str| self.matches.value_source(flag) == Some(ValueSource::CommandLine);
        let file = settings::read(&self.args.config_file, given("config_file"))?;
        let mut args = self.args.clone();
        file.clone().apply(&mut args, &given)?;
        Ok((args, file))
    }

    /// How much is logged.
    fn level(&self, args: &Daemon) -> Option<String> {
        let level = args.log_level.clone().or_else(|| self.globals.log_level.clone());
        if args.debug && level.as_deref() != Some("trace") { Some("debug".to_owned()) } else { level }
    }

    /// What the engine may be told anew while it runs.
    fn settings(&self, args: &Daemon) -> Result<Settings, Failure> {
        let usual = RegistrySettings::default();
        Ok(Settings {
            runtimes: args.add_runtime.iter().cloned().collect(),
            default_runtime: args.default_runtime.clone(),
            labels: args.label.clone(),
            builds: args.builds.clone(),
            containers: args.containers.defaults()?,
            debug: matches!(self.level(args).as_deref(), Some("debug" | "trace")),
            registries: RegistrySettings {
                insecure_registries: args.insecure_registry.clone(),
                mirrors: args.registry_mirror.clone(),
                certificate_folders: CERTIFICATE_FOLDERS.map(PathBuf::from).into(),
                proxies: args.proxies.settings()?,
                retries: args
                    .max_download_attempts
                    .map_or(usual.retries, |attempts| attempts.saturating_sub(1)),
                ..usual
            },
            downloads_at_once: args.max_concurrent_downloads,
            uploads_at_once: args.max_concurrent_uploads,
        })
    }
}

fn daemon(globals: Globals, matches: &ArgMatches) -> Result<(), Failure> {
    let command = Command { args: typed::<Daemon>(matches)?, globals, matches };
    let (args, file) = command.with_file()?;
    let transport = Transport::of(&args);
    let parse = |host: &String| Address::parse(host, transport.is_tls());
    let addresses = args.host.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let tcp = transport.prepare()?;
    for address in &addresses {
        address.check(&tcp)?;
    }
    args.check()?;
    command.settings(&args)?.check().map_err(|error| Failure::new(format!("minke daemon: {error}")))?;
    if args.validate {
        return output::line("configuration OK");
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("minke daemon: the engine needs root: start it with sudo"));
    }
    if args.detached {
        // It fails only for the leader of a process group, which is a session's of its own soon enough.
        let _ = rustix::process::setsid();
    }
    minke_kernel::memory::limit_arenas(2);
    let log = Log::start(command.level(&args).as_deref())?;
    for told in args.networks.to_be_told() {
        tracing::info!("{told}");
    }
    for (key, why) in args.dockerds.without_effect() {
        tracing::info!("{key} has no effect: {why}");
    }
    let runtime = runtime_program(args.runtime.as_deref())?;
    // Before there are threads, since it clears the variables that tell of the sockets.
    let inherited = ListenFd::from_env();
    let event_loop = event_loop()?;
    let places = Places { addresses, tcp, inherited };
    let outcome = event_loop.block_on(run(&command, args, file, places, runtime, &log));
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

/// A folder that stays the same whoever looks for it: supervisors run elsewhere.
fn absolute(flag: &str, path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::doing(format!("minke daemon: {flag}"), error))
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

/// Where the engine listens, and how.
struct Places {
    addresses: Vec<Address>,
    tcp: Tcp,
    inherited: ListenFd,
}

impl Places {
    async fn listen(&mut self, group: Option<&str>) -> Result<Vec<Listening>, Failure> {
        let group = socket::group(group)?;
        let mut all = Vec::new();
        for address in &self.addresses {
            all.extend(address.listen(&self.tcp, group, &mut self.inherited).await?);
        }
        Ok(all)
    }
}

async fn run(
    command: &Command<'_>,
    args: Daemon,
    file: FileSettings,
    mut places: Places,
    runtime: PathBuf,
    log: &Log,
) -> Result<(), Failure> {
    // Caught first, so that a signal during the start ends it in order.
    let stop = stop_signals(&[])?;
    let hangups = caught(SignalKind::hangup())?;
    for address in &places.addresses {
        address.refuse_if_served()?;
    }
    let metrics = args.metrics_addr.as_deref().map(metrics::Listener::bind).transpose()?;
    let settings = command.settings(&args)?;
    let networks = args.networks.defaults()?;
    let _pid_file = args.pidfile.as_deref().map(PidFile::write).transpose()?;
    let config = EngineConfig {
        root: absolute("--root", &args.root)?,
        state: absolute("--state", &args.state)?,
        name_prefix: args.name_prefix,
        runtime,
        networks,
        settings,
        version: env!("CARGO_PKG_VERSION"),
    };
    let engine = Engine::open(config)
        .await
        .map_err(|error| Failure::new(format!("minke daemon: {}", chain(&error))))?;
    let metrics = metrics.map(|listener| listener.serve(engine.clone())).transpose()?;
    let tcp = places.tcp.clone();
    let served = async {
        let listening = places.listen(args.group.as_deref()).await?;
        // One that a command started has a container soon, and then no more.
        if args.leave_when_idle.is_none() {
            engine.prepare_networks();
        }
        tokio::select! {
            served = serve(&engine, listening, args.leave_when_idle, stop) => served,
            never = reload::at_signals(hangups, command, &engine, log, &tcp, file) => match never {},
        }
    };
    let served = served.await;
    drop(metrics);
    engine.close().await;
    tracing::info!("engine stopped");
    served
}

/// Serves all sockets until a signal comes or the engine has been idle for long enough.
async fn serve(
    engine: &Engine,
    listening: Vec<Listening>,
    patience: Option<u64>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let (ending, ended) = watch::channel(false);
    let builder = minke_build::Builder::new(engine.clone());
    let buildkit: Arc<dyn BuildKit> = builds::buildkit(engine, builder.clone()).await;
    let (mut servers, mut activities, mut bound) = (JoinSet::new(), Vec::new(), Vec::new());
    for place in listening {
        bound.extend(place.bound);
        let server = Server::with_buildkit(engine.clone(), builder.clone(), Some(buildkit.clone()));
        activities.push(server.activity());
        let mut ended = ended.clone();
        servers.spawn(server.serve(place.listener, async move {
            // The sender lives until the end of this function, which awaits this task.
            let _ = ended.wait_for(|ended| *ended).await;
        }));
        output::line(&format!("API listen on {}", place.name))?;
    }
    service_manager::ready();
    tokio::spawn(settle());
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => tracing::info!("signal received, stopping"),
        () = idle::left_alone(engine, &activities, patience) => tracing::info!("nothing left to do, leaving"),
        Some(Ok(Err(error))) = servers.join_next() => return Err(Failure::doing("serve the API", error)),
    }
    service_manager::stopping();
    // New clients find no socket any more and start another engine; those that are connected are served to the end.
    drop(bound);
    let _ = ending.send(true);
    while servers.join_next().await.is_some() {}
    Ok(())
}

/// Once the start is over, its code is needed no more.
async fn settle() {
    tokio::time::sleep(SETTLED_AFTER).await;
    if let Err(error) = minke_kernel::memory::give_back_code() {
        tracing::debug!(%error, "give back code");
    }
}

/// Becomes true at SIGTERM, SIGINT, SIGQUIT or one of the `others`.
pub(crate) fn stop_signals(others: &[SignalKind]) -> Result<watch::Receiver<bool>, Failure> {
    let (sender, receiver) = watch::channel(false);
    let usual = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
    for kind in usual.iter().chain(others) {
        let mut signals = caught(*kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            signals.recv().await;
            let _ = sender.send(true);
        });
    }
    Ok(receiver)
}

fn caught(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::doing("catch signals", error))
}
