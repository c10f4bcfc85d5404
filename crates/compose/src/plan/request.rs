//! A service as the request that makes one of its containers (Docker Engine API, ContainerCreate).
//!
//! Every attribute of the specification ends up in a field, or in a refusal that says what to do instead. `container:NAME` in the
//! namespaces and `VolumesFrom` names containers of the project; whoever sends the request puts their ids there.

mod checks;
pub(crate) mod fields;
mod host;
mod mounts;
mod networks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::fields::Fields;
pub(crate) use self::mounts::place;
use super::{Observed, PlanError, labels, names, observed::Mount};
use crate::{
    model::{Environment, Healthcheck, Hook, Project, Service},
    render,
};

/// What a request is made from besides the service.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The project.
    pub project: &'a Project,
    /// What there is.
    pub observed: &'a Observed,
    /// The files of `--env-file`.
    pub env_files: &'a [String],
    /// The texts of seccomp profiles, by the paths that services name them by.
    pub profiles: &'a BTreeMap<String, String>,
}

/// One container of a service.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place<'a> {
    /// Which one, from 1.
    pub(crate) number: u32,
    /// The mounts of the container that it takes the place of.
    pub(crate) inherits: &'a [Mount],
    /// The name of that container.
    pub(crate) replaces: Option<&'a str>,
}

/// How a container of `compose run` differs from its service's.
#[derive(Debug, Clone, Default)]
pub struct Oneoff {
    /// What tells it from others.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The user's input goes into it.
    pub stdin: bool,
    /// It is removed when it ends.
    pub remove: bool,
    /// It has the service's names in its networks.
    pub aliases: bool,
}

/// The request for a container of a service.
pub(crate) fn container(origin: Origin<'_>, service: &Service, place: Place<'_>) -> Result<Value, PlanError> {
    let name = names::container(&origin.project.name, service, place.number);
    let mut labels = common_labels(origin, service);
    labels.insert(labels::ONEOFF.to_owned(), "False".to_owned());
    labels.insert(labels::NUMBER.to_owned(), place.number.to_string());
    if let Some(replaced) = place.replaces {
        labels.insert(labels::REPLACE.to_owned(), replaced.to_owned());
    }
    let networking = networks::of(origin, service, &name, true)?;
    assemble(origin, service, place, labels, networking, None)
}

/// The request for a container that runs before those of a service (`pre_start`) and sees the volumes of one of them.
pub(crate) fn before(
    origin: Origin<'_>,
    service: &Service,
    hook: &Hook,
    container: &str,
    name: &str,
) -> Result<Value, PlanError> {
    let project = origin.project;
    // Who asks for the service's names wants the service.
    let networking = networks::of(origin, service, name, false)?;
    let mut variables = service.environment.clone();
    variables.extend(hook.environment.clone());
    let labels = [
        (labels::PROJECT, project.name.as_str()),
        (labels::SERVICE, &service.name),
        (labels::VERSION, labels::SPOKEN_VERSION),
        (labels::HOOK, "pre_start"),
    ];
    let user = if hook.user.is_empty() && hook.image.is_empty() { &service.user } else { &hook.user };
    let working_dir = if hook.working_dir.is_empty() { &service.working_dir } else { &hook.working_dir };
    let mut fields = Fields::default();
    fields.set("Image", names::image_before(&project.name, service, hook));
    fields.given("Cmd", hook.command.as_ref());
    fields.set("User", user);
    fields.set("WorkingDir", working_dir);
    fields.set("Env", environment(&variables));
    fields.set("Labels", BTreeMap::from(labels));
    let mut host = Fields::default();
    host.set("Privileged", hook.privileged);
    host.set("VolumesFrom", [container]);
    host.set("NetworkMode", &networking.mode);
    fields.given("HostConfig", Some(Value::from(host)));
    if !networking.endpoints.is_empty() {
        fields.set("NetworkingConfig", json!({"EndpointsConfig": networking.endpoints}));
    }
    Ok(fields.into())
}

/// The request for a container of `compose run`.
///
/// # Errors
/// `Attribute` for what can't be asked of an engine.
pub fn oneoff(origin: Origin<'_>, service: &Service, oneoff: &Oneoff) -> Result<Value, PlanError> {
    let mut labels = common_labels(origin, service);
    labels.insert(labels::ONEOFF.to_owned(), "True".to_owned());
    labels.insert(labels::SLUG.to_owned(), oneoff.slug.clone());
    let networking = networks::of(origin, service, &oneoff.name, oneoff.aliases)?;
    assemble(origin, service, Place::default(), labels, networking, Some(oneoff))
}

fn assemble(
    origin: Origin<'_>,
    service: &Service,
    place: Place<'_>,
    labels: BTreeMap<String, String>,
    networking: networks::Networking,
    oneoff: Option<&Oneoff>,
) -> Result<Value, PlanError> {
    checks::refuse(origin.project, service)?;
    let mut fields = Fields::default();
    process(&mut fields, origin.project, service, oneoff);
    fields.set("ExposedPorts", networks::exposed(service)?);
    fields.set("Labels", labels);
    if let Some(check) = &service.healthcheck {
        fields.given("Healthcheck", Some(healthcheck(check)));
    }
    let mut host = host::fields(origin, service, &networking)?;
    mounts::fill(&mut host, origin, service, place.inherits);
    host.set("AutoRemove", oneoff.is_some_and(|oneoff| oneoff.remove));
    fields.given("HostConfig", Some(Value::from(host)));
    if !networking.endpoints.is_empty() {
        fields.set("NetworkingConfig", json!({"EndpointsConfig": networking.endpoints}));
    }
    Ok(fields.into())
}

