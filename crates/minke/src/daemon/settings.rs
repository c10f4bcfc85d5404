//! The engine's configuration file: JSON with dockerd's names (`daemon.json`), as far as the engine has the setting.
//!
//! Like dockerd, it refuses what it doesn't know, and what both the file and the command line set: neither is
//! silently without effect.

mod apply;

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use minke_engine::RuntimeProgram;
use serde::Deserialize;

use super::{LEVELS, containers, networks::Pool};
use crate::failure::Failure;

/// The file that is read when it is there.
pub(super) const DEFAULT_FILE: &str = "/etc/minke/daemon.json";

/// What the file may set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FileSettings {
    allow_direct_routing: Option<bool>,
    bip: Option<String>,
    bip6: Option<String>,
    bridge: Option<String>,
    builder: Option<Builder>,
    cdi_spec_dirs: Option<Vec<PathBuf>>,
    cgroup_parent: Option<String>,
    containerd: Option<String>,
    containerd_namespace: Option<String>,
    containerd_plugin_namespace: Option<String>,
    data_root: Option<String>,
    debug: Option<bool>,
    default_address_pools: Option<Vec<Pool>>,
    default_cgroupns_mode: Option<String>,
    default_gateway: Option<Ipv4Addr>,
    default_gateway_v6: Option<Ipv6Addr>,
    default_ipc_mode: Option<String>,
    default_network_opts: Option<BTreeMap<String, BTreeMap<String, String>>>,
    default_runtime: Option<String>,
    default_shm_size: Option<Bytes>,
    default_ulimits: Option<BTreeMap<String, Ulimit>>,
    dns: Option<Vec<IpAddr>>,
    dns_opts: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
    exec_opts: Option<Vec<String>>,
    exec_root: Option<String>,
    experimental: Option<bool>,
    features: Option<BTreeMap<String, bool>>,
    firewall_backend: Option<String>,
    fixed_cidr: Option<String>,
    fixed_cidr_v6: Option<String>,
    group: Option<String>,
    host_gateway_ip: Option<IpAddr>,
    host_gateway_ips: Option<Vec<IpAddr>>,
    hosts: Option<Vec<String>>,
    icc: Option<bool>,
    init: Option<bool>,
    init_path: Option<PathBuf>,
    insecure_registries: Option<Vec<String>>,
    ip: Option<Ipv4Addr>,
    ip_forward: Option<bool>,
    ip_forward_no_drop: Option<bool>,
    ip_masq: Option<bool>,
    ip6tables: Option<bool>,
    iptables: Option<bool>,
    ipv6: Option<bool>,
    labels: Option<Vec<String>>,
    live_restore: Option<bool>,
    log_driver: Option<String>,
    log_level: Option<String>,
    log_opts: Option<BTreeMap<String, String>>,
    max_concurrent_downloads: Option<usize>,
    max_concurrent_uploads: Option<usize>,
    max_download_attempts: Option<u32>,
    metrics_addr: Option<String>,
    mtu: Option<u32>,
    network_control_plane_mtu: Option<u32>,
    no_new_privileges: Option<bool>,
    obey_input: Option<bool>,
    pidfile: Option<PathBuf>,
    proxies: Option<Proxies>,
    raw_logs: Option<bool>,
    registry_mirrors: Option<Vec<String>>,
    runtimes: Option<BTreeMap<String, Runtime>>,
    seccomp_profile: Option<String>,
    selinux_enabled: Option<bool>,
    shutdown_timeout: Option<i64>,
    storage_driver: Option<String>,
    storage_opts: Option<Vec<String>>,
    tls: Option<bool>,
    tlscacert: Option<PathBuf>,
    tlscert: Option<PathBuf>,
    tlskey: Option<PathBuf>,
    tlsverify: Option<bool>,
    userland_proxy: Option<bool>,
    userland_proxy_path: Option<PathBuf>,
    userns_remap: Option<String>,
}

/// What builds may do, and how much their cache may hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Builder {
    #[serde(default, alias = "Entitlements")]
    entitlements: Entitlements,
    #[serde(default, alias = "GC")]
    gc: Collection,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Entitlements {
    network_host: Option<bool>,
    security_insecure: Option<bool>,
}

/// How the build cache is kept small: as far as one size says it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Collection {
    #[serde(alias = "Enabled")]
    enabled: Option<bool>,
    #[serde(alias = "DefaultReservedSpace", alias = "defaultKeepStorage", alias = "DefaultKeepStorage")]
    default_reserved_space: Option<Bytes>,
    #[serde(alias = "DefaultMaxUsedSpace")]
    default_max_used_space: Option<Bytes>,
}

/// A number of bytes, as a number or as `64m`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Number")]
struct Bytes(i64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Bytes(i64),
    Text(String),
}

impl TryFrom<Number> for Bytes {
    type Error = String;

