//! `create`: make a container and leave it waiting for `start`.

use std::{
    env, fs,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use minke_kernel::{caps, socket};
use minke_model::runtime_spec::{Process, Spec};
use minke_oci_runtime::{
    config,
    container::{self, CreateOptions, Created, Stdio},
};

use super::{
    Command, Global,
    flags::{Flag, Parsed},
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
    let created = container::create(&spec, options).context("minke-oci create failed")?;
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
    warn_about_capabilities(global, spec.process.as_ref());
    let mut preserve_fds = parsed.parsed("preserve-fds")?.unwrap_or(0);
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
    };
    Ok((spec, options))
}

/// A capability that isn't known can't be granted; the specification asks for a warning.
pub(super) fn warn_about_capabilities(global: &Global, process: Option<&Process>) {
    let Some(capabilities) = process.and_then(|process| process.capabilities.as_ref()) else { return };
    let (_, unknown) = caps::parse(capabilities);
    if !unknown.is_empty() {
        global.log.warning(&format!("ignoring unknown capabilities: {}", unknown.join(", ")));
    }
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
