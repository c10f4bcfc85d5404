//! `minke daemon`'s flags about networks: dockerd's, read and checked before the engine opens.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use clap::Args;
use minke_engine::{AddressPool, IpNet, NetworkDefaults};
use serde::Deserialize;

use crate::failure::Failure;

/// A network with its prefix length, or an address in it.
fn net(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| "want an address and the bits of its network, e.g. 172.28.0.1/16".to_owned())
}

/// `base=172.80.0.0/16,size=24`
fn pool(text: &str) -> Result<Pool, String> {
    let (mut base, mut size) = (None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("base", value)) => base = Some(net(value)?),
            Some(("size", value)) => {
                size = Some(value.parse().map_err(|_| "size: want a number of bits".to_owned())?);
            }
            _ => return Err("want base=NETWORK,size=BITS".to_owned()),
        }
    }
    let pool = base.zip(size).map(|(base, size)| Pool { base: base.to_string(), size });
    pool.ok_or_else(|| "want base=NETWORK,size=BITS".to_owned())
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

/// A default address pool, as the configuration file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pool {
    base: String,
    size: u8,
}

/// Flags about networks.
#[derive(Debug, Clone, Args)]
pub(super) struct NetworkArgs {
    /// IPv4 address of the default bridge, e.g. 172.29.0.1/16 (default: in a free subnet)
    #[arg(long, value_name = "subnet")]
    pub(super) bip: Option<String>,
    /// IPv6 address of the default bridge, e.g. fd00:29::1/64
    #[arg(long, value_name = "subnet")]
    pub(super) bip6: Option<String>,
    /// What subnets of new networks are taken from, base=NETWORK,size=BITS; may be given several times
    #[arg(long, value_name = "pool", value_parser = pool)]
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
    /// Let containers on the default bridge leave with the host's address
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) ip_masq: bool,
    /// Give the default bridge IPv6
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub(super) ipv6: bool,
    /// MTU of the default bridge, in bytes
    #[arg(long, value_name = "int")]
    pub(super) mtu: Option<u32>,
    /// Let other hosts reach published ports only as far as the host's own input rules let them, see docs/firewalls.md
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false, action = clap::ArgAction::Set)]
    pub(super) obey_input: bool,
}

impl NetworkArgs {
    /// What the engine is told.
    ///
    /// # Errors
    /// Names the setting and what it may be.
    pub(super) fn defaults(&self) -> Result<NetworkDefaults, Failure> {
        self.read().map_err(|problem| Failure::new(format!("minke daemon: {problem}")))
    }

    fn read(&self) -> Result<NetworkDefaults, String> {
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
            obey_input: self.obey_input,
            address_pools: self.default_address_pool.iter().map(Pool::read).collect::<Result<_, _>>()?,
            default_options,
            dns: self.dns.clone(),
            dns_search: self.dns_search.clone(),
            dns_options: self.dns_opt.clone(),
            host_gateway_ips: self.host_gateway_ip.clone(),
        })
    }
}

impl Pool {
    fn read(&self) -> Result<AddressPool, String> {
        let Self { base, size } = self;
        let told = |problem: &str| format!("default-address-pools: base {base:?}, size {size}: {problem}");
        let base = net(base).map_err(|problem| told(&problem))?;
        let longest = if base.is_ipv4() { 30 } else { 126 };
        match (base.prefix_len()..=longest).contains(size) {
            true => Ok(AddressPool { base: base.subnet(), size: *size }),
            false => Err(told(&format!("want a size from {} to {longest}", base.prefix_len()))),
        }
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
    fn what_makes_no_sense_is_refused_by_name() {
        for (flag, words) in [
            ("--bip=10.9.0.1", "bip \"10.9.0.1\": want an address and the bits"),
            ("--bip=fd00::1/64", "want IPv4"),
            ("--bip6=10.9.0.1/16", "want IPv6"),
            ("--default-address-pool=base=10.80.0.0/16,size=8", "want a size from 16 to 30"),
        ] {
            let told = read(&[flag]).unwrap_err();
            assert!(told.contains(words), "{flag}: {told}");
        }
    }
}
