//! `minke build`: an image of a Dockerfile, by whichever engine answers.
//!
//! An engine of minke's tells its events (`trace=1`), which are shown as BuildKit's plain progress shows them; any other answers
//! with the classic builder's words, which are printed as they are.

mod context;
mod shown;

use std::path::PathBuf;

use clap::Parser;
use futures_util::StreamExt;
use minke_docker_client::{HeaderMap, Method, json_lines};
use minke_model::quantity;
use serde_json::{Map, Value, json};

use self::shown::{Mode, Shown};
use crate::{
    cli::verb::{Arity, Verb, client_verb},
    context::Context,
    failure::Failure,
    output,
};

/// Flags of `build`.
#[derive(Debug, Parser)]
pub(crate) struct Build {
    /// Add a custom host-to-IP mapping ("host:ip")
    #[arg(long, value_name = "list")]
    add_host: Vec<String>,
    /// Allow extra privileged entitlement (e.g., "network.host", "security.insecure")
    #[arg(long, value_name = "list")]
    allow: Vec<String>,
    /// Set build-time variables
    #[arg(long, value_name = "list")]
    build_arg: Vec<String>,
    /// Set the parent cgroup for the "RUN" instructions during build
    #[arg(long, value_name = "string")]
    cgroup_parent: Option<String>,
    /// Only check the Dockerfile
    #[arg(long)]
    check: bool,
    /// Limit the CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int")]
    cpu_period: Option<i64>,
    /// Limit the CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int")]
    cpu_quota: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int")]
    cpu_shares: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_cpus: Option<String>,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    cpuset_mems: Option<String>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<PathBuf>,
    /// Write the image ID to a file
    #[arg(long, value_name = "string")]
    iidfile: Option<PathBuf>,
    /// Set metadata for an image
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Memory limit of each step
    #[arg(short, long, value_name = "bytes", value_parser = quantity::parse_bytes)]
    memory: Option<i64>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", allow_hyphen_values = true, value_parser = memory_and_swap)]
    memory_swap: Option<i64>,
    /// Write build result metadata to a file
    #[arg(long, value_name = "string")]
    metadata_file: Option<PathBuf>,
    /// Set the networking mode for the "RUN" instructions during build
    #[arg(long, value_name = "string")]
    network: Option<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not cache specified stages
    #[arg(long, value_name = "list", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Set target platform for build
    #[arg(long, value_name = "string", env = "DOCKER_DEFAULT_PLATFORM", hide_env = true)]
    platform: Option<String>,
    /// Set type of progress output ("auto", "plain", "quiet", "rawjson")
    #[arg(long, value_name = "string", default_value = "auto")]
    progress: Mode,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Shared memory size for build containers
    #[arg(long, value_name = "bytes", value_parser = quantity::parse_bytes)]
    shm_size: Option<i64>,
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long, value_name = "list")]
    tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    target: Option<String>,
    /// A directory, a URL, or - for an archive on standard input
    context: String,
}

pub(crate) static BUILD: Verb = client_verb!(
    Build,
    build,
    Arity::Exactly(1),
    "[OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile"
);

async fn build(context: &Context, args: Build) -> Result<(), Failure> {
    let source = context::Source::find(&args.context, args.file.as_deref())?;
    let mut query = query(&args)?;
    query.push(("dockerfile", source.dockerfile.clone()));
    query.extend(source.remote.iter().map(|url| ("remote", url.clone())));
    let (body, packing) = source.body()?;
    let client = context.client()?;
    let mode = if args.quiet { Mode::Quiet } else { args.progress };
    let sent = client.stream(Method::POST, "/build", &query, body, HeaderMap::new()).await;
    let packed = match packing {
        Some(packing) => packing.await.map_err(|error| Failure::doing("pack the context", error))?,
        None => Ok(()),
    };
    let response = match sent {
        Ok(response) => response,
        // When the engine refuses, packing ends with a broken pipe, which is not the news.
        Err(error) => return Err(error.into()),
    };
    packed?;
    let mut shown = Shown::new(mode);
    let mut messages = json_lines::<Value>(response.body);
    while let Some(message) = messages.next().await {
        shown.message(&message?)?;
    }
    let result = shown.finish()?;
    let Some(image) = result.image else { return Ok(()) };
    if let Some(file) = &args.iidfile {
        write(file, &image)?;
    }
    if let Some(file) = &args.metadata_file {
        let text = serde_json::to_string_pretty(&result.response)
            .map_err(|error| Failure::doing("write the metadata", error))?;
        write(file, &text)?;
    }
    if mode == Mode::Quiet { output::line(&image) } else { Ok(()) }
}

fn write(file: &PathBuf, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| Failure::doing(format!("write {}", file.display()), error))
}

fn query(args: &Build) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut query = vec![("trace", "1".to_owned()), ("rm", "1".to_owned()), ("version", "1".to_owned())];
    query.extend(args.tag.iter().map(|tag| ("t", tag.clone())));
    query.extend(args.no_cache_filter.iter().map(|stage| ("nocachefilter", stage.clone())));
    query.extend(args.allow.iter().map(|name| ("allow", name.clone())));
    let flags = [("nocache", args.no_cache), ("pull", args.pull), ("check", args.check)];
    query.extend(flags.iter().filter(|(_, on)| *on).map(|(name, _)| (*name, "1".to_owned())));
    let texts = [
        ("target", &args.target),
        ("platform", &args.platform),
        ("networkmode", &args.network),
        ("cgroupparent", &args.cgroup_parent),
        ("cpusetcpus", &args.cpuset_cpus),
        ("cpusetmems", &args.cpuset_mems),
    ];
    query.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    let numbers = [
        ("memory", args.memory),
        ("memswap", args.memory_swap),
        ("shmsize", args.shm_size),
        ("cpuperiod", args.cpu_period),
        ("cpuquota", args.cpu_quota),
        ("cpushares", args.cpu_shares),
    ];
    query.extend(numbers.into_iter().filter_map(|(name, number)| Some((name, number?.to_string()))));
    query.push(("buildargs", Value::Object(arguments(&args.build_arg)).to_string()));
    query.push(("labels", Value::Object(labels(&args.label)).to_string()));
    if !args.add_host.is_empty() {
        let hosts: Vec<String> = args.add_host.iter().map(|host| host.replacen('=', ":", 1)).collect();
        query.push(("extrahosts", hosts.join(",")));
    }
    Ok(query)
}

fn memory_and_swap(text: &str) -> Result<i64, quantity::QuantityError> {
    if text == "-1" { Ok(-1) } else { quantity::parse_bytes(text) }
}

/// `NAME=value`; a name alone has the value of this process's environment, or none.
fn arguments(given: &[String]) -> Map<String, Value> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), json!(value)),
        None => (text.clone(), json!(std::env::var(text).ok())),
    };
    given.iter().map(pair).collect()
}

fn labels(given: &[String]) -> Map<String, Value> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), json!(value))
    };
    given.iter().map(pair).collect()
}
