//! The container's terminal: a pty of its own devpts, bound on /dev/console, its master sent to the creator.

use std::{os::fd::OwnedFd, path::Path};

use minke_kernel::{
    mount,
    path::Root,
    pty::{self, Pty},
};
use minke_model::runtime_spec::Process;

use super::{Creator, Plan, exists, stdio};
use crate::{
    channel::FromInit,
    container::{InitError, Stdio},
    step::Step,
};

/// Opens a terminal where the creator wants one, and installs the streams.
pub(super) fn set_up(
    plan: &Plan<'_>,
    root: &Root,
    creator: &Creator,
    streams: Stdio,
) -> Result<(), InitError> {
    if !matches!(streams, Stdio::Pty) {
        return stdio::install(streams);
    }
    let terminal = open(root, plan.process)?;
    // The node is bound as a descriptor: no path in the container is followed (CVE-2025-52565).
    let step = || "process.terminal: bind /dev/console".to_owned();
    let target = root.create_file_without_links(Path::new("/dev/console")).step(step)?;
    mount::clone_fd(&terminal.slave, false).and_then(|node| mount::attach(node, target)).step(step)?;
    creator.send(&FromInit::Terminal, Some(&terminal.master))?;
    match plan.escort {
        // Only the leader of the session can make it the controlling one.
        Some(_) => stdio::install_everywhere(&terminal.slave),
        None => install(&terminal.slave),
    }
}

/// Opens a terminal of the root's devpts (or of the runtime's own where it has none) with the size that is asked for.
pub(crate) fn open(root: &Root, process: &Process) -> Result<Pty, InitError> {
    let terminal =
        if exists(root, Path::new("/dev/pts/ptmx")) { pty::open_in(root) } else { pty::open_own() };
    let terminal = terminal.step(|| "process.terminal: open a pseudo terminal".into())?;
    if let Some(size) = process.console_size {
        pty::set_size(&terminal.master, size.height, size.width)
            .step(|| "process.consoleSize: set".into())?;
    }
    Ok(terminal)
}

/// Makes the terminal the process's streams.
pub(crate) fn install(slave: &OwnedFd) -> Result<(), InitError> {
    stdio::install_terminal(slave)
}
