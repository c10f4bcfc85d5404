//! `run`: create, start, and unless detached wait and delete.

use anyhow::Context;
use minke_kernel::{process, pty};
use minke_oci_runtime::container::{Created, InitError, StartError};

use super::{
    Command, Global,
    create::{self, BUNDLE, CONSOLE_SOCKET, NO_NEW_KEYRING, NO_PIVOT, PID_FILE, PIDFD_SOCKET, PRESERVE_FDS},
    flags::{Flag, Parsed},
    foreground::Foreground,
    notify::Notify,
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
    let about_capabilities = create::capability_warnings(spec.process.as_ref());
    let Created { mut container, warnings, notes, pty_master } =
        create::make(spec, options).context("minke-oci run failed")?;
    create::warn(global, &about_capabilities, detach);
    create::warn(global, &warnings, false);
    create::warn(global, &notes, true);
    if let Some(master) = pty_master.as_ref().filter(|_| !detach) {
        // Before the program can write anything.
        pty::pass_line_feeds(master).context("set up the terminal")?;
    }
    let notify = Notify::open(global, &container.record().id);
    let started = create::send_descriptors(
        &parsed,
        pty_master.as_ref().map(std::os::fd::AsFd::as_fd).filter(|_| detach),
        container.pidfd(),
    )
    .and_then(|()| Ok(container.start()?))
    .and(notify);
    let notify = match started {
        Ok(notify) => notify,
        Err(error) => {
            // The first error is what matters.
            let _ = container.delete(true);
            if let Some(error) = of_program(&error).filter(|_| !detach) {
                // As from the program itself, whose place its process had taken already.
                global.log.error_of_program(&error.to_string());
                return Ok(255);
            }
            return Err(error.context("minke-oci run failed: unable to start container process"));
        }
    };
    let Some(foreground) = foreground else {
        if let Some(notify) = notify {
            notify.attend(container.pidfd(), container.pid()).context("notify")?;
        }
        return Ok(0);
    };
    if let Some(notify) = notify {
        // The service's main process is this one, and it has signals and a terminal to attend to.
        let pidfd = container.pidfd().try_clone_to_owned().context("copy the pidfd")?;
        std::thread::spawn(move || notify.attend(pidfd, std::process::id() as i32));
    }
    let status = foreground.attend(container.pidfd(), pty_master);
    if !parsed.has("keep") {
        create::warn(global, &container.delete(true)?, false);
    }
    status
}

/// What went wrong when all but the program was there.
fn of_program(error: &anyhow::Error) -> Option<&InitError> {
    match error.downcast_ref::<StartError>()? {
        StartError::NotFound(error) | StartError::NotExecutable(error) => Some(error),
        StartError::Init(_) | StartError::Io { .. } | StartError::State(_) | StartError::Poststart(_) => None,
    }
}
