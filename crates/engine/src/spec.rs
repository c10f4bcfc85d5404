//! From Docker's words to the runtime's: a container's Config and HostConfig, with all that was found out
//! about the host and the image, become an OCI runtime configuration. [`build`] decides and does no I/O;
//! its files
//! each answer for one part of the configuration.

pub(crate) mod capabilities;
pub(crate) mod cdi;
pub(crate) mod devices;
pub(crate) mod env;
pub(crate) mod limits;
pub(crate) mod modes;
pub(crate) mod mounts;
pub(crate) mod refuse;
pub(crate) mod resources;
pub(crate) mod seccomp;
pub(crate) mod security;
pub(crate) mod user;

use std::{collections::BTreeMap, path::Path};

use bollard_stubs::models::{ContainerConfig, HostConfig};
use minke_model::runtime_spec::{
    self, ConsoleSize, Device, DeviceRule, Linux, Namespace, NamespaceType, Process, Root, Spec,
};
use rustix::process::Rlimit;

use self::{
    capabilities::Mask,
    limits::HardLimits,
    modes::{IpcMode, Modes, NetworkMode, SharedMode},
    mounts::{Base, Shm},
    resources::HostResources,
    security::SeccompChoice,
    user::Resolved,
};
use crate::{
    Error,
    volumes::{MountRecord, Seen},
};

/// Docker's size of /dev/shm.
const DEFAULT_SHM: i64 = 64 << 20;

/// What this host and this engine's own process allow; read once.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) resources: HostResources,
    /// Capabilities that the engine itself holds.
    pub(crate) capabilities: Mask,
    pub(crate) hard_limits: HardLimits,
    /// How many files this process could open when it began: what containers inherit unless they ask.
    pub(crate) open_files: Rlimit,
    /// Go's name of the architecture.
    pub(crate) architecture: &'static str,
    pub(crate) kernel: (u32, u32),
    /// The engine's own /proc/self/oom_score_adj.
    pub(crate) oom_score_adj: i64,
}

/// Namespaces that are joined, by path; `None` is a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Joined {
    pub(crate) network: Option<String>,
    pub(crate) pid: Option<String>,
    pub(crate) ipc: Option<String>,
}

/// Everything that [`build`] decides from.
pub(crate) struct Inputs<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) config: &'a ContainerConfig,
    pub(crate) host: &'a HostConfig,
    pub(crate) modes: &'a Modes,
    pub(crate) joined: &'a Joined,
    pub(crate) user: &'a Resolved,
    /// The root's place, relative to the bundle.
    pub(crate) root: &'a str,
    pub(crate) mounts: &'a [MountRecord],
    /// Each mount's place on the host.
    pub(crate) sources: &'a [Option<String>],
    /// What mounts of images show, by their destinations.
    pub(crate) images: &'a BTreeMap<String, Seen>,
    /// /etc/hosts and so on.
    pub(crate) files: &'a [(&'static str, &'a Path)],
    /// The host's program that becomes the first process where `--init` asks for one.
    pub(crate) init: Option<&'a Path>,
    /// The directory behind /dev/shm when others may join or another's is joined.
    pub(crate) shared_shm: Option<&'a Path>,
    pub(crate) devices: Vec<Device>,
    pub(crate) device_rules: Vec<DeviceRule>,
    pub(crate) cgroup: &'a str,
    pub(crate) hostname: &'a str,
}

/// The container's configuration.
///
/// # Errors
/// `InvalidParameter` for what can't be.
pub(crate) fn build(inputs: Inputs<'_>) -> Result<Spec, Error> {
    let (config, host) = (inputs.config, inputs.host);
    let privileged = host.privileged.unwrap_or(false);
    let security = security::parse(host.security_opt.as_deref().unwrap_or(&[]))?;
    let capabilities = held(host, inputs.facts)?;
    let owns_uts = !inputs.modes.host_uts;
    let process = process(&inputs, &capabilities, security.no_new_privileges)?;
    let unmasked = privileged || security.system_paths_unconfined;
    let linux = Linux {
        sysctl: sysctls(host, inputs.modes)?,
        resources: Some(limits_of(host, inputs.device_rules, privileged)?),
        cgroups_path: Some(inputs.cgroup.to_owned()),
        namespaces: namespaces(inputs.modes, inputs.joined),
        devices: inputs.devices,
        seccomp: filter(&security.seccomp, privileged, &capabilities, inputs.facts)?,
        rootfs_propagation: propagation(inputs.mounts),
        masked_paths: paths(&host.masked_paths, &MASKED, unmasked),
        readonly_paths: paths(&host.readonly_paths, &READ_ONLY, unmasked),
        ..Linux::default()
    };
    let base = Base {
        privileged,
        writable_cgroups: security.writable_cgroups,
        shm: shm(host, inputs.modes, inputs.shared_shm),
        files: inputs.files,
        read_only: host.readonly_rootfs.unwrap_or(false),
        init: inputs.init.filter(|_| wants_init(host, inputs.modes)),
        images: inputs.images,
    };
    Ok(Spec {
        oci_version: runtime_spec::VERSION.to_owned(),
        root: Some(Root { path: inputs.root.to_owned(), readonly: host.readonly_rootfs.unwrap_or(false) }),
        mounts: mounts::mounts(base, inputs.mounts, inputs.sources),
        process: Some(process),
        hostname: owns_uts.then(|| inputs.hostname.to_owned()),
        domainname: config.domainname.clone().filter(|name| owns_uts && !name.is_empty()),
        annotations: host.annotations.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
        linux: Some(linux),
        ..Spec::default()
    })
}

