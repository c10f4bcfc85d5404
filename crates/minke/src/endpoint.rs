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
    let mut child = spawn(&log)?;
    wait_until_it_answers(socket, &mut child, &log)?;
    output::note(&format!(
        "minke: started an engine (pid {}); it leaves by itself when nothing runs",
        child.id()
    ));
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
    )
}

/// Starts `minke daemon` in the background; its log starts anew when it has grown past 1 MiB.
fn spawn(log: &Path) -> Result<Child, Failure> {
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
        .map_err(|error| Failure::doing(format!("start an engine: run {}", program.display()), error))
}

fn wait_until_it_answers(socket: &Path, child: &mut Child, log: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut pause = Duration::from_millis(1);
    let mut ended = None;
    loop {
        if UnixStream::connect(socket).is_ok() {
            return Ok(());
        }
        if ended.is_none() {
            let status = child.try_wait().ok().flatten();
            ended = status.map(|status| (status, Instant::now() + Duration::from_secs(1)));
        }
        // Another client may have been faster: then ours has left and that one's engine answers soon.
        if let Some((status, _)) = ended.filter(|(_, patience)| Instant::now() > *patience) {
            return Err(Failure::new(format!(
                "the engine ended at once ({status}); its log says:\n{}",
                end_of(log)
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

/// The last lines of a file.
fn end_of(path: &Path) -> String {
    const MOST: u64 = 2000;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
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
