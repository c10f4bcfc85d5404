//! `HostConfig`: what a container may use of its host.

use serde_json::{Value, json};

use super::{Origin, fields::Fields, networks::Networking};
use crate::{
    model::{Blkio, DeviceRequest, Resource, Service, ThrottleDevice},
    plan::{PlanError, names},
};

pub(super) fn fields(
    origin: Origin<'_>,
    service: &Service,
    networking: &Networking,
) -> Result<Fields, PlanError> {
    let mut host = Fields::default();
    namespaces(&mut host, origin, service, networking)?;
    security(&mut host, origin, service)?;
    resources(&mut host, service);
    host.set("Annotations", &service.annotations);
    host.given("Init", service.init);
    host.set("ReadonlyRootfs", service.read_only);
    host.set("RestartPolicy", restart_policy(service)?);
    host.set("ShmSize", service.shm_size.0);
    host.set("Sysctls", &service.sysctls);
    host.set("VolumeDriver", &service.volume_driver);
    host.set("Dns", &service.dns);
    host.set("DnsSearch", &service.dns_search);
    host.set("DnsOptions", &service.dns_opt);
    let hosts = service.extra_hosts.iter();
    let hosts =
        hosts.flat_map(|(name, addresses)| addresses.iter().map(move |address| format!("{name}:{address}")));
    // Docker compose always sends these two, and inspect shows them as they came.
    host.given("ExtraHosts", Some(hosts.collect::<Vec<_>>()));
    host.given("PortBindings", Some(super::networks::bindings(service)?));
    host.set("StorageOpt", &service.storage_opt);
    host.set("Isolation", &service.isolation);
    host.set("Runtime", &service.runtime);
    if let Some(logging) = &service.logging {
        host.set("LogConfig", json!({"Type": logging.driver, "Config": logging.options}));
    }
    host.set("Links", &networking.links);
    Ok(host)
}

fn namespaces(
    host: &mut Fields,
    origin: Origin<'_>,
    service: &Service,
    networking: &Networking,
) -> Result<(), PlanError> {
    host.set("NetworkMode", &networking.mode);
    host.set("IpcMode", shared(origin, service, "ipc", &service.ipc)?);
    host.set("PidMode", shared(origin, service, "pid", &service.pid)?);
    host.set("CgroupnsMode", &service.cgroup);
    host.set("UsernsMode", &service.userns_mode);
    host.set("UTSMode", &service.uts);
    let mut from = Vec::new();
    for volumes in &service.volumes_from {
        let (name, mode) = match volumes.strip_prefix("container:") {
            Some(rest) => {
                let (name, mode) =
                    rest.split_once(':').map_or((rest, None), |(name, mode)| (name, Some(mode)));
                (name.to_owned(), mode)
            }
            None => {
                let (name, mode) = volumes
                    .split_once(':')
                    .map_or((volumes.as_str(), None), |(name, mode)| (name, Some(mode)));
                (first_container(origin, service, "volumes_from", name)?, mode)
            }
        };
        from.push(mode.map_or_else(|| name.clone(), |mode| format!("{name}:{mode}")));
    }
    host.set("VolumesFrom", from);
    Ok(())
}

/// A namespace's mode, with `service:NAME` as that service's first container.
pub(super) fn shared(
    origin: Origin<'_>,
    service: &Service,
    attribute: &str,
    mode: &str,
) -> Result<String, PlanError> {
    match names::shared_service(mode) {
        None => Ok(mode.to_owned()),
        Some(name) => Ok(format!("container:{}", first_container(origin, service, attribute, name)?)),
    }
}

