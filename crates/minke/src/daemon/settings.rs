//! The engine's configuration file: JSON with dockerd's names (`daemon.json`), as far as the engine has the setting.
//!
//! Like dockerd, it refuses what it doesn't know, and what both the file and the command line set: neither is
//! silently without effect.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use minke_engine::RuntimeProgram;
use serde::Deserialize;

use super::{Daemon, LEVELS, networks::Pool};
use crate::failure::Failure;

/// The file that is read when it is there.
pub(super) const DEFAULT_FILE: &str = "/etc/minke/daemon.json";

/// What the file may set.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FileSettings {
    bip: Option<String>,
    bip6: Option<String>,
    data_root: Option<String>,
    debug: Option<bool>,
    default_address_pools: Option<Vec<Pool>>,
    default_gateway: Option<Ipv4Addr>,
    default_gateway_v6: Option<Ipv6Addr>,
    default_network_opts: Option<BTreeMap<String, BTreeMap<String, String>>>,
    default_runtime: Option<String>,
    dns: Option<Vec<IpAddr>>,
    dns_opts: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
    exec_root: Option<String>,
    fixed_cidr: Option<String>,
    fixed_cidr_v6: Option<String>,
    group: Option<String>,
    host_gateway_ip: Option<IpAddr>,
    host_gateway_ips: Option<Vec<IpAddr>>,
    hosts: Option<Vec<String>>,
    icc: Option<bool>,
    insecure_registries: Option<Vec<String>>,
    ip: Option<Ipv4Addr>,
    ip_forward: Option<bool>,
    ip_masq: Option<bool>,
    ip6tables: Option<bool>,
    iptables: Option<bool>,
    ipv6: Option<bool>,
    labels: Option<Vec<String>>,
    live_restore: Option<bool>,
    log_level: Option<String>,
    max_concurrent_downloads: Option<usize>,
    max_concurrent_uploads: Option<usize>,
    metrics_addr: Option<String>,
    mtu: Option<u32>,
    obey_input: Option<bool>,
    registry_mirrors: Option<Vec<String>>,
    runtimes: Option<BTreeMap<String, Runtime>>,
    tls: Option<bool>,
    tlscacert: Option<PathBuf>,
    tlscert: Option<PathBuf>,
    tlskey: Option<PathBuf>,
    tlsverify: Option<bool>,
    userland_proxy: Option<bool>,
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
        if self.live_restore == Some(false) {
            return Err(
                "live-restore: containers always outlive the engine: leave it away, or say true".to_owned()
            );
        }
        for (key, value) in [("iptables", self.iptables), ("ip6tables", self.ip6tables)] {
            if value == Some(false) {
                return Err(format!(
                    "{key}: the engine's rules are in a table of its own and touch no others: leave it away, or say true"
                ));
            }
        }
        if let Some(level) = self.log_level.as_deref().filter(|level| !LEVELS.contains(level)) {
            return Err(format!("log-level: {level:?} is none of {}", LEVELS.join(", ")));
        }
        match self.labels.iter().flatten().find(|label| !label.contains('=')) {
            Some(label) => Err(format!("labels: {label:?} is no label: want key=value")),
            None => Ok(()),
        }
    }

    /// What it says that has no effect and harms nobody: it is told.
    pub(super) fn without_effect(&self) -> Option<&'static str> {
        let told =
            "userland-proxy has no effect: published ports answer on the host's loopback without a proxy";
        self.userland_proxy.filter(|wanted| *wanted).map(|_| told)
    }

    /// Fills in what the command line does not say. `given` tells whether it says something about a flag.
    ///
    /// # Errors
    /// When both say something, with the name of the setting.
    pub(super) fn apply(self, args: &mut Daemon, given: &dyn Fn(&str) -> bool) -> Result<(), Failure> {
        let mut merge = Merge { given, both: Vec::new() };
        let networks = &mut args.networks;
        merge.set("bip", "bip", self.bip.map(Some), &mut networks.bip);
        merge.set("bip6", "bip6", self.bip6.map(Some), &mut networks.bip6);
        let options = self.default_network_opts.map(|drivers| {
            let options = drivers.into_iter().flat_map(|(driver, options)| {
                options.into_iter().map(move |(name, value)| (driver.clone(), name, value))
            });
            options.collect()
        });
        merge.set("default-network-opts", "default_network_opt", options, &mut networks.default_network_opt);
        merge.set(
            "default-gateway",
            "default_gateway",
            self.default_gateway.map(Some),
            &mut networks.default_gateway,
        );
        merge.set(
            "default-gateway-v6",
            "default_gateway_v6",
            self.default_gateway_v6.map(Some),
            &mut networks.default_gateway_v6,
        );
        let pools = self.default_address_pools;
        merge.set("default-address-pools", "default_address_pool", pools, &mut networks.default_address_pool);
        merge.set("dns", "dns", self.dns, &mut networks.dns);
        merge.set("dns-opts", "dns_opt", self.dns_opts, &mut networks.dns_opt);
        merge.set("dns-search", "dns_search", self.dns_search, &mut networks.dns_search);
        merge.set("fixed-cidr", "fixed_cidr", self.fixed_cidr.map(Some), &mut networks.fixed_cidr);
        merge.set(
            "fixed-cidr-v6",
            "fixed_cidr_v6",
            self.fixed_cidr_v6.map(Some),
            &mut networks.fixed_cidr_v6,
        );
        let gateways = self.host_gateway_ips.or(self.host_gateway_ip.map(|address| vec![address]));
        merge.set("host-gateway-ips", "host_gateway_ip", gateways, &mut networks.host_gateway_ip);
        merge.set("icc", "icc", self.icc, &mut networks.icc);
        merge.set("ip", "ip", self.ip.map(Some), &mut networks.ip);
        merge.set("ip-forward", "ip_forward", self.ip_forward, &mut networks.ip_forward);
        merge.set("obey-input", "obey_input", self.obey_input, &mut networks.obey_input);
        merge.set("ip-masq", "ip_masq", self.ip_masq, &mut networks.ip_masq);
        merge.set("ipv6", "ipv6", self.ipv6, &mut networks.ipv6);
        merge.set("mtu", "mtu", self.mtu.map(Some), &mut networks.mtu);
        merge.set("data-root", "root", self.data_root.map(PathBuf::from), &mut args.root);
        merge.set("debug", "debug", self.debug, &mut args.debug);
        merge.set(
            "default-runtime",
            "default_runtime",
            self.default_runtime.map(Some),
            &mut args.default_runtime,
        );
        merge.set("exec-root", "state", self.exec_root.map(PathBuf::from), &mut args.state);
        merge.set("group", "group", self.group.map(Some), &mut args.group);
        merge.set("hosts", "host", self.hosts, &mut args.host);
        merge.set(
            "insecure-registries",
            "insecure_registry",
            self.insecure_registries,
            &mut args.insecure_registry,
        );
        merge.set("labels", "label", self.labels, &mut args.label);
        merge.set("log-level", "log_level", self.log_level.map(Some), &mut args.log_level);
        let (downloads, uploads) = (self.max_concurrent_downloads, self.max_concurrent_uploads);
        merge.set(
            "max-concurrent-downloads",
            "max_concurrent_downloads",
            downloads.map(Some),
            &mut args.max_concurrent_downloads,
        );
        merge.set(
            "max-concurrent-uploads",
            "max_concurrent_uploads",
            uploads.map(Some),
            &mut args.max_concurrent_uploads,
        );
        merge.set("metrics-addr", "metrics_addr", self.metrics_addr.map(Some), &mut args.metrics_addr);
        merge.set("registry-mirrors", "registry_mirror", self.registry_mirrors, &mut args.registry_mirror);
        merge.set("tls", "tls", self.tls.map(Some), &mut args.tls);
        merge.set("tlscacert", "tlscacert", self.tlscacert.map(Some), &mut args.tlscacert);
        merge.set("tlscert", "tlscert", self.tlscert.map(Some), &mut args.tlscert);
        merge.set("tlskey", "tlskey", self.tlskey.map(Some), &mut args.tlskey);
        merge.set("tlsverify", "tlsverify", self.tlsverify.map(Some), &mut args.tlsverify);
        for (name, runtime) in self.runtimes.into_iter().flatten() {
            if args.add_runtime.iter().any(|(known, _)| *known == name) {
                merge.both.push("runtimes");
            }
            args.add_runtime.push((name, RuntimeProgram { path: runtime.path, args: runtime.runtime_args }));
        }
        match merge.both.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "minke daemon: {} set both as a flag and in the configuration file: say it in one place",
                merge.both.join(", ")
            ))),
        }
    }

    /// The keys that differ in `new` and are only read at the start.
    pub(super) fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("bip", self.bip != new.bip),
            ("bip6", self.bip6 != new.bip6),
            ("data-root", self.data_root != new.data_root),
            ("default-address-pools", self.default_address_pools != new.default_address_pools),
            ("default-gateway", self.default_gateway != new.default_gateway),
            ("default-gateway-v6", self.default_gateway_v6 != new.default_gateway_v6),
            ("default-network-opts", self.default_network_opts != new.default_network_opts),
            ("dns", self.dns != new.dns),
            ("dns-opts", self.dns_opts != new.dns_opts),
            ("dns-search", self.dns_search != new.dns_search),
            ("exec-root", self.exec_root != new.exec_root),
            ("fixed-cidr", self.fixed_cidr != new.fixed_cidr),
            ("fixed-cidr-v6", self.fixed_cidr_v6 != new.fixed_cidr_v6),
            ("group", self.group != new.group),
            ("host-gateway-ip", self.host_gateway_ip != new.host_gateway_ip),
            ("host-gateway-ips", self.host_gateway_ips != new.host_gateway_ips),
            ("hosts", self.hosts != new.hosts),
            ("icc", self.icc != new.icc),
            ("ip", self.ip != new.ip),
            ("ip-forward", self.ip_forward != new.ip_forward),
            ("obey-input", self.obey_input != new.obey_input),
            ("ip-masq", self.ip_masq != new.ip_masq),
            ("ipv6", self.ipv6 != new.ipv6),
            ("mtu", self.mtu != new.mtu),
            ("tls", self.tls != new.tls),
            ("tlscacert", self.tlscacert != new.tlscacert),
            ("tlscert", self.tlscert != new.tlscert),
            ("tlskey", self.tlskey != new.tlskey),
            ("tlsverify", self.tlsverify != new.tlsverify),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// Puts the file's settings where no flag stands in the way.
