//! What the engine chooses about its networks, and what it may ask about the default one.

use std::path::PathBuf;

use crate::Ipv4Net;

/// How one engine's networks are named and where they live.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// `--name-prefix`: the bridge is `<prefix>0`, the nftables table `<prefix>`. At most 14
    /// characters, so that the bridge's name fits the kernel's 15.
    pub prefix: String,
    /// `--state`: the folder (gone at boot) that remembers the chosen subnet while the bridge exists.
    pub state: PathBuf,
    /// `--bip`: the subnet; an address with host bits is also the bridge's own. By default the
    /// first of Docker's pools that overlaps no route and no address of the host.
    pub subnet: Option<Ipv4Net>,
    /// The MTU of bridge and veths in bytes; 1500 by default, as Docker's.
    pub mtu: Option<u32>,
}
