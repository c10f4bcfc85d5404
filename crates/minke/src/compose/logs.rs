//! `compose logs`.

use clap::Parser;
use minke_compose::run::logs;
use tokio::sync::mpsc;

use super::{looks, printer::Printer, session::Session};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::time,
    output,
};

/// Flags of `logs`.
#[derive(Debug, Parser)]
pub(crate) struct Logs {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "int")]
    index: Option<u32>,
    /// Produce monochrome output
    #[arg(long)]
    no_color: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    no_log_prefix: bool,
    /// Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs for each container
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)
    #[arg(long, value_name = "string")]
    until: Option<String>,
    /// The services
    services: Vec<String>,
}

pub(crate) static LOGS: Verb =
    client_verb!(Logs, logs, Arity::Any, "[OPTIONS] [SERVICE...]", "View output from containers");

async fn logs(context: &Context, args: Logs) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let mut containers = session.containers(&args.services, true).await?;
    containers.retain(|container| {
        !container.is_oneoff() && args.index.is_none_or(|index| container.number() == index)
    });
    let wanted = logs::Wanted {
        follow: args.follow,
        since: args.since.as_deref().map(|since| time::moment("since", since)).transpose()?,
        until: args.until.as_deref().map(|until| time::moment("until", until)).transpose()?,
        tail: Some(args.tail.clone()),
        timestamps: args.timestamps,
    };
    let names: Vec<_> = containers
        .iter()
        .map(|container| looks::short_name(&session.project.name, container.name()))
        .collect();
    let mut printer = Printer::new(session.flags(), !args.no_log_prefix, !args.no_color, names.clone());
    let (sink, mut lines) = mpsc::channel(256);
    let mut tasks = Vec::new();
    for (container, name) in containers.iter().zip(names) {
        let (client, id, wanted, sink) =
            (session.client()?.clone(), container.id.clone(), wanted.clone(), sink.clone());
        let copied = async move { (name.clone(), logs::copy(&client, &id, &name, &wanted, sink).await) };
        if args.follow {
            tasks.push(tokio::spawn(copied));
        } else {
            // One after the other: lines of one container stand together, as docker compose prints them.
            let printing = async {
                let task = tokio::spawn(copied);
                loop {
                    match tokio::time::timeout(POLL, lines.recv()).await {
                        Ok(Some(line)) => printer.line(&line)?,
                        Ok(None) => break,
                        Err(_) if task.is_finished() && lines.is_empty() => break,
                        Err(_) => {}
                    }
                }
                told(task).await;
                Ok::<(), Failure>(())
            };
            printing.await?;
        }
    }
    drop(sink);
    while let Some(line) = lines.recv().await {
        printer.line(&line)?;
    }
    for task in tasks {
        told(task).await;
    }
    Ok(())
}

/// How long a log may be silent until it is looked whether it has ended.
const POLL: std::time::Duration = std::time::Duration::from_millis(2);

/// Says why a log could not be read; the others are shown all the same.
async fn told(task: tokio::task::JoinHandle<(String, Result<(), minke_docker_client::Error>)>) {
    if let Ok((name, Err(error))) = task.await {
        output::note(&format!("{name}: {error}"));
    }
}
