//! Creating a container: every field is checked before anything is made, and one transaction makes it real.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Instant};

use bollard_stubs::models::{
    ContainerConfig, ContainerCreateBody, ContainerCreateResponse, HostConfig, HostConfigCgroupnsModeEnum,
    RestartPolicy as WirePolicy, RestartPolicyNameEnum,
};
use minke_model::ContainerId;
use minke_network::{PortRequest, Protocol};

use super::{
    Container, Record, RestartPolicy, health::HealthSpec, launch, links, log_options, merge, names, ports,
    ready::Ready, record::NewRecord, resolver,
};
use crate::{
    ContainerDefaults, Engine, Error, ErrorKind,
    engine::Inner,
    files,
    metrics::ContainerAction,
    networks, random,
    spec::{
        self,
        modes::{IpcMode, Modes, NetworkMode},
        resources::HostResources,
    },
    volumes::{self, Settled},
};

impl Engine {
    /// Creates a container.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for the image, or a container it refers to;
    /// [`crate::ErrorKind::Conflict`] when
    /// the name is in use; [`crate::ErrorKind::InvalidParameter`] and [`crate::ErrorKind::NotImplemented`]
    /// name the field.
    pub async fn create(
        &self,
        name: Option<&str>,
        body: ContainerCreateBody,
    ) -> Result<ContainerCreateResponse, Error> {
        let began = Instant::now();
        let name = name.filter(|name| !name.is_empty()).map(names::check).transpose()?.map(str::to_owned);
        // The actor is a task and must be made on the runtime, so only the blocking part runs elsewhere.
        let (record, created_volumes) = self.blocking(move |inner| create(&inner, name, body)).await?;
        let id = record.id.clone();
        let inner = self.inner();
        let container = Container::spawn(inner, record, None);
        inner.register(&container);
        Ready::begin(inner, &container);
        for volume in created_volumes {
            inner.volume_event("create", &volume);
        }
        inner.container_event(&container, "create", []);
        inner.counts.container(ContainerAction::Create).since(began);
        let warnings = warnings(&container.record());
        Ok(ContainerCreateResponse { id: id.to_string(), warnings })
    }
}

/// What has no effect, or one that may surprise, and is harmless enough not to be refused; in Docker's words.
fn warnings(record: &Record) -> Vec<String> {
    let mode = record.host.network_mode.as_deref().unwrap_or("");
    let publishes = record.host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty());
    let sctp = |request: &PortRequest| request.protocol == Protocol::Sctp;
    let wants_sctp =
        || ports::requests(&record.config, &record.host).is_ok_and(|ports| ports.iter().any(sctp));
    let about_ports = match mode {
        "host" if publishes => Some("Published ports are discarded when using host network mode"),
        _ if publishes && wants_sctp() && !minke_network::has_sctp() => Some(
            "This kernel has no SCTP: what comes to the published port is passed on, but only a program with an SCTP of its own can answer it",
        ),
        _ => None,
    };
    let unlimited = record.host.oom_kill_disable == Some(true) && record.host.memory.unwrap_or(0) == 0;
    let about_memory = unlimited.then_some(
        "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
    );
    about_memory.into_iter().chain(about_ports).map(str::to_owned).collect()
}

