//! Which engine to talk to, and starting minke's own where none runs.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::{fs::OpenOptionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use minke_docker_client::{Endpoint, TlsMaterial};

use crate::{
    config_file::ConfigFile,
    context::Globals,
    contexts::{self, store::Store},
    daemon,
    failure::Failure,
    output,
};

/// Where minke's own engine listens.
pub(crate) const DEFAULT_HOST: &str = "unix:///run/minke/docker.sock";

/// How long a new engine may take until it answers: with thousands of containers it reads for a while.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The engine that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    /// What TLS to it takes.
    pub(crate) tls: Option<TlsMaterial>,
    /// Nobody named one: it is minke's own on this machine.
    pub(crate) is_default: bool,
}

/// What the environment says about engines; an empty variable says nothing, as to the docker CLI.
#[derive(Debug, Default)]
struct Environment {
    host: Option<String>,
    context: Option<String>,
    tls: bool,
    tls_verify: bool,
    cert_path: Option<PathBuf>,
}

impl Environment {
    fn read() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            host: variable("DOCKER_HOST"),
            context: variable("DOCKER_CONTEXT"),
            tls: variable("DOCKER_TLS").is_some(),
            tls_verify: variable("DOCKER_TLS_VERIFY").is_some(),
            cert_path: variable("DOCKER_CERT_PATH").map(PathBuf::from),
        }
    }
}

/// Where the certificates of a client are, and what for.
#[derive(Debug, PartialEq, Eq)]
struct TlsPaths {
    ca: PathBuf,
    certificate: Given,
    key: Given,
    skip_verify: bool,
}

/// A path, and whether a flag names it: then it has to be there.
#[derive(Debug, PartialEq, Eq)]
struct Given(PathBuf, bool);

/// The name of the docker context in use: `--context`, else the default one where `--host` or `DOCKER_HOST` says which
/// engine, else `DOCKER_CONTEXT`, else the one that `context use` has set. Whether it exists is not looked at.
pub(crate) fn context_name(globals: &Globals, config: &ConfigFile) -> String {
    name_in(globals, &Environment::read(), &config.current_context)
}

fn name_in(globals: &Globals, environment: &Environment, configured: &str) -> String {
    let name = match (&globals.context, &globals.host, &environment.host) {
        (Some(name), ..) => name.clone(),
        (None, Some(_), _) | (None, None, Some(_)) => String::new(),
        (None, None, None) => environment.context.clone().unwrap_or_else(|| configured.to_owned()),
    };
    if name.is_empty() { contexts::DEFAULT.to_owned() } else { name }
}

/// The engine that flags, the environment or a docker context name; else minke's own.
///
/// # Errors
/// For addresses and certificates that can't be used, and contexts that there are not.
pub(crate) fn resolve(globals: &Globals, config: &ConfigFile) -> Result<Target, Failure> {
    let environment = Environment::read();
    if globals.host.is_some() && globals.context.is_some() {
        return Err(Failure::new("conflicting options: cannot specify both --host and --context"));
    }
    let name = name_in(globals, &environment, &config.current_context);
    if name == contexts::DEFAULT {
        return of_flags(globals, &environment, config.folder());
    }
    let of_context = |failure: Failure| Failure::new(format!("minke: {}", failure.message));
    let folder = config.folder().ok_or_else(|| {
        Failure::new(format!(
            "minke: context {name:?}: there is no folder of contexts: set HOME or DOCKER_CONFIG"
        ))
    })?;
    let store = Store::below(folder);
    let named = store.get(&name).and_then(|meta| meta.endpoint()).map_err(of_context)?;
    let tls = contexts::material(&store.tls(&name).map_err(of_context)?, &named);
    let endpoint =
        if tls.is_some() { Endpoint::parse_tls(&named.host) } else { Endpoint::parse(&named.host) };
    let endpoint = endpoint.map_err(|error| Failure::doing(format!("minke: context {name:?}"), error))?;
    Ok(Target { endpoint, tls, is_default: false })
}

/// The engine of the context `default`: `--host`, else `DOCKER_HOST`, else with TLS this host's port for it, else minke's own.
pub(crate) fn default_target(globals: &Globals, config: &ConfigFile) -> Result<Target, Failure> {
    of_flags(globals, &Environment::read(), config.folder())
}