struct Merge<'a> {
    given: &'a dyn Fn(&str) -> bool,
    both: Vec<&'static str>,
}

impl Merge<'_> {
    fn set<T>(&mut self, key: &'static str, flag: &str, value: Option<T>, target: &mut T) {
        match value {
            Some(_) if (self.given)(flag) => self.both.push(key),
            Some(value) => *target = value,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn args() -> Daemon {
        Daemon::parse_from(["daemon"])
    }

    #[test]
    fn dockers_names_are_known_and_fill_in_what_no_flag_says() {
        let text = r#"{"registry-mirrors": ["https://mirror.example"], "insecure-registries": ["10.0.0.0/8"], "max-concurrent-downloads": 2,
            "runtimes": {"crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--debug"]}}, "data-root": "/srv/x", "bip": "10.9.0.1/16", "hosts": ["unix:///tmp/s"], "icc": false, "userland-proxy": false,
            "default-address-pools": [{"base": "10.80.0.0/16", "size": 24}], "default-network-opts": {"bridge": {"a": "b"}}, "dns": ["10.0.0.53"]}"#;
        let mut args = args();
        parse(text).unwrap().apply(&mut args, &|_| false).unwrap();
        assert_eq!(args.registry_mirror, ["https://mirror.example"]);
        assert_eq!(args.insecure_registry, ["10.0.0.0/8"]);
        assert_eq!(args.max_concurrent_downloads, Some(2));
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
    fn values_that_mean_nothing_here_are_refused_by_name() {
        for (text, part) in [
            (r#"{"live-restore": false}"#, "live-restore"),
            (r#"{"iptables": false}"#, "iptables"),
            (r#"{"log-level": "loud"}"#, "log-level"),
            (r#"{"labels": ["x"]}"#, "labels: \"x\""),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(part), "{error}");
        }
        assert!(
            parse(r#"{"live-restore": true, "labels": ["a=b"], "tlsverify": true, "iptables": true}"#)
                .is_ok()
        );
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
