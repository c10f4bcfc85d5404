//! `start`: let a created container's process execute the user's program.

use anyhow::{Context, bail};
use minke_model::runtime_spec::Status;
use minke_oci_runtime::container::{Container, StartError};

use super::{Command, Global, create, find, flags::Parsed, notify::Notify};

pub(super) const COMMAND: Command = Command {
    name: "start",
    summary: "execute the user's program in a created container",
    operands: "<container-id>",
    count: 1..=1,
    flags: &[],
    rest: None,
    sealed: false,
    run: start,
    failure: 1,
};

fn start(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let stored = find(global, &parsed)?;
    match stored.status() {
        Status::Created => {}
        Status::Stopped => bail!("cannot start a container that has stopped"),
        Status::Running => bail!("cannot start an already running container"),
        status => bail!("cannot start a container in the {status} state"),
    }
    let notify = Notify::open(global, &stored.record.id)?;
    match Container::attach(stored, None)? {
        Some(mut container) => {
            if let Err(error) = container.start() {
                if matches!(error, StartError::Poststart(_)) {
                    // Specification, "Lifecycle", steps 9, 12 and 13: no more is left to delete.
                    let left = container.delete(true).unwrap_or_else(|failed| failed.0);
                    create::warn(global, &left, false);
                }
                return Err(error.into());
            }
            if let Some(notify) = notify {
                notify.attend(container.pidfd(), container.pid()).context("notify")?;
            }
        }
        None => bail!("cannot start a container that has stopped"),
    }
    Ok(0)
}