    fn try_from(number: Number) -> Result<Self, String> {
        match number {
            Number::Bytes(bytes) => Ok(Self(bytes)),
            Number::Text(text) => containers::bytes(&text).map(Self),
        }
    }
}

/// A limit in Docker's shape.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Ulimit {
    /// The key says it too.
    #[serde(alias = "name")]
    name: Option<String>,
    #[serde(alias = "hard")]
    hard: i64,
    #[serde(alias = "soft")]
    soft: i64,
}

/// How registries are reached.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Proxies {
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    no_proxy: Option<String>,
}

/// A further OCI runtime, in Docker's shape.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Runtime {
    path: PathBuf,
    #[serde(default)]
    runtime_args: Vec<String>,
}

/// Reads `name=path` of `--add-runtime`.
pub(super) fn runtime(text: &str) -> Result<(String, RuntimeProgram), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), RuntimeProgram { path: path.into(), args: Vec::new() }))
        }
        _ => Err("want name=path".to_owned()),
    }
}

/// Reads the file. One that is missing is as good as an empty one, unless it was `named` on the command line.
///
/// # Errors
/// When it can't be read, or says what the engine can't do; with line, column and what it may say.
pub(super) fn read(path: &Path, named: bool) -> Result<FileSettings, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && !named => return Ok(FileSettings::default()),
        Err(error) => return Err(Failure::doing(format!("minke daemon: read {}", path.display()), error)),
    };
    parse(&text).map_err(|problem| Failure::new(format!("minke daemon: {}: {problem}", path.display())))
}

fn parse(text: &str) -> Result<FileSettings, String> {
    if text.trim().is_empty() {
        return Ok(FileSettings::default());
    }
    let settings: FileSettings = serde_json::from_str(text).map_err(|error| error.to_string())?;
    settings.check()?;
    Ok(settings)
}

impl FileSettings {
    /// Values that are well-formed and mean nothing here.
    fn check(&self) -> Result<(), String> {
        if let Some(level) = self.log_level.as_deref().filter(|level| !LEVELS.contains(level)) {
            return Err(format!("log-level: {level:?} is none of {}", LEVELS.join(", ")));
        }
        match self.labels.iter().flatten().find(|label| !label.contains('=')) {
            Some(label) => Err(format!("labels: {label:?} is no label: want key=value")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::daemon::Daemon;

    fn args() -> Daemon {
        Daemon::parse_from(["daemon"])
    }

    #[test]
    fn dockers_names_are_known_and_fill_in_what_no_flag_says() {
        let text = r#"{"registry-mirrors": ["https://mirror.example"], "insecure-registries": ["10.0.0.0/8"], "max-concurrent-downloads": 2, "max-download-attempts": 3,
            "runtimes": {"crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--debug"]}}, "data-root": "/srv/x", "bip": "10.9.0.1/16", "hosts": ["unix:///tmp/s"], "icc": false, "userland-proxy": false,
            "default-address-pools": [{"base": "10.80.0.0/16", "size": 24}], "default-network-opts": {"bridge": {"a": "b"}}, "dns": ["10.0.0.53"]}"#;
        let mut args = args();
        parse(text).unwrap().apply(&mut args, &|_| false).unwrap();
        assert_eq!(args.registry_mirror, ["https://mirror.example"]);
        assert_eq!(args.insecure_registry, ["10.0.0.0/8"]);
        assert_eq!((args.max_concurrent_downloads, args.max_download_attempts), (Some(2), Some(3)));
        let crun = RuntimeProgram { path: "/usr/bin/crun".into(), args: vec!["--debug".to_owned()] };
        assert_eq!(args.add_runtime, [("crun".to_owned(), crun)]);
        assert_eq!(args.root, Path::new("/srv/x"));
        assert_eq!(args.host, ["unix:///tmp/s"]);
        let networks = args.networks.defaults().unwrap();
        assert_eq!((networks.icc, networks.address_pools.len(), networks.dns.len()), (false, 1, 1));
        assert_eq!(networks.default_options["bridge"]["a"], "b");
    }