/// Settles and stores everything about a new container.
fn create(
    inner: &Arc<Inner>,
    name: Option<String>,
    mut body: ContainerCreateBody,
) -> Result<(Record, Vec<String>), Error> {
    let mut host = body.host_config.take().unwrap_or_default();
    let networking = body.networking_config.take().unwrap_or_default();
    let mut config = merge::config_of(body);
    if config.image.as_deref().unwrap_or("").is_empty() {
        return Err(Error::invalid(match config == ContainerConfig::default() {
            true => "config cannot be empty in order to create a container",
            false => "no command specified: a container is made of an image",
        }));
    }
    let exposes = config.exposed_ports.as_ref().is_some_and(|ports| !ports.is_empty());
    let image = inner.find_image(config.image.as_deref().unwrap_or(""))?;
    merge::merge(&mut config, &image.config.config)?;
    spec::refuse::check(&config, &host)?;
    host.runtime = Some(inner.live().settings.runtime_name(host.runtime.as_deref())?.to_owned());
    if config.network_disabled == Some(true) {
        // What the field was there for before networks had modes.
        host.network_mode = Some("none".to_owned());
    }
    adapt(&mut host, inner.host.facts.resources, &inner.live().settings.containers)?;
    pin_donors(inner, &mut host);
    let id = ContainerId::from_random(random::bytes()?);
    // Docker shows the host name that the container will see.
    let modes = Modes::parse(&host, inner.host.facts.resources.unified)?;
    if matches!(modes.network, NetworkMode::Container(_)) {
        check_shared_network(&host, exposes)?;
    }
    let networks = networks::wanted(&inner.network_table, &modes.network, &mut host, networking)?;
    links::pin(inner, &mut host)?;
    check_hostname(&config, &modes)?;
    if config.hostname.as_deref().unwrap_or("").is_empty() {
        config.hostname = match &modes.network {
            NetworkMode::Host => Some(inner.host.name.clone()),
            NetworkMode::Container(name) => {
                inner.find(name).ok().map(|donor| donor.record().hostname().to_owned())
            }
            _ if modes.host_uts => Some(inner.host.name.clone()),
            _ => Some(id.short().to_owned()),
        };
    }
    let mut settled = settle_volumes(inner, &config, &host)?;
    for image in settled.mounts.iter_mut().filter_map(|mount| mount.image.as_mut()) {
        // No 404: the clients would take that for the container's own image.
        let found = inner.find_image(&image.reference).map_err(|error| Error::invalid(error.to_string()))?;
        image.id = Some(found.id);
    }
    let new = NewRecord {
        id,
        name: String::new(),
        image: image.id,
        config,
        host,
        networks,
        mounts: settled.mounts.clone(),
    };
    let mut record = Record::from(new);
    check(inner, &record, &modes)?;
    let name = inner.reserve_name(name, &record.id)?;
    record.name.clone_from(&name);
    match make(inner, &record, &settled) {
        Ok(()) => Ok((record, settled.new_volumes.into_iter().map(|volume| volume.name).collect())),
        Err(error) => {
            inner.release_name(&name);
            unmake(inner, &record, &settled);
            Err(error)
        }
    }
}

/// Another container is remembered by its id, so that it may be renamed; one that is not there yet by its
/// name.
fn pin_donors(inner: &Inner, host: &mut HostConfig) {
    for mode in [&mut host.network_mode, &mut host.pid_mode, &mut host.ipc_mode].into_iter().flatten() {
        if let Some(donor) = mode.strip_prefix("container:").and_then(|name| inner.find(name).ok()) {
            *mode = format!("container:{}", donor.id);
        }
    }
}

/// Defaults that Docker writes into the configuration.
pub(super) fn adapt(
    host: &mut HostConfig,
    on: HostResources,
    defaults: &ContainerDefaults,
) -> Result<(), Error> {
    defaults.fill(host, on.unified)?;
    spec::resources::adapt(host, on);
    let privileged = host.privileged == Some(true);
    if host.cgroupns_mode.is_none_or(|mode| mode == HostConfigCgroupnsModeEnum::EMPTY) {
        host.cgroupns_mode = Some(match on.unified {
            true => HostConfigCgroupnsModeEnum::PRIVATE,
            false => HostConfigCgroupnsModeEnum::HOST,
        });
    }
    let security = spec::security::parse(host.security_opt.as_deref().unwrap_or(&[]))?;
    if !privileged && !security.system_paths_unconfined {
        let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        host.masked_paths.get_or_insert_with(|| list(&spec::MASKED));
        host.readonly_paths.get_or_insert_with(|| list(&spec::READ_ONLY));
    }
    if matches!(host.network_mode.as_deref(), None | Some("" | "default")) {
        host.network_mode = Some("bridge".to_owned());
    }
    let policy = host.restart_policy.get_or_insert_with(WirePolicy::default);
    if policy.name.is_none_or(|name| name == RestartPolicyNameEnum::EMPTY) {
        policy.name = Some(RestartPolicyNameEnum::NO);
    }
    policy.maximum_retry_count.get_or_insert(0);
    Ok(())
}

