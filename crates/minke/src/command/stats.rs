//! `minke stats`.

use std::{collections::BTreeMap, time::Duration};

use clap::Parser;
use futures_util::{StreamExt, stream};
use minke_docker_client::Client;

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        self, Layout, Row,
        containers::Container,
        stats::{KIND, Sample},
    },
    output,
};

/// Flags of `stats`.
#[derive(Debug, Parser)]
pub(crate) struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// The containers
    pub(crate) containers: Vec<String>,
}

pub(crate) static STATS: Verb = client_verb!(
    Stats,
    stats,
    Arity::Any,
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics"
);

/// How often the screen is drawn anew.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many samples are asked for at a time.
const PARALLEL: usize = 20;

pub(crate) async fn stats(context: &Context, args: Stats) -> Result<(), Failure> {
    let layout = Layout::choose(args.format.as_deref(), &context.config().stats_format, false, &KIND)?;
    let client = context.client()?;
    let mut before = BTreeMap::new();
    // The first sample has nothing to compare with, except from engines that wait for a second one themselves.
    loop {
        let rows = sample_all(client, &args, &mut before).await?;
        let is_empty = rows.is_empty();
        let text = layout.render(&KIND, rows, format::terminal_width())?;
        if args.no_stream {
            return output::print(&text);
        }
        if is_empty && !args.containers.is_empty() {
            return Ok(());
        }
        output::print(&frame(&text))?;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Draws over the screen before without flicker: each line is cleared to its end, and what follows the last.
fn frame(text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[H{lines}\x1b[J")
}

async fn sample_all(
    client: &Client,
    args: &Stats,
    before: &mut BTreeMap<String, Sample>,
) -> Result<Vec<Row>, Failure> {
    let names =
        if args.containers.is_empty() { running(client, args.all).await? } else { args.containers.clone() };
    let samples: Vec<_> = stream::iter(names.iter())
        .map(|name| async move { (name, sample(client, name).await) })
        .buffered(PARALLEL)
        .collect()
        .await;
    let mut rows = Vec::new();
    for (name, sample) in samples {
        match sample {
            Ok(sample) => {
                let sample = sample.since(before.get(name));
                rows.push(sample.row(shown(name, args), args.no_trunc));
                before.insert(name.clone(), sample);
            }
            // One that was listed may be gone by now; one that was named must be there.
            Err(error) if args.containers.is_empty() && error.is_not_found() => {}
            Err(error) if error.is_not_found() => return Err(error.into()),
            Err(_) => rows.push(Sample::unknown(shown(name, args))),
        }
    }
    Ok(rows)
}

/// What `.Container` is: what the user called it, else the short id.
fn shown<'a>(name: &'a str, args: &Stats) -> &'a str {
    match args.containers.is_empty() && !args.no_trunc {
        true => name.get(..12).unwrap_or(name),
        false => name,
    }
}

async fn running(client: &Client, all: bool) -> Result<Vec<String>, Failure> {
    let query: Vec<_> = all.then(|| ("all", "1".to_owned())).into_iter().collect();
    let containers: Vec<Container> = client.get("/containers/json", &query).await?;
    Ok(containers.into_iter().map(|container| container.id).collect())
}

/// One sample that the engine compared with one a moment before.
async fn sample(client: &Client, name: &str) -> Result<Sample, minke_docker_client::Error> {
    client.get(&format!("/containers/{name}/stats"), &[("stream", "0".to_owned())]).await
}
