//! `supervise`: the process that the engine keeps beside each of its containers.

use std::path::Path;

use super::{
    Command, Global,
    flags::{Flag, Parsed},
};

pub(super) const COMMAND: Command = Command {
    name: "supervise",
    summary: "run one container for the engine (not for people)",
    operands: "<file>",
    count: 1..=1,
    flags: &[Flag::switch("wait", None, "read the file when the engine says so")],
    rest: None,
    sealed: true,
    run: supervise,
    failure: 1,
};

fn supervise(_: &Global, parsed: Parsed) -> anyhow::Result<u8> {
    minke_oci_runtime::supervise::run(Path::new(&parsed.operands[0]), parsed.has("wait"))?;
    Ok(0)
}