fn first_container(
    Origin { project, observed, .. }: Origin<'_>,
    service: &Service,
    attribute: &str,
    name: &str,
) -> Result<String, PlanError> {
    if let Some(shared) = project.services.get(name).filter(|shared| names::scale(shared) > 0) {
        return Ok(names::container(&project.name, shared, 1));
    }
    // One that doesn't take part (`--no-deps`) may be there all the same.
    let there = observed.of_service(name).min_by_key(|container| container.number());
    there.map(|container| container.name().to_owned()).ok_or_else(|| {
        PlanError::attribute(
            &service.name,
            attribute,
            format!("cannot share with service {name}: container missing"),
        )
    })
}

fn security(host: &mut Fields, origin: Origin<'_>, service: &Service) -> Result<(), PlanError> {
    host.set("CapAdd", &service.cap_add);
    host.set("CapDrop", &service.cap_drop);
    host.set("GroupAdd", &service.group_add);
    host.set("Privileged", service.privileged);
    let mut options = Vec::new();
    for option in &service.security_opt {
        if option == "systempaths=unconfined" {
            host.given("MaskedPaths", Some(json!([])));
            host.given("ReadonlyPaths", Some(json!([])));
            continue;
        }
        options.push(security_option(origin, service, option)?);
    }
    host.set("SecurityOpt", options);
    Ok(())
}

fn security_option(origin: Origin<'_>, service: &Service, option: &str) -> Result<String, PlanError> {
    let invalid = |problem: String| PlanError::attribute(&service.name, "security_opt", problem);
    let parts = option.split_once('=').or_else(|| option.split_once(':'));
    match parts {
        None if option == "no-new-privileges" => Ok(option.to_owned()),
        None => Err(invalid(format!("invalid security-opt: {option:?}"))),
        Some(("seccomp", profile)) if !matches!(profile, "unconfined" | "builtin") => {
            let text = origin.profiles.get(profile);
            let text = text.ok_or_else(|| invalid(format!("the seccomp profile {profile} can't be read")))?;
            Ok(format!("seccomp={text}"))
        }
        Some(_) => Ok(option.to_owned()),
    }
}

fn resources(host: &mut Fields, service: &Service) {
    host.set("CgroupParent", &service.cgroup_parent);
    host.set("MemorySwap", service.memswap_limit.0);
    host.set("MemorySwappiness", service.mem_swappiness.0);
    host.set("OomKillDisable", service.oom_kill_disable);
    host.set("OomScoreAdj", service.oom_score_adj);
    host.set("CpuCount", service.cpu_count);
    host.set("CpuPercent", (f64::from(service.cpu_percent) * 100.0) as i64);
    host.set("CpuPeriod", service.cpu_period);
    host.set("CpuQuota", service.cpu_quota);
    host.set("CpuRealtimePeriod", service.cpu_rt_period);
    host.set("CpuRealtimeRuntime", service.cpu_rt_runtime);
    host.set("CpuShares", service.cpu_shares);
    host.set("CpusetCpus", &service.cpuset);
    host.set("DeviceCgroupRules", &service.device_cgroup_rules);
    let deployed = service.deploy.as_ref().map(|deploy| &deploy.resources);
    let none = Resource::default();
    let limits = deployed.and_then(|resources| resources.limits.as_ref()).unwrap_or(&none);
    let reservations = deployed.and_then(|resources| resources.reservations.as_ref()).unwrap_or(&none);
    let first = |deployed: i64, own: i64| if deployed == 0 { own } else { deployed };
    host.set("Memory", first(limits.memory.0, service.mem_limit.0));
    host.set("MemoryReservation", first(reservations.memory.0, service.mem_reservation.0));
    host.set("NanoCpus", first(nano(limits.cpus), nano(service.cpus)));
    host.set("PidsLimit", first(limits.pids, service.pids_limit));
    devices(host, service, reservations);
    ulimits(host, service);
    if let Some(blkio) = &service.blkio_config {
        self::blkio(host, blkio);
    }
}

/// Processors in billionths, rounded: a third of one is no exact number.
fn nano(cpus: f32) -> i64 {
    (f64::from(cpus) * 1e9).round() as i64
}

