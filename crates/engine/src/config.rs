//! How one engine of this host differs from another: its folders, its names, its programs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

pub use minke_network::{AddressPool, IpNet};

use crate::Settings;

/// What [`Engine::open`](crate::Engine::open) must know. Engines with different `root`, `state` and
/// `name_prefix` run side by side on one host.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// `--root`: everything that survives a reboot (images, containers, volumes, engine.db).
    pub root: PathBuf,
    /// `--state`: sockets and whatever dies with the boot.
    pub state: PathBuf,
    /// `--name-prefix`: what the names of the bridge, the nftables table and the cgroup parent begin with.
    pub name_prefix: String,
    /// The `minke-oci` program.
    pub runtime: PathBuf,
    /// How networks are made where nobody says otherwise.
    pub networks: NetworkDefaults,
    /// What may change while the engine runs.
    pub settings: Settings,
    /// The product's version, as `version` and `info` report it.
    pub version: &'static str,
}

/// What the network of containers that name none is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DefaultBridge {
    /// A bridge that the engine makes and removes.
    #[default]
    Own,
    /// One of somebody else's, with its addresses.
    Existing(String),
    /// There is no such network: these containers have their loopback interface alone.
    None,
}

/// How networks are made where nobody says otherwise: dockerd's options, under their names.
#[derive(Debug, Clone)]
pub struct NetworkDefaults {
    /// `--bridge`: what the default network is on.
    pub bridge: DefaultBridge,
    /// `--bip`: the default bridge's own IPv4 address with the prefix length of its subnet; `None` takes a free subnet.
    pub bip: Option<IpNet>,
    /// `--bip6`: the same in IPv6.
    pub bip6: Option<IpNet>,
    /// `--fixed-cidr`: the part of the default bridge's subnet that containers get addresses from.
    pub fixed_cidr: Option<IpNet>,
    /// `--fixed-cidr-v6`: the same in IPv6; without `bip6` it is the subnet.
    pub fixed_cidr_v6: Option<IpNet>,
    /// `--default-gateway`: where containers on the default bridge send what leaves it, if not to the bridge.
    pub default_gateway: Option<Ipv4Addr>,
    /// `--default-gateway-v6`: the same in IPv6.
    pub default_gateway_v6: Option<Ipv6Addr>,
    /// `--ipv6`: the default bridge has IPv6.
    pub ipv6: bool,
    /// `--mtu` of the default bridge, in bytes.
    pub mtu: Option<u32>,
    /// `--icc`: containers on the default bridge reach each other.
    pub icc: bool,
    /// `--ip-masq`: containers on the default bridge leave with the host's address.
    pub ip_masq: bool,
    /// `--ip`: the host's address that ports are published on when none is named.
    pub ip: Option<Ipv4Addr>,
    /// `--ip-forward`: the engine turns the host's forwarding on where it is off.
    pub ip_forward: bool,
    /// `--ip-forward-no-drop`: the host, once its forwarding was turned on, may route for others too.
    pub ip_forward_no_drop: bool,
    /// `--allow-direct-routing`: other hosts reach published ports at the containers' own addresses as well.
    pub allow_direct_routing: bool,
    /// `--userland-proxy`: ports are published on addresses of the family that a container doesn't have as well.
    pub userland_proxy: bool,
    /// `--obey-input`: what other hosts send to published ports must pass the host's own input rules first.
    pub obey_input: bool,
    /// `--default-address-pool`: what subnets are taken from when none is named, in order; empty takes Docker's.
    pub address_pools: Vec<AddressPool>,
    /// `--default-network-opt`: options of new networks, by their drivers.
    pub default_options: BTreeMap<String, BTreeMap<String, String>>,
    /// `--dns`: name servers of containers that name none.
    pub dns: Vec<IpAddr>,
    /// `--dns-search`
    pub dns_search: Vec<String>,
    /// `--dns-opt`
    pub dns_options: Vec<String>,
    /// `--host-gateway-ip`: what `host-gateway` means; empty is the gateway of the container's network.
    pub host_gateway_ips: Vec<IpAddr>,
}

impl Default for NetworkDefaults {
    fn default() -> Self {
        Self {
            bridge: DefaultBridge::Own,
            bip: None,
            bip6: None,
            fixed_cidr: None,
            fixed_cidr_v6: None,
            default_gateway: None,
            default_gateway_v6: None,
            ipv6: false,
            mtu: None,
            icc: true,
            ip_masq: true,
            ip: None,
            ip_forward: true,
            ip_forward_no_drop: false,
            allow_direct_routing: false,
            userland_proxy: true,
            obey_input: false,
            address_pools: Vec::new(),
            default_options: BTreeMap::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            host_gateway_ips: Vec::new(),
        }
    }
}