/// Everything that a start would refuse is refused now, where it can be known.
fn check(inner: &Inner, record: &Record, modes: &Modes) -> Result<(), Error> {
    let host = &record.host;
    let facts = &inner.host.facts;
    spec::resources::check(host, facts.resources)?;
    spec::resources::check_cpusets(host.cpuset_cpus.as_deref(), host.cpuset_mems.as_deref())?;
    spec::resources::resources(host, &spec::devices::block_numbers)?;
    RestartPolicy::parse(host)?;
    let security = spec::security::parse(host.security_opt.as_deref().unwrap_or(&[]))?;
    let capabilities = spec::held(host, facts)?;
    if let spec::security::SeccompChoice::Profile(json) = &security.seccomp {
        let conditions = spec::seccomp::Conditions {
            capabilities: &capabilities,
            architecture: facts.architecture,
            kernel: facts.kernel,
        };
        spec::seccomp::profile_filter(json, conditions)?;
    }
    spec::limits::rlimits(host.ulimits.as_deref().unwrap_or(&[]), facts)?;
    spec::sysctls(host, modes)?;
    spec::oom_score_adj(host, facts)?;
    log_options::parse(record, &inner.host.name, &inner.places(&record.id).log(&record.id))?;
    HealthSpec::parse(record.config.healthcheck.as_ref(), record.config.shell.as_deref())?;
    if let Some(signal) = record.config.stop_signal.as_deref().filter(|signal| !signal.is_empty()) {
        crate::signals::parse(signal)?;
    }
    launch::devices(record)?;
    launch::cdi_edits(inner, record)?;
    resolver::dns(inner, record)?;
    resolver::extra_hosts(record)?;
    check_network(record)?;
    // As in Docker the network's donor may come later. That the others are missing is no 404: the clients
    // would take that for a missing image.
    for name in modes.namespace_donors() {
        inner.find(name).map_err(|error| Error::invalid(error.to_string()))?;
    }
    check_ipc(record, modes)?;
    if host.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
        return Err(Error::invalid(
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ));
    }
    if let Some(key) =
        host.annotations.iter().flatten().map(|(key, _)| key).find(|key| key.starts_with("dev.minke."))
    {
        return Err(Error::invalid(format!("annotation {key:?} is reserved for the engine")));
    }
    check_foreign(inner, record)?;
    match launch::image_mounts(inner, record) {
        // A path that isn't in an image is told at the start.
        Err(error) if error.kind() != ErrorKind::InvalidParameter => return Err(error),
        Ok(_) | Err(_) => {}
    }
    inner.volumes.check_sources(&record.mounts)
}

/// Another runtime works in a mount namespace of its supervisor's, from which no mount comes back to the host.
fn check_foreign(inner: &Inner, record: &Record) -> Result<(), Error> {
    let runtime = record.host.runtime.as_deref();
    let shared = |mount: &volumes::MountRecord| matches!(mount.propagation.as_str(), "shared" | "rshared");
    match record.mounts.iter().find(|mount| shared(mount)) {
        Some(mount) if inner.live().settings.foreign_runtime(runtime)?.is_some() => {
            Err(Error::not_implemented(format!(
                "propagation {} of {} can't be honoured with runtime {}",
                mount.propagation,
                mount.destination,
                runtime.unwrap_or_default()
            )))
        }
        _ => Ok(()),
    }
}

fn check_network(record: &Record) -> Result<(), Error> {
    ports::requests(&record.config, &record.host)?;
    for port in record.config.exposed_ports.iter().flatten() {
        ports::parse(port.split('-').next().unwrap_or(port))?;
    }
    Ok(())
}

/// What belongs to the container whose network another is in. `exposes`: the client says so; what the image exposes does no
/// harm.
fn check_shared_network(host: &HostConfig, exposes: bool) -> Result<(), Error> {
    let publishes = host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty());
    for (is_asked, what, mode) in [
        (host.dns.iter().flatten().next().is_some(), "dns", "network"),
        (host.extra_hosts.iter().flatten().next().is_some(), "custom host-to-IP mapping", "network"),
        (publishes || host.publish_all_ports == Some(true), "port publishing", "container type network"),
        (exposes, "port exposing", "container type network"),
    ] {
        if is_asked {
            return Err(conflict(what, mode));
        }
    }
    Ok(())
}

/// A host name belongs to the UTS namespace, and who shares a network shares its names.
fn check_hostname(config: &ContainerConfig, modes: &Modes) -> Result<(), Error> {
    let named = !config.hostname.as_deref().unwrap_or("").is_empty();
    match &modes.network {
        NetworkMode::Container(_) if named => Err(conflict("hostname", "network")),
        _ if named && modes.host_uts => Err(conflict("hostname", "UTS")),
        _ => Ok(()),
    }
}

fn conflict(what: &str, mode: &str) -> Error {
    Error::invalid(format!("conflicting options: {what} and the {mode} mode"))
}

