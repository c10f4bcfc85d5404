//! `info`, `version`, `system df`: what this engine and its host are, told honestly.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use bollard_stubs::models::{
    BuildCacheDiskUsage, Commit, ContainersDiskUsage, DeviceInfo, FirewallInfo, ImagesDiskUsage, IndexInfo,
    LocalNodeState, PluginsInfo, RegistryServiceConfig, Runtime, SwarmInfo, SystemDataUsageResponse,
    SystemInfo, SystemInfoCgroupDriverEnum, SystemInfoCgroupVersionEnum, SystemInfoIsolationEnum,
    SystemVersion, SystemVersionComponents, SystemVersionPlatform, VolumesDiskUsage,
};

use minke_model::ImageId;

use crate::{
    ContainerDefaults, Engine, Error, ImageListOptions, ListOptions, RegistrySettings,
    container::{Phase, log_options},
    engine::Inner,
    settings::{OWN_RUNTIME, Settings},
    spec, time_text,
};

/// The newest API version that is spoken, and the oldest.
const API: (&str, &str) = ("1.51", "1.24");
/// The Docker whose API that is, and which this engine behaves as. Clients that know nothing of this engine decide by the number what they
/// may ask for (record 50).
const DOCKER: &str = "28.5.2";
/// How containers' files are kept, by Docker's name of it.
pub(crate) const STORAGE_DRIVER: &str = "overlay2";

/// The engine's version as clients are told it: Docker's, and this program's own as SemVer's build metadata.
fn server_version(own: &str) -> String {
    format!("{DOCKER}+minke.{own}")
}

impl Engine {
    /// Everything about the engine and its host.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`] when images can't be counted.
    pub async fn info(&self) -> Result<SystemInfo, Error> {
        self.blocking(|inner| inner.info()).await
    }

    /// The versions of the engine, its API and the kernel.
    pub fn version(&self) -> SystemVersion {
        let inner = self.inner();
        let text = |text: &str| Some(text.to_owned());
        let architecture = inner.host.facts.architecture;
        let details = [
            ("ApiVersion", API.0.to_owned()),
            ("MinAPIVersion", API.1.to_owned()),
            ("Arch", architecture.to_owned()),
            ("Os", "linux".to_owned()),
            ("KernelVersion", inner.host.kernel.clone()),
            ("Experimental", "false".to_owned()),
        ];
        let details = details.map(|(key, value)| (key.to_owned(), value)).into();
        let version = inner.config.version;
        SystemVersion {
            platform: Some(SystemVersionPlatform { name: "minke".to_owned() }),
            components: Some(vec![
                SystemVersionComponents {
                    name: "Engine".to_owned(),
                    version: server_version(version),
                    details: Some(details),
                },
                SystemVersionComponents {
                    name: OWN_RUNTIME.to_owned(),
                    version: version.to_owned(),
                    details: Some(HashMap::new()),
                },
            ]),
            version: Some(server_version(version)),
            api_version: text(API.0),
            min_api_version: text(API.1),
            git_commit: text(""),
            go_version: text(""),
            os: text("linux"),
            arch: text(architecture),
            kernel_version: text(&inner.host.kernel),
            experimental: Some(false),
            build_time: text(""),
        }
    }

