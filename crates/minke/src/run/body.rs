//! From flags to the body of `POST /containers/create`.

use std::{collections::HashMap, path::Path};

use bollard_stubs::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, NetworkingConfig,
};

use super::{
    FlagError, devices,
    environment::{self, Lookup},
    health, limits, mounts, networks,
    options::ContainerOptions,
    ports, security,
};

/// Where flags are read: the client's folder and environment.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// What relative sources of mounts start from.
    pub(crate) folder: &'a Path,
    /// The client's environment variables.
    pub(crate) lookup: Lookup<'a>,
}

/// The request for a container of `image` that runs `command` (empty: the image's own).
///
/// # Errors
/// Names the first flag whose value makes no sense or isn't supported.
pub(crate) fn create(
    options: &ContainerOptions,
    image: &str,
    command: &[String],
    from: Surroundings<'_>,
) -> Result<ContainerCreateBody, FlagError> {
    options.check_supported()?;
    let ports = ports::read(&options.publish, &options.expose)?;
    let volumes = mounts::volumes(&options.volume, from.folder)?;
    let networks = networks::read(options)?;
    let attaches = |stream: &str| options.attach.iter().any(|given| given == stream);
    let attach_stdin = options.interactive || attaches("stdin");
    let mut host = host_config(options, from)?;
    host.port_bindings = some(ports.bindings);
    host.binds = some(volumes.binds);
    host.network_mode = Some(networks.mode);
    Ok(ContainerCreateBody {
        hostname: options.hostname.clone(),
        domainname: options.domainname.clone(),
        user: options.user.clone(),
        attach_stdin: Some(attach_stdin),
        attach_stdout: Some(options.attach.is_empty() || attaches("stdout")),
        attach_stderr: Some(options.attach.is_empty() || attaches("stderr")),
        exposed_ports: some(ports.exposed),
        tty: Some(options.tty),
        open_stdin: Some(options.interactive),
        // Standard input ends when the client that feeds it leaves.
        stdin_once: Some(options.interactive && attach_stdin),
        env: some(environment::variables(&options.env_file, &options.env, from.lookup)?),
        cmd: (!command.is_empty()).then(|| command.to_vec()),
        healthcheck: health::read(options)?,
        image: Some(image.to_owned()),
        volumes: some(volumes.anonymous),
        working_dir: options.workdir.clone(),
        // `--entrypoint ""` takes the image's away.
        entrypoint: options.entrypoint.clone().map(|entrypoint| vec![entrypoint]),
        labels: some(environment::labels(&options.label_file, &options.label)?),
        stop_signal: options.stop_signal.clone(),
        stop_timeout: options.stop_timeout,
        host_config: Some(host),
        networking_config: (!networks.endpoints.is_empty())
            .then_some(NetworkingConfig { endpoints_config: Some(networks.endpoints) }),
        ..ContainerCreateBody::default()
    })
}

fn host_config(options: &ContainerOptions, from: Surroundings<'_>) -> Result<HostConfig, FlagError> {
    let restart =
        options.restart.as_deref().filter(|policy| !policy.is_empty()).map(limits::restart).transpose()?;
    if options.rm && options.restart.as_deref().is_some_and(|policy| !matches!(policy, "" | "no")) {
        return Err(FlagError::new("conflicting options: cannot specify both --restart and --rm"));
    }
    let security = security::read(&options.security_opt)?;
    let open_paths = security.open_system_paths.then(Vec::new);
    let mounts = options.mount.iter().map(|value| mounts::mount(value, from.folder));
    let mut host = HostConfig {
        container_id_file: options.cidfile.as_ref().map(|file| file.to_string_lossy().into_owned()),
        log_config: log_config(options)?,
        restart_policy: restart,
        auto_remove: options.rm.then_some(true),
        volume_driver: options.volume_driver.clone(),
        volumes_from: some(options.volumes_from.clone()),
        mounts: some(mounts.collect::<Result<Vec<_>, _>>()?),
        annotations: some(limits::pairs("annotation", &options.annotation)?),
        cap_add: some(options.cap_add.clone()),
        cap_drop: some(options.cap_drop.clone()),
        cgroupns_mode: cgroupns(options)?,
        dns: some(options.dns.clone()),
        dns_options: some(options.dns_option.clone()),
        dns_search: some(options.dns_search.clone()),
        extra_hosts: some(each(&options.add_host, networks::extra_host)?),
        group_add: some(options.group_add.clone()),
        ipc_mode: options.ipc.clone(),
        links: some(options.link.clone()),
        oom_score_adj: options.oom_score_adj,
        pid_mode: options.pid.clone(),
        privileged: options.privileged.then_some(true),
        publish_all_ports: options.publish_all.then_some(true),
        readonly_rootfs: options.read_only.then_some(true),
        security_opt: some(security.options),
        storage_opt: some(limits::pairs("storage-opt", &options.storage_opt)?),
        tmpfs: some(mounts::tmpfs(&options.tmpfs)),
        uts_mode: options.uts.clone(),
        userns_mode: options.userns.clone(),
        shm_size: options.shm_size,
        sysctls: some(limits::pairs("sysctl", &options.sysctl)?),
        runtime: options.runtime.clone(),
        masked_paths: open_paths.clone(),
        readonly_paths: open_paths,
        init: options.init,
        console_size: console_size(options),
        ..HostConfig::default()
    };
    resources(&mut host, options)?;
    Ok(host)
}