/// Only a shareable container's IPC namespace can be joined, since its /dev/shm must be a directory that
/// both can bind.
fn check_ipc(record: &Record, modes: &Modes) -> Result<(), Error> {
    match &modes.ipc {
        IpcMode::Shareable if record.host.shm_size.is_some_and(|size| size != 64 << 20) => {
            Err(Error::not_implemented(
                "ShmSize can't be honoured together with IpcMode shareable: a shared /dev/shm is a directory and has no size",
            ))
        }
        _ => Ok(()),
    }
}

fn settle_volumes(
    inner: &Inner,
    config: &bollard_stubs::models::ContainerConfig,
    host: &HostConfig,
) -> Result<Settled, Error> {
    let mut failure = None;
    let mut random_name = || {
        random::hex_id().unwrap_or_else(|error| {
            failure = Some(error);
            String::new()
        })
    };
    let from = |name: &str| {
        let donor = inner.find(name).map_err(|error| Error::invalid(error.to_string()))?;
        Ok(donor.record().mounts.clone())
    };
    let settled = inner.volumes.settle(config, host, &from, &mut random_name)?;
    failure.map_or(Ok(settled), Err)
}

/// Directories, volumes with the image's content, and then the one durable step.
fn make(inner: &Inner, record: &Record, settled: &Settled) -> Result<(), Error> {
    let places = inner.places(&record.id);
    let failed = |error: std::io::Error| Error::internal("make the container's directories", &error);
    for name in ["rootfs", "upper", "work"] {
        fs::create_dir_all(places.directory.join(name)).map_err(failed)?;
    }
    let mark = places.directory.join("upper").join(files::MARK.trim_start_matches('/'));
    fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(mark).map_err(failed)?;
    for volume in &settled.new_volumes {
        inner.volumes.make(&volume.name)?;
    }
    // Filling needs what a volume's options mount.
    let held = inner.volumes.hold_new(&settled.new_volumes, launch::volume_names(record), record.id.as_str());
    let filled = held.and_then(|()| fill_volumes(inner, record));
    inner.volumes.release(record.id.as_str());
    filled?;
    inner.store.put_container(record, &settled.new_volumes)?;
    let mut all = inner.volumes.lock();
    all.extend(settled.new_volumes.iter().map(|volume| (volume.name.clone(), volume.clone())));
    Ok(())
}

fn fill_volumes(inner: &Inner, record: &Record) -> Result<(), Error> {
    let wanting = |mount: &&volumes::MountRecord| mount.name.is_some() && !mount.no_copy;
    let mut root = None;
    for mount in record.mounts.iter().filter(wanting) {
        let root = match &root {
            Some(root) => root,
            None => {
                let look = inner.layers(record)?.image_only();
                root.insert(look.map_err(|error| Error::internal("look at the image's files", &error))?)
            }
        };
        let mut held = Vec::new();
        let place = match &mount.subpath {
            None => inner.volumes.data(mount.name.as_deref().unwrap_or("")),
            // One that isn't there is told at the start; a file is what it is.
            Some(_) => match inner.volumes.volume_source(mount, &mut held) {
                Ok(place) if Path::new(&place).is_dir() => place.into(),
                Ok(_) | Err(_) => continue,
            },
        };
        volumes::copy_up(root, &mount.destination, &place)?;
    }
    Ok(())
}

fn unmake(inner: &Inner, record: &Record, settled: &Settled) {
    let _ = super::removal::delete(&inner.places(&record.id).directory);
    for volume in &settled.new_volumes {
        let _ = inner.volumes.destroy(&volume.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_defaults_are_written_out() {
        let mut host = HostConfig::default();
        adapt(&mut host, HostResources { cpus: 2, unified: false }, &ContainerDefaults::default()).unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("bridge"));
        assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("json-file"));
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
        assert_eq!(host.cgroupns_mode, Some(HostConfigCgroupnsModeEnum::HOST));
        assert_eq!((host.oom_kill_disable, host.memory_swappiness), (Some(false), None));
        assert!(host.masked_paths.unwrap().contains(&"/proc/kcore".to_owned()));
        let mut host =
            HostConfig { privileged: Some(true), memory_swappiness: Some(-1), ..HostConfig::default() };
        adapt(&mut host, HostResources { cpus: 2, unified: true }, &ContainerDefaults::default()).unwrap();
        assert_eq!((host.masked_paths, host.readonly_paths), (None, None));
        assert_eq!((host.oom_kill_disable, host.memory_swappiness), (None, None));
    }
}
