//! `minke stop`, `restart`, `kill`, `pause` and `unpause`.

use clap::Parser;
use minke_docker_client::Client;

use super::batch;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
};

/// Flags of `stop` and `restart`.
#[derive(Debug, Parser)]
pub(crate) struct Stop {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, alias = "time", value_name = "int")]
    timeout: Option<i64>,
    /// The containers
    containers: Vec<String>,
}

/// Flags of `kill`.
#[derive(Debug, Parser)]
pub(crate) struct Kill {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    signal: Option<String>,
    /// The containers
    containers: Vec<String>,
}

/// `pause` and `unpause` have no flags.
#[derive(Debug, Parser)]
pub(crate) struct Containers {
    /// The containers
    containers: Vec<String>,
}

pub(crate) static STOP: Verb = client_verb!(
    Stop,
    stop,
    Arity::AtLeast(1),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers"
);

pub(crate) static RESTART: Verb = client_verb!(
    Stop,
    restart,
    Arity::AtLeast(1),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers"
);

pub(crate) static KILL: Verb = client_verb!(
    Kill,
    kill,
    Arity::AtLeast(1),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers"
);

pub(crate) static PAUSE: Verb = client_verb!(
    Containers,
    pause,
    Arity::AtLeast(1),
    "CONTAINER [CONTAINER...]",
    "Pause all processes within one or more containers"
);

pub(crate) static UNPAUSE: Verb = client_verb!(
    Containers,
    unpause,
    Arity::AtLeast(1),
    "CONTAINER [CONTAINER...]",
    "Unpause all processes within one or more containers"
);

async fn stop(context: &Context, args: Stop) -> Result<(), Failure> {
    post_each(context.client()?, &args.containers, "stop", &stop_query(&args)).await
}

async fn restart(context: &Context, args: Stop) -> Result<(), Failure> {
    post_each(context.client()?, &args.containers, "restart", &stop_query(&args)).await
}

async fn kill(context: &Context, args: Kill) -> Result<(), Failure> {
    let query: Vec<_> = args.signal.map(|signal| ("signal", signal)).into_iter().collect();
    post_each(context.client()?, &args.containers, "kill", &query).await
}

async fn pause(context: &Context, args: Containers) -> Result<(), Failure> {
    post_each(context.client()?, &args.containers, "pause", &[]).await
}

async fn unpause(context: &Context, args: Containers) -> Result<(), Failure> {
    post_each(context.client()?, &args.containers, "unpause", &[]).await
}

fn stop_query(args: &Stop) -> Vec<(&'static str, String)> {
    let signal = args.signal.clone().map(|signal| ("signal", signal));
    signal.into_iter().chain(args.timeout.map(|seconds| ("t", seconds.to_string()))).collect()
}

async fn post_each(
    client: &Client,
    names: &[String],
    verb: &str,
    query: &[(&str, String)],
) -> Result<(), Failure> {
    batch::each(names, async |name| {
        client.post_empty::<()>(&format!("/containers/{name}/{verb}"), query).await?;
        Ok(name.to_owned())
    })
    .await
}
