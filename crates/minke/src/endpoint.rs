//! Which engine to talk to, and starting minke's own where none runs.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::{fs::OpenOptionsExt, net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use minke_docker_client::Endpoint;

use crate::{context::Globals, daemon, failure::Failure, output};

/// Where minke's own engine listens.
pub(crate) const DEFAULT_HOST: &str = "unix:///run/minke/docker.sock";

/// How long a new engine may take until it answers: with thousands of containers it reads for a while.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The engine that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    /// Nobody named one: it is minke's own on this machine.
    pub(crate) is_default: bool,
}

/// `--host`, else `DOCKER_HOST`, else minke's own engine.
///
/// # Errors
/// For addresses that can't be used, contexts, and TLS.
pub(crate) fn resolve(globals: &Globals) -> Result<Target, Failure> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    choose(globals, variable("DOCKER_HOST"), variable("DOCKER_CONTEXT"), variable("DOCKER_TLS_VERIFY"))
}

fn choose(
    globals: &Globals,
    docker_host: Option<String>,
    docker_context: Option<String>,
    tls_verify: Option<String>,
) -> Result<Target, Failure> {
    if let Some(flag) = &globals.tls {
        return Err(Failure::new(format!("minke: --{flag}: TLS to an engine is not supported yet")));
    }
    if globals.host.is_some() && globals.context.is_some() {
        return Err(Failure::new("conflicting options: cannot specify both --host and --context"));
    }
    let context = match &globals.host {
        Some(_) => None,
        None => globals.context.clone().or(docker_context.filter(|_| docker_host.is_none())),
    };
    if let Some(name) = context.filter(|name| name != "default") {
        return Err(Failure::new(format!(
            "minke: context {name:?}: docker contexts are not supported yet; name the engine with --host or DOCKER_HOST"
        )));
    }
    let named = globals.host.clone().or(docker_host);
    let is_default = named.is_none();
    let text = named.as_deref().unwrap_or(DEFAULT_HOST);
    let endpoint = Endpoint::parse(text).map_err(|error| Failure::doing("minke: --host", error))?;
    if tls_verify.is_some() && matches!(endpoint, Endpoint::Tcp { .. }) {
        return Err(Failure::new("minke: DOCKER_TLS_VERIFY: TLS to an engine is not supported yet"));
    }
    Ok(Target { endpoint, is_default })
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

    fn globals(host: Option<&str>, context: Option<&str>) -> Globals {
        Globals { host: host.map(Into::into), context: context.map(Into::into), ..Globals::default() }
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_minkes_own_engine() {
        let some = |text: &str| Some(text.to_owned());
        let shown =
            |target: Result<Target, Failure>| target.map(|t| (t.endpoint.to_string(), t.is_default)).unwrap();
        assert_eq!(shown(choose(&globals(None, None), None, None, None)), (DEFAULT_HOST.to_owned(), true));
        assert_eq!(
            shown(choose(&globals(None, None), some("unix:///a"), None, None)),
            ("unix:///a".to_owned(), false)
        );
        assert_eq!(
            shown(choose(&globals(Some("unix:///b"), None), some("unix:///a"), some("x"), None)),
            ("unix:///b".to_owned(), false)
        );
        assert!(choose(&globals(None, Some("default")), None, None, None).unwrap().is_default);
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
    fn what_is_not_supported_is_named() {
        let message = |globals, host: Option<&str>, tls: Option<&str>| {
            choose(&globals, host.map(Into::into), None, tls.map(Into::into)).unwrap_err().message
        };
        assert!(message(globals(None, Some("remote")), None, None).contains("context \"remote\""));
        assert!(message(globals(Some("ssh://x"), None), None, None).contains("ssh://"));
        assert!(message(globals(None, None), Some("tcp://x:2376"), Some("1")).contains("DOCKER_TLS_VERIFY"));
        assert!(
            message(globals(Some("unix:///x"), Some("y")), None, None).contains("both --host and --context")
        );
        let tls = Globals { tls: Some("tlsverify".into()), ..Globals::default() };
        assert!(message(tls, None, None).contains("--tlsverify"));
    }
}