fn devices(host: &mut Fields, service: &Service, reservations: &Resource) {
    // A CDI device has the form `vendor.com/class=name` on both sides.
    let is_cdi = |source: &str, target: &str| {
        source == target
            && !source.starts_with('/')
            && source.split_once('=').is_some_and(|(kind, _)| kind.contains('/'))
    };
    let (cdi, plain): (Vec<_>, Vec<_>) =
        service.devices.iter().partition(|device| is_cdi(&device.source, &device.target));
    let mapping = |device: &&crate::model::Device| json!({"PathOnHost": device.source, "PathInContainer": device.target, "CgroupPermissions": device.permissions});
    host.set("Devices", plain.iter().map(mapping).collect::<Vec<_>>());
    let mut requests = Vec::new();
    if !cdi.is_empty() {
        let ids: Vec<_> = cdi.iter().map(|device| &device.source).collect();
        requests.push(json!({"Driver": "cdi", "DeviceIDs": ids}));
    }
    requests.extend(service.gpus.iter().map(|gpu| {
        let mut gpu = gpu.clone();
        gpu.capabilities.push("gpu".to_owned());
        device_request(&gpu)
    }));
    requests.extend(reservations.devices.iter().map(device_request));
    host.set("DeviceRequests", requests);
}

fn device_request(device: &DeviceRequest) -> Value {
    let mut fields = Fields::default();
    fields.set("Driver", &device.driver);
    fields.set("Count", device.count.0);
    fields.set("DeviceIDs", &device.device_ids);
    fields.set("Capabilities", json!([device.capabilities]));
    fields.set("Options", &device.options);
    fields.into()
}

fn ulimits(host: &mut Fields, service: &Service) {
    let limit = |(name, limit): (&String, &crate::model::Ulimit)| {
        let (soft, hard) = match limit.single {
            0 => (limit.soft, limit.hard),
            both => (both, both),
        };
        json!({"Name": name, "Soft": soft, "Hard": hard})
    };
    host.set("Ulimits", service.ulimits.iter().map(limit).collect::<Vec<_>>());
}

fn blkio(host: &mut Fields, blkio: &Blkio) {
    let rates = |devices: &[ThrottleDevice]| -> Vec<Value> {
        devices.iter().map(|device| json!({"Path": device.path, "Rate": device.rate.0})).collect()
    };
    let weights =
        blkio.weight_device.iter().map(|device| json!({"Path": device.path, "Weight": device.weight}));
    host.set("BlkioWeight", blkio.weight);
    host.set("BlkioWeightDevice", weights.collect::<Vec<_>>());
    host.set("BlkioDeviceReadBps", rates(&blkio.device_read_bps));
    host.set("BlkioDeviceReadIOps", rates(&blkio.device_read_iops));
    host.set("BlkioDeviceWriteBps", rates(&blkio.device_write_bps));
    host.set("BlkioDeviceWriteIOps", rates(&blkio.device_write_iops));
}

/// `restart`, unless `deploy` has a policy.
fn restart_policy(service: &Service) -> Result<Value, PlanError> {
    let deployed = service.deploy.as_ref().and_then(|deploy| deploy.restart_policy.as_ref());
    let (name, attempts) = match deployed {
        Some(policy) => (policy.condition.as_str(), policy.max_attempts.unwrap_or(0)),
        None => match service.restart.split_once(':') {
            None => (service.restart.as_str(), 0),
            Some((name, attempts)) => {
                let problem = || format!("{attempts:?} is no number of attempts");
                let attempts = attempts
                    .parse()
                    .map_err(|_| PlanError::attribute(&service.name, "restart", problem()))?;
                (name, attempts)
            }
        },
    };
    let name = match name {
        "none" => "no",
        "any" => "always",
        name => name,
    };
    let mut fields = Fields::default();
    fields.set("Name", name);
    fields.set("MaximumRetryCount", attempts);
    Ok(fields.into())
}