/// Processor, memory, block device and device settings.
fn resources(host: &mut HostConfig, options: &ContainerOptions) -> Result<(), FlagError> {
    if let Some(swappiness) = options.memory_swappiness.filter(|value| !(-1..=100).contains(value)) {
        return Err(FlagError::new(format!(
            "invalid value: {swappiness}. Valid memory swappiness range is 0-100"
        )));
    }
    let (cdi, plain): (Vec<String>, Vec<String>) =
        options.device.iter().cloned().partition(|device| devices::is_cdi(device));
    host.cpu_shares = options.cpu_shares;
    host.cpu_period = options.cpu_period;
    host.cpu_quota = options.cpu_quota;
    host.cpu_realtime_period = options.cpu_rt_period;
    host.cpu_realtime_runtime = options.cpu_rt_runtime;
    host.cpuset_cpus = options.cpuset_cpus.clone();
    host.cpuset_mems = options.cpuset_mems.clone();
    host.nano_cpus = options.cpus;
    host.memory = options.memory;
    host.memory_reservation = options.memory_reservation;
    host.memory_swap = options.memory_swap;
    host.memory_swappiness = options.memory_swappiness.filter(|value| *value != -1);
    host.oom_kill_disable = options.oom_kill_disable.then_some(true);
    host.pids_limit = options.pids_limit;
    host.cgroup_parent = options.cgroup_parent.clone();
    host.ulimits = some(each(&options.ulimit, limits::ulimit)?);
    host.devices = some(each(&plain, devices::mapping)?);
    host.device_requests = (!cdi.is_empty()).then(|| vec![devices::cdi_request(cdi)]);
    host.device_cgroup_rules = some(each(&options.device_cgroup_rule, devices::cgroup_rule)?);
    host.blkio_weight = options.blkio_weight;
    host.blkio_weight_device = some(each(&options.blkio_weight_device, devices::weight)?);
    host.blkio_device_read_bps =
        some(each(&options.device_read_bps, |value| devices::throttle(value, true))?);
    host.blkio_device_write_bps =
        some(each(&options.device_write_bps, |value| devices::throttle(value, true))?);
    host.blkio_device_read_iops =
        some(each(&options.device_read_iops, |value| devices::throttle(value, false))?);
    host.blkio_device_write_iops =
        some(each(&options.device_write_iops, |value| devices::throttle(value, false))?);
    Ok(())
}

fn log_config(options: &ContainerOptions) -> Result<Option<HostConfigLogConfig>, FlagError> {
    let driver = options.log_driver.as_deref().unwrap_or_default();
    if driver == "none" && !options.log_opt.is_empty() {
        return Err(FlagError::new(format!("invalid logging opts for driver {driver}")));
    }
    if driver.is_empty() && options.log_opt.is_empty() {
        return Ok(None);
    }
    let config = limits::pairs("log-opt", &options.log_opt)?;
    Ok(Some(HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(config) }))
}

fn cgroupns(options: &ContainerOptions) -> Result<Option<HostConfigCgroupnsModeEnum>, FlagError> {
    match options.cgroupns.as_deref() {
        None | Some("") => Ok(None),
        Some("host") => Ok(Some(HostConfigCgroupnsModeEnum::HOST)),
        Some("private") => Ok(Some(HostConfigCgroupnsModeEnum::PRIVATE)),
        Some(_) => Err(FlagError::new("--cgroupns: invalid CGROUP mode")),
    }
}

/// Rows and columns of the user's terminal, so that the container's starts in the right size.
fn console_size(options: &ContainerOptions) -> Option<Vec<usize>> {
    let (columns, rows) = options.tty.then(crate::terminal::size).flatten()?;
    Some(vec![usize::from(rows), usize::from(columns)])
}

fn each<T>(values: &[String], read: impl Fn(&str) -> Result<T, FlagError>) -> Result<Vec<T>, FlagError> {
    values.iter().map(|value| read(value)).collect()
}

/// Collections that the API leaves out when they are empty.
trait Collection {
    fn has_none(&self) -> bool;
}

impl<T> Collection for Vec<T> {
    fn has_none(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Collection for HashMap<K, V> {
    fn has_none(&self) -> bool {
        self.is_empty()
    }
}

fn some<C: Collection>(collection: C) -> Option<C> {
    (!collection.has_none()).then_some(collection)
}
