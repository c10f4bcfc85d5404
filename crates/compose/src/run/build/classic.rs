//! A build by the classic call: a folder packed and sent to the engine (Docker Engine API, ImageBuild), for engines without
//! BuildKit and for limits that BuildKit hasn't.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::StreamExt;
use minke_build_client::{Extra, dockerfile_in, pack, words::is_remote};
use minke_docker_client::{Body, Client, Method, header, json_lines};
use serde_json::{Value, json};
use tokio::net::unix::pipe::Receiver;

use super::{BuildFlags, args};
use crate::model::{Build, Project, Service};
use crate::run::{error::RunError, report::Surroundings, step::problem};

/// The name of a Dockerfile that isn't in the context, inside of the archive.
const ELSEWHERE: &str = ".minke-compose.Dockerfile";
const TAR: &str = "application/x-tar";

/// Builds the image of a service and gives it its names.
///
/// # Errors
/// When the context can't be read, for what only BuildKit's own protocol can do, or the engine's own.
pub(super) async fn build(
    client: &Client,
    project: &Project,
    service: &Service,
    build: &Build,
    image: &str,
    flags: &BuildFlags,
    around: &dyn Surroundings,
) -> Result<(), RunError> {
    refuse(service, build, flags)?;
    let mut query = query(project, service, build, image, flags);
    let mut headers = around.build_headers();
    let body = match is_remote(&build.context) {
        true => {
            query.push(("dockerfile", build.dockerfile.clone()));
            Body::Empty
        }
        false => {
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(TAR));
            let (dockerfile, archive) = archive(build)?;
            query.push(("dockerfile", dockerfile));
            Body::reader(TAR, archive)
        }
    };
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

/// Begins to pack the context; returns the Dockerfile's name in the archive, too.
fn archive(build: &Build) -> Result<(String, Receiver), RunError> {
    let root = PathBuf::from(&build.context);
    let failed = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| RunError::File { what: what.to_owned(), path, source }
    };
    if !std::fs::metadata(&root).map_err(failed("read the build context", &root))?.is_dir() {
        return Err(failed("the build context is no folder", &root)(io::ErrorKind::NotADirectory.into()));
    }
    let extra = |content: Bytes| {
        let extra = Extra { name: ELSEWHERE.to_owned(), content };
        (ELSEWHERE.to_owned(), Some(extra))
    };
    let (dockerfile, extra) = if build.dockerfile_inline.is_empty() {
        let name = if build.dockerfile.is_empty() { "Dockerfile" } else { &build.dockerfile };
        let path = root.join(name);
        match dockerfile_in(&root, &path) {
            Some(inside) => (inside, None),
            None => extra(std::fs::read(&path).map_err(failed("read the Dockerfile", &path))?.into()),
        }
    } else {
        extra(build.dockerfile_inline.clone().into_bytes().into())
    };
    let piped = failed("make a pipe for the build context", &root);
    let (reader, writer) = io::pipe().map_err(piped.clone())?;
    let receiver = Receiver::from_owned_fd(reader.into()).map_err(piped)?;
    let name = dockerfile.clone();
    std::thread::spawn(move || {
        let writer = io::BufWriter::with_capacity(128 << 10, writer);
        // An error ends the stream before the archive does, which the engine notices and reports.
        if let Err(error) = pack(Some(&root), &name, extra.as_ref(), writer) {
            tracing::warn!(error = %minke_model::chain(&error), root = %root.display(), "the build context can't be read");
        }
    });
    Ok((dockerfile, receiver))
}

/// What goes over BuildKit's session alone, which this way of building hasn't.
fn refuse(service: &Service, build: &Build, flags: &BuildFlags) -> Result<(), RunError> {
    let attestation = |value: &str| !matches!(value, "" | "false");
    let asked = [
        (!build.secrets.is_empty(), "secrets"),
        (!build.ssh.is_empty() || !flags.ssh.is_empty(), "ssh"),
        (!build.additional_contexts.is_empty(), "additional_contexts"),
        (!build.cache_to.is_empty(), "cache_to"),
        (build.platforms.len() > 1, "platforms"),
        (!build.entitlements.is_empty(), "entitlements"),
        (build.privileged, "privileged"),
        (attestation(&build.provenance), "provenance"),
        (attestation(&build.sbom), "sbom"),
    ];
    match asked.iter().find(|(is_asked, _)| *is_asked) {
        None => Ok(()),
        Some((_, attribute)) => Err(RunError::Unsupported(format!(
            "services.{}.build.{attribute}: needs BuildKit, which this build does without: \
             the engine hasn't it, DOCKER_BUILDKIT=0, or --memory",
            service.name
        ))),
    }
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
    if is_remote(&build.context) {
        set("remote", build.context.clone());
    }
    set("buildargs", json!(args(project, build, flags)).to_string());
    set("labels", json!(build.labels).to_string());
    set("target", build.target.clone());
    for stage in &build.no_cache_filter {
        set("nocachefilter", stage.clone());
    }
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
