//! `build`: the image of a service, over BuildKit's API where the engine has it, else by the classic call.

mod buildkit;
mod classic;

use minke_docker_client::Client;
use serde_json::{Map, Value};

use super::{error::RunError, report::Surroundings};
use crate::model::{Build, Project, Service};

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
    /// `--ssh`, each `default` or `NAME=SOCKET`, beside those of the file.
    pub ssh: Vec<String>,
}

/// Builds the image of a service and gives it its names.
///
/// # Errors
/// When the context can't be read, for what only BuildKit can do where it isn't, or the engine's own.
pub async fn build(
    client: &Client,
    project: &Project,
    service: &Service,
    image: &str,
    flags: &BuildFlags,
    around: &dyn Surroundings,
) -> Result<(), RunError> {
    let Some(build) = &service.build else { return Ok(()) };
    let proxies = around.proxies().into_iter().filter(|(name, _)| !build.args.contains_key(name));
    let proxies = proxies.map(|(name, value)| (name, Some(value)));
    let flags = &BuildFlags { args: proxies.chain(flags.args.clone()).collect(), ..flags.clone() };
    let switch = project.environment.get("DOCKER_BUILDKIT").map(String::as_str);
    let is_off = matches!(switch, Some("0" | "false")) || flags.memory != 0;
    if is_off || client.ping().await?.builder_version != "2" {
        return classic::build(client, project, service, build, image, flags, around).await;
    }
    let options = buildkit::options(project, service, build, image, flags)?;
    buildkit::build(client, &service.name, options, around).await
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
