//! A service: what its containers are made from.

use std::collections::BTreeMap;

use super::{
    Build, Bytes, ConfigMount, Deploy, Develop, DeviceRequest, Duration, Environment, Hosts, Mapping, Mount,
    Port, SecretMount, ServiceNetwork, attribute::attributes,
};

attributes! {
    /// One service of a project, every attribute in its long form.
    pub struct Service {
        /// The profiles it belongs to; none is always active.
        profiles: Vec<String>,
        /// Annotations of its containers.
        annotations: Mapping,
        /// `up` shows its output; none is yes.
        attach: Option<bool>,
        /// How its image is built.
        build: Option<Build>,
        /// How it is kept up to date while it is developed.
        develop: Option<Develop>,
        /// Limits of block devices.
        blkio_config: Option<Blkio>,
        /// Capabilities beyond the default.
        cap_add: Vec<String>,
        /// Capabilities less than the default.
        cap_drop: Vec<String>,
        /// The cgroup that its containers' are below.
        cgroup_parent: String,
        /// The cgroup namespace: `host` or `private`.
        cgroup: String,
        /// Processors that can be used.
        cpu_count: i64,
        /// The percentage of processors that can be used.
        cpu_percent: f32,
        /// The scheduler's period in microseconds.
        cpu_period: i64,
        /// The scheduler's quota in a period.
        cpu_quota: i64,
        /// The real-time scheduler's period.
        cpu_rt_period: i64,
        /// The real-time scheduler's quota.
        cpu_rt_runtime: i64,
        /// Processors' time that can be used, in processors.
        cpus: f32,
        /// The processors that can be used (`0-3`, `0,1`).
        cpuset: String,
        /// The weight against other containers.
        cpu_shares: i64,
        /// The command; `None` is the image's, an empty one is none at all.
        command: Option<Vec<String>>,
        /// Configuration files in its containers.
        configs: Vec<ConfigMount>,
        /// The name of its one container.
        container_name: String,
        /// Credentials of a managed account.
        credential_spec: Option<CredentialSpec>,
        /// The services that are started before, with `links`, `network_mode: service:…` and such as well.
        depends_on: BTreeMap<String, Dependency>,
        /// How it is deployed.
        deploy: Option<Deploy>,
        /// Rules for the devices cgroup.
        device_cgroup_rules: Vec<String>,
        /// The host's devices in its containers.
        devices: Vec<Device>,
        /// Name servers.
        dns: Vec<String>,
        /// Options of the resolver.
        dns_opt: Vec<String>,
        /// Search domains.
        dns_search: Vec<String>,
        /// Obsolete.
        dockerfile: String,
        /// The domain name.
        domainname: String,
        /// The entry point; `None` is the image's, an empty one is none at all.
        entrypoint: Option<Vec<String>>,
        /// The program that runs it instead of the engine.
        provider: Option<Provider>,
        /// Environment variables; `None` where the variable is not set outside either.
        environment: Environment,
        /// Files with variables; empty once they were read.
        env_file: Vec<EnvFile>,
        /// Ports that other services may use, which the image doesn't name.
        expose: Vec<String>,
        /// What it was extended from; gone once that was done.
        extends: Option<Extends>,
        /// Containers outside of the project, by name and alias.
        external_links: Vec<String>,
        /// Names in `/etc/hosts`.
        extra_hosts: Hosts,
        /// Further groups of its processes' user.
        group_add: Vec<String>,
        /// GPUs.
        gpus: Vec<DeviceRequest>,
        /// The host name.
        hostname: String,
        /// How it is told whether it works.
        healthcheck: Option<Healthcheck>,
        /// The image.
        image: String,
        /// An init process reaps and forwards signals.
        init: Option<bool>,
        /// The IPC namespace: `shareable`, `service:NAME`, `container:NAME`, …
        ipc: String,
        /// The isolation technology of the platform.
        isolation: String,
        /// Labels of its containers.
        labels: Mapping,
        /// Files with labels; empty once they were read.
        label_file: Vec<String>,
        /// Services by name and alias.
        links: Vec<String>,
        /// Where its output goes.
        logging: Option<Logging>,
        /// Obsolete.
        log_driver: String,
        /// Obsolete.
        log_opt: Mapping,
        /// The most memory.
        mem_limit: Bytes,
        /// The memory below which nothing is reclaimed.
        mem_reservation: Bytes,
        /// The most memory and swap together.
        memswap_limit: Bytes,
        /// The kernel's inclination to swap.
        mem_swappiness: Bytes,
        /// The hardware address.
        mac_address: String,
        /// Language models, and the variables that tell about them.
        models: BTreeMap<String, Option<ServiceModel>>,
        /// Obsolete.
        net: String,
        /// The network namespace: `none`, `host`, `bridge`, `service:NAME`, `container:NAME`.
        network_mode: String,
        /// The project's networks it is in, by key.
        networks: BTreeMap<String, Option<ServiceNetwork>>,
        /// The kernel doesn't end it when memory is short.
        oom_kill_disable: bool,
        /// How likely the kernel ends it when memory is short.
        oom_score_adj: i64,
        /// The PID namespace: `host`, `service:NAME`, `container:NAME`.
        pid: String,
        /// The most processes.
        pids_limit: i64,
        /// The platform (`linux/amd64`).
        platform: String,
        /// Published ports.
        ports: Vec<Port>,
        /// All privileges.
        privileged: bool,
        /// `always`, `never`, `missing`, `build`, `daily`, `weekly`, `every_…`.
        pull_policy: String,
        /// The root file system can't be written.
        read_only: bool,
        /// `no`, `always`, `on-failure[:N]`, `unless-stopped`.
        restart: String,
        /// The OCI runtime.
        runtime: String,
        /// How many containers.
        scale: Option<i64>,
        /// Secrets in its containers.
        secrets: Vec<SecretMount>,
        /// Options of security modules.
        security_opt: Vec<String>,
        /// The size of `/dev/shm`.
        shm_size: Bytes,
        /// The standard input stays open.
        stdin_open: bool,
        /// How long a stop waits before it kills.
        stop_grace_period: Option<Duration>,
        /// The signal of a stop.
        stop_signal: String,
        /// Options of the storage driver.
        storage_opt: Mapping,
        /// Kernel parameters.
        sysctls: Mapping,
        /// Folders in memory, with mount options after a colon.
        tmpfs: Vec<String>,
        /// A terminal.
        tty: bool,
        /// Limits of its processes.
        ulimits: BTreeMap<String, Ulimit>,
        /// The engine's socket is in its containers, with the user's credentials.
        use_api_socket: bool,
        /// The user of its processes.
        user: String,
        /// The user namespace.
        userns_mode: String,
        /// The UTS namespace.
        uts: String,
        /// Obsolete.
        volume_driver: String,
        /// What is mounted.
        volumes: Vec<Mount>,
        /// Services (or `container:NAME`) whose mounts it has too, with `:ro` or `:rw`.
        volumes_from: Vec<String>,
        /// The folder of its processes.
        working_dir: String,
        /// Run in containers of their own before the service's start.
        pre_start: Vec<Hook>,
        /// Run in a container right after its start.
        post_start: Vec<Hook>,
        /// Run in a container right before its stop.
        pre_stop: Vec<Hook>,
    }
    beside {
        /// Its key in the project.
        name: String,
    }
}

