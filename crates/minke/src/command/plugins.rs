//! `minke plugin …`: what can be done to an engine's plugins that are there. An engine without any says so.

use clap::Parser;

use super::{batch, filters};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        self, Layout,
        plugins::{KIND, Plugin},
    },
    output,
};

/// Flags of `plugin ls`.
#[derive(Debug, Parser)]
pub(crate) struct Ls {
    /// Provide filter values (e.g. "enabled=true")
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display plugin IDs
    #[arg(short, long)]
    quiet: bool,
}

/// Flags of `plugin enable`.
#[derive(Debug, Parser)]
pub(crate) struct Enable {
    /// HTTP client timeout (in seconds)
    #[arg(long, value_name = "int", default_value = "30")]
    timeout: i64,
    /// The plugin
    plugin: String,
}

/// Flags of `plugin disable`.
#[derive(Debug, Parser)]
pub(crate) struct Disable {
    /// Force the disable of an active plugin
    #[arg(short, long)]
    force: bool,
    /// The plugin
    plugin: String,
}

/// Flags of `plugin rm`.
#[derive(Debug, Parser)]
pub(crate) struct Rm {
    /// Force the removal of an active plugin
    #[arg(short, long)]
    force: bool,
    /// The plugins
    plugins: Vec<String>,
}

/// `plugin set` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Set {
    /// The plugin
    plugin: String,
    /// Its new settings
    settings: Vec<String>,
}

pub(crate) static LS: Verb = client_verb!(Ls, ls, Arity::None, "[OPTIONS]", "List plugins");

pub(crate) static ENABLE: Verb =
    client_verb!(Enable, enable, Arity::Exactly(1), "[OPTIONS] PLUGIN", "Enable a plugin");

pub(crate) static DISABLE: Verb =
    client_verb!(Disable, disable, Arity::Exactly(1), "[OPTIONS] PLUGIN", "Disable a plugin");

pub(crate) static RM: Verb =
    client_verb!(Rm, rm, Arity::AtLeast(1), "[OPTIONS] PLUGIN [PLUGIN...]", "Remove one or more plugins");

pub(crate) static SET: Verb = client_verb!(
    Set,
    set,
    Arity::AtLeast(2),
    "PLUGIN KEY=VALUE [KEY=VALUE...]",
    "Change settings for a plugin"
);

async fn ls(context: &Context, args: Ls) -> Result<(), Failure> {
    let layout = Layout::choose(args.format.as_deref(), &context.config().plugins_format, args.quiet, &KIND)?;
    let query: Vec<_> = filters::query(&args.filter)?.into_iter().collect();
    let mut plugins: Vec<Plugin> = context.client()?.get("/plugins", &query).await?;
    plugins.sort_by(|a, b| a.name().cmp(b.name()));
    let rows: Vec<_> = plugins.iter().map(|plugin| plugin.row(args.no_trunc)).collect();
    output::print(&layout.render(&KIND, rows, format::terminal_width())?)
}

async fn enable(context: &Context, args: Enable) -> Result<(), Failure> {
    let query = [("timeout", args.timeout.to_string())];
    let path = format!("/plugins/{}/enable", args.plugin);
    context.client()?.post_empty::<()>(&path, &query).await?;
    output::line(&args.plugin)
}

async fn disable(context: &Context, args: Disable) -> Result<(), Failure> {
    let path = format!("/plugins/{}/disable", args.plugin);
    context.client()?.post_empty::<()>(&path, &forced(args.force)).await?;
    output::line(&args.plugin)
}

async fn rm(context: &Context, args: Rm) -> Result<(), Failure> {
    let client = context.client()?;
    let query = forced(args.force);
    batch::in_order(&args.plugins, async |name| {
        // The answer is the plugin that was.
        let _: serde_json::Value = client.delete(&format!("/plugins/{name}"), &query).await?;
        Ok(name.to_owned())
    })
    .await
}

async fn set(context: &Context, args: Set) -> Result<(), Failure> {
    Ok(context.client()?.post(&format!("/plugins/{}/set", args.plugin), &[], Some(&args.settings)).await?)
}

fn forced(force: bool) -> Vec<(&'static str, String)> {
    force.then(|| ("force", "1".to_owned())).into_iter().collect()
}
