//! The engine's nftables table: made once, then only elements of its maps come and go.
//!
//! What should be in the table is kept here as well. When the table is found missing or emptied
//! (`nft flush ruleset`), it is made anew with everything in one transaction; otherwise a port
//! costs one element. Nothing outside of this one table is ever touched.

mod ruleset;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    sync::Mutex,
};

use minke_netlink::{
    Error,
    conntrack::ConntrackSocket,
    nft::{Family, NftSocket, Table, Transaction},
};

use crate::{AttachError, Ipv4Net, PortError, Protocol, PublishedPort, error::chain, networks::locked};

/// A published port as the maps know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortKey {
    protocol: Protocol,
    port: u16,
    /// The host's address; 0.0.0.0 for all. Last, so that one port's addresses are neighbours.
    address: Ipv4Addr,
}

/// A bridge network as the sets know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeRules {
    /// The bridge interface.
    pub(crate) bridge: String,
    /// Its subnet.
    pub(crate) subnet: Ipv4Net,
}

/// What should be in the table.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The bridges.
    pub(crate) bridges: Vec<BridgeRules>,
    /// Where each published port leads.
    pub(crate) ports: BTreeMap<PortKey, SocketAddrV4>,
    /// Whether the host must not route for others, because forwarding is on only for us.
    pub(crate) keep_out_strangers: bool,
}

/// The table and what should be in it.
#[derive(Debug)]
pub(crate) struct Firewall {
    table: Table,
    /// One lock for wish and kernel, so that they change in the same order.
    inner: Mutex<Inner>,
}

/// The wish, and the ways to the kernel. The sockets stay open: closing one after something was
/// deleted waits for the kernel to have freed it, 10 to 30 ms.
#[derive(Debug, Default)]
struct Inner {
    content: Content,
    nft: Option<NftSocket>,
    conntrack: Option<ConntrackSocket>,
}

impl Inner {
    fn nft(&mut self) -> Result<&mut NftSocket, Error> {
        match &mut self.nft {
            Some(socket) => Ok(socket),
            none => Ok(none.insert(NftSocket::open()?)),
        }
    }

    fn conntrack(&mut self) -> Result<&mut ConntrackSocket, Error> {
        match &mut self.conntrack {
            Some(socket) => Ok(socket),
            none => Ok(none.insert(ConntrackSocket::open()?)),
        }
    }

    /// A chain that has lost rules, or is gone with its table, shows that somebody was here.
    fn is_whole(&mut self, table: &Table) -> Result<bool, Error> {
        let wanted = ruleset::forward_rules(&self.content);
        Ok(self.nft()?.chain_uses(table, ruleset::FORWARD)? == Some(wanted))
    }

    fn rebuild(&mut self, table: &Table) -> Result<(), Error> {
        let transaction = ruleset::whole_table(table, &self.content);
        self.nft()?.commit(transaction)
    }

    fn add(&mut self, table: &Table, ports: &[(PortKey, SocketAddrV4)]) -> Result<(), Error> {
        match self.nft()?.commit(ruleset::add_ports(Transaction::new(table), ports)) {
            // Missing or stale: somebody changed the table, or an earlier engine left elements.
            Err(error) if error.is_not_there() || error.is_already_there() => self.rebuild(table),
            outcome => outcome,
        }
    }

