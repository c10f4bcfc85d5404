//! `pause` and `resume`: freeze and thaw all of a container's processes.

use anyhow::{anyhow, bail};
use minke_model::runtime_spec::Status;
use minke_oci_runtime::container::Container;

use super::{Command, Global, find, flags::Parsed};

pub(super) const PAUSE: Command = Command {
    name: "pause",
    summary: "suspend all processes of a container",
    operands: "<container-id>",
    count: 1..=1,
    flags: &[],
    rest: None,
    sealed: false,
    run: pause,
    failure: 1,
};

pub(super) const RESUME: Command =
    Command { name: "resume", summary: "resume all processes of a container", run: resume, ..PAUSE };

fn pause(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let stored = find(global, &parsed)?;
    if !matches!(stored.status(), Status::Running | Status::Created) {
        bail!("container not running");
    }
    Container::attach(stored, None)?.ok_or_else(|| anyhow!("container not running"))?.pause()?;
    Ok(0)
}

fn resume(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let stored = find(global, &parsed)?;
    if stored.status() != Status::Paused {
        bail!("container not paused");
    }
    Container::attach(stored, None)?.ok_or_else(|| anyhow!("container not paused"))?.resume()?;
    Ok(0)
}
