//! `compose version`.

use clap::Parser;
use serde_json::json;

use crate::{
    cli::verb::{Action, Arity, Verb, typed},
    context::Globals,
    failure::Failure,
    output,
};

/// Flags of `version`.
#[derive(Debug, Parser)]
pub(crate) struct Version {
    /// Format the output. Values: [pretty | json]. (Default: pretty)
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Shows only Compose's version number
    #[arg(long)]
    short: bool,
}

pub(crate) static VERSION: Verb = Verb {
    about: "Show the Docker Compose version information",
    usage: "[OPTIONS]",
    arity: Arity::None,
    flags_anywhere: true,
    build: <Version as clap::CommandFactory>::command,
    action: Action::Plain(version),
};

fn version(_: Globals, matches: &clap::ArgMatches) -> Result<(), Failure> {
    let args = typed::<Version>(matches)?;
    let version = env!("CARGO_PKG_VERSION");
    match (args.short, args.format.as_deref()) {
        (true, _) => output::line(version),
        (false, Some("json")) => output::line(&json!({"version": format!("v{version}")}).to_string()),
        _ => output::line(&format!("minke compose version v{version}")),
    }
}
