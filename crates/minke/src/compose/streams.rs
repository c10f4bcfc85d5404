//! `compose events`, `stats` and `wait`: what goes on until it ends.

use clap::Parser;
use futures_util::{StreamExt, future::join_all};
use minke_compose::{
    model::Select,
    plan::{Down, labels},
};
use minke_docker_client::{Body, HeaderMap, Method, json_lines};
use serde_json::{Map, Value, json};

use super::session::Session;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    command,
    context::Context,
    failure::Failure,
    format::time,
    output,
    run::waiting::Waiting,
};

/// Flags of `events`.
#[derive(Debug, Parser)]
pub(crate) struct Events {
    /// Output events as a stream of json objects
    #[arg(long)]
    json: bool,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
    /// The services
    services: Vec<String>,
}

/// Flags of `stats`.
#[derive(Debug, Parser)]
pub(crate) struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// The service
    service: Option<String>,
}

/// Flags of `wait`.
#[derive(Debug, Parser)]
pub(crate) struct Wait {
    /// Drops project when the first container stops
    #[arg(long)]
    down_project: bool,
    /// The services
    services: Vec<String>,
}

pub(crate) static EVENTS: Verb = client_verb!(
    Events,
    events,
    Arity::Any,
    "[OPTIONS] [SERVICE...]",
    "Receive real time events from containers"
);
pub(crate) static STATS: Verb = client_verb!(
    Stats,
    stats,
    Arity::AtMost(1),
    "[OPTIONS] [SERVICE]",
    "Display a live stream of container(s) resource usage statistics"
);
pub(crate) static WAIT: Verb = client_verb!(
    Wait,
    wait,
    Arity::AtLeast(1),
    "SERVICE [SERVICE...] [OPTIONS]",
    "Block until containers of all (or specified) services stop."
);

async fn events(context: &Context, args: Events) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let filters =
        json!({"type": ["container"], "label": [format!("{}={}", labels::PROJECT, session.project.name)]});
    let mut query = vec![("filters", filters.to_string())];
    for (name, moment) in [("since", &args.since), ("until", &args.until)] {
        if let Some(moment) = moment {
            query.push((name, time::moment(name, moment)?));
        }
    }
    let response =
        session.client()?.stream(Method::GET, "/events", &query, Body::Empty, HeaderMap::new()).await?;
    let mut events = json_lines::<Value>(response.body);
    while let Some(event) = events.next().await {
        let event = event?;
        let service = event["Actor"]["Attributes"][labels::SERVICE].as_str().unwrap_or_default().to_owned();
        if args.services.is_empty() || args.services.contains(&service) {
            output::line(&event_line(&event, &service, args.json))?;
        }
    }
    Ok(())
}

/// An event without Compose's own labels.
fn event_line(event: &Value, service: &str, as_json: bool) -> String {
    let attributes = event["Actor"]["Attributes"].as_object().cloned().unwrap_or_default();
    let attributes: Map<String, Value> =
        attributes.into_iter().filter(|(name, _)| !name.starts_with("com.docker.compose")).collect();
    let nanoseconds = i128::from(event["timeNano"].as_i64().unwrap_or(0));
    let (id, action) =
        (event["Actor"]["ID"].as_str().unwrap_or_default(), event["Action"].as_str().unwrap_or_default());
    let at = time::nano_stamp(nanoseconds);
    if as_json {
        let line = json!({"action": action, "attributes": attributes, "id": id, "service": service, "time": at, "type": "container"});
        return line.to_string();
    }
    let pairs =
        attributes.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    format!("{at} container {action} {id} ({})", pairs.collect::<Vec<_>>().join(", "))
}

async fn stats(context: &Context, args: Stats) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let named: Vec<_> = args.service.into_iter().collect();
    let containers = session.containers(&named, args.all).await?;
    let names = containers.iter().map(|container| container.name().to_owned()).collect::<Vec<_>>();
    if names.is_empty() {
        return Err(Failure::new(format!("no container found for project {:?}", session.project.name)));
    }
    let stats = command::stats::Stats {
        all: args.all,
        format: args.format,
        no_stream: args.no_stream,
        no_trunc: args.no_trunc,
        containers: names,
    };
    command::stats::stats(context, stats).await
}

async fn wait(context: &Context, args: Wait) -> Result<(), Failure> {
    let mut session = Session::of_name(context).await?;
    let mut containers = session.containers(&args.services, true).await?;
    containers.retain(|container| !container.is_oneoff());
    if containers.is_empty() {
        return Err(Failure::new(format!("no containers for project {:?}", session.project.name)));
    }
    let client = session.client()?;
    let waits = containers.iter().map(async |container| {
        let waiting = Waiting::register(client, &container.id, "not-running").await?;
        let code = waiting.exit_code().await;
        output::line(&format!("container {:?} exited with status code {code}", container.id))?;
        Ok::<i32, Failure>(code)
    });
    if args.down_project {
        let first = futures_util::future::select_all(waits.map(Box::pin)).await.0?;
        session.select(&[], Select::WithDependencies)?;
        let observed = session.observe().await?;
        let plan = minke_compose::plan::down(&session.project, &observed, &Down::default())?;
        session.carry_out(&plan, &observed).await?;
        return if first == 0 { Ok(()) } else { Err(Failure::exit(first)) };
    }
    let mut last = 0;
    for code in join_all(waits).await {
        last = code?;
    }
    if last == 0 { Ok(()) } else { Err(Failure::exit(last)) }
}
