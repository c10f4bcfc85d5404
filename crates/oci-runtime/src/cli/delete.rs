//! `delete`: remove a container that has ended, or with `--force` any.

use std::fs;

use anyhow::{Context, bail};
use minke_model::runtime_spec::Status;
use minke_oci_runtime::container::LoadError;

use super::{
    Command, Global, create,
    flags::{Flag, Parsed},
    try_find,
};

pub(super) const COMMAND: Command = Command {
    name: "delete",
    summary: "delete a container's resources",
    operands: "<container-id>",
    count: 1..=1,
    flags: &[Flag::switch("force", Some('f'), "kill the container first if it still runs")],
    rest: None,
    sealed: false,
    run: delete,
    failure: 1,
};

fn delete(global: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    let (id, force) = (parsed.operand(0)?, parsed.has("force"));
    let Some(stored) = try_find(global, id)? else {
        // What a creator that was killed half-way left; its process died with it.
        let _ = fs::remove_dir_all(global.root.join(id));
        return if force { Ok(0) } else { Err(LoadError::Missing.into()) };
    };
    match stored.status() {
        Status::Stopped | Status::Created => {}
        _ if force => {}
        status => bail!("cannot delete container {id} that is not stopped: {status}"),
    }
    let warnings = stored.delete().with_context(|| format!("delete container {id}"))?;
    create::warn(global, &warnings, false);
    Ok(0)
}