/// The capabilities a container of these options holds.
///
/// # Errors
/// As [`capabilities::held`].
pub(crate) fn held(host: &HostConfig, facts: &Facts) -> Result<Vec<String>, Error> {
    let list = |field: &Option<Vec<String>>| field.clone().unwrap_or_default();
    let privileged = host.privileged.unwrap_or(false);
    capabilities::held(&list(&host.cap_add), &list(&host.cap_drop), privileged, facts.capabilities)
}

/// Whether an init is the first process: in a pid namespace that others have begun, there is one already.
fn wants_init(host: &HostConfig, modes: &Modes) -> bool {
    host.init == Some(true) && modes.pid == SharedMode::Private
}

/// The program and its arguments: the entry point, then the command.
pub(crate) fn arguments(config: &ContainerConfig) -> Vec<String> {
    let entrypoint =
        config.entrypoint.iter().flatten().filter(|_| config.entrypoint != Some(vec![String::new()]));
    entrypoint.chain(config.cmd.iter().flatten()).cloned().collect()
}

fn process(inputs: &Inputs<'_>, capabilities: &[String], no_new_privileges: bool) -> Result<Process, Error> {
    let (config, host) = (inputs.config, inputs.host);
    let tty = config.tty.unwrap_or(false);
    let console_size = host.console_size.as_deref().and_then(|size| match size {
        [height, width] => {
            Some(ConsoleSize { height: u16::try_from(*height).ok()?, width: u16::try_from(*width).ok()? })
        }
        _ => None,
    });
    let mut args = arguments(config);
    if wants_init(host, inputs.modes) {
        args.splice(..0, [mounts::INIT.to_owned(), "--".to_owned()]);
    }
    let working_dir = config.working_dir.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    Ok(Process {
        terminal: tty,
        console_size: console_size.filter(|size| tty && size.height > 0),
        user: inputs.user.to_spec(),
        args,
        env: env::complete(
            config.env.as_deref().unwrap_or(&[]),
            Some(inputs.hostname),
            tty,
            &inputs.user.home,
        ),
        cwd: working_dir.to_owned(),
        capabilities: Some(capabilities::sets(capabilities, inputs.user.uid == 0)),
        rlimits: limits::rlimits(host.ulimits.as_deref().unwrap_or(&[]), inputs.facts)?,
        no_new_privileges,
        oom_score_adj: oom_score_adj(host, inputs.facts)?,
        ..Process::default()
    })
}

/// `--oom-score-adj`; only a process with CAP_SYS_RESOURCE can lower it.
pub(crate) fn oom_score_adj(host: &HostConfig, facts: &Facts) -> Result<Option<i32>, Error> {
    let Some(wanted) = host.oom_score_adj.filter(|wanted| *wanted != 0) else { return Ok(None) };
    if !(-1000..=1000).contains(&wanted) {
        return Err(Error::invalid(format!(
            "Invalid value {wanted}, range for oom score adj is [-1000, 1000]"
        )));
    }
    if wanted < facts.oom_score_adj && facts.capabilities.lacks_sys_resource() {
        return Err(Error::invalid(format!(
            "oom-score-adj {wanted}: the engine's own is {} and without CAP_SYS_RESOURCE it can't be lowered",
            facts.oom_score_adj
        )));
    }
    Ok(i32::try_from(wanted).ok())
}

