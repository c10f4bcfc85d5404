//! What the configuration file says, put beside what the command line says; and what of it waits for a restart.

use std::path::PathBuf;

use bollard_stubs::models::ResourcesUlimits;
use minke_engine::{BuildSettings, RuntimeProgram};

use super::{Builder, Bytes, FileSettings, Ulimit};
use crate::{daemon::Daemon, failure::Failure};

impl FileSettings {
    /// Fills in what the command line does not say. `given` tells whether it says something about a flag.
    ///
    /// # Errors
    /// When both say something, with the name of the setting.
    pub(in crate::daemon) fn apply(
        self,
        args: &mut Daemon,
        given: &dyn Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let mut merge = Merge { given, both: Vec::new() };
        let networks = &mut args.networks;
        merge.set("bip", "bip", self.bip.map(Some), &mut networks.bip);
        merge.set("bip6", "bip6", self.bip6.map(Some), &mut networks.bip6);
        merge.set("bridge", "bridge", self.bridge.map(Some), &mut networks.bridge);
        merge.set(
            "allow-direct-routing",
            "allow_direct_routing",
            self.allow_direct_routing,
            &mut networks.allow_direct_routing,
        );
        merge.set(
            "firewall-backend",
            "firewall_backend",
            self.firewall_backend.map(Some),
            &mut networks.firewall_backend,
        );
        merge.set(
            "ip-forward-no-drop",
            "ip_forward_no_drop",
            self.ip_forward_no_drop,
            &mut networks.ip_forward_no_drop,
        );
        merge.set("iptables", "iptables", self.iptables, &mut networks.iptables);
        merge.set("ip6tables", "ip6tables", self.ip6tables, &mut networks.ip6tables);
        merge.set("userland-proxy", "userland_proxy", self.userland_proxy, &mut networks.userland_proxy);
        let path = self.userland_proxy_path.map(Some);
        merge.set("userland-proxy-path", "userland_proxy_path", path, &mut networks.userland_proxy_path);
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
        let containers = &mut args.containers;
        merge.set(
            "cgroup-parent",
            "cgroup_parent",
            self.cgroup_parent.map(Some),
            &mut containers.cgroup_parent,
        );
        merge.set("cdi-spec-dirs", "cdi_spec_dir", self.cdi_spec_dirs, &mut containers.cdi_spec_dir);
        let mode = self.default_cgroupns_mode.map(Some);
        merge.set(
            "default-cgroupns-mode",
            "default_cgroupns_mode",
            mode,
            &mut containers.default_cgroupns_mode,
        );
        let mode = self.default_ipc_mode.map(Some);
        merge.set("default-ipc-mode", "default_ipc_mode", mode, &mut containers.default_ipc_mode);
        let size = self.default_shm_size.map(|Bytes(size)| Some(size));
        merge.set("default-shm-size", "default_shm_size", size, &mut containers.default_shm_size);
        let limits = self.default_ulimits.map(|limits| limits.into_iter().map(Ulimit::named).collect());
        merge.set("default-ulimits", "default_ulimit", limits, &mut containers.default_ulimit);
        merge.set("init", "init", self.init, &mut containers.init);
        merge.set("log-driver", "log_driver", self.log_driver.map(Some), &mut containers.log_driver);
        let options = self.log_opts.map(|options| options.into_iter().collect());
        merge.set("log-opts", "log_opt", options, &mut containers.log_opt);
        let nothing_new = self.no_new_privileges;
        merge.set("no-new-privileges", "no_new_privileges", nothing_new, &mut containers.no_new_privileges);
        let profile = self.seccomp_profile.map(Some);
        merge.set("seccomp-profile", "seccomp_profile", profile, &mut containers.seccomp_profile);
        let others = &mut args.dockerds;
        merge.set("containerd", "containerd", self.containerd.map(Some), &mut others.containerd);
        let namespace = self.containerd_namespace.map(Some);
        merge.set(
            "containerd-namespace",
            "containerd_namespace",
            namespace,
            &mut others.containerd_namespace,
        );
        let namespace = self.containerd_plugin_namespace.map(Some);
        merge.set(
            "containerd-plugin-namespace",
            "containerd_plugins_namespace",
            namespace,
            &mut others.containerd_plugins_namespace,
        );
        merge.set("exec-opts", "exec_opt", self.exec_opts, &mut others.exec_opt);
        merge.set("experimental", "experimental", self.experimental, &mut others.experimental);
        let features = self.features.map(|features| features.into_keys().collect());
        merge.set("features", "feature", features, &mut others.feature);
        merge.set("init-path", "init_path", self.init_path.map(Some), &mut others.init_path);
        merge.set("live-restore", "live_restore", self.live_restore.map(Some), &mut others.live_restore);
        let mtu = self.network_control_plane_mtu.map(Some);
        merge.set(
            "network-control-plane-mtu",
            "network_control_plane_mtu",
            mtu,
            &mut others.network_control_plane_mtu,
        );
        merge.set("raw-logs", "raw_logs", self.raw_logs, &mut others.raw_logs);
        merge.set("selinux-enabled", "selinux_enabled", self.selinux_enabled, &mut others.selinux_enabled);
        let timeout = self.shutdown_timeout.map(Some);
        merge.set("shutdown-timeout", "shutdown_timeout", timeout, &mut others.shutdown_timeout);
        merge.set(
            "storage-driver",
            "storage_driver",
            self.storage_driver.map(Some),
            &mut others.storage_driver,
        );
        merge.set("storage-opts", "storage_opt", self.storage_opts, &mut others.storage_opt);
        merge.set("userns-remap", "userns_remap", self.userns_remap.map(Some), &mut others.userns_remap);
        if let Some(proxies) = self.proxies {
            let target = &mut args.proxies;
            merge.set("http-proxy", "http_proxy", proxies.http_proxy.map(Some), &mut target.http_proxy);
            merge.set("https-proxy", "https_proxy", proxies.https_proxy.map(Some), &mut target.https_proxy);
            merge.set("no-proxy", "no_proxy", proxies.no_proxy.map(Some), &mut target.no_proxy);
        }
        if let Some(builder) = self.builder {
            args.builds = builder.settings();
        }
        merge.set("pidfile", "pidfile", self.pidfile.map(Some), &mut args.pidfile);
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
        let attempts = self.max_download_attempts.map(Some);
        merge.set(
            "max-download-attempts",
            "max_download_attempts",
            attempts,
            &mut args.max_download_attempts,
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
    pub(in crate::daemon) fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("allow-direct-routing", self.allow_direct_routing != new.allow_direct_routing),
            ("bip", self.bip != new.bip),
            ("bip6", self.bip6 != new.bip6),
            ("bridge", self.bridge != new.bridge),
            ("data-root", self.data_root != new.data_root),
            ("pidfile", self.pidfile != new.pidfile),
            ("default-address-pools", self.default_address_pools != new.default_address_pools),
            ("default-gateway", self.default_gateway != new.default_gateway),
            ("default-gateway-v6", self.default_gateway_v6 != new.default_gateway_v6),
            ("default-network-opts", self.default_network_opts != new.default_network_opts),
            ("dns", self.dns != new.dns),
            ("dns-opts", self.dns_opts != new.dns_opts),
            ("dns-search", self.dns_search != new.dns_search),
            ("exec-root", self.exec_root != new.exec_root),
            ("firewall-backend", self.firewall_backend != new.firewall_backend),
            ("fixed-cidr", self.fixed_cidr != new.fixed_cidr),
            ("fixed-cidr-v6", self.fixed_cidr_v6 != new.fixed_cidr_v6),
            ("group", self.group != new.group),
            ("host-gateway-ip", self.host_gateway_ip != new.host_gateway_ip),
            ("host-gateway-ips", self.host_gateway_ips != new.host_gateway_ips),
            ("hosts", self.hosts != new.hosts),
            ("icc", self.icc != new.icc),
            ("ip", self.ip != new.ip),
            ("ip-forward", self.ip_forward != new.ip_forward),
            ("ip-forward-no-drop", self.ip_forward_no_drop != new.ip_forward_no_drop),
            ("ip-masq", self.ip_masq != new.ip_masq),
            ("ip6tables", self.ip6tables != new.ip6tables),
            ("iptables", self.iptables != new.iptables),
            ("ipv6", self.ipv6 != new.ipv6),
            ("mtu", self.mtu != new.mtu),
            ("obey-input", self.obey_input != new.obey_input),
            ("tls", self.tls != new.tls),
            ("tlscacert", self.tlscacert != new.tlscacert),
            ("tlscert", self.tlscert != new.tlscert),
            ("tlskey", self.tlskey != new.tlskey),
            ("tlsverify", self.tlsverify != new.tlsverify),
            ("userland-proxy", self.userland_proxy != new.userland_proxy),
            ("userland-proxy-path", self.userland_proxy_path != new.userland_proxy_path),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

impl Ulimit {
    /// As containers have it; the key of the map is its name.
    fn named((name, limit): (String, Self)) -> ResourcesUlimits {
        ResourcesUlimits { name: Some(name), soft: Some(limit.soft), hard: Some(limit.hard) }
    }
}

impl Builder {
    fn settings(&self) -> BuildSettings {
        let usual = BuildSettings::default();
        let size = self.gc.default_max_used_space.or(self.gc.default_reserved_space);
        let keep = size.and_then(|Bytes(size)| u64::try_from(size).ok()).or(usual.keep_bytes);
        BuildSettings {
            host_network: self.entitlements.network_host.unwrap_or(usual.host_network),
            insecure: self.entitlements.security_insecure.unwrap_or(usual.insecure),
            keep_bytes: keep.filter(|_| self.gc.enabled.unwrap_or(true)),
        }
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
