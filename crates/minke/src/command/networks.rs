//! `minke network ls`.

use clap::Parser;

use super::filters;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        self, Layout,
        networks::{KIND, Network},
    },
    output,
};

/// Flags of `network ls`.
#[derive(Debug, Parser)]
pub(crate) struct Ls {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) static LS: Verb = client_verb!(Ls, ls, Arity::None, "[OPTIONS]", "List networks");

async fn ls(context: &Context, args: Ls) -> Result<(), Failure> {
    let layout =
        Layout::choose(args.format.as_deref(), &context.config().networks_format, args.quiet, &KIND)?;
    let query: Vec<_> = filters::query(&args.filter)?.into_iter().collect();
    let mut networks: Vec<Network> = context.client()?.get("/networks", &query).await?;
    networks.sort_by(|a, b| a.name().cmp(b.name()));
    let rows: Vec<_> = networks.iter().map(|network| network.row(args.no_trunc)).collect();
    output::print(&layout.render(&KIND, &rows, format::terminal_width())?)
}
