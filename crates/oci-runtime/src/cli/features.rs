//! `features`: what this runtime can do (specification, "Features Structure").

use super::{Command, Global, flags::Parsed};

pub(super) const COMMAND: Command = Command {
    name: "features",
    summary: "show what is supported, as JSON",
    operands: "",
    count: 0..=0,
    flags: &[],
    rest: None,
    sealed: false,
    run: features,
    failure: 1,
};

fn features(_: &Global, _: Parsed) -> anyhow::Result<u8> {
    println!("{}", serde_json::to_string_pretty(&minke_oci_runtime::features::features())?);
    Ok(0)
}
