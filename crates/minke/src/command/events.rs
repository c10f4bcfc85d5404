//! `minke events`.

use clap::Parser;
use futures_util::StreamExt;
use minke_docker_client::{Body, HeaderMap, Method, json_lines};
use serde_json::Value;

use super::filters;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{self, time},
    output,
};

/// Flags of `events`.
#[derive(Debug, Parser)]
pub(crate) struct Events {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output: 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

pub(crate) static EVENTS: Verb =
    client_verb!(Events, events, Arity::None, "[OPTIONS]", "Get real time events from the server");

async fn events(context: &Context, args: Events) -> Result<(), Failure> {
    let mut query = Vec::new();
    if let Some(since) = &args.since {
        query.push(("since", time::moment("since", since)?));
    }
    if let Some(until) = &args.until {
        query.push(("until", time::moment("until", until)?));
    }
    query.extend(filters::query(&args.filter)?);
    let client = context.client()?;
    let response = client.stream(Method::GET, "/events", &query, Body::Empty, HeaderMap::new()).await?;
    let mut events = json_lines::<Value>(response.body);
    while let Some(event) = events.next().await {
        let event = event?;
        match args.format.as_deref() {
            None | Some("") => output::line(&format::events::line(&event))?,
            Some(template) => output::line(&format::object(template, &event)?)?,
        }
    }
    Ok(())
}
