//! `minke logs`.

use clap::Parser;
use minke_docker_client::{Body, HeaderMap, Method, stdcopy};
use tokio::io;

use super::attach::Inspected;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::time,
    output,
    run::session,
};

/// Flags of `logs`.
#[derive(Debug, Parser)]
pub(crate) struct Logs {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    until: Option<String>,
    /// The container
    container: String,
}

pub(crate) static LOGS: Verb =
    client_verb!(Logs, logs, Arity::Exactly(1), "[OPTIONS] CONTAINER", "Fetch the logs of a container");

async fn logs(context: &Context, args: Logs) -> Result<(), Failure> {
    let mut query = vec![("stdout", "1".to_owned()), ("stderr", "1".to_owned()), ("tail", args.tail.clone())];
    let flags = [("details", args.details), ("follow", args.follow), ("timestamps", args.timestamps)];
    query.extend(flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "1".to_owned())));
    if let Some(since) = &args.since {
        query.push(("since", time::moment("since", since)?));
    }
    if let Some(until) = &args.until {
        query.push(("until", time::moment("until", until)?));
    }
    let client = context.client()?;
    let container: Inspected = client.get(&format!("/containers/{}/json", args.container), &[]).await?;
    let path = format!("/containers/{}/logs", container.id);
    let mut response = client.stream(Method::GET, &path, &query, Body::Empty, HeaderMap::new()).await?;
    let mut stdout = io::stdout();
    if container.config.tty {
        io::copy(&mut response.body, &mut stdout).await.map_err(output::lost)?;
        return io::AsyncWriteExt::flush(&mut stdout).await.map_err(output::lost);
    }
    match stdcopy::demultiplex(response.body, stdout, io::stderr()).await {
        Ok(_) => Ok(()),
        Err(error) => Err(session::broken_stream(error)),
    }
}
