//! `minke version`.

use clap::Parser;
use minke_docker_client::ApiVersion;
use serde_json::Value;

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format, output,
};

/// Flags of `version`.
#[derive(Debug, Parser)]
pub(crate) struct Version {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

pub(crate) static VERSION: Verb =
    client_verb!(Version, version, Arity::None, "[OPTIONS]", "Show the version information");

async fn version(context: &Context, args: Version) -> Result<(), Failure> {
    // Without an engine the client's own version is still an answer; the failure comes after it.
    let (server, api, failure) = match context.client() {
        Ok(client) => match client.get::<Value>("/version", &[]).await {
            Ok(server) => (server, client.version().unwrap_or(ApiVersion::NEWEST), None),
            Err(error) => (Value::Null, ApiVersion::NEWEST, Some(Failure::from(error))),
        },
        Err(failure) => (Value::Null, ApiVersion::NEWEST, Some(failure)),
    };
    let data = format::version::data(&api.to_string(), &context.name(), server);
    let shown = match args.format.as_deref().filter(|format| !format.is_empty()) {
        None => output::print(&format::version::text(&data)),
        Some(template) => format::object(template, &data).and_then(|text| output::line(&text)),
    };
    match failure {
        Some(failure) => Err(failure),
        None => shown,
    }
}