    /// What takes space.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Internal`].
    pub async fn disk_usage(&self) -> Result<SystemDataUsageResponse, Error> {
        let containers = self.list(ListOptions { all: true, size: true, ..ListOptions::default() }).await?;
        let options = ImageListOptions { all: true, shared_size: true, ..ImageListOptions::default() };
        let images = self.image_list(options).await?;
        self.blocking(move |inner| {
            let json = |value: Result<serde_json::Value, serde_json::Error>| {
                value.map_err(|error| Error::internal("write what takes space", &error))
            };
            let volumes: Vec<_> = inner.volumes.lock().values().cloned().collect();
            let volumes: Vec<_> = volumes.iter().map(|record| inner.volume_with_usage(record)).collect();
            let count = |count: usize| Some(i64::try_from(count).unwrap_or(i64::MAX));
            let running = containers
                .iter()
                .filter(|line| line.state.is_some_and(|state| state.to_string() == "running"))
                .count();
            let sizes: i64 = containers.iter().filter_map(|line| line.size_rw).sum();
            let idle_sizes: i64 = containers
                .iter()
                .filter(|line| line.state.is_none_or(|state| state.to_string() != "running"))
                .filter_map(|line| line.size_rw)
                .sum();
            let all = inner.images.list().map_err(|error| Error::internal("list images", &error))?;
            let in_use: HashSet<ImageId> =
                inner.containers().iter().map(|container| container.record().image).collect();
            let (used, unused): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|image| in_use.contains(&image.id));
            let used_size = inner.images.size_of(&used);
            let image_count = used.len() + unused.len();
            let active_images = used.len();
            let total_size = inner.images.size_of(used.iter().chain(&unused));
            let bytes = |size: u64| Some(i64::try_from(size).unwrap_or(i64::MAX));
            let usage = |volume: &&bollard_stubs::models::Volume| {
                volume.usage_data.as_ref().map_or((0, 0), |usage| (usage.size, usage.ref_count))
            };
            let volume_size: i64 = volumes.iter().map(|volume| usage(&volume).0).sum();
            let free_volumes: i64 = volumes
                .iter()
                .map(|volume| usage(&volume))
                .filter(|(_, users)| *users == 0)
                .map(|(size, _)| size)
                .sum();
            Ok(SystemDataUsageResponse {
                image_usage: Some(ImagesDiskUsage {
                    active_count: count(active_images),
                    total_count: count(image_count),
                    reclaimable: bytes(total_size.saturating_sub(used_size)),
                    total_size: bytes(total_size),
                    items: Some(
                        images
                            .iter()
                            .map(|image| json(serde_json::to_value(image)))
                            .collect::<Result<_, _>>()?,
                    ),
                }),
                container_usage: Some(ContainersDiskUsage {
                    active_count: count(running),
                    total_count: count(containers.len()),
                    reclaimable: Some(idle_sizes),
                    total_size: Some(sizes),
                    items: Some(
                        containers
                            .iter()
                            .map(|line| json(serde_json::to_value(line)))
                            .collect::<Result<_, _>>()?,
                    ),
                }),
                volume_usage: Some(VolumesDiskUsage {
                    active_count: count(volumes.iter().filter(|volume| usage(volume).1 > 0).count()),
                    total_count: count(volumes.len()),
                    reclaimable: Some(free_volumes),
                    total_size: Some(volume_size),
                    items: Some(
                        volumes
                            .iter()
                            .map(|volume| json(serde_json::to_value(volume)))
                            .collect::<Result<_, _>>()?,
                    ),
                }),
                build_cache_usage: Some(BuildCacheDiskUsage {
                    active_count: Some(0),
                    total_count: Some(0),
                    reclaimable: Some(0),
                    total_size: Some(0),
                    items: Some(Vec::new()),
                }),
            })
        })
        .await
    }
}

