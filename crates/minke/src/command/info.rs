//! `minke info`.

use clap::Parser;
use serde_json::{Value, json};

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format, output,
};

/// Flags of `info`.
#[derive(Debug, Parser)]
pub(crate) struct Info {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

pub(crate) static INFO: Verb =
    client_verb!(Info, info, Arity::None, "[OPTIONS]", "Display system-wide information");

async fn info(context: &Context, args: Info) -> Result<(), Failure> {
    let mut info: Value = context.client()?.get("/info", &[]).await?;
    let client = json!({"Debug": false, "Version": env!("CARGO_PKG_VERSION"), "Context": context.name(), "Plugins": [], "Warnings": null});
    info["ClientInfo"] = client;
    match args.format.as_deref().filter(|format| !format.is_empty()) {
        None => {
            output::print(&format::info::text(&info))?;
            for warning in info["Warnings"].as_array().into_iter().flatten() {
                output::note(warning.as_str().unwrap_or_default());
            }
            Ok(())
        }
        Some(template) => output::line(&format::object(template, &info)?),
    }
}
