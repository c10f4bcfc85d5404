//! `minke build`: an image of a Dockerfile, by whichever engine answers.
//!
//! ```text
//!              ┌▶ buildkit: /grpc and /session, where the engine has BuildKit ─▶ events ─┐
//!  flags ─▶ way┤                                                                         ├▶ shown ─▶ result
//!              └▶ classic: POST /build; an engine of minke's tells events there too ─────┘
//! ```

mod answer;
mod buildkit;
mod classic;
mod context;
mod flags;
mod options;
mod shown;
mod trace;

use std::path::PathBuf;

use minke_docker_client::Client;
use serde_json::Value;

use self::{context::Source, flags::Build, shown::Mode};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
};

pub(crate) static BUILD: Verb = client_verb!(
    Build,
    build,
    Arity::Exactly(1),
    "[OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile"
);

/// What a build came to.
#[derive(Debug, Default)]
struct Built {
    /// What names the image on the engine.
    image: Option<String>,
    /// What `--metadata-file` gets.
    metadata: Value,
}

async fn build(context: &Context, mut args: Build) -> Result<(), Failure> {
    if let Some(reason) = args.refused() {
        return Err(Failure::new(reason));
    }
    check_builder(context, &args)?;
    let client = context.client()?;
    // Before what is given, which counts more.
    let proxies = context.proxies()?.into_iter();
    args.build_arg.splice(0..0, proxies.map(|(name, value)| format!("{name}={value}")));
    let has_buildkit = has_buildkit(client, &args).await?;
    let source = Source::find(&args.context, args.file.as_deref()).await?;
    let mode = if args.quiet { Mode::Quiet } else { args.progress };
    let built = match has_buildkit {
        true => buildkit::build(context, client, &args, source, mode).await?,
        false => classic::build(client, &args, source, mode).await?,
    };
    if let Some(file) = &args.metadata_file
        && !built.metadata.is_null()
    {
        write(file, &format!("{:#}", built.metadata))?;
    }
    let Some(image) = built.image else { return Ok(()) };
    if let Some(file) = &args.iidfile {
        write(file, &image)?;
    }
    if mode == Mode::Quiet { output::line(&image) } else { Ok(()) }
}

/// Engines have one builder, which has the name of its context.
fn check_builder(context: &Context, args: &Build) -> Result<(), Failure> {
    match &args.builder {
        Some(name) if !name.is_empty() && name != "default" && *name != context.name() => {
            Err(Failure::new(format!(
                "no builder {name:?} found: the engine's own is called default; docker buildx has others"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether the build goes over BuildKit's API: the engine has it, and nothing is asked for that only the classic way knows.
async fn has_buildkit(client: &Client, args: &Build) -> Result<bool, Failure> {
    let switch = std::env::var("DOCKER_BUILDKIT").unwrap_or_default();
    let is_off = matches!(&*switch, "0" | "false");
    let reason = match args.only_classic() {
        Some(flag) => Some(flag.to_owned()),
        None if is_off => Some(format!("DOCKER_BUILDKIT={switch}")),
        None if client.ping().await?.builder_version == "2" => None,
        None => Some("this engine".to_owned()),
    };
    let Some(reason) = reason else { return Ok(true) };
    match args.only_buildkit() {
        None => Ok(false),
        Some(flag) => Err(Failure::new(format!(
            "{flag} needs BuildKit, which {reason} does without: leave one of the two out"
        ))),
    }
}

fn write(file: &PathBuf, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| Failure::doing(format!("write {}", file.display()), error))
}