/// What runs, and as whom.
fn process(fields: &mut Fields, project: &Project, service: &Service, oneoff: Option<&Oneoff>) {
    let stdin = oneoff.is_some_and(|oneoff| oneoff.stdin);
    fields.set("Hostname", &service.hostname);
    fields.set("Domainname", &service.domainname);
    fields.set("User", &service.user);
    fields.set("Tty", service.tty);
    fields.set("OpenStdin", service.stdin_open);
    fields.set("StdinOnce", stdin && service.stdin_open);
    fields.set("AttachStdin", stdin);
    fields.set("AttachStdout", true);
    fields.set("AttachStderr", true);
    fields.given("Cmd", service.command.as_ref());
    fields.given("Entrypoint", service.entrypoint.as_ref());
    fields.set("Image", names::image(&project.name, service));
    fields.set("WorkingDir", &service.working_dir);
    fields.set("StopSignal", &service.stop_signal);
    fields.given("StopTimeout", service.stop_grace_period.map(|period| period.as_std().as_secs()));
    fields.set("Env", environment(&service.environment));
    fields.set("NetworkDisabled", service.network_mode == "disabled");
}

/// `NAME=value`; a name alone takes the variable away that the image sets.
pub(crate) fn environment(variables: &Environment) -> Vec<String> {
    let text = |(name, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    };
    variables.iter().map(text).collect()
}

fn healthcheck(check: &Healthcheck) -> Value {
    if check.disable {
        return json!({"Test": ["NONE"]});
    }
    let mut fields = Fields::default();
    let nanoseconds = |duration: Option<crate::model::Duration>| duration.map_or(0, |duration| duration.0);
    fields.set("Test", &check.test);
    fields.set("Interval", nanoseconds(check.interval));
    fields.set("Timeout", nanoseconds(check.timeout));
    fields.set("Retries", check.retries);
    fields.set("StartPeriod", nanoseconds(check.start_period));
    fields.set("StartInterval", nanoseconds(check.start_interval));
    fields.into()
}

fn common_labels(origin: Origin<'_>, service: &Service) -> BTreeMap<String, String> {
    let Origin { project, observed, env_files, .. } = origin;
    let mut all = service.labels.clone();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    set(labels::PROJECT, project.name.clone());
    set(labels::SERVICE, service.name.clone());
    set(labels::VERSION, labels::SPOKEN_VERSION.to_owned());
    set(labels::WORKING_DIR, project.working_dir.display().to_string());
    set(labels::CONFIG_FILES, project.compose_files.join(","));
    set(labels::CONFIG_HASH, config_hash(project, observed, service));
    if !env_files.is_empty() {
        set(labels::ENVIRONMENT_FILE, env_files.join(","));
    }
    let image = observed.images.get(&names::image(&project.name, service));
    set(labels::IMAGE, image.map(|image| image.id.clone()).unwrap_or_default());
    let dependency = |(name, dependency): (&String, &crate::model::Dependency)| {
        format!("{name}:{}:{}", dependency.condition, dependency.restart)
    };
    set(labels::DEPENDS_ON, service.depends_on.iter().map(dependency).collect::<Vec<_>>().join(","));
    all
}

/// The hash of a service, with the ids of the containers whose namespaces and volumes it shares: made anew, they are others.
pub(crate) fn config_hash(project: &Project, observed: &Observed, service: &Service) -> String {
    let id = |name: &str| {
        let found = observed.containers.iter().find(|container| container.name() == name);
        found.map(|container| container.id.clone())
    };
    shared_hash(project, service, &id).unwrap_or_else(|| render::service_hash(service))
}

/// The same of a service that shares something, with ids by the names of containers; `None` of one that doesn't.
pub(crate) fn shared_hash(
    project: &Project,
    service: &Service,
    id: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let id_of = |name: &str| -> Option<String> {
        let container = names::container(&project.name, project.services.get(name)?, 1);
        Some(id(&container).unwrap_or(container))
    };
    let mut resolved = service.clone();
    for mode in [&mut resolved.network_mode, &mut resolved.ipc, &mut resolved.pid] {
        if let Some(id) = names::shared_service(mode).and_then(id_of) {
            *mode = format!("container:{id}");
        }
    }
    // docker compose's form: the id alone, whatever the mode.
    for from in &mut resolved.volumes_from {
        let mut parts = from.split(':');
        *from = match (parts.next(), parts.next()) {
            (Some("container"), Some(name)) => name.to_owned(),
            (Some(name), _) => id_of(name).unwrap_or_else(|| name.to_owned()),
            (None, _) => continue,
        };
    }
    (resolved != *service).then(|| render::service_hash(&resolved))
}
