//! `compose images`, `pull`, `push` and `build`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;
use futures_util::future::try_join_all;
use minke_compose::{
    model::Select,
    plan::{images, names},
};
use minke_model::quantity;
use serde::Deserialize;
use serde_json::json;

use super::{build::flags_of, looks, session::Session};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::{
        text::{or_default, short_id},
        time,
    },
    output,
};

/// Flags of `images`.
#[derive(Debug, Parser)]
pub(crate) struct Images {
    /// Format the output. Values: [table | json]
    #[arg(long, value_name = "string", default_value = "table")]
    format: String,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
    /// The services
    services: Vec<String>,
}

/// Flags of `pull`.
#[derive(Debug, Parser)]
pub(crate) struct Pull {
    /// Ignore images that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Pull what it can and ignores images with pull failures
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Also pull services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Deprecated: pulls are parallel, `--parallel` before the verb limits them
    #[arg(long, hide = true)]
    no_parallel: bool,
    /// Deprecated: pulls are parallel
    #[arg(long, hide = true)]
    parallel: bool,
    /// Apply pull policy ("missing"|"always")
    #[arg(long, value_name = "string")]
    policy: Option<String>,
    /// Pull without printing progress information
    #[arg(short, long)]
    quiet: bool,
    /// The services
    services: Vec<String>,
}

/// Flags of `push`.
#[derive(Debug, Parser)]
pub(crate) struct Push {
    /// Push what it can and ignores images with push failures
    #[arg(long)]
    ignore_push_failures: bool,
    /// Also push images of services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Push without printing progress information
    #[arg(short, long)]
    quiet: bool,
    /// The services
    services: Vec<String>,
}

/// Flags of `build`.
#[derive(Debug, Parser)]
pub(crate) struct Build {
    /// Set builder to use (an engine has one: "default")
    #[arg(long, value_name = "string", value_parser = ["default", ""])]
    builder: Option<String>,
    /// Set build-time variables for services
    #[arg(long, value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Deprecated: contexts are sent as they are
    #[arg(long, hide = true)]
    compress: bool,
    /// Deprecated: nothing is left of a build
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Deprecated: nothing is left of a build
    #[arg(long, hide = true)]
    no_rm: bool,
    /// Deprecated: builds are parallel, `--parallel` before the verb limits them
    #[arg(long, hide = true)]
    parallel: bool,
    /// Set memory limit for the build container
    #[arg(short, long, value_name = "bytes")]
    memory: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Always attempt to pull a newer version of the image
    #[arg(long)]
    pull: bool,
    /// Push service images
    #[arg(long)]
    push: bool,
    /// Don't print anything to STDOUT
    #[arg(short, long)]
    quiet: bool,
    /// Set SSH authentications used when building service images (use 'default' for your default SSH agent)
    #[arg(long, value_name = "string")]
    ssh: Vec<String>,
    /// Also build dependencies (transitively)
    #[arg(long)]
    with_dependencies: bool,
    /// The services
    services: Vec<String>,
}

pub(crate) static IMAGES: Verb = client_verb!(
    Images,
    images_of,
    Arity::Any,
    "[OPTIONS] [SERVICE...]",
    "List images used by the created containers"
);
pub(crate) static PULL: Verb =
    client_verb!(Pull, pull, Arity::Any, "[OPTIONS] [SERVICE...]", "Pull service images");
pub(crate) static PUSH: Verb =
    client_verb!(Push, push, Arity::Any, "[OPTIONS] [SERVICE...]", "Push service images");
pub(crate) static BUILD: Verb =
    client_verb!(Build, build, Arity::Any, "[OPTIONS] [SERVICE...]", "Build or rebuild services");

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    id: String,
    #[serde(deserialize_with = "or_default")]
    repo_tags: Vec<String>,
    architecture: String,
    os: String,
    #[serde(deserialize_with = "or_default")]
    variant: String,
    size: i64,
    #[serde(deserialize_with = "or_default")]
    created: String,
}

