//! `create`: make a container and leave it waiting for `start`.

use std::{
    env, fs,
    io::IsTerminal,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use minke_kernel::{caps, socket};
use minke_model::runtime_spec::{Process, Spec};
use minke_oci_runtime::{
    config,
    container::{self, CreateError, CreateOptions, Created, Stdio},
};

use super::{
    Command, Global,
    flags::{Flag, Parsed},
    notify,
};

pub(super) const COMMAND: Command = Command {
    name: "create",
    summary: "create a container",
    operands: "<container-id>",
    count: 1..=1,
    flags: FLAGS,
    rest: None,
    sealed: true,
    run: create,
    failure: 1,
};

const FLAGS: &[Flag] =
    &[BUNDLE, CONSOLE_SOCKET, PIDFD_SOCKET, PID_FILE, NO_PIVOT, NO_NEW_KEYRING, PRESERVE_FDS];

pub(super) const BUNDLE: Flag =
    Flag::value("bundle", Some('b'), "PATH", "the bundle's directory (default: the current directory)");
pub(super) const CONSOLE_SOCKET: Flag =
    Flag::value("console-socket", None, "PATH", "a unix socket that gets the terminal's master side");
pub(super) const PIDFD_SOCKET: Flag =
    Flag::value("pidfd-socket", None, "PATH", "a unix socket that gets the process's pidfd");
pub(super) const PID_FILE: Flag =
    Flag::value("pid-file", None, "PATH", "a file to write the process's pid to");
pub(super) const NO_PIVOT: Flag =
    Flag::switch("no-pivot", None, "don't use pivot_root, for a host whose root is a ramdisk");
pub(super) const NO_NEW_KEYRING: Flag =
    Flag::switch("no-new-keyring", None, "keep the caller's session keyring");
pub(super) const PRESERVE_FDS: Flag = Flag::value(
    "preserve-fds",
    None,
    "N",
    "hand on N descriptors beyond the standard streams and $LISTEN_FDS",
);

fn create(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let (spec, options) = prepare(global, &parsed, true).context("minke-oci create failed")?;
    let about_capabilities = capability_warnings(spec.process.as_ref());
    let created = make(spec, options)
        .inspect_err(|_| warn(global, &about_capabilities, false))
        .context("minke-oci create failed")?;
    warn(global, &about_capabilities, true);
    warn(global, &created.warnings, false);
    warn(global, &created.notes, true);
    hand_over(&parsed, &created).or_else(|error| {
        created.container.delete(true)?;
        Err(error)
    })?;
    Ok(0)
}

/// The configuration and the options of `create` and `run`. A detached container's terminal needs a console socket.
pub(super) fn prepare(
    global: &Global,
    parsed: &Parsed,
    detach: bool,
) -> anyhow::Result<(Spec, CreateOptions)> {
    let bundle = parsed.path("bundle").unwrap_or_else(|| PathBuf::from("."));
    let mut spec = load_spec(&bundle)?;
    let mut preserve_fds = parsed.parsed("preserve-fds")?.unwrap_or(0);
    let notify = notify::prepare(global, parsed.operand(0)?, &mut spec)?;
    let mut terminal = false;
    if let Some(process) = &mut spec.process {
        preserve_fds += pass_listen_fds(process);
        terminal = process.terminal;
    }
    let stdio = stdio(parsed, terminal, detach)?;
    let options = CreateOptions {
        id: parsed.operand(0)?.to_owned(),
        bundle,
        root: global.root.clone(),
        stdio,
        pid_file: parsed.path("pid-file"),
        preserve_fds,
        no_pivot: parsed.has("no-pivot"),
        no_new_keyring: parsed.has("no-new-keyring"),
        rootless: global.rootless.applies(),
        systemd_cgroup: global.systemd_cgroup,
        notify,
    };
    Ok((spec, options))
}

/// Creates a container; what goes wrong in its process is told as runc tells it.
pub(super) fn make(spec: Spec, options: CreateOptions) -> anyhow::Result<Created> {
    container::create(spec, options).map_err(|error| match error {
        CreateError::Init(error) => anyhow::Error::from(error)
            .context("unable to start container process: error during container init"),
        error => error.into(),
    })
}

/// Warns after the container was made, since callers read the last line of a log as the error. `quietly`, only people and
/// logs are told: what a runtime writes to a standard error that is the container's too is taken for its output.
pub(super) fn warn(global: &Global, warnings: &[String], quietly: bool) {
    if !quietly || global.log.path.is_some() || std::io::stderr().is_terminal() {
        warnings.iter().for_each(|warning| global.log.warning(warning));
    }
}

/// A capability that isn't known can't be granted; the specification asks for a warning.
pub(super) fn capability_warnings(process: Option<&Process>) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(capabilities) = process.and_then(|process| process.capabilities.as_ref()) else {
        return warnings;
    };
    let (_, unknown) = caps::parse(capabilities);
    if !unknown.is_empty() {
        // Programs look for runc's words.
        let names = unknown.join(" ");
        warnings.push(format!("ignoring unknown or unavailable capabilities: [{names}]"));
    }
    let can =
        |name: &&String| capabilities.permitted.contains(name) && capabilities.inheritable.contains(name);
    for name in capabilities.ambient.iter().filter(|name| caps::number(name).is_some() && !can(name)) {
        let reason = "it is not both permitted and inheritable";
        warnings.push(format!("can't raise ambient capability {name}: {reason}"));
    }
    warnings
}

