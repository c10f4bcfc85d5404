//! `networks`, of the project and of a service.

use super::{Mapping, attribute::attributes};

attributes! {
    /// A network of the project.
    pub struct Network {
        /// Its name in the engine.
        name: String,
        /// Its driver.
        driver: String,
        /// Options of the driver.
        driver_opts: Mapping,
        /// Its addresses.
        ipam: Ipam,
        /// It is there already and is not the project's to make or remove.
        external: bool,
        /// Nothing leaves it.
        internal: bool,
        /// Containers outside of the project may join.
        attachable: bool,
        /// Its labels.
        labels: Mapping,
        /// It has IPv4 addresses.
        enable_ipv4: Option<bool>,
        /// It has IPv6 addresses.
        enable_ipv6: Option<bool>,
    }
}

attributes! {
    /// Who gives addresses in a network, and which.
    pub struct Ipam {
        /// The driver.
        driver: String,
        /// The ranges.
        config: Vec<IpamPool>,
    }
}

attributes! {
    /// A range of addresses.
    pub struct IpamPool {
        /// The subnet, as CIDR.
        subnet: String,
        /// The gateway's address.
        gateway: String,
        /// The part of the subnet that containers get addresses of.
        ip_range: String,
        /// Addresses that are taken, by name.
        aux_addresses: Mapping,
    }
}

attributes! {
    /// How a service is in a network.
    pub struct ServiceNetwork {
        /// Further names there.
        aliases: Vec<String>,
        /// Options of the driver.
        driver_opts: Mapping,
        /// Which network gives the default route: the one with the highest.
        gw_priority: i64,
        /// The interface's name in the container.
        interface_name: String,
        /// Its IPv4 address.
        ipv4_address: String,
        /// Its IPv6 address.
        ipv6_address: String,
        /// Its link-local addresses.
        link_local_ips: Vec<String>,
        /// Its hardware address.
        mac_address: String,
        /// In which order networks are joined: the highest first.
        priority: i64,
    }
}
