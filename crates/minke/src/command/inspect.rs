//! `minke inspect` and its forms for one kind of thing.

use clap::Parser;
use minke_docker_client::{Client, Error};
use serde_json::{Value, value::RawValue};

use super::images::platform_query;
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    format::indent,
    output,
    template::{NoMethods, Template},
};

/// Flags of `inspect`.
#[derive(Debug, Parser)]
pub(crate) struct Inspect {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Only inspect objects of the given type
    #[arg(long = "type", value_name = "string", value_parser = ["container", "image", "network", "volume", "plugin"])]
    kind: Option<String>,
    /// The things
    names: Vec<String>,
}

/// Flags of `container inspect`.
#[derive(Debug, Parser)]
pub(crate) struct Container {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
    /// The containers
    names: Vec<String>,
}

/// Flags of `image inspect`.
#[derive(Debug, Parser)]
pub(crate) struct Image {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Inspect a specific platform of the multi-platform image. Formatted as "os[/arch[/variant]]"
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// The images
    names: Vec<String>,
}

/// Flags of `network inspect`.
#[derive(Debug, Parser)]
pub(crate) struct Network {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Verbose output for diagnostics
    #[arg(short, long)]
    verbose: bool,
    /// The networks
    names: Vec<String>,
}

/// Flags of `volume inspect`.
#[derive(Debug, Parser)]
pub(crate) struct Volume {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// The volumes
    names: Vec<String>,
}

/// Flags of `plugin inspect`.
#[derive(Debug, Parser)]
pub(crate) struct Plugin {
    /// Format output: 'json' or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// The plugins
    names: Vec<String>,
}

pub(crate) static INSPECT: Verb = client_verb!(
    Inspect,
    inspect,
    Arity::AtLeast(1),
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on objects"
);

pub(crate) static CONTAINER: Verb = client_verb!(
    Container,
    containers,
    Arity::AtLeast(1),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Display detailed information on one or more containers"
);

pub(crate) static IMAGE: Verb = client_verb!(
    Image,
    images,
    Arity::AtLeast(1),
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images"
);

pub(crate) static NETWORK: Verb = client_verb!(
    Network,
    networks,
    Arity::AtLeast(1),
    "[OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks"
);

pub(crate) static VOLUME: Verb = client_verb!(
    Volume,
    volumes,
    Arity::AtLeast(1),
    "[OPTIONS] VOLUME [VOLUME...]",
    "Display detailed information on one or more volumes"
);

pub(crate) static PLUGIN: Verb = client_verb!(
    Plugin,
    plugins,
    Arity::AtLeast(1),
    "[OPTIONS] PLUGIN [PLUGIN...]",
    "Display detailed information on one or more plugins"
);

/// Where the API has a kind of thing: before and after the name.
const KINDS: [(&str, &str, &str); 5] = [
    ("container", "/containers/", "/json"),
    ("image", "/images/", "/json"),
    ("network", "/networks/", ""),
    ("volume", "/volumes/", ""),
    ("plugin", "/plugins/", "/json"),
];

async fn inspect(context: &Context, args: Inspect) -> Result<(), Failure> {
    let kinds: Vec<&str> = match &args.kind {
        Some(kind) => vec![kind],
        None => KINDS.iter().map(|(kind, ..)| *kind).collect(),
    };
    let query = size_query(args.size);
    show(context, &args.names, args.format.as_deref(), &kinds, &query).await
}

async fn containers(context: &Context, args: Container) -> Result<(), Failure> {
    let query = size_query(args.size);
    show(context, &args.names, args.format.as_deref(), &["container"], &query).await
}

async fn images(context: &Context, args: Image) -> Result<(), Failure> {
    let query: Vec<_> = platform_query(args.platform.as_deref())?.into_iter().collect();
    show(context, &args.names, args.format.as_deref(), &["image"], &query).await
}

async fn networks(context: &Context, args: Network) -> Result<(), Failure> {
    let query: Vec<_> = args.verbose.then(|| ("verbose", "1".to_owned())).into_iter().collect();
    show(context, &args.names, args.format.as_deref(), &["network"], &query).await
}

async fn volumes(context: &Context, args: Volume) -> Result<(), Failure> {
    show(context, &args.names, args.format.as_deref(), &["volume"], &[]).await
}

async fn plugins(context: &Context, args: Plugin) -> Result<(), Failure> {
    show(context, &args.names, args.format.as_deref(), &["plugin"], &[]).await
}

fn size_query(size: bool) -> Vec<(&'static str, String)> {
    size.then(|| ("size", "1".to_owned())).into_iter().collect()
}

/// Prints what was found, also where something else was not.
async fn show(
    context: &Context,
    names: &[String],
    format: Option<&str>,
    kinds: &[&str],
    query: &[(&str, String)],
) -> Result<(), Failure> {
    let client = context.client()?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match one(client, name, kinds, query).await {
            Ok(json) => found.push(json),
            Err(failure) => failures.push(failure.message),
        }
    }
    print(&found, failures, format)
}

/// Prints what was found by `--format`, then what went wrong.
///
/// # Errors
/// The failures, and those of the format.
pub(super) fn print(
    found: &[Box<RawValue>],
    mut failures: Vec<String>,
    format: Option<&str>,
) -> Result<(), Failure> {
    // Docker's exit code for a template that can't be read.
    let template = match format.filter(|format| !matches!(*format, "" | "json")) {
        Some(text) => Some(Template::parse(text).map_err(|error| Failure::from(error).with_code(64))?),
        None => None,
    };
    match (template, format) {
        (Some(template), _) => {
            let mut text = String::new();
            for json in found {
                match rendered(&template, json) {
                    Ok(line) => text.extend([line.as_str(), "\n"]),
                    Err(failure) => failures.push(failure.message),
                }
            }
            // Docker ends the output with a line also where there was nothing to print.
            output::print(if text.is_empty() { "\n" } else { &text })?;
        }
        (None, Some("json")) => {
            let compact: Vec<_> = found.iter().map(|json| json.get()).collect();
            output::line(&format!("[{}]", compact.join(",")))?;
        }
        (None, _) => output::line(&indent::list(found.iter().map(|json| json.get())))?,
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::new(failures.join("\n"))) }
}

fn rendered(template: &Template, json: &RawValue) -> Result<String, Failure> {
    let value: Value = serde_json::from_str(json.get())
        .map_err(|error| Failure::doing("read the engine's answer", error))?;
    Ok(template.render(&value, &NoMethods)?)
}

/// The first kind of thing that has this name.
async fn one(
    client: &Client,
    name: &str,
    kinds: &[&str],
    query: &[(&str, String)],
) -> Result<Box<RawValue>, Failure> {
    let mut last = None;
    for (_, before, after) in KINDS.iter().filter(|(kind, ..)| kinds.contains(kind)) {
        match client.get(&format!("{before}{name}{after}"), query).await {
            Ok(json) => return Ok(json),
            Err(error) if goes_on(&error, kinds.len()) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) if kinds.len() == 1 => Err(error.into()),
        _ => Err(Failure::new(format!("Error: No such object: {name}"))),
    }
}

/// Whether another kind may still have the name. What is no name for one kind (400) may be one for the next.
fn goes_on(error: &Error, kinds: usize) -> bool {
    error.is_not_found() || (kinds > 1 && error.status() == Some(400))
}