impl Inner {
    fn info(&self) -> Result<SystemInfo, Error> {
        let text = |text: &str| Some(text.to_owned());
        let list = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
        let phases: Vec<Phase> = self.containers().iter().map(|container| container.phase()).collect();
        let count = |wanted: fn(&Phase) -> bool| {
            i64::try_from(phases.iter().filter(|phase| wanted(phase)).count()).ok()
        };
        let images = self.images.list().map_err(|error| Error::internal("list images", &error))?;
        let live = self.live();
        let settings = &live.settings;
        let cdi_directories = settings.containers.cdi_directories();
        let device = |name| DeviceInfo { source: Some("cdi".to_owned()), id: Some(name) };
        let devices = spec::cdi::names(&cdi_directories).into_iter().map(device).collect();
        let host = &self.host;
        let unified = host.facts.resources.unified;
        let v1 = |file: &str| self.has_controller_file(file);
        Ok(SystemInfo {
            id: text(&self.id),
            containers: i64::try_from(phases.len()).ok(),
            containers_running: count(|phase| matches!(phase, Phase::Running | Phase::Restarting)),
            containers_paused: count(|phase| *phase == Phase::Paused),
            containers_stopped: count(|phase| !phase.is_alive() && *phase != Phase::Restarting),
            images: i64::try_from(images.len()).ok(),
            driver: text(STORAGE_DRIVER),
            driver_status: Some(vec![
                vec!["Mounts".to_owned(), "in each container's own mount namespace".to_owned()],
                vec!["Native Overlay Diff".to_owned(), "true".to_owned()],
            ]),
            docker_root_dir: Some(self.config.root.to_string_lossy().into_owned()),
            plugins: Some(PluginsInfo {
                volume: list(&["local"]),
                network: list(&["bridge", "host", "ipvlan", "macvlan", "null"]),
                authorization: None,
                log: list(&log_options::DRIVERS),
            }),
            memory_limit: Some(v1("memory/memory.limit_in_bytes")),
            swap_limit: Some(v1("memory/memory.memsw.limit_in_bytes")),
            cpu_cfs_period: Some(v1("cpu/cpu.cfs_period_us")),
            cpu_cfs_quota: Some(v1("cpu/cpu.cfs_quota_us")),
            cpu_shares: Some(v1("cpu/cpu.shares")),
            cpu_set: Some(v1("cpuset/cpuset.cpus")),
            pids_limit: Some(v1("pids/")),
            oom_kill_disable: Some(!unified && v1("memory/memory.oom_control")),
            ipv4_forwarding: Some(read_flag("/proc/sys/net/ipv4/ip_forward")),
            debug: Some(settings.debug),
            nfd: fs::read_dir("/proc/self/fd").ok().and_then(|entries| i64::try_from(entries.count()).ok()),
            n_goroutines: fs::read_dir("/proc/self/task")
                .ok()
                .and_then(|entries| i64::try_from(entries.count()).ok()),
            system_time: Some(time_text::now()),
            logging_driver: text(settings.containers.log_driver()),
            cgroup_driver: Some(SystemInfoCgroupDriverEnum::CGROUPFS),
            cgroup_version: Some(if unified {
                SystemInfoCgroupVersionEnum::_2
            } else {
                SystemInfoCgroupVersionEnum::_1
            }),
            cdi_spec_dirs: Some(
                cdi_directories.iter().map(|path| path.to_string_lossy().into_owned()).collect(),
            ),
            discovered_devices: Some(devices),
            n_events_listener: i64::try_from(self.events.listeners()).ok(),
            kernel_version: text(&host.kernel),
            operating_system: text(&host.distribution),
            os_version: text(&host.distribution_version),
            os_type: text("linux"),
            architecture: text(std::env::consts::ARCH),
            ncpu: i64::try_from(host.facts.resources.cpus).ok(),
            mem_total: i64::try_from(host.memory).ok(),
            index_server_address: text("https://index.docker.io/v1/"),
            registry_config: Some(registry_config(&settings.registries)),
            http_proxy: text(""),
            https_proxy: text(""),
            no_proxy: text(""),
            name: text(&host.name),
            labels: Some(settings.labels.clone()),
            experimental_build: Some(false),
            server_version: Some(server_version(self.config.version)),
            runtimes: Some(self.runtimes(settings)),
            default_runtime: text(settings.runtime_name(None)?),
            swarm: Some(SwarmInfo {
                node_id: text(""),
                node_addr: text(""),
                local_node_state: Some(LocalNodeState::INACTIVE),
                control_available: Some(false),
                error: text(""),
                ..SwarmInfo::default()
            }),
            live_restore_enabled: Some(true),
            isolation: Some(SystemInfoIsolationEnum::EMPTY),
            init_binary: text("docker-init"),
            containerd_commit: Some(Commit { id: text("") }),
            runc_commit: Some(Commit { id: text("") }),
            init_commit: Some(Commit { id: text(self.config.version) }),
            security_options: Some(self.security_options(&settings.containers)),
            warnings: Some(self.warnings()),
            firewall_backend: Some(FirewallInfo { driver: text("nftables"), info: None }),
            ..SystemInfo::default()
        })
    }

