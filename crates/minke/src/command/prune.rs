//! `minke builder|container|image|network|volume|system prune`.

use std::io::{BufRead, Write};

use clap::Parser;
use minke_docker_client::Client;
use minke_model::quantity;
use serde_json::Value;

use super::filters;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
};

/// Flags of `container prune` and `network prune`.
#[derive(Debug, Parser)]
pub(crate) struct Plain {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Flags of `builder prune`.
#[derive(Debug, Parser)]
pub(crate) struct BuildCache {
    /// Remove all unused build cache, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "until=24h")
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Amount of disk space to keep for cache
    #[arg(long, value_name = "bytes", value_parser = quantity::parse_bytes)]
    keep_storage: Option<i64>,
}

/// Flags of `image prune`.
#[derive(Debug, Parser)]
pub(crate) struct Images {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Flags of `volume prune`.
#[derive(Debug, Parser)]
pub(crate) struct Volumes {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<label>")
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Flags of `system prune`.
#[derive(Debug, Parser)]
pub(crate) struct System {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<key>=<value>")
    #[arg(long, value_name = "filter")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

pub(crate) static CONTAINERS: Verb =
    client_verb!(Plain, containers, Arity::None, "[OPTIONS]", "Remove all stopped containers");
pub(crate) static IMAGES: Verb =
    client_verb!(Images, images, Arity::None, "[OPTIONS]", "Remove unused images");
pub(crate) static BUILD_CACHE: Verb =
    client_verb!(BuildCache, build_cache, Arity::None, "[OPTIONS]", "Remove build cache");
pub(crate) static NETWORKS: Verb =
    client_verb!(Plain, networks, Arity::None, "[OPTIONS]", "Remove all unused networks");
pub(crate) static VOLUMES: Verb =
    client_verb!(Volumes, volumes, Arity::None, "[OPTIONS]", "Remove unused local volumes");
pub(crate) static SYSTEM: Verb = client_verb!(System, system, Arity::None, "[OPTIONS]", "Remove unused data");

/// One kind of thing to prune.
struct Part {
    path: &'static str,
    /// Asks for all of them, where that is no filter.
    all: bool,
    /// Where the answer lists what was removed, and its title.
    list: &'static str,
    title: &'static str,
    filters: Vec<String>,
    /// Bytes that stay.
    keep: Option<i64>,
}

fn container_part(filters: &[String]) -> Part {
    Part {
        path: "/containers/prune",
        all: false,
        list: "ContainersDeleted",
        title: "Deleted Containers:",
        filters: filters.to_vec(),
        keep: None,
    }
}

fn image_part(all: bool, filters: &[String]) -> Part {
    let dangling = format!("dangling={}", !all);
    let filters = filters.iter().cloned().chain([dangling]).collect();
    Part {
        path: "/images/prune",
        all: false,
        list: "ImagesDeleted",
        title: "Deleted Images:",
        filters,
        keep: None,
    }
}

fn network_part(filters: &[String]) -> Part {
    Part {
        path: "/networks/prune",
        all: false,
        list: "NetworksDeleted",
        title: "Deleted Networks:",
        filters: filters.to_vec(),
        keep: None,
    }
}

fn cache_part(all: bool, filters: &[String]) -> Part {
    Part {
        path: "/build/prune",
        all,
        list: "CachesDeleted",
        title: "Deleted build cache objects:",
        filters: filters.to_vec(),
        keep: None,
    }
}

fn volume_part(all: bool, filters: &[String]) -> Part {
    let filters = filters.iter().cloned().chain(all.then(|| "all=true".to_owned())).collect();
    Part {
        path: "/volumes/prune",
        all: false,
        list: "VolumesDeleted",
        title: "Deleted Volumes:",
        filters,
        keep: None,
    }
}

async fn build_cache(context: &Context, args: BuildCache) -> Result<(), Failure> {
    let warning = match args.all {
        true => "WARNING! This will remove all build cache.",
        false => "WARNING! This will remove all dangling build cache.",
    };
    let part = Part { keep: args.keep_storage, ..cache_part(args.all, &args.filter) };
    prune(context, args.force, warning, &[part]).await
}

async fn containers(context: &Context, args: Plain) -> Result<(), Failure> {
    let warning = "WARNING! This will remove all stopped containers.";
    prune(context, args.force, warning, &[container_part(&args.filter)]).await
}

async fn images(context: &Context, args: Images) -> Result<(), Failure> {
    let warning = match args.all {
        true => "WARNING! This will remove all images without at least one container associated to them.",
        false => "WARNING! This will remove all dangling images.",
    };
    prune(context, args.force, warning, &[image_part(args.all, &args.filter)]).await
}

async fn networks(context: &Context, args: Plain) -> Result<(), Failure> {
    let warning = "WARNING! This will remove all custom networks not used by at least one container.";
    if !args.force && !confirmed(warning)? {
        return Ok(());
    }
    // They take no space to be reclaimed.
    let (lines, _) = prune_part(context.client()?, &network_part(&args.filter)).await?;
    output::print(&lines)
}

async fn volumes(context: &Context, args: Volumes) -> Result<(), Failure> {
    let warning = match args.all {
        true => "WARNING! This will remove all local volumes not used by at least one container.",
        false => "WARNING! This will remove anonymous local volumes not used by at least one container.",
    };
    prune(context, args.force, warning, &[volume_part(args.all, &args.filter)]).await
}

async fn system(context: &Context, args: System) -> Result<(), Failure> {
    let mut parts = vec![container_part(&args.filter), network_part(&args.filter)];
    let mut warning = "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n".to_owned();
    if args.volumes {
        warning.push_str("  - all anonymous volumes not used by at least one container\n");
        // Volumes know no ages.
        let own: Vec<_> =
            args.filter.iter().filter(|filter| !filter.starts_with("until=")).cloned().collect();
        parts.push(volume_part(false, &own));
    }
    warning.push_str(match args.all {
        true => "  - all images without at least one container associated to them\n  - all build cache\n",
        false => "  - all dangling images\n  - unused build cache\n",
    });
    parts.push(image_part(args.all, &args.filter));
    parts.push(cache_part(args.all, &args.filter));
    prune(context, args.force, &warning, &parts).await
}

async fn prune(context: &Context, force: bool, warning: &str, parts: &[Part]) -> Result<(), Failure> {
    if !force && !confirmed(warning)? {
        return Ok(());
    }
    let client = context.client()?;
    let mut reclaimed = 0.0;
    let mut text = String::new();
    for part in parts {
        let (lines, bytes) = prune_part(client, part).await?;
        text.push_str(&lines);
        reclaimed += bytes;
    }
    output::print(&format!("{text}Total reclaimed space: {}\n", quantity::decimal_size(reclaimed, 4)))
}

async fn prune_part(client: &Client, part: &Part) -> Result<(String, f64), Failure> {
    let mut query: Vec<_> = filters::query(&part.filters)?.into_iter().collect();
    query.extend(part.all.then(|| ("all", "1".to_owned())));
    query.extend(part.keep.map(|bytes| ("keep-storage", bytes.to_string())));
    let report: Value = client.post_empty(part.path, &query).await?;
    let mut lines: Vec<String> = report[part.list].as_array().into_iter().flatten().map(removed).collect();
    if !lines.is_empty() {
        lines.insert(0, part.title.to_owned());
        lines.push("\n".to_owned());
    }
    Ok((lines.join("\n"), report["SpaceReclaimed"].as_f64().unwrap_or(0.0)))
}

/// A name, or what became of an image.
fn removed(item: &Value) -> String {
    let named = |key: &str, title: &str| item[key].as_str().map(|name| format!("{title}: {name}"));
    let image = || named("Untagged", "untagged").or_else(|| named("Deleted", "deleted"));
    item.as_str().map(str::to_owned).or_else(image).unwrap_or_default()
}

/// Asks; only `y` is a yes.
fn confirmed(warning: &str) -> Result<bool, Failure> {
    output::print(&format!("{}\nAre you sure you want to continue? [y/N] ", warning.trim_end()))?;
    std::io::stdout().flush().map_err(output::lost)?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::doing("read the answer from standard input", error))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