/// The streams that go with `terminal`, `--detach` and `--console-socket`.
pub(super) fn stdio(parsed: &Parsed, terminal: bool, detach: bool) -> anyhow::Result<Stdio> {
    let socket = parsed.path("console-socket").is_some();
    match (terminal, detach, socket) {
        (true, true, false) => {
            bail!("cannot allocate tty if minke-oci will detach without setting console socket")
        }
        (false, _, true) | (_, false, true) => {
            bail!("cannot use console socket if minke-oci will not detach or allocate tty")
        }
        (true, ..) => Ok(Stdio::Pty),
        (false, ..) => Ok(Stdio::Inherit),
    }
}

/// systemd's socket activation: the descriptors from 3 on, announced under the container's own pid.
pub(super) fn pass_listen_fds(process: &mut Process) -> u32 {
    // sd_listen_fds(3): they are the caller's who isn't named here.
    let pid = env::var("LISTEN_PID").ok().and_then(|pid| pid.parse().ok());
    if pid.is_some_and(|pid: u32| pid != std::process::id()) {
        return 0;
    }
    let count = env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    if count > 0 {
        process.env.push(format!("LISTEN_FDS={count}"));
        process.env.push("LISTEN_PID=1".into());
        process.env.extend(env::var("LISTEN_FDNAMES").ok().map(|names| format!("LISTEN_FDNAMES={names}")));
    }
    count
}

/// Reads `config.json`; a mistake in it is reported with the field.
pub(super) fn load_spec(bundle: &Path) -> anyhow::Result<Spec> {
    let path = bundle.join("config.json");
    let text = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("JSON specification file {} not found", path.display())
        }
        result => result.with_context(|| format!("read {}", path.display()))?,
    };
    config::spec(&text).with_context(|| path.display().to_string())
}

/// Sends the terminal and the pidfd to the sockets that were given.
fn hand_over(parsed: &Parsed, created: &Created) -> anyhow::Result<()> {
    send_descriptors(parsed, created.pty_master.as_ref().map(AsFd::as_fd), created.container.pidfd())
}

/// Sends the terminal and the pidfd to the sockets that were given.
pub(super) fn send_descriptors(
    parsed: &Parsed,
    master: Option<BorrowedFd<'_>>,
    pidfd: BorrowedFd<'_>,
) -> anyhow::Result<()> {
    if let (Some(path), Some(master)) = (parsed.path("console-socket"), master) {
        send_to(&path, b"/dev/ptmx", master).with_context(|| format!("console socket {}", path.display()))?;
    }
    if let Some(path) = parsed.path("pidfd-socket") {
        send_to(&path, b"pidfd", pidfd).with_context(|| format!("pidfd socket {}", path.display()))?;
    }
    Ok(())
}

fn send_to(path: &Path, name: &[u8], fd: BorrowedFd<'_>) -> std::io::Result<()> {
    socket::send(socket::connect(path)?, name, &[fd])
}