    fn delete(&mut self, table: &Table, gone: &[(PortKey, SocketAddrV4)]) -> Result<(), Error> {
        match self.nft()?.commit(ruleset::delete_ports(Transaction::new(table), gone)) {
            Err(error) if error.is_not_there() => {}
            outcome => return outcome,
        }
        // One that is missing refused them all: one by one, then.
        for port in gone {
            match self.nft()?.commit(ruleset::delete_ports(Transaction::new(table), &[*port])) {
                Err(error) if error.is_not_there() => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// UDP flows that are tracked already keep their old way. Forgetting them is a courtesy that
    /// old kernels refuse; they end by themselves.
    fn forget(&mut self, work: impl FnOnce(&mut ConntrackSocket) -> Result<(), Error>) {
        if let Err(error) = self.conntrack().and_then(work) {
            tracing::debug!(error = chain(&error), "tracked UDP flows stay until they time out");
        }
    }
}

impl PortKey {
    fn new(port: &PublishedPort) -> Option<Self> {
        match port.host_address {
            IpAddr::V4(address) => Some(Self { address, protocol: port.protocol, port: port.host_port }),
            IpAddr::V6(_) => None,
        }
    }
}

impl Firewall {
    pub(crate) fn new(table: &str) -> Self {
        let table = Table { family: Family::Inet, name: table.to_owned() };
        Self { table, inner: Mutex::default() }
    }

    /// Makes sure that the table is there with its rules and this bridge.
    pub(crate) fn ensure(&self, bridge: BridgeRules, keep_out_strangers: bool) -> Result<(), AttachError> {
        self.change(|inner| {
            let content = &mut inner.content;
            let known =
                content.bridges == [bridge.clone()] && content.keep_out_strangers == keep_out_strangers;
            if known && inner.is_whole(&self.table)? {
                return Ok(());
            }
            inner.content.bridges = vec![bridge];
            inner.content.keep_out_strangers = keep_out_strangers;
            inner.rebuild(&self.table)
        })
    }

    /// Lets traffic to these host ports through to `address`.
    pub(crate) fn publish(&self, ports: &[PublishedPort], address: Ipv4Addr) -> Result<(), AttachError> {
        let wanted = targets(ports.iter().map(|port| (port, address)));
        let mut inner = locked(&self.inner);
        for (key, target) in &wanted {
            if inner.content.ports.get(key).is_some_and(|other| other != target) {
                let (address, port) = (IpAddr::V4(key.address), key.port);
                return Err(PortError::Allocated { address, port }.into());
            }
        }
        inner.content.ports.extend(wanted.iter().copied());
        inner.add(&self.table, &wanted).map_err(|source| self.failed(source))?;
        for port in udp(ports) {
            inner.forget(|conntrack| conntrack.forget_udp_to(port.host_port));
        }
        Ok(())
    }

    /// Takes back what [`Firewall::publish`] did; what isn't there is no error.
    pub(crate) fn withdraw(&self, ports: &[PublishedPort], address: Ipv4Addr) -> Result<(), AttachError> {
        self.change(|inner| {
            let mut gone = targets(ports.iter().map(|port| (port, address)));
            gone.retain(|(key, target)| inner.content.ports.get(key) == Some(target));
            for (key, _) in &gone {
                inner.content.ports.remove(key);
            }
            if gone.is_empty() {
                return Ok(());
            }
            inner.delete(&self.table, &gone)?;
            if udp(ports).next().is_some() {
                inner.forget(|conntrack| conntrack.forget_answered_by(address));
            }
            Ok(())
        })
    }

    /// Makes the table hold exactly this, whatever an earlier engine left in it.
    pub(crate) fn replace(
        &self,
        bridge: BridgeRules,
        keep_out_strangers: bool,
        ports: &[(PublishedPort, Ipv4Addr)],
    ) -> Result<(), AttachError> {
        self.change(|inner| {
            let ports = targets(ports.iter().map(|(port, address)| (port, *address)));
            inner.content =
                Content { bridges: vec![bridge], ports: ports.into_iter().collect(), keep_out_strangers };
            inner.rebuild(&self.table)
        })
    }

    /// Removes the table; none is no error, and then nothing is changed.
    pub(crate) fn remove(&self) -> Result<(), AttachError> {
        self.change(|inner| {
            inner.content = Content::default();
            match inner.nft()?.commit(Transaction::new(&self.table).delete_table()) {
                Err(error) if error.is_not_there() => Ok(()),
                outcome => outcome,
            }
        })
    }

    /// Whether a sandbox of ours has this host port.
    pub(crate) fn has_port(&self, address: Ipv4Addr, protocol: Protocol, port: u16) -> bool {
        let key = |address| PortKey { protocol, port, address };
        let all = key(Ipv4Addr::UNSPECIFIED)..=key(Ipv4Addr::BROADCAST);
        locked(&self.inner).content.ports.range(all).any(|(key, _)| {
            key.address == address || key.address.is_unspecified() || address.is_unspecified()
        })
    }

    fn change(&self, work: impl FnOnce(&mut Inner) -> Result<(), Error>) -> Result<(), AttachError> {
        work(&mut locked(&self.inner)).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: Error) -> AttachError {
        AttachError::Firewall { table: self.table.name.clone(), source }
    }
}

/// Ports with where they lead.
fn targets<'a>(ports: impl Iterator<Item = (&'a PublishedPort, Ipv4Addr)>) -> Vec<(PortKey, SocketAddrV4)> {
    ports
        .filter_map(|(port, address)| {
            Some((PortKey::new(port)?, SocketAddrV4::new(address, port.container_port)))
        })
        .collect()
}

fn udp(ports: &[PublishedPort]) -> impl Iterator<Item = &PublishedPort> {
    ports.iter().filter(|port| port.protocol == Protocol::Udp)
}
