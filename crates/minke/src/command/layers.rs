//! `minke image tree` and `image explore`: what each layer of an image adds, replaces, deletes and wastes. No command of
//! docker's, but a client of its API alone like the others.

use clap::Parser;
use minke_docker_client::{Body, Client, HeaderMap, Method, StreamResponse};
use minke_model::{Platform, media_type};
use serde::Deserialize;
use tokio::io;

use super::images::platform_query;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    copy::pipes,
    explore,
    failure::{Failure, chain},
    format::{self, layers::Detail, text::or_default},
    layers::{archive, report::Report},
    output,
    progress::{Counted, Progress, Screen},
    terminal,
};

/// Flags of `image tree` and `image explore`.
#[derive(Debug, Parser)]
pub(crate) struct Layers {
    /// Add up what is deeper in each layer than so many folders (0 lists every file)
    #[arg(long, value_name = "int", default_value = "2")]
    depth: usize,
    /// Format output: 'json' or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Look at this platform of the image. Formatted as "os[/arch[/variant]]"
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// List so many paths of each layer, the largest (0 lists all)
    #[arg(long, value_name = "int", default_value = "10")]
    top: usize,
    /// The image
    image: String,
}

pub(crate) static TREE: Verb = client_verb!(
    Layers,
    tree,
    Arity::Exactly(1),
    "[OPTIONS] IMAGE",
    "Show what each layer of an image adds, replaces, deletes and wastes"
);

pub(crate) static EXPLORE: Verb = client_verb!(
    Layers,
    explore,
    Arity::Exactly(1),
    "[OPTIONS] IMAGE",
    "Walk through the layers of an image and their files"
);

async fn tree(context: &Context, args: Layers) -> Result<(), Failure> {
    let report = report(context, &args).await?;
    print(&args, &report)
}

async fn explore(context: &Context, args: Layers) -> Result<(), Failure> {
    let report = report(context, &args).await?;
    let on_screen = terminal::stdin_is_terminal() && terminal::stdout_is_terminal() && args.format.is_none();
    match on_screen {
        true => terminal::unless_ended(explore::run(args.image, report)).await,
        false => print(&args, &report),
    }
}

fn print(args: &Layers, report: &Report) -> Result<(), Failure> {
    let detail = Detail { depth: args.depth, top: args.top };
    match args.format.as_deref().filter(|format| !format.is_empty()) {
        Some(format) => {
            output::line(&format::object(format, &format::layers::data(&args.image, report, detail))?)
        }
        None => output::print(&format::layers::text(&args.image, report, detail, format::terminal_width())),
    }
}

async fn report(context: &Context, args: &Layers) -> Result<Report, Failure> {
    let client = context.client()?;
    let wanted = match args.platform.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(
            text.parse::<Platform>()
                .map_err(|error| Failure::doing(format!("invalid platform {text:?}"), error))?,
        ),
        None => own_platform(client, &args.image).await?,
    };
    let text = wanted.as_ref().map(Platform::to_string);
    let query: Vec<_> = platform_query(text.as_deref())?.into_iter().collect();
    let path = format!("/images/{}/get", args.image);
    let response = client.stream(Method::GET, &path, &query, Body::Empty, HeaderMap::new()).await?;
    let read = read(response, wanted.unwrap_or_else(Platform::host)).await;
    read.map_err(|failure| Failure::new(format!("look into {}: {}", args.image, failure.message)))
}

/// The platform that the engine would run, where the image is there for several: engines that lack some of them save the
/// whole in a form that nobody can read.
async fn own_platform(client: &Client, image: &str) -> Result<Option<Platform>, Failure> {
    let inspected: Inspected = client.get(&format!("/images/{image}/json"), &[]).await?;
    let Inspected { os, architecture, variant, descriptor } = inspected;
    let is_index = media_type::is_index(&descriptor.media_type);
    Ok(is_index.then(|| Platform::normalised(&os, &architecture, Some(&variant))))
}

/// What an engine says of an image, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Inspected {
    os: String,
    architecture: String,
    #[serde(deserialize_with = "or_default")]
    variant: String,
    #[serde(deserialize_with = "or_default")]
    descriptor: Descriptor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Descriptor {
    media_type: String,
}

/// Reads the archive in a thread while it comes.
async fn read(response: StreamResponse, wanted: Platform) -> Result<Report, Failure> {
    let (mut sender, reader) = pipes::to_thread().map_err(|error| Failure::doing("make a pipe", error))?;
    let thread = tokio::task::spawn_blocking(move || archive::read(reader, &wanted).map(Report::of));
    let progress = Progress::new(Screen::Stderr);
    let mut body = Counted::new(response.body, progress.counter("image", "Reading", None));
    let copied = io::copy(&mut body, &mut sender).await;
    drop((sender, body, progress));
    let read = thread.await.map_err(|error| Failure::doing("read the layers", error))?;
    match (copied, read) {
        (Ok(_), Ok(report)) => Ok(report),
        // When reading fails, the copying ends with a broken pipe, which is not the news.
        (Err(error), Ok(_)) => Err(Failure::doing("receive the image", error)),
        (Err(error), Err(_)) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::doing("receive the image", error))
        }
        (_, Err(error)) => Err(Failure::new(chain(&error))),
    }
}
