//! A build by the classic call, `POST /build` (Docker Engine API, ImageBuild): for engines without BuildKit, and for limits of
//! steps that BuildKit hasn't.

use std::{
    fs::File,
    io::{BufWriter, Read as _},
    path::PathBuf,
};

use futures_util::StreamExt;
use minke_build_client::{Dockerfile, Extra, Files, dockerfile_in, pack};
use minke_docker_client::{Body, Client, HeaderMap, Method, json_lines};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::{Built, context::Source, flags::Build, options::pair, shown::Mode, trace::Trace};
use crate::{copy::pipes, failure::Failure};

/// So much of a Dockerfile is read for excerpts.
const LONGEST_SHOWN: u64 = 1 << 20;
const TAR: &str = "application/x-tar";
/// The name of a Dockerfile in the archive that isn't in the context.
const ELSEWHERE: &str = ".minke-build.Dockerfile";

/// The thread that packs a directory.
type Packing = JoinHandle<Result<(), Failure>>;

/// What is sent.
struct Sent {
    /// The Dockerfile's path in the archive.
    dockerfile: String,
    /// What the engine fetches by itself.
    remote: Option<String>,
    body: Body,
    packing: Option<Packing>,
}

/// Builds.
pub(super) async fn build(
    client: &Client,
    args: &Build,
    source: Source,
    mode: Mode,
) -> Result<Built, Failure> {
    let mut query = query(args);
    let mut trace = Trace::new(mode, text(&source.dockerfile));
    let Sent { dockerfile, remote, body, packing } = sent(source)?;
    query.push(("dockerfile", dockerfile));
    query.extend(remote.map(|url| ("remote", url)));
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
    let mut messages = json_lines::<Value>(response.body);
    while let Some(message) = messages.next().await {
        trace.message(&message?)?;
    }
    trace.finish()
}

/// The Dockerfile's name and text, for excerpts; none where it isn't here.
fn text(dockerfile: &Dockerfile) -> Option<(String, String)> {
    match dockerfile {
        Dockerfile::Within(_) => None,
        Dockerfile::Text(text) => Some(("Dockerfile".to_owned(), String::from_utf8_lossy(text).into_owned())),
        Dockerfile::File(path) => {
            let mut text = String::new();
            File::open(path).ok()?.take(LONGEST_SHOWN).read_to_string(&mut text).ok()?;
            Some((path.file_name()?.to_string_lossy().into_owned(), text))
        }
    }
}

fn sent(source: Source) -> Result<Sent, Failure> {
    let Source { files, dockerfile } = source;
    let directory = match files {
        Files::Remote(url) => {
            let Dockerfile::Within(dockerfile) = dockerfile else {
                return Err(Failure::new(
                    "a Dockerfile on standard input for files elsewhere needs BuildKit",
                ));
            };
            return Ok(Sent { dockerfile, remote: Some(url), body: Body::Empty, packing: None });
        }
        Files::Archive(archive) => {
            let Dockerfile::Within(dockerfile) = dockerfile else {
                return Err(Failure::new("the Dockerfile of an archive is in it: name it by --file"));
            };
            return Ok(Sent { dockerfile, remote: None, body: Body::reader(TAR, archive), packing: None });
        }
        Files::Folder(directory) => Some(directory),
        Files::Nothing => None,
    };
    let (dockerfile, extra) = named(directory.as_ref(), dockerfile)?;
    let (writer, reader) = pipes::from_thread().map_err(|error| Failure::doing("make a pipe", error))?;
    let name = dockerfile.clone();
    let packing = tokio::task::spawn_blocking(move || {
        let writer = BufWriter::with_capacity(128 << 10, writer);
        let packed = pack(directory.as_deref(), &name, extra.as_ref(), writer);
        packed.map_err(|error| Failure::doing("pack the build context", error))
    });
    Ok(Sent { dockerfile, remote: None, body: Body::reader(TAR, reader), packing: Some(packing) })
}

/// The Dockerfile's name in the archive; one that isn't in the context comes in beside it.
fn named(directory: Option<&PathBuf>, dockerfile: Dockerfile) -> Result<(String, Option<Extra>), Failure> {
    let content = match dockerfile {
        Dockerfile::Within(path) => return Ok((path, None)),
        Dockerfile::Text(text) => text,
        Dockerfile::File(path) => {
            let read = |error| Failure::doing(format!("open {}", path.display()), error);
            if let Some(inside) = directory.and_then(|directory| dockerfile_in(directory, &path)) {
                return Ok((inside, None));
            }
            std::fs::read(&path).map_err(read)?.into()
        }
    };
    Ok((ELSEWHERE.to_owned(), Some(Extra { name: ELSEWHERE.to_owned(), content })))
}

fn query(args: &Build) -> Vec<(&'static str, String)> {
    let mut query = vec![("trace", "1".to_owned()), ("rm", "1".to_owned()), ("version", "1".to_owned())];
    query.extend(args.tag.iter().map(|tag| ("t", tag.clone())));
    query.extend(args.no_cache_filter.iter().map(|stage| ("nocachefilter", stage.clone())));
    query.extend(args.allow.iter().map(|name| ("allow", name.clone())));
    let is_check = args.question() == "check";
    let flags = [("nocache", args.no_cache), ("pull", args.pull), ("check", is_check)];
    query.extend(flags.iter().filter(|(_, on)| *on).map(|(name, _)| (*name, "1".to_owned())));
    let texts = [
        ("target", &args.target),
        ("networkmode", &args.network),
        ("cgroupparent", &args.cgroup_parent),
        ("cpusetcpus", &args.cpuset_cpus),
        ("cpusetmems", &args.cpuset_mems),
    ];
    query.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    query.extend(
        args.platform.iter().find(|name| !name.is_empty()).map(|platform| ("platform", platform.clone())),
    );
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
    let labels: Map<_, _> = args.label.iter().map(|text| pair(text)).map(|(k, v)| (k, v.into())).collect();
    query.push(("labels", Value::Object(labels).to_string()));
    if !args.cache_from.is_empty() {
        query.push(("cachefrom", json!(args.cache_from).to_string()));
    }
    if !args.ulimit.is_empty() {
        let limits: Vec<_> = args.ulimit.iter().map(|text| ulimit(text)).collect();
        query.push(("ulimits", json!(limits).to_string()));
    }
    if !args.add_host.is_empty() {
        let hosts: Vec<String> = args.add_host.iter().map(|host| host.replacen('=', ":", 1)).collect();
        query.push(("extrahosts", hosts.join(",")));
    }
    query
}

/// `nofile=1024:2048`; what is no number is the engine's to refuse.
fn ulimit(text: &str) -> Value {
    let (name, limits) = text.split_once('=').unwrap_or((text, ""));
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse::<i64>().map_or_else(|_| text.into(), Value::from);
    json!({ "Name": name, "Soft": number(soft), "Hard": number(hard) })
}

/// `NAME=value`; a name alone has the value of this process's environment, or none.
fn arguments(given: &[String]) -> Map<String, Value> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), json!(value)),
        None => (text.clone(), json!(std::env::var(text).ok())),
    };
    given.iter().map(pair).collect()
}