fn of_flags(globals: &Globals, environment: &Environment, folder: Option<&Path>) -> Result<Target, Failure> {
    let paths = tls_paths(globals, environment, folder);
    let named = globals.host.as_deref().or(environment.host.as_deref()).filter(|host| !host.is_empty());
    let named = named.or(globals.fallback_host.as_deref());
    let parse = if paths.is_some() { Endpoint::parse_tls } else { Endpoint::parse };
    let fallback = if paths.is_some() { "tcp://localhost" } else { DEFAULT_HOST };
    let endpoint =
        parse(named.unwrap_or(fallback)).map_err(|error| Failure::doing("minke: --host", error))?;
    let tls = match paths.filter(|_| matches!(endpoint, Endpoint::Tcp { .. })) {
        Some(paths) => Some(paths.read()?),
        None => None,
    };
    let is_default = named.is_none() && matches!(endpoint, Endpoint::Unix(_));
    Ok(Target { endpoint, tls, is_default })
}

/// As the docker CLI reads them: `--tlsverify` or its variable, whichever the value, switches TLS on; certificates are in
/// `DOCKER_CERT_PATH`, else beside `config.json`.
fn tls_paths(globals: &Globals, environment: &Environment, folder: Option<&Path>) -> Option<TlsPaths> {
    let flags = &globals.tls;
    let verify = flags.verify.unwrap_or(environment.tls_verify);
    let is_on = flags.verify.is_some() || verify || flags.tls.unwrap_or(environment.tls);
    let folder = environment.cert_path.as_deref().or(folder).unwrap_or(Path::new(""));
    let given = |flag: &Option<PathBuf>, name: &str| match flag {
        Some(path) => Given(path.clone(), true),
        None => Given(folder.join(name), false),
    };
    is_on.then(|| TlsPaths {
        ca: given(&flags.ca, "ca.pem").0,
        certificate: given(&flags.certificate, "cert.pem"),
        key: given(&flags.key, "key.pem"),
        skip_verify: !verify,
    })
}

impl TlsPaths {
    fn read(&self) -> Result<TlsMaterial, Failure> {
        let read = |path: &Path, is_needed: bool, flag: &str| match fs::read(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_needed => Ok(None),
            Err(error) => Err(Failure::doing(
                format!(
                    "minke: TLS: read {} ({flag}, or a folder in DOCKER_CERT_PATH, names another)",
                    path.display()
                ),
                error,
            )),
        };
        Ok(TlsMaterial {
            // Nobody is verified by it with --tls alone.
            ca: read(&self.ca, !self.skip_verify, "--tlscacert")?,
            certificate: read(&self.certificate.0, self.certificate.1, "--tlscert")?,
            key: read(&self.key.0, self.key.1, "--tlskey")?,
            skip_verify: self.skip_verify,
        })
    }
}

/// Makes sure that an engine listens at the default endpoint.
///
/// # Errors
/// When there is none and it can't be started: not root, or it ended again (with the end of its log).
pub(crate) fn ensure_engine(endpoint: &Endpoint) -> Result<(), Failure> {
    let Endpoint::Unix(socket) = endpoint else { return Ok(()) };
    match UnixStream::connect(socket) {
        Ok(_) => return Ok(()),
        Err(error) if is_absent(&error) => {}
        // The request itself will say what is wrong.
        Err(_) => return Ok(()),
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(format!(
            "Cannot connect to the engine at {endpoint}. Is it running? (Only root can start it: run \"sudo minke daemon\", \
             or name another engine with --host or DOCKER_HOST.)"
        )));
    }
    let log = Path::new(daemon::DEFAULT_ROOT).join("engine.log");
    let (mut child, log_begins) = spawn(&log)?;
    let engine = wait_until_it_answers(socket, &mut child, &log, log_begins)?;
    // Of several clients that start one at the same time, one succeeds; it alone says so.
    if engine.is_some_and(|pid| pid != child.id()) {
        return Ok(());
    }
    output::note(&format!(
        "minke: started an engine (pid {}); it leaves by itself when nothing runs",
        child.id()
    ));
    Ok(())
}

/// What to do about an engine that was named and doesn't answer; nothing where the `problem` is another.
pub(crate) fn advice(problem: &str, endpoint: &Endpoint) -> String {
    advice_for(problem, endpoint, std::env::var("DOCKER_HOST").ok())
}

