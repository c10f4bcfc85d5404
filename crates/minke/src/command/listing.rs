//! `minke ps`.

use clap::Parser;

use super::filters;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        self, Layout,
        containers::{Container, KIND, KIND_WITH_SIZE},
        time,
    },
    output,
};

/// Flags of `ps`.
#[derive(Debug, Parser)]
pub(crate) struct Ps {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "int", default_value = "-1")]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

pub(crate) static PS: Verb = client_verb!(Ps, ps, Arity::None, "[OPTIONS]", "List containers");

async fn ps(context: &Context, args: Ps) -> Result<(), Failure> {
    let kind = if args.size { &KIND_WITH_SIZE } else { &KIND };
    let format = args.format.as_deref().filter(|format| !args.quiet || format.is_empty());
    if format != args.format.as_deref() {
        output::note("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    }
    let layout = Layout::choose(format, &context.config().ps_format, args.quiet, kind)?;
    let limit = if args.latest { 1 } else { args.last };
    let mut query = Vec::new();
    query.extend((args.all || limit > 0).then(|| ("all", "1".to_owned())));
    query.extend((limit > 0).then(|| ("limit", limit.to_string())));
    // Counting files is slow, so it is done only for who looks at the result.
    query.extend((args.size || (!args.quiet && layout.mentions("Size"))).then(|| ("size", "1".to_owned())));
    query.extend(filters::query(&args.filter)?);
    let containers: Vec<Container> = context.client()?.get("/containers/json", &query).await?;
    let now = time::now();
    let rows = containers.iter().map(|container| container.row(args.no_trunc, now, layout.shown()));
    let width = format::terminal_width().filter(|_| !args.no_trunc);
    output::print(&layout.render(kind, rows, width)?)
}