    #[test]
    fn what_is_unknown_or_ill_typed_is_refused_with_its_place() {
        let error = parse("{\n  \"registry-mirror\": []\n}").unwrap_err();
        assert!(error.contains("registry-mirror") && error.contains("line 2"), "{error}");
        let error = parse(r#"{"hosts": "unix:///x"}"#).unwrap_err();
        assert!(error.contains("line 1"), "{error}");
        assert_eq!(parse(" \n").unwrap(), FileSettings::default());
    }

    #[test]
    fn what_is_said_twice_is_refused_by_name() {
        let settings = parse(r#"{"bip": "10.9.0.1/16", "group": "docker"}"#).unwrap();
        let error = settings.apply(&mut args(), &|flag| flag == "bip").unwrap_err();
        assert!(error.message.contains("bip set both"), "{}", error.message);
    }

    #[test]
    fn dockers_keys_about_networks_are_known() {
        let text = r#"{"bridge": "br0", "firewall-backend": "nftables", "ip-forward-no-drop": true, "allow-direct-routing": true,
            "iptables": true, "ip6tables": true, "userland-proxy": false, "userland-proxy-path": "/usr/bin/docker-proxy"}"#;
        let mut args = args();
        let settings = parse(text).unwrap();
        settings.clone().apply(&mut args, &|_| false).unwrap();
        assert_eq!(args.networks.to_be_told().len(), 1);
        let networks = args.networks.defaults().unwrap();
        assert_eq!(networks.bridge, minke_engine::DefaultBridge::Existing("br0".to_owned()));
        assert!(networks.ip_forward_no_drop && networks.allow_direct_routing);
        assert_eq!(settings.needs_restart(&FileSettings::default()).len(), 8);
        let defaults = |text: &str| {
            let mut args = self::args();
            parse(text).unwrap().apply(&mut args, &|_| false).unwrap();
            (args.networks.to_be_told().len(), args.networks.defaults())
        };
        for text in [r#"{"iptables": false}"#, r#"{"ip6tables": false}"#] {
            let (told, networks) = defaults(text);
            assert!(told == 1 && networks.unwrap().obey_input, "{text}");
        }
        assert!(defaults(r#"{"firewall-backend": "iptables"}"#).1.is_err());
    }

    #[test]
    fn values_that_mean_nothing_here_are_refused_by_name() {
        for (text, part) in
            [(r#"{"log-level": "loud"}"#, "log-level"), (r#"{"labels": ["x"]}"#, "labels: \"x\"")]
        {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(part), "{error}");
        }
        assert!(parse(r#"{"live-restore": true, "labels": ["a=b"], "tlsverify": true}"#).is_ok());
    }

    #[test]
    fn dockers_keys_about_containers_are_known() {
        let text = r#"{"log-driver": "local", "log-opts": {"max-size": "10m"}, "default-shm-size": "128M", "init": true,
            "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 64, "Soft": 32}}, "no-new-privileges": true,
            "seccomp-profile": "unconfined", "cgroup-parent": "/jobs", "default-ipc-mode": "shareable", "default-cgroupns-mode": "host",
            "cdi-spec-dirs": ["/srv/cdi"], "exec-opts": ["native.cgroupdriver=cgroupfs"], "storage-driver": "overlay2", "features": {"buildkit": true}, "live-restore": true,
            "builder": {"gc": {"enabled": true, "defaultKeepStorage": "3GB"}, "entitlements": {"security-insecure": true}},
            "proxies": {"http-proxy": "http://10.0.0.1:3128"}, "pidfile": "/run/x.pid"}"#;
        let mut args = args();
        parse(text).unwrap().apply(&mut args, &|_| false).unwrap();
        args.check().unwrap();
        let containers = args.containers.defaults().unwrap();
        assert_eq!(containers.cdi_directories, Some(vec!["/srv/cdi".into()]));
        assert_eq!(
            (containers.log_driver.as_deref(), &*containers.log_options["max-size"]),
            (Some("local"), "10m")
        );
        assert_eq!(
            (containers.shm_size, containers.init, containers.no_new_privileges),
            (Some(128 << 20), true, true)
        );
        assert_eq!((containers.ulimits[0].soft, containers.ulimits[0].hard), (Some(32), Some(64)));
        assert_eq!(args.builds.entitlements(), ["network.host", "security.insecure"]);
        assert_eq!((args.builds.keep_bytes, args.pidfile.is_some()), (Some(3 << 30), true));
        assert_eq!(args.proxies.http_proxy.as_deref(), Some("http://10.0.0.1:3128"));
    }

    #[test]
    fn a_build_cache_that_nobody_collects_may_grow() {
        let mut args = args();
        let text = r#"{"builder": {"GC": {"Enabled": false}, "Entitlements": {"network-host": false}}}"#;
        parse(text).unwrap().apply(&mut args, &|_| false).unwrap();
        assert_eq!((args.builds.keep_bytes, args.builds.host_network), (None, false));
    }

    #[test]
    fn what_only_a_restart_changes_is_named() {
        let (old, new) = (r#"{"debug": true, "hosts": ["fd://"]}"#, r#"{"bip": "10.9.0.1/16"}"#);
        assert_eq!(parse(old).unwrap().needs_restart(&parse(new).unwrap()), ["bip", "hosts"]);
    }

    #[test]
    fn a_missing_file_matters_only_when_it_was_named() {
        let missing = Path::new("/nonexistent/daemon.json");
        assert_eq!(read(missing, false).unwrap(), FileSettings::default());
        assert!(read(missing, true).unwrap_err().message.contains("/nonexistent/daemon.json"));
    }
}