fn advice_for(problem: &str, endpoint: &Endpoint, docker_host: Option<String>) -> String {
    if !problem.ends_with("Is it running?") {
        return String::new();
    }
    let named =
        docker_host.and_then(|host| Endpoint::parse(&host).ok()).is_some_and(|host| host == *endpoint);
    let other = if named { ", or unset DOCKER_HOST, which names it, to use minke's own engine" } else { "" };
    match endpoint {
        Endpoint::Unix(_) => format!(" (Start one there with \"minke daemon --host {endpoint}\"{other}.)"),
        _ if named => " (Unset DOCKER_HOST, which names it, to use minke's own engine.)".to_owned(),
        _ => String::new(),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
    )
}

/// Starts `minke daemon` in the background; its log starts anew when it has grown past 1 MiB. Returns where in the
/// log this engine begins.
fn spawn(log: &Path) -> Result<(Child, u64), Failure> {
    let action = |what: &str| format!("start an engine: {what} {}", log.display());
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::doing(action("make the folder of"), error))?;
    }
    let long = fs::metadata(log).is_ok_and(|meta| meta.len() > 1 << 20);
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    let file = options.open(log).map_err(|error| Failure::doing(action("open"), error))?;
    if long {
        file.set_len(0).map_err(|error| Failure::doing(action("shorten"), error))?;
    }
    let begins = file.metadata().map_or(0, |meta| meta.len());
    let errors = file.try_clone().map_err(|error| Failure::doing(action("open"), error))?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::doing("start an engine: find minke itself", error))?;
    // What a shell left open (`3>&1`) must not stay open as long as the engine lives. Old kernels can't; then it does.
    let _ = minke_kernel::process::close_on_exec_from(3);
    Command::new(&program)
        .args(["daemon", "--leave-when-idle", "--detached"])
        .current_dir("/")
        // A service that runs a command is not the engine, and is not to be told that it is ready.
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map(|child| (child, begins))
        .map_err(|error| Failure::doing(format!("start an engine: run {}", program.display()), error))
}

/// Returns the pid of the engine that answers, where the kernel tells.
fn wait_until_it_answers(
    socket: &Path,
    child: &mut Child,
    log: &Path,
    log_begins: u64,
) -> Result<Option<u32>, Failure> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut pause = Duration::from_millis(1);
    let mut ended = None;
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            let listener = rustix::net::sockopt::socket_peercred(&stream).ok();
            return Ok(listener.map(|listener| listener.pid.as_raw_nonzero().get().unsigned_abs()));
        }
        if ended.is_none() {
            let status = child.try_wait().ok().flatten();
            ended = status.map(|status| (status, Instant::now() + Duration::from_secs(1)));
        }
        // Another client may have been faster: then ours has left and that one's engine answers soon.
        if let Some((status, _)) = ended.filter(|(_, patience)| Instant::now() > *patience) {
            return Err(Failure::new(format!(
                "the engine ended at once ({status}); its log says:\n{}",
                end_of(log, log_begins)
            )));
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "the engine (pid {}) doesn't answer at {}; its log is {}",
                child.id(),
                socket.display(),
                log.display()
            )));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The last lines of a file, none of them from before `begins`.
