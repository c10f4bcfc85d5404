//! `build`: a folder packed and sent to the engine (Docker Engine API, ImageBuild).

mod context;

use futures_util::StreamExt;
use minke_docker_client::{Body, Client, Method, header, json_lines};
use serde_json::{Map, Value, json};

use super::{error::RunError, report::Surroundings, step::problem};
use crate::model::{Build, Project, Service};

pub use context::context_tar;

/// The flags of `build`, over what the file says.
#[derive(Debug, Clone, Default)]
pub struct BuildFlags {
    /// `--no-cache`
    pub no_cache: bool,
    /// `--pull`
    pub pull: bool,
    /// `--build-arg`, each `NAME=value`, or a name whose value is the environment's.
    pub args: Vec<(String, Option<String>)>,
    /// `--memory`
    pub memory: i64,
}

/// Builds the image of a service and gives it its names.
///
/// # Errors
/// When the context can't be read, for what only BuildKit's own protocol can do, or the engine's own.
pub async fn build(
    client: &Client,
    project: &Project,
    service: &Service,
    image: &str,
    flags: &BuildFlags,
    around: &dyn Surroundings,
) -> Result<(), RunError> {
    let Some(build) = &service.build else { return Ok(()) };
    refuse(service, build)?;
    let query = query(project, service, build, image, flags);
    let body = match is_remote(&build.context) {
        true => Body::Empty,
        false => Body::reader("application/x-tar", context_tar(build)?),
    };
    let mut headers = around.build_headers();
    if !is_remote(&build.context) {
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/x-tar"));
    }
    let response = client.stream(Method::POST, "/build", &query, body, headers).await?;
    let mut messages = json_lines::<Value>(response.body);
    while let Some(message) = messages.next().await {
        let message = message?;
        if let Some(problem) = problem(&message) {
            let what = format!("build the image of {}", service.name);
            return Err(RunError::Told { what, message: problem.to_owned() });
        }
        around.message(&service.name, &message);
    }
    Ok(())
}

fn is_remote(context: &str) -> bool {
    ["http://", "https://", "git://", "git@", "github.com/"].iter().any(|prefix| context.starts_with(prefix))
}

/// What goes over BuildKit's session alone, which this way of building hasn't.
fn refuse(service: &Service, build: &Build) -> Result<(), RunError> {
    let no = |attribute: &str, instead: &str| {
        let text = format!("services.{}.build.{attribute}: not supported; {instead}", service.name);
        Err(RunError::Unsupported(text))
    };
    if !build.secrets.is_empty() {
        return no("secrets", "build the image with `docker buildx build --secret` and name it by `image`");
    }
    if !build.ssh.is_empty() {
        return no("ssh", "build the image with `docker buildx build --ssh` and name it by `image`");
    }
    if !build.additional_contexts.is_empty() {
        return no("additional_contexts", "copy what is needed below `context`");
    }
    if !build.cache_to.is_empty() {
        return no("cache_to", "the engine keeps its own cache");
    }
    if build.platforms.len() > 1 {
        return no("platforms", "an engine builds for one platform at a time; name one");
    }
    if !build.entitlements.is_empty() || build.privileged {
        return no("entitlements", "steps of a build have no extra privileges");
    }
    for (attribute, value) in [("provenance", &build.provenance), ("sbom", &build.sbom)] {
        if !matches!(value.as_str(), "" | "false") {
            return no(attribute, "attestations are made by `docker buildx build`");
        }
    }
    Ok(())
}

fn query(
    project: &Project,
    service: &Service,
    build: &Build,
    image: &str,
    flags: &BuildFlags,
) -> Vec<(&'static str, String)> {
    let mut query: Vec<(&'static str, String)> = vec![("t", image.to_owned())];
    query.extend(build.tags.iter().map(|tag| ("t", tag.clone())));
    let mut set = |name: &'static str, value: String| {
        if !matches!(value.as_str(), "" | "0" | "[]" | "{}") {
            query.push((name, value));
        }
    };
    let dockerfile = match build.dockerfile_inline.as_str() {
        "" => build.dockerfile.clone(),
        _ => context::INLINE.to_owned(),
    };
    set("dockerfile", dockerfile);
    if is_remote(&build.context) {
        set("remote", build.context.clone());
    }
    set("buildargs", json!(args(project, build, flags)).to_string());
    set("labels", json!(build.labels).to_string());
    set("target", build.target.clone());
    set("networkmode", build.network.clone());
    set("cachefrom", json!(build.cache_from).to_string());
    set("shmsize", build.shm_size.0.to_string());
    set("memory", flags.memory.to_string());
    let hosts = build.extra_hosts.iter();
    let hosts =
        hosts.flat_map(|(name, addresses)| addresses.iter().map(move |address| format!("{name}:{address}")));
    set("extrahosts", hosts.collect::<Vec<_>>().join(","));
    let limit = |(name, limit): (&String, &crate::model::Ulimit)| {
        let (soft, hard) =
            if limit.single == 0 { (limit.soft, limit.hard) } else { (limit.single, limit.single) };
        json!({"Name": name, "Soft": soft, "Hard": hard})
    };
    set("ulimits", json!(build.ulimits.iter().map(limit).collect::<Vec<_>>()).to_string());
    let platform = build.platforms.first().unwrap_or(&service.platform);
    set("platform", platform.clone());
    let flag = |on: bool| u8::from(on).to_string();
    set("nocache", flag(build.no_cache || flags.no_cache));
    set("pull", flag(build.pull || flags.pull));
    query.push(("rm", "1".to_owned()));
    query.push(("version", "1".to_owned()));
    query
}

/// Arguments of the file, and over them those of the command line; one without a value has the environment's.
fn args(project: &Project, build: &Build, flags: &BuildFlags) -> Map<String, Value> {
    let given = flags.args.iter().map(|(name, value)| (name, value));
    let resolved = |(name, value): (&String, &Option<String>)| {
        let value = value.as_ref().or_else(|| project.environment.get(name))?;
        Some((name.clone(), Value::from(value.as_str())))
    };
    build.args.iter().chain(given).filter_map(resolved).collect()
}