async fn images_of(context: &Context, args: Images) -> Result<(), Failure> {
    let session = Session::of_name(context).await?;
    let containers = session.containers(&args.services, true).await?;
    let client = session.client()?;
    let ids: BTreeSet<_> = containers.iter().map(|container| container.image_id.clone()).collect();
    let found = try_join_all(ids.into_iter().map(async |id| {
        let inspected: Inspected = client.get(&format!("/images/{id}/json"), &[]).await?;
        Ok::<_, Failure>((id, inspected))
    }));
    let found: BTreeMap<_, _> = found.await?.into_iter().collect();
    if args.quiet {
        let ids = found.values().map(|image| format!("{}\n", image.id.trim_start_matches("sha256:")));
        return output::print(&ids.collect::<String>());
    }
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    let mut containers: Vec<_> = containers.iter().collect();
    containers.sort_by(|a, b| a.name().cmp(b.name()));
    for container in containers {
        let Some(image) = found.get(&container.image_id) else { continue };
        // Of several names the one that the container was made with.
        let tag = image.repo_tags.iter().find(|tag| **tag == container.image).or(image.repo_tags.first());
        let (repository, tag) = tag.and_then(|tag| tag.rsplit_once(':')).unwrap_or(("<none>", "<none>"));
        let mut platform = format!("{}/{}", image.os, image.architecture);
        if !image.variant.is_empty() {
            platform = format!("{platform}/{}", image.variant);
        }
        let created = time::ago_of(&image.created);
        values.push(json!({
            "ID": image.id, "ContainerName": container.name(), "Repository": repository, "Tag": tag, "Platform": platform,
            "Size": image.size, "Created": image.created,
        }));
        let size = quantity::decimal_size(image.size as f64, 3);
        let texts = [container.name(), repository, tag, &platform, &short_id(&image.id), &size, &created];
        rows.push(texts.map(str::to_owned).to_vec());
    }
    let titles = ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"];
    looks::table_or_json(&args.format, &titles, &rows, values)
}

fn with_dependencies(with: bool) -> Select {
    if with { Select::WithDependencies } else { Select::Alone }
}

async fn pull(context: &Context, args: Pull) -> Result<(), Failure> {
    let mut session = Session::of_files(context)?;
    session.select(&args.services, with_dependencies(args.include_deps))?;
    if args.quiet {
        session.screen.silence();
    }
    let observed = session.observe().await?;
    let missing_only = match args.policy.as_deref() {
        None | Some("always") => false,
        Some("missing") => true,
        Some(other) => {
            return Err(Failure::new(format!("invalid --policy {other:?}, want missing or always")));
        }
    };
    let mut plan = images::pulls(&session.project, &observed, missing_only, !args.ignore_buildable);
    if args.ignore_pull_failures {
        for step in &mut plan.steps {
            if let minke_compose::plan::Command::PullImage { may_fail, .. } = &mut step.command {
                *may_fail = true;
            }
        }
    }
    session.carry_out(&plan, &observed).await
}

async fn push(context: &Context, args: Push) -> Result<(), Failure> {
    let mut session = Session::of_files(context)?;
    session.select(&args.services, with_dependencies(args.include_deps))?;
    if args.quiet {
        session.screen.silence();
    }
    push_all(&session, args.ignore_push_failures).await
}

async fn push_all(session: &Session<'_>, ignore_failures: bool) -> Result<(), Failure> {
    let services = session.project.services.values();
    let images: BTreeMap<_, _> = services
        .filter(|service| service.build.is_some() && !service.image.is_empty())
        .map(|service| (names::image(&session.project.name, service), service.name.clone()))
        .collect();
    if session.flags().dry_run {
        let lines = images.keys().map(|image| format!("DRY-RUN MODE -  push image {image}\n"));
        return output::print(&lines.collect::<String>());
    }
    let execution = session.execution()?;
    let pushes = images.iter().map(|(image, service)| {
        let pushing = execution.push(service, image);
        async move {
            match pushing.await {
                Err(error) if !ignore_failures => Err(Failure::from(error)),
                _ => Ok(()),
            }
        }
    });
    session.screen.during(try_join_all(pushes)).await.map(drop)
}

async fn build(context: &Context, args: Build) -> Result<(), Failure> {
    let mut session = Session::of_files(context)?;
    session.select(&args.services, with_dependencies(args.with_dependencies))?;
    if args.quiet {
        session.screen.silence();
    }
    let plan = images::builds(&session.project);
    if plan.is_empty() {
        output::note("No services to build");
        return Ok(());
    }
    let flags = flags_of(&args.build_arg, args.no_cache, args.pull, args.memory.as_deref(), args.ssh)?;
    let execution = session.execution()?.with_build(flags);
    session.carry_out_with(&plan, &minke_compose::plan::Observed::default(), execution).await?;
    if args.push { push_all(&session, false).await } else { Ok(()) }
}