    fn runtimes(&self, settings: &Settings) -> HashMap<String, Runtime> {
        let runtime = |path: &Path, args: &[String]| Runtime {
            path: Some(path.to_string_lossy().into_owned()),
            runtime_args: Some(args.to_vec()).filter(|args| !args.is_empty()),
            status: None,
        };
        let foreign = settings.runtimes.iter();
        let foreign = foreign.map(|(name, program)| (name.clone(), runtime(&program.path, &program.args)));
        foreign.chain([(OWN_RUNTIME.to_owned(), runtime(&self.config.runtime, &[]))]).collect()
    }

    /// Whether a controller exists, and on v1 its file.
    fn has_controller_file(&self, file: &str) -> bool {
        let (controller, name) = file.split_once('/').unwrap_or((file, ""));
        let layout = &self.host.cgroups;
        if layout.legacy.is_empty() {
            let Some(unified) = &layout.unified else { return false };
            let controllers =
                fs::read_to_string(unified.mount_point.join("cgroup.controllers")).unwrap_or_default();
            return controllers.split_whitespace().any(|known| known == controller);
        }
        let hierarchy = layout
            .legacy
            .iter()
            .find(|hierarchy| hierarchy.controllers.iter().any(|known| known.to_string() == controller));
        hierarchy.is_some_and(|hierarchy| name.is_empty() || hierarchy.mount_point.join(name).exists())
    }

    fn security_options(&self, defaults: &ContainerDefaults) -> Vec<String> {
        let profile = match defaults.seccomp_profile.as_deref() {
            None | Some("" | "builtin") => "builtin",
            Some("unconfined") => "unconfined",
            Some(_) => "custom",
        };
        let mut options = vec![format!("name=seccomp,profile={profile}")];
        if self.host.facts.resources.unified {
            options.push("name=cgroupns".to_owned());
        }
        if defaults.no_new_privileges {
            options.push("name=no-new-privileges".to_owned());
        }
        options
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.host.facts.capabilities.lacks_sys_resource() {
            warnings.push(
                "WARNING: the engine lacks CAP_SYS_RESOURCE: limits above its own hard limits and lower OOM scores can't be given to containers"
                    .to_owned(),
            );
        }
        let missing = [
            ("memory/memory.limit_in_bytes", "WARNING: No memory limit support"),
            ("memory/memory.memsw.limit_in_bytes", "WARNING: No swap limit support"),
            ("cpu/cpu.cfs_quota_us", "WARNING: No cpu cfs quota support"),
            ("cpuset/cpuset.cpus", "WARNING: No cpuset support"),
            ("pids/", "WARNING: No pids limit support"),
        ];
        warnings.extend(
            missing
                .iter()
                .filter(|(file, _)| !self.has_controller_file(file))
                .map(|(_, text)| (*text).to_owned()),
        );
        if !read_flag("/proc/sys/net/ipv4/ip_forward") {
            warnings.push("WARNING: IPv4 forwarding is disabled; it is switched on when the first container joins the bridge".to_owned());
        }
        warnings.extend(self.networks.warnings().into_iter().map(|text| format!("WARNING: {text}")));
        warnings
    }
}

/// How registries are reached, in Docker's shape: insecure networks apart from insecure hosts.
fn registry_config(settings: &RegistrySettings) -> RegistryServiceConfig {
    let (networks, hosts): (Vec<_>, Vec<_>) =
        settings.insecure_registries.iter().cloned().partition(|registry| registry.contains('/'));
    let info = |name: &str, mirrors: &[String], official: bool| IndexInfo {
        name: Some(name.to_owned()),
        mirrors: Some(mirrors.to_vec()),
        secure: Some(official),
        official: Some(official),
    };
    let mut indexes: HashMap<String, IndexInfo> =
        hosts.iter().map(|host| (host.clone(), info(host, &[], false))).collect();
    // Docker writes them so.
    let mirrors: Vec<String> =
        settings.mirrors.iter().map(|mirror| format!("{}/", mirror.trim_end_matches('/'))).collect();
    indexes.insert("docker.io".to_owned(), info("docker.io", &mirrors, true));
    let always = ["::1/128", "127.0.0.0/8"].map(str::to_owned);
    RegistryServiceConfig {
        insecure_registry_cidrs: Some(always.into_iter().chain(networks).collect()),
        index_configs: Some(indexes),
        mirrors: Some(mirrors),
    }
}

fn read_flag(path: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
}