fn end_of(path: &Path, begins: u64) -> String {
    const MOST: u64 = 2000;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST).max(begins)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(5)..].join("\n"))
    };
    read().unwrap_or_else(|error| format!("({}: {error})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::TlsFlags;

    fn globals(host: Option<&str>, context: Option<&str>) -> Globals {
        Globals { host: host.map(Into::into), context: context.map(Into::into), ..Globals::default() }
    }

    fn environment(host: Option<&str>, context: Option<&str>) -> Environment {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Environment { host: owned(host), context: owned(context), ..Environment::default() }
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_minkes_own_engine() {
        let shown = |globals: &Globals, environment: &Environment| {
            let target = of_flags(globals, environment, None).unwrap();
            (target.endpoint.to_string(), target.is_default)
        };
        let (plain, nothing) = (globals(None, None), environment(None, None));
        assert_eq!(shown(&plain, &nothing), (DEFAULT_HOST.to_owned(), true));
        let named = environment(Some("unix:///a"), None);
        assert_eq!(shown(&plain, &named), ("unix:///a".to_owned(), false));
        assert_eq!(shown(&globals(Some("unix:///b"), None), &named), ("unix:///b".to_owned(), false));
    }

    #[test]
    fn the_context_is_the_one_that_was_named_last_and_closest() {
        let name = |host, context, variables: (Option<&str>, Option<&str>), configured| {
            name_in(&globals(host, context), &environment(variables.0, variables.1), configured)
        };
        assert_eq!(name(None, None, (None, None), ""), "default");
        assert_eq!(name(None, None, (None, None), "used"), "used");
        assert_eq!(name(None, None, (None, Some("variable")), "used"), "variable");
        assert_eq!(name(None, None, (Some("unix:///x"), Some("variable")), "used"), "default");
        assert_eq!(name(Some("unix:///x"), None, (None, Some("variable")), "used"), "default");
        assert_eq!(name(None, Some("flag"), (Some("unix:///x"), Some("variable")), "used"), "flag");
    }

    #[test]
    fn tls_is_on_and_verifies_as_the_docker_cli_has_it() {
        let of = |tls, verify, environment: &Environment| {
            let globals =
                Globals { tls: TlsFlags { tls, verify, ..TlsFlags::default() }, ..Globals::default() };
            tls_paths(&globals, environment, Some(Path::new("/home/.docker"))).map(|paths| !paths.skip_verify)
        };
        let (none, nothing) = (None, Environment::default());
        assert_eq!(of(none, none, &nothing), None);
        assert_eq!(of(Some(true), none, &nothing), Some(false));
        assert_eq!(of(none, Some(true), &nothing), Some(true));
        assert_eq!(of(none, Some(false), &nothing), Some(false));
        assert_eq!(of(none, none, &Environment { tls_verify: true, ..Environment::default() }), Some(true));
        assert_eq!(of(none, none, &Environment { tls: true, ..Environment::default() }), Some(false));
    }

    #[test]
    fn certificates_are_looked_for_where_docker_has_them() {
        let environment = Environment {
            host: Some("tcp://10.0.0.1".to_owned()),
            tls_verify: true,
            cert_path: Some("/no/certs".into()),
            ..Environment::default()
        };
        let message = of_flags(&globals(None, None), &environment, None).unwrap_err().message;
        assert!(message.contains("/no/certs/ca.pem") && message.contains("--tlscacert"), "{message}");
        let unix = Environment { host: Some("unix:///x".to_owned()), ..environment };
        assert_eq!(of_flags(&globals(None, None), &unix, None).unwrap().tls, None);
    }

    #[test]
    fn of_a_log_only_the_last_lines_of_this_engine_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("engine.log");
        fs::write(&log, "an earlier engine\n1\n2\n3\n4\n5\n6\n").unwrap();
        assert_eq!(end_of(&log, 18), "2\n3\n4\n5\n6");
        assert_eq!(end_of(&log, 26), "5\n6");
        assert!(end_of(Path::new("/nope"), 0).contains("/nope"));
    }

    #[test]
    fn an_engine_that_does_not_answer_comes_with_advice() {
        let unix = Endpoint::parse("unix:///x.sock").unwrap();
        let advice = |problem, host: Option<&str>| advice_for(problem, &unix, host.map(Into::into));
        assert!(advice("Is it running?", None).contains("minke daemon --host unix:///x.sock"));
        assert!(!advice("Is it running?", Some("unix:///y.sock")).contains("DOCKER_HOST"));
        assert!(advice("Is it running?", Some("unix:///x.sock")).contains("unset DOCKER_HOST"));
        assert_eq!(advice("permission denied", None), "");
    }

    #[test]
    fn a_context_is_read_with_its_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let config = ConfigFile::load(Some(folder.path())).unwrap();
        let named = contexts::DockerEndpoint { host: "tcp://10.0.0.1".to_owned(), skip_verify: true };
        let meta = contexts::Meta::new("far", &named);
        Store::below(folder.path()).put(&meta, &contexts::TlsFiles::new()).unwrap();
        let target = resolve(&globals(None, Some("far")), &config).unwrap();
        assert_eq!((target.endpoint.to_string().as_str(), target.is_default), ("tcp://10.0.0.1:2376", false));
        assert!(target.tls.unwrap().skip_verify);
        let message = resolve(&globals(None, Some("nope")), &config).unwrap_err().message;
        assert!(message.contains("context \"nope\": context not found"), "{message}");
        let both = resolve(&globals(Some("unix:///x"), Some("y")), &config).unwrap_err().message;
        assert!(both.contains("both --host and --context"), "{both}");
    }
}