attributes! {
    /// Limits of block devices.
    pub struct Blkio {
        /// The weight against other containers.
        weight: u16,
        /// Weights on devices.
        weight_device: Vec<WeightDevice>,
        /// Bytes read in a second.
        device_read_bps: Vec<ThrottleDevice>,
        /// Reads in a second.
        device_read_iops: Vec<ThrottleDevice>,
        /// Bytes written in a second.
        device_write_bps: Vec<ThrottleDevice>,
        /// Writes in a second.
        device_write_iops: Vec<ThrottleDevice>,
    }
}

/// A weight on one device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WeightDevice {
    /// The device.
    pub path: String,
    /// The weight.
    pub weight: u16,
}

/// A rate on one device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThrottleDevice {
    /// The device.
    pub path: String,
    /// Bytes or operations in a second.
    pub rate: Bytes,
}

attributes! {
    /// Credentials of a managed account.
    pub struct CredentialSpec {
        /// A config of the project.
        config: String,
        /// A file.
        file: String,
        /// A registry value.
        registry: String,
    }
}

/// What a service needs of another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dependency {
    /// `service_started`, `service_healthy` or `service_completed_successfully`.
    pub condition: String,
    /// The service is restarted when the other was made anew or restarted.
    pub restart: bool,
    /// Without the other it is an error, not a warning.
    pub required: bool,
    /// What stands under names that begin with `x-`.
    pub extensions: super::Extensions,
}

attributes! {
    /// A device of the host in a container.
    pub struct Device {
        /// On the host.
        source: String,
        /// In the container.
        target: String,
        /// `r`, `w` and `m`.
        permissions: String,
    }
}

attributes! {
    /// A program that runs a service instead of the engine.
    pub struct Provider {
        /// The program.
        kind as "type": String,
        /// Its options.
        options: MultiOptions,
    }
}

/// Options of which each may be given more than once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MultiOptions(pub BTreeMap<String, Vec<String>>);

/// A file with environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvFile {
    /// The file (absolute).
    pub path: String,
    /// Its absence is an error.
    pub required: bool,
    /// `raw` for lines that are taken as they are; empty for the grammar of `.env`.
    pub format: String,
}

/// What a service is extended from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extends {
    /// The file with the other; empty for the same.
    pub file: String,
    /// The other's key.
    pub service: String,
}

attributes! {
    /// How it is told whether a service works.
    pub struct Healthcheck {
        /// `NONE`, `CMD` and words, or `CMD-SHELL` and a command.
        test: Vec<String>,
        /// How long one check may take.
        timeout: Option<Duration>,
        /// The time between two checks.
        interval: Option<Duration>,
        /// How many failures in a row make it unhealthy.
        retries: Option<u64>,
        /// How long failures don't count after the start.
        start_period: Option<Duration>,
        /// The time between two checks in that time.
        start_interval: Option<Duration>,
        /// There is none, whatever the image says.
        disable: bool,
    }
}

attributes! {
    /// Where the output of containers goes.
    pub struct Logging {
        /// The driver.
        driver: String,
        /// Its options.
        options: Mapping,
    }
}

attributes! {
    /// How a service learns of a language model.
    pub struct ServiceModel {
        /// The variable with its address.
        endpoint_var: String,
        /// The variable with its name.
        model_var: String,
    }
}

/// A limit of processes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ulimit {
    /// Both limits at once, where that was given; 0 is none.
    pub single: i64,
    /// The limit that processes may raise.
    pub soft: i64,
    /// How far.
    pub hard: i64,
    /// What stands under names that begin with `x-`.
    pub extensions: super::Extensions,
}

attributes! {
    /// A command in a container at an event of its life, or in one of its own before.
    pub struct Hook {
        /// The command.
        command: Option<Vec<String>>,
        /// The image of its own container (`pre_start` only); the service's where it is empty.
        image: String,
        /// Its user.
        user: String,
        /// All privileges.
        privileged: bool,
        /// Its folder.
        working_dir: String,
        /// Its variables.
        environment: Environment,
        /// It comes before each of the service's containers, not once before all (`pre_start` only).
        per_replica: bool,
    }
}
