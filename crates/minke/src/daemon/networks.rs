//! `minke daemon`'s flags about networks: dockerd's, read and checked before the engine opens.

mod pool;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use clap::Args;
use minke_engine::{DefaultBridge, IpNet, NetworkDefaults};

pub(super) use self::pool::Pool;
use crate::failure::Failure;

/// A network with its prefix length, or an address in it.
fn net(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| "want an address and the bits of its network, e.g. 172.28.0.1/16".to_owned())
}

/// `bridge=com.docker.network.driver.mtu=1400`
fn network_option(text: &str) -> Result<(String, String, String), String> {
    let mut parts = text.splitn(3, '=').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(driver), Some(name), Some(value)) if !driver.is_empty() && !name.is_empty() => {
            Ok((driver, name, value))
        }
        _ => Err("want DRIVER=OPTION=VALUE".to_owned()),
    }
}

/// Flags about networks.
#[derive(Debug, Clone, Args)]
pub(super) struct NetworkArgs {
    /// Let other hosts reach published ports at the containers' own addresses as well
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub(super) allow_direct_routing: bool,
    /// IPv4 address of the default bridge, e.g. 172.29.0.1/16 (default: in a free subnet)
    #[arg(long, value_name = "subnet")]
    pub(super) bip: Option<String>,
    /// IPv6 address of the default bridge, e.g. fd00:29::1/64
    #[arg(long, value_name = "subnet")]
    pub(super) bip6: Option<String>,
    /// Bridge of somebody else's that the default network is on, with its addresses; none is no default network
    #[arg(short, long, value_name = "string")]
    pub(super) bridge: Option<String>,
    /// What subnets of new networks are taken from, base=NETWORK,size=BITS; may be given several times
    #[arg(long, value_name = "pool", value_parser = pool::parse)]
    pub(super) default_address_pool: Vec<Pool>,
    /// Where containers on the default bridge send what leaves it (default: to the bridge)
    #[arg(long, value_name = "ip")]
    pub(super) default_gateway: Option<Ipv4Addr>,
    /// The same in IPv6
    #[arg(long, value_name = "ip")]
    pub(super) default_gateway_v6: Option<Ipv6Addr>,
    /// Option of new networks, DRIVER=OPTION=VALUE; may be given several times
    #[arg(long, value_name = "map", value_parser = network_option)]
    pub(super) default_network_opt: Vec<(String, String, String)>,
    /// Name server of containers that name none; may be given several times
    #[arg(long, value_name = "list")]
    pub(super) dns: Vec<IpAddr>,
    /// Resolver option of containers that name none; may be given several times
    #[arg(long, value_name = "list")]
    pub(super) dns_opt: Vec<String>,
    /// Search domain of containers that name none; may be given several times
    #[arg(long, value_name = "list")]
    pub(super) dns_search: Vec<String>,
    /// What keeps containers apart: nftables
    #[arg(long, value_name = "string")]
    pub(super) firewall_backend: Option<String>,
    /// Part of the default bridge's IPv4 subnet that containers get addresses from
    #[arg(long, value_name = "string")]
    pub(super) fixed_cidr: Option<String>,
    /// The same in IPv6; without --bip6 it is the subnet
    #[arg(long, value_name = "string")]
    pub(super) fixed_cidr_v6: Option<String>,
    /// What host-gateway means in --add-host (default: the gateway of the container's network); may be given twice
    #[arg(long, value_name = "list")]
    pub(super) host_gateway_ip: Vec<IpAddr>,
    /// Let containers on the default bridge reach each other
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) icc: bool,
    /// Address of the host that ports are published on when none is named (default: all)
    #[arg(long, value_name = "ip")]
    pub(super) ip: Option<Ipv4Addr>,
    /// Turn the host's forwarding on where it is off
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) ip_forward: bool,
    /// Let the host route for others too, once its forwarding was turned on
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub(super) ip_forward_no_drop: bool,
    /// Let containers on the default bridge leave with the host's address
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) ip_masq: bool,
    /// Make rules for IPv6; can't be turned off
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) ip6tables: bool,
    /// Make rules for IPv4; can't be turned off
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) iptables: bool,
    /// Give the default bridge IPv6
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub(super) ipv6: bool,
    /// MTU of the default bridge, in bytes
    #[arg(long, value_name = "int")]
    pub(super) mtu: Option<u32>,
    /// Let other hosts reach published ports only as far as the host's own input rules let them, see docs/firewalls.md
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub(super) obey_input: bool,
    /// Publish ports on the host's IPv6 addresses for containers with IPv4 alone too, and the reverse
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) userland_proxy: bool,
    /// No effect: the engine itself is the proxy
    #[arg(long, value_name = "string")]
    pub(super) userland_proxy_path: Option<PathBuf>,
}

impl NetworkArgs {
    /// What the engine is told.
    ///
    /// # Errors
    /// Names the setting and what it may be.
    pub(super) fn defaults(&self) -> Result<NetworkDefaults, Failure> {
        self.read().map_err(|problem| Failure::new(format!("minke daemon: {problem}")))
    }

