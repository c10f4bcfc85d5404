//! `run`: create, start, and unless detached wait and delete.

use anyhow::Context;
use minke_kernel::process;
use minke_oci_runtime::container::{self, Created};

use super::{
    Command, Global,
    create::{self, BUNDLE, CONSOLE_SOCKET, NO_NEW_KEYRING, NO_PIVOT, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS},
    flags::{Flag, Parsed},
    foreground::Foreground,
};

pub(super) const COMMAND: Command = Command {
    name: "run",
    summary: "create and run a container",
    operands: "<container-id>",
    count: 1..=1,
    flags: FLAGS,
    rest: None,
    sealed: true,
    run,
    failure: 1,
};

const FLAGS: &[Flag] = &[
    BUNDLE,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    Flag::switch("detach", Some('d'), "don't wait for the container's process"),
    Flag::switch("keep", None, "don't delete the container when it has ended"),
    PID_FILE,
    Flag::switch("no-subreaper", None, "don't adopt orphans of the container's processes"),
    NO_PIVOT,
    NO_NEW_KEYRING,
    PRESERVE_FDS,
];

fn run(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let detach = parsed.has("detach");
    let (spec, options) = create::prepare(global, &parsed, detach).context("minke-oci run failed")?;
    if !detach && !parsed.has("no-subreaper") {
        process::become_subreaper().context("become a subreaper")?;
    }
    // Before anything is started, so that no signal is lost.
    let foreground = (!detach).then(Foreground::prepare).transpose()?;
    let Created { mut container, pty_master } =
        container::create(&spec, options).context("minke-oci run failed")?;
    let started = create::send_descriptors(
        &parsed,
        pty_master.as_ref().map(std::os::fd::AsFd::as_fd).filter(|_| detach),
        container.pidfd(),
    )
    .and_then(|()| Ok(container.start()?));
    if let Err(error) = started {
        // The first error is what matters.
        let _ = container.delete(true);
        return Err(error.context("minke-oci run failed: unable to start container process"));
    }
    let Some(foreground) = foreground else { return Ok(0) };
    let status = foreground.attend(container.pidfd(), pty_master);
    if !parsed.has("keep") {
        container.delete(true)?;
    }
    status
}
