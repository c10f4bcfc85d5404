//! `minke system df`.

use clap::Parser;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{self, Kind, Layout, Row, containers::Container, disk, images::Image, time, volumes::Volume},
    output,
};

/// Flags of `system df`.
#[derive(Debug, Parser)]
pub(crate) struct Df {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) static DF: Verb = client_verb!(Df, df, Arity::None, "[OPTIONS]", "Show disk usage");

async fn df(context: &Context, args: Df) -> Result<(), Failure> {
    let usage: Value = context.client()?.get("/system/df", &[]).await?;
    if args.verbose {
        if args.format.is_some_and(|format| !matches!(format.as_str(), "" | "table")) {
            return Err(Failure::new(
                "minke system df: --format is not supported together with --verbose yet",
            ));
        }
        return output::print(&verbose(&usage)?);
    }
    let layout = Layout::choose(args.format.as_deref(), "", false, &disk::KIND)?;
    output::print(&layout.render(&disk::KIND, &disk::rows(&usage), format::terminal_width())?)
}

fn verbose(usage: &Value) -> Result<String, Failure> {
    let now = time::now();
    let images: Vec<Image> = list(usage, "Images")?;
    let images: Vec<_> =
        images.iter().flat_map(|image| image.rows(false, false, now).into_iter().take(1)).collect();
    let containers: Vec<Container> = list(usage, "Containers")?;
    let containers: Vec<_> =
        containers.into_iter().map(|container| container.without_image_size().row(false, now)).collect();
    let volumes: Vec<Volume> = list(usage, "Volumes")?;
    let volumes: Vec<_> = volumes.iter().map(Volume::row).collect();
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}",
        table(&disk::IMAGES, &images)?,
        table(&disk::CONTAINERS, &containers)?,
        table(&disk::VOLUMES, &volumes)?
    ))
}

fn table(kind: &Kind, rows: &[Row]) -> Result<String, Failure> {
    Layout::choose(None, "", false, kind)?.render(kind, rows, format::terminal_width())
}

fn list<T: DeserializeOwned>(usage: &Value, name: &str) -> Result<Vec<T>, Failure> {
    let items: Option<Vec<T>> = serde_json::from_value(usage[name].clone())
        .map_err(|error| Failure::doing(format!("read {name} of the engine's disk usage"), error))?;
    Ok(items.unwrap_or_default())
}