    /// What is said that has no effect and harms nobody, or another effect than with dockerd: it is told.
    pub(super) fn to_be_told(&self) -> Vec<&'static str> {
        let said = [
            (
                self.userland_proxy_path.is_some(),
                "userland-proxy-path has no effect: what needs a proxy goes through the engine itself",
            ),
            (
                !self.iptables || !self.ip6tables,
                "iptables, ip6tables: the engine's rules are in a table of its own, touch no others and stay; published ports obey the host's input rules, as with obey-input",
            ),
        ];
        said.into_iter().filter(|(said, _)| *said).map(|(_, told)| told).collect()
    }

    /// What Docker can do and minke can't.
    fn check_firewall(&self) -> Result<(), String> {
        match self.firewall_backend.as_deref() {
            None | Some("" | "nftables") => Ok(()),
            Some("iptables") => Err(
                "firewall-backend: the engine makes its rules with nftables alone, beside which those of iptables go on: leave it away, or say nftables"
                    .to_owned(),
            ),
            Some(other) => Err(format!("firewall-backend {other:?}: want nftables")),
        }
    }

    fn default_bridge(&self) -> Result<DefaultBridge, String> {
        let name = match self.bridge.as_deref() {
            None | Some("") => return Ok(DefaultBridge::Own),
            Some(name) => name,
        };
        if let Some((key, _)) =
            [("bip", &self.bip), ("bip6", &self.bip6)].iter().find(|(_, net)| net.is_some())
        {
            return Err(format!(
                "bridge {name:?} and {key} can't be together: the default network has the addresses that its bridge has"
            ));
        }
        match name {
            "none" => Ok(DefaultBridge::None),
            _ => Ok(DefaultBridge::Existing(name.to_owned())),
        }
    }

    fn read(&self) -> Result<NetworkDefaults, String> {
        self.check_firewall()?;
        let family = |name: &str, text: &Option<String>, ipv4: bool| -> Result<Option<IpNet>, String> {
            let Some(text) = text else { return Ok(None) };
            let parsed = net(text).map_err(|problem| format!("{name} {text:?}: {problem}"))?;
            match parsed.is_ipv4() == ipv4 {
                true => Ok(Some(parsed)),
                false => Err(format!("{name} {text:?}: want IPv{}", if ipv4 { 4 } else { 6 })),
            }
        };
        let mut default_options: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (driver, name, value) in &self.default_network_opt {
            default_options.entry(driver.clone()).or_default().insert(name.clone(), value.clone());
        }
        Ok(NetworkDefaults {
            bridge: self.default_bridge()?,
            bip: family("bip", &self.bip, true)?,
            bip6: family("bip6", &self.bip6, false)?,
            fixed_cidr: family("fixed-cidr", &self.fixed_cidr, true)?,
            fixed_cidr_v6: family("fixed-cidr-v6", &self.fixed_cidr_v6, false)?,
            default_gateway: self.default_gateway,
            default_gateway_v6: self.default_gateway_v6,
            ipv6: self.ipv6,
            mtu: self.mtu,
            icc: self.icc,
            ip_masq: self.ip_masq,
            ip: self.ip,
            ip_forward: self.ip_forward,
            ip_forward_no_drop: self.ip_forward_no_drop,
            allow_direct_routing: self.allow_direct_routing,
            userland_proxy: self.userland_proxy,
            // Docker's proxies, which are left without its rules, obey the host's input rules.
            obey_input: self.obey_input || !self.iptables || !self.ip6tables,
            address_pools: self.default_address_pool.iter().map(Pool::read).collect::<Result<_, _>>()?,
            default_options,
            dns: self.dns.clone(),
            dns_search: self.dns_search.clone(),
            dns_options: self.dns_opt.clone(),
            host_gateway_ips: self.host_gateway_ip.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::daemon::Daemon;

    fn read(flags: &[&str]) -> Result<NetworkDefaults, String> {
        Daemon::parse_from(["daemon"].iter().chain(flags)).networks.read()
    }

    #[test]
    fn dockers_flags_are_read() {
        let defaults = read(&[
            "--bip=10.9.0.1/16",
            "--default-address-pool",
            "base=10.80.0.0/16,size=24",
            "--default-network-opt=bridge=com.docker.network.driver.mtu=1400",
            "--icc=false",
            "--ipv6",
            "--dns=10.0.0.53",
            "--host-gateway-ip=10.9.0.7",
        ])
        .unwrap();
        assert_eq!(defaults.bip, "10.9.0.1/16".parse().ok());
        assert_eq!((defaults.address_pools[0].size, defaults.icc, defaults.ipv6), (24, false, true));
        assert_eq!(defaults.default_options["bridge"]["com.docker.network.driver.mtu"], "1400");
        assert_eq!((defaults.dns.len(), defaults.host_gateway_ips.len()), (1, 1));
        let quiet = read(&[]).unwrap();
        assert!(quiet.icc && quiet.ip_masq && !quiet.ipv6 && quiet.bip.is_none());
    }

    #[test]
    fn the_default_network_is_on_a_bridge_of_the_engines_on_anothers_or_is_not_there() {
        let bridge = |flags: &[&str]| read(flags).map(|defaults| defaults.bridge);
        assert_eq!(bridge(&[]), Ok(DefaultBridge::Own));
        assert_eq!(bridge(&["-b", "none"]), Ok(DefaultBridge::None));
        assert_eq!(bridge(&["--bridge=br0"]), Ok(DefaultBridge::Existing("br0".to_owned())));
        let told = bridge(&["--bridge=br0", "--bip=10.9.0.1/16"]).unwrap_err();
        assert!(told.contains("bridge \"br0\" and bip can't be together"), "{told}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (flag, words) in [
            ("--bip=10.9.0.1", "bip \"10.9.0.1\": want an address and the bits"),
            ("--bip=fd00::1/64", "want IPv4"),
            ("--bip6=10.9.0.1/16", "want IPv6"),
            (
                "--firewall-backend=iptables",
                "firewall-backend: the engine makes its rules with nftables alone",
            ),
            ("--firewall-backend=pf", "firewall-backend \"pf\": want nftables"),
            ("--default-address-pool=base=10.80.0.0/16,size=8", "want a size from 16 to 30"),
        ] {
            let told = read(&[flag]).unwrap_err();
            assert!(told.contains(words), "{flag}: {told}");
        }
    }
}
