//! `minke volume ls`, `create` and `rm`.

use std::collections::HashMap;

use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{batch, filters};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        self, Layout,
        text::or_default,
        volumes::{KIND, Volume},
    },
    output,
    run::{FlagError, limits},
};

/// Flags of `volume ls`.
#[derive(Debug, Parser)]
pub(crate) struct Ls {
    /// Display only cluster volumes (not supported yet)
    #[arg(long, hide = true)]
    cluster: bool,
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

/// Flags of `volume create`.
#[derive(Debug, Parser)]
pub(crate) struct Create {
    /// Specify volume driver name
    #[arg(short, long, value_name = "string", default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Specify volume name
    #[arg(long, value_name = "string", hide = true)]
    name: Option<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// The volume's name
    volume: Option<String>,
}

/// Flags of `volume rm`.
#[derive(Debug, Parser)]
pub(crate) struct Rm {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
    /// The volumes
    volumes: Vec<String>,
}

pub(crate) static LS: Verb = client_verb!(Ls, ls, Arity::None, "[OPTIONS]", "List volumes");

pub(crate) static CREATE: Verb =
    client_verb!(Create, create, Arity::AtMost(1), "[OPTIONS] [VOLUME]", "Create a volume");

pub(crate) static RM: Verb = client_verb!(
    Rm,
    rm,
    Arity::AtLeast(1),
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes. You cannot remove a volume that is in use by a container."
);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listed {
    #[serde(deserialize_with = "or_default")]
    volumes: Vec<Volume>,
    #[serde(deserialize_with = "or_default")]
    warnings: Vec<String>,
}

async fn ls(context: &Context, args: Ls) -> Result<(), Failure> {
    if args.cluster {
        return Err(Failure::new("minke volume ls: --cluster is not supported yet"));
    }
    let layout = Layout::choose(args.format.as_deref(), &context.config().volumes_format, args.quiet, &KIND)?;
    let query: Vec<_> = filters::query(&args.filter)?.into_iter().collect();
    let mut listed: Listed = context.client()?.get("/volumes", &query).await?;
    for warning in &listed.warnings {
        output::note(&format!("WARNING: {warning}"));
    }
    listed.volumes.sort_by(|a, b| a.name().cmp(b.name()));
    let rows: Vec<_> = listed.volumes.iter().map(Volume::row).collect();
    output::print(&layout.render(&KIND, rows, format::terminal_width())?)
}

async fn create(context: &Context, args: Create) -> Result<(), Failure> {
    if args.name.is_some() && args.volume.is_some() {
        return Err(Failure::new(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
        ));
    }
    let flag = |FlagError(problem)| Failure::new(problem);
    let labels: HashMap<_, _> = limits::pairs("label", &args.label).map_err(flag)?;
    let options = limits::pairs("opt", &args.opt).map_err(flag)?;
    let body = json!({
        "Name": args.name.or(args.volume).unwrap_or_default(),
        "Driver": args.driver,
        "DriverOpts": options,
        "Labels": labels,
    });
    let volume: Value = context.client()?.post("/volumes/create", &[], Some(&body)).await?;
    output::line(volume["Name"].as_str().unwrap_or_default())
}

async fn rm(context: &Context, args: Rm) -> Result<(), Failure> {
    let client = context.client()?;
    let query: Vec<_> = args.force.then(|| ("force", "1".to_owned())).into_iter().collect();
    batch::in_order(&args.volumes, async |name| {
        match client.delete::<()>(&format!("/volumes/{name}"), &query).await {
            Ok(()) => Ok(name.to_owned()),
            // `volume rm -f` of what isn't there has reached its goal.
            Err(error) if args.force && error.is_not_found() => Ok(name.to_owned()),
            Err(error) => Err(error.into()),
        }
    })
    .await
}
