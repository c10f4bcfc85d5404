//! `minke images`, `history`, `tag` and `rmi`.

use clap::Parser;
use minke_docker_client::ApiVersion;
use minke_model::Reference;
use serde_json::Value;

use super::{batch, filters};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        self, Layout, history,
        images::{Image, KIND, KIND_WITH_DIGESTS},
        manifests, time,
    },
    output, terminal,
    transfer::require_version,
};

/// Flags of `images`.
#[derive(Debug, Parser)]
pub(crate) struct Ls {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// List the platforms of each image as a tree
    #[arg(long)]
    tree: bool,
    /// Only images of this name
    reference: Option<String>,
}

/// Flags of `history`.
#[derive(Debug, Parser)]
pub(crate) struct History {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "bool")]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Show history for the given platform. Formatted as "os[/arch[/variant]]"
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// The image
    image: String,
}

/// `tag` has no flags.
#[derive(Debug, Parser)]
pub(crate) struct Tag {
    /// The image
    source: String,
    /// Its new name
    target: String,
}

/// Flags of `rmi`.
#[derive(Debug, Parser)]
pub(crate) struct Rm {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    /// Remove only the given platform variant. Formatted as "os[/arch[/variant]]"
    #[arg(long, value_name = "strings")]
    platform: Vec<String>,
    /// The images
    images: Vec<String>,
}

pub(crate) static LS: Verb =
    client_verb!(Ls, ls, Arity::AtMost(1), "[OPTIONS] [REPOSITORY[:TAG]]", "List images");

pub(crate) static HISTORY: Verb =
    client_verb!(History, history, Arity::Exactly(1), "[OPTIONS] IMAGE", "Show the history of an image");

pub(crate) static TAG: Verb = client_verb!(
    Tag,
    tag,
    Arity::Exactly(2),
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"
);

pub(crate) static RM: Verb =
    client_verb!(Rm, rm, Arity::AtLeast(1), "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images");

/// The first version that tells an image's manifests.
const MANIFESTS: ApiVersion = ApiVersion::new(1, 47);

impl Ls {
    /// Which images are asked for.
    fn query(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let mut wanted = self.filter.clone();
        wanted.extend(self.reference.as_ref().map(|reference| format!("reference={reference}")));
        let mut query: Vec<_> = self.all.then(|| ("all", "1".to_owned())).into_iter().collect();
        query.extend(filters::query(&wanted)?);
        Ok(query)
    }
}

async fn ls(context: &Context, args: Ls) -> Result<(), Failure> {
    if args.tree {
        return tree(context, &args).await;
    }
    let kind = if args.digests { &KIND_WITH_DIGESTS } else { &KIND };
    let layout = Layout::choose(args.format.as_deref(), &context.config().images_format, args.quiet, kind)?;
    let mut query = args.query()?;
    query.extend(
        (layout.mentions("SharedSize") || layout.mentions("UniqueSize"))
            .then(|| ("shared-size", "1".to_owned())),
    );
    let images: Vec<Image> = context.client()?.get("/images/json", &query).await?;
    let now = time::now();
    let digests = args.digests || layout.mentions("Digest");
    let rows = images.iter().flat_map(|image| image.rows(digests, args.no_trunc, now, layout.shown()));
    let width = format::terminal_width().filter(|_| !args.no_trunc);
    output::print(&layout.render(kind, rows, width)?)
}

/// The platforms of each image, as far as the engine tells them.
async fn tree(context: &Context, args: &Ls) -> Result<(), Failure> {
    let others = [
        ("quiet", args.quiet),
        ("no-trunc", args.no_trunc),
        ("digests", args.digests),
        ("format", args.format.is_some()),
    ];
    if let Some((flag, _)) = others.iter().find(|(_, given)| *given) {
        return Err(Failure::new(format!("--{flag} is not yet supported with --tree")));
    }
    let mut query = args.query()?;
    query.push(("manifests", "1".to_owned()));
    let client = context.client()?;
    require_version(client, "--tree", MANIFESTS).await?;
    let images: Vec<manifests::Image> = client.get("/images/json", &query).await?;
    output::print(&manifests::text(&images, terminal::stdout_is_terminal()))
}

async fn history(context: &Context, args: History) -> Result<(), Failure> {
    let kind = if args.human { &history::KIND } else { &history::KIND_PLAIN };
    let layout = Layout::choose(args.format.as_deref(), "", args.quiet, kind)?;
    let query: Vec<_> = platform_query(args.platform.as_deref())?.into_iter().collect();
    let layers: Vec<history::Layer> =
        context.client()?.get(&format!("/images/{}/history", args.image), &query).await?;
    let now = time::now();
    let rows: Vec<_> = layers.iter().map(|layer| layer.row(args.human, args.no_trunc, now)).collect();
    let width = format::terminal_width().filter(|_| !args.no_trunc);
    output::print(&layout.render(kind, rows, width)?)
}

async fn tag(context: &Context, args: Tag) -> Result<(), Failure> {
    let target: Reference = args.target.parse().map_err(|error| {
        Failure::doing(
            format!("Error parsing reference: {:?} is not a valid repository/tag", args.target),
            error,
        )
    })?;
    if target.digest().is_some() {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    let (repository, tag) = split_tag(&args.target);
    let query = [("repo", repository.to_owned()), ("tag", tag.to_owned())];
    Ok(context.client()?.post_empty(&format!("/images/{}/tag", args.source), &query).await?)
}

/// The name before its tag, and the tag; a colon before the last slash is a port's.
pub(super) fn split_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

async fn rm(context: &Context, args: Rm) -> Result<(), Failure> {
    let client = context.client()?;
    let mut query = Vec::new();
    query.extend(args.force.then(|| ("force", "1".to_owned())));
    query.extend(args.no_prune.then(|| ("noprune", "1".to_owned())));
    for platform in &args.platform {
        query.extend(platform_query(Some(platform))?.map(|(_, json)| ("platforms", json)));
    }
    let removed = batch::in_order(&args.images, async |image| {
        let deleted: Vec<Value> = client.delete(&format!("/images/{image}"), &query).await?;
        let lines = deleted.iter().filter_map(|item| {
            let untagged = item["Untagged"].as_str().map(|name| format!("Untagged: {name}"));
            untagged.or_else(|| item["Deleted"].as_str().map(|id| format!("Deleted: {id}")))
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    })
    .await;
    match removed {
        // `rmi -f` of what isn't there has reached its goal.
        Err(failure) if args.force && failure.message.lines().all(|line| line.contains("No such image")) => {
            output::note(&failure.message);
            Ok(())
        }
        other => other,
    }
}

/// `os[/arch[/variant]]` as the API's JSON.
///
/// # Errors
/// When it is no platform.
pub(super) fn platform_query(platform: Option<&str>) -> Result<Option<(&'static str, String)>, Failure> {
    let Some(text) = platform.filter(|text| !text.is_empty()) else { return Ok(None) };
    let platform: minke_model::Platform =
        text.parse().map_err(|error| Failure::doing(format!("invalid platform {text:?}"), error))?;
    let mut json = serde_json::json!({"os": platform.os, "architecture": platform.architecture});
    if let Some(variant) = platform.variant {
        json["variant"] = variant.into();
    }
    Ok(Some(("platform", json.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_follows_the_last_colon_unless_that_is_a_ports() {
        assert_eq!(split_tag("a"), ("a", "latest"));
        assert_eq!(split_tag("a:1"), ("a", "1"));
        assert_eq!(split_tag("host:5000/a"), ("host:5000/a", "latest"));
        assert_eq!(split_tag("host:5000/a:1"), ("host:5000/a", "1"));
    }
}
