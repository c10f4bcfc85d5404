//! What the engine chooses about its networks, as `daemon.json` has it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use crate::IpNet;

/// How one engine's networks are named, where they live, and what the default one is like.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// `--name-prefix`: the default bridge is `<prefix>0`, the nftables tables `<prefix>`. At most 14
    /// characters, so that the bridge's name fits the kernel's 15.
    pub prefix: String,
    /// `--state`: the folder (gone at boot) that remembers what an engine made, while it is there.
    pub state: PathBuf,
    /// What only this engine has, its id for example: its IPv6 addresses are made of it.
    pub seed: String,
    /// `--bridge`: a bridge that somebody else made and keeps, for the default network. Its addresses say the subnets, in
    /// place of `subnet` and `subnet_ipv6`.
    pub bridge: Option<String>,
    /// `--bip`: the default bridge's subnet; an address with host bits is also the bridge's own. By
    /// default the first of the default pools that overlaps no route and no address of the host.
    pub subnet: Option<IpNet>,
    /// `--fixed-cidr`: the part of the subnet that addresses come from. Where no subnet is named, it is the subnet.
    pub range: Option<IpNet>,
    /// `--ipv6`: whether the default bridge has IPv6.
    pub ipv6: bool,
    /// `--bip6`: its IPv6 subnet.
    pub subnet_ipv6: Option<IpNet>,
    /// `--fixed-cidr-v6`: the part of it that addresses come from.
    pub range_ipv6: Option<IpNet>,
    /// `--default-gateway`: where containers on the default bridge send what leaves it, if not to the bridge itself.
    pub gateway: Option<Ipv4Addr>,
    /// `--default-gateway-v6`: the same in IPv6.
    pub gateway_ipv6: Option<Ipv6Addr>,
    /// `--default-address-pool`: where subnets come from that nobody chose; Docker's when empty.
    pub pools: Vec<AddressPool>,
    /// `--mtu`: the MTU of bridges and veths in bytes; 1500 by default, as Docker's.
    pub mtu: Option<u32>,
    /// `--icc`: whether containers on the default bridge reach each other.
    pub icc: bool,
    /// `--ip-masq`: whether they leave with the host's address.
    pub masquerade: bool,
    /// `--ip`: the address to publish on when none is named.
    pub host_binding: Option<Ipv4Addr>,
    /// Whether what containers send on bridges must bear their own addresses.
    pub pin_sources: bool,
    /// Whether what other hosts send to published ports must pass the host's input rules first. The first
    /// packet of a client to a port is spent for that, once a minute; see docs/firewalls.md.
    pub obey_input: bool,
    /// `--ip-forward`: whether to turn the host's forwarding on where it is off.
    pub forward: bool,
    /// `--ip-forward-no-drop`: whether the host, once its forwarding was turned on, may route for others too.
    pub forward_for_others: bool,
    /// `--allow-direct-routing`: whether other hosts reach published ports at the containers' own addresses as well.
    pub direct_routing: bool,
    /// `--userland-proxy`: whether ports have a [`Relay`](crate::Relay) where no rule can lead.
    pub relay: bool,
}

/// A range of addresses that subnets are cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    /// All of it.
    pub base: IpNet,
    /// The prefix length of each subnet.
    pub size: u8,
}

impl NetworkConfig {
    /// Docker's defaults.
    pub fn new(prefix: impl Into<String>, state: impl Into<PathBuf>) -> Self {
        Self {
            prefix: prefix.into(),
            state: state.into(),
            seed: String::new(),
            bridge: None,
            subnet: None,
            range: None,
            ipv6: false,
            subnet_ipv6: None,
            range_ipv6: None,
            gateway: None,
            gateway_ipv6: None,
            pools: Vec::new(),
            mtu: None,
            icc: true,
            masquerade: true,
            host_binding: None,
            pin_sources: true,
            obey_input: false,
            forward: true,
            forward_for_others: false,
            direct_routing: false,
            relay: true,
        }
    }
}