/// `--sysctl`, and what Docker sets so that ordinary users can use low ports and ping.
pub(crate) fn sysctls(host: &HostConfig, modes: &Modes) -> Result<BTreeMap<String, String>, Error> {
    let mut all = BTreeMap::new();
    let own_network =
        matches!(modes.network, NetworkMode::Bridge | NetworkMode::None | NetworkMode::Named(_));
    if own_network {
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        all.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    for (key, value) in host.sysctls.iter().flatten() {
        let refuse = |why: &str| Err(Error::invalid(format!("sysctl {key:?} can't be set: {why}")));
        let ipc = key.starts_with("kernel.msg")
            || key.starts_with("kernel.sem")
            || key.starts_with("kernel.shm")
            || key.starts_with("fs.mqueue.");
        let uts = matches!(key.as_str(), "kernel.domainname" | "kernel.hostname");
        if key.starts_with("net.") {
            if modes.network == NetworkMode::Host {
                return refuse("it belongs to the network namespace, which is the host's");
            }
        } else if ipc {
            if modes.ipc == IpcMode::Host {
                return refuse("it belongs to the IPC namespace, which is the host's");
            }
        } else if !uts {
            return refuse("it is not separate for each container");
        } else if modes.host_uts {
            return refuse("it belongs to the UTS namespace, which is the host's");
        }
        all.insert(key.clone(), value.clone());
    }
    Ok(all)
}

fn limits_of(
    host: &HostConfig,
    device_rules: Vec<DeviceRule>,
    privileged: bool,
) -> Result<runtime_spec::Resources, Error> {
    let mut resources = resources::resources(host, &devices::block_numbers)?;
    resources.devices = if privileged { resources::all_devices() } else { resources::default_device_rules() };
    resources.devices.extend(device_rules);
    Ok(resources)
}

fn namespaces(modes: &Modes, joined: &Joined) -> Vec<Namespace> {
    let mut all = vec![Namespace { kind: NamespaceType::Mount, path: None }];
    let mut add = |kind, own: bool, path: &Option<String>| {
        if own || path.is_some() {
            all.push(Namespace { kind, path: path.clone() });
        }
    };
    add(NamespaceType::Network, modes.network != NetworkMode::Host, &joined.network);
    add(NamespaceType::Pid, modes.pid != SharedMode::Host, &joined.pid);
    add(NamespaceType::Ipc, modes.ipc != IpcMode::Host, &joined.ipc);
    add(NamespaceType::Uts, !modes.host_uts, &None);
    add(NamespaceType::Cgroup, !modes.host_cgroup, &None);
    all
}

fn filter(
    choice: &SeccompChoice,
    privileged: bool,
    capabilities: &[String],
    facts: &Facts,
) -> Result<Option<runtime_spec::Seccomp>, Error> {
    let conditions =
        seccomp::Conditions { capabilities, architecture: facts.architecture, kernel: facts.kernel };
    match choice {
        SeccompChoice::Unconfined => Ok(None),
        SeccompChoice::Profile(json) => seccomp::profile_filter(json, conditions).map(Some),
        SeccompChoice::Default if privileged => Ok(None),
        SeccompChoice::Default => Ok(Some(seccomp::default_filter(conditions))),
    }
}

fn shm<'a>(host: &HostConfig, modes: &Modes, shared: Option<&'a Path>) -> Shm<'a> {
    let size = host.shm_size.filter(|size| *size != 0);
    match (&modes.ipc, shared) {
        (IpcMode::None, _) => Shm::None,
        (IpcMode::Host, _) => Shm::Bind(Path::new("/dev/shm")),
        (_, Some(directory)) => Shm::Bind(directory),
        _ => Shm::Size(size.unwrap_or(DEFAULT_SHM)),
    }
}

/// A shared or slave mount only works below a root that has the same propagation.
fn propagation(mounts: &[MountRecord]) -> Option<String> {
    let any = |name: &str| {
        mounts.iter().any(|mount| mount.propagation.trim_start_matches('r') == name.trim_start_matches('r'))
    };
    if mounts.iter().any(|mount| matches!(mount.propagation.as_str(), "shared" | "rshared")) {
        Some("shared".to_owned())
    } else if any("slave") {
        Some("slave".to_owned())
    } else {
        None
    }
}

fn paths(asked: &Option<Vec<String>>, default: &[&str], unmasked: bool) -> Vec<String> {
    match asked {
        // The client of systempaths=unconfined sends empty lists; absent means the default.
        Some(list) => list.clone(),
        None if unmasked => Vec::new(),
        None => default.iter().map(|path| (*path).to_owned()).collect(),
    }
}

/// What tells or changes too much about the host (the same as Docker's).
pub(crate) const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

pub(crate) const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

#[cfg(test)]
mod fields;
#[cfg(test)]
mod tests;
