//! The engine's nftables tables: made once, then only elements of their sets and maps come and go.
//!
//! What should be in them is kept here as well. When a table is found missing or emptied
//! (`nft flush ruleset`), both are made anew with everything in one transaction; otherwise a
//! change costs its elements. Nothing outside of these two tables is ever touched.

mod expressions;
mod guard;
mod items;
mod ruleset;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
};

use minke_netlink::{
    Error,
    conntrack::ConntrackSocket,
    nft::{Element, Family, NftSocket, SetKind, Table, Transaction},
};

use crate::{AttachError, PortError, Protocol, error::chain, networks::locked, sysctl};
pub(crate) use items::{BridgeRules, Guard, Item, PortKey, SubnetRules};
use items::{Key, elements};

/// What changes together.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// What goes; what isn't there any more, or is another's by now, is left.
    pub(crate) remove: Vec<Item>,
    /// What comes.
    pub(crate) add: Vec<Item>,
}

/// Families in which the host must not route for others, because forwarding is on only for us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Strangers {
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
}

/// What the rules depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rules {
    strangers: Strangers,
    /// Whether the host's input rules decide about published ports as well.
    obey_input: bool,
    /// Whether published ports answer on ::1. Where br_netfilter shows bridged packets to the firewall, an
    /// answer would get its loopback address on the bridge already, and the kernel takes none from there; so
    /// the connection is rather refused at once than left to wait.
    loopback_ipv6: bool,
}

impl Rules {
    fn on_this_host(self, strangers: Strangers) -> Self {
        Self { strangers, loopback_ipv6: !sysctl::filters_bridged(false), ..self }
    }
}

/// The tables and what should be in them.
#[derive(Debug)]
pub(crate) struct Firewall {
    tables: Tables,
    /// One lock for wish and kernel, so that they change in the same order.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Tables {
    /// Packets that the host routes.
    inet: Table,
    /// Frames that its bridges take in.
    bridge: Table,
}

/// The wish, and the ways to the kernel. The sockets stay open: closing one after something was
/// deleted waits for the kernel to have freed it, 10 to 30 ms.
#[derive(Debug, Default)]
struct Inner {
    /// Every element that should be there.
    wanted: BTreeMap<Key, Element>,
    /// Where each published port leads.
    ports: BTreeMap<PortKey, SocketAddr>,
    rules: Rules,
    /// Whether sources are pinned; a kernel without nftables for bridges can't.
    pins: bool,
    /// The generation of the ruleset in which both tables were as they should be.
    verified: Option<u32>,
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

    /// A chain that has lost rules, or is gone with its table, shows that somebody was here. Nobody was
    /// while the generation is the same.
    fn seems_whole(&mut self, tables: &Tables) -> Result<bool, Error> {
        if let Some(verified) = self.verified
            && verified == self.nft()?.generation()?
        {
            return Ok(true);
        }
        let (pins, rules) = (self.pins, self.rules);
        let uses = self.nft()?.chain_uses(&tables.inet, ruleset::FORWARD)?;
        let whole = uses == Some(ruleset::forward_rules(rules));
        Ok(whole && (!pins || self.nft()?.chain_uses(&tables.bridge, guard::GUARD)? == Some(guard::uses())))
    }

    /// Looks at every chain and every set. As long as nobody changes anything, that is one look-up.
    fn is_whole(&mut self, tables: &Tables) -> Result<bool, Error> {
        let generation = self.nft()?.generation()?;
        if self.verified == Some(generation) {
            return Ok(true);
        }
        if !self.seems_whole(tables)? {
            return Ok(false);
        }
        for (chain, rules) in ruleset::chain_uses(self.rules) {
            if self.nft()?.chain_uses(&tables.inet, chain)? != Some(rules) {
                return Ok(false);
            }
        }
        let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
        for key in self.wanted.keys() {
            *counts.entry((key.bridge, key.set)).or_default() += 1;
        }
        let (inet, bridge) = (ruleset::sets(), guard::sets());
        let sets = inet.iter().map(|set| (false, set)).chain(bridge.iter().map(|set| (true, set)));
        // What rules themselves remember is nobody's wish.
        let sets = sets
            .filter(|(is_bridge, set)| (!is_bridge || self.pins) && !matches!(set.kind, SetKind::Dynamic(_)));
        for (is_bridge, set) in sets {
            let table = if is_bridge { &tables.bridge } else { &tables.inet };
            let nft = match &mut self.nft {
                Some(socket) => socket,
                none => none.insert(NftSocket::open()?),
            };
            let there = nft.elements(table, &set.name)?;
            let wanted = counts.get(&(is_bridge, set.name.as_str())).copied().unwrap_or(0);
            let known = |element: &Element| {
                let found = self.wanted.range(Key::of_set(is_bridge, set.name.as_str()));
                found.take(wanted).any(|(key, _)| key.key == element.key)
            };
            // A few are compared; of many only the number.
            if there.len() != wanted || (wanted < 64 && !there.iter().all(known)) {
                return Ok(false);
            }
        }
        self.verified = Some(generation);
        Ok(true)
    }

    fn rebuild(&mut self, tables: &Tables) -> Result<(), Error> {
        // With this transaction alone, all is as it should be.
        self.verified = Some(self.nft()?.generation()?);
        let transaction = self.whole(tables);
        match self.commit(transaction) {
            // What a kernel has no module for is not there either.
            Err(error) if self.pins && (error.is_unsupported() || error.is_not_there()) => {
                tracing::warn!(
                    error = chain(&error),
                    "this kernel has no nftables for bridges: containers' source addresses are not checked"
                );
                self.pins = false;
                self.wanted.retain(|key, _| !key.bridge);
                self.verified = Some(self.nft()?.generation()?);
                let transaction = self.whole(tables);
                self.commit(transaction)
            }
            outcome => outcome,
        }
    }

    fn whole(&self, tables: &Tables) -> Transaction {
        let mut transaction = ruleset::whole_table(&tables.inet, self.rules);
        transaction = with_elements(transaction, false, &self.wanted);
        if self.pins {
            transaction = guard::whole_table(transaction.on(&tables.bridge));
            transaction = with_elements(transaction, true, &self.wanted);
        }
        transaction
    }

    /// After a change of ours alone, what was whole is whole.
    fn commit(&mut self, transaction: Transaction) -> Result<(), Error> {
        let before = self.verified.take();
        self.nft()?.commit(transaction)?;
        let after = self.nft()?.generation()?;
        self.verified = before.filter(|before| before.wrapping_add(1) == after).map(|_| after);
        Ok(())
    }

    /// UDP flows that are tracked already keep their old way. Forgetting them is a courtesy that
    /// old kernels refuse; they end by themselves.
    fn forget(&mut self, work: impl FnOnce(&mut ConntrackSocket) -> Result<(), Error>) {
        if let Err(error) = self.conntrack().and_then(work) {
            tracing::debug!(error = chain(&error), "tracked UDP flows stay until they time out");
        }
    }

    /// Takes the change into the wish; returns the elements that are to be deleted and added.
    fn wish(&mut self, change: &Change) -> [BTreeMap<Key, Element>; 2] {
        let (mut gone, mut new) = (BTreeMap::new(), BTreeMap::new());
        for item in &change.remove {
            if let Item::Port(port, target) = item
                && let key = PortKey::new(port)
                && self.ports.get(&key) == Some(target)
            {
                self.ports.remove(&key);
            }
            for (key, element) in elements(item).into_iter().filter(|(key, _)| self.pins || !key.bridge) {
                if self.wanted.get(&key) == Some(&element) {
                    self.wanted.remove(&key);
                    gone.insert(key, element);
                }
            }
        }
        for item in &change.add {
            if let Item::Port(port, target) = item {
                self.ports.insert(PortKey::new(port), *target);
            }
            for (key, element) in elements(item).into_iter().filter(|(key, _)| self.pins || !key.bridge) {
                if self.wanted.insert(key.clone(), element.clone()).as_ref() != Some(&element) {
                    new.insert(key, element);
                }
            }
        }
        // What goes and comes back as it was needn't move.
        gone.retain(|key, element| match new.get(key) {
            Some(other) if other == element => new.remove(key).is_none(),
            _ => true,
        });
        [gone, new]
    }
}

impl Firewall {
    /// `pins`: whether what containers send must bear their own addresses.
    /// `obey_input`: whether the host's input rules decide about published ports as well.
    pub(crate) fn new(table: &str, pins: bool, obey_input: bool) -> Self {
        let table = |family| Table { family, name: table.to_owned() };
        let rules = Rules { obey_input, ..Rules::default() };
        let tables = Tables { inet: table(Family::Inet), bridge: table(Family::Bridge) };
        Self { tables, inner: Mutex::new(Inner { pins, rules, ..Inner::default() }) }
    }

    /// Makes sure that the tables are there with their rules. Costs the same whatever is in them.
    pub(crate) fn ensure(&self, strangers: Strangers) -> Result<(), AttachError> {
        self.change(|inner| {
            let rules = inner.rules.on_this_host(strangers);
            if inner.rules == rules && inner.seems_whole(&self.tables)? {
                return Ok(());
            }
            inner.rules = rules;
            inner.rebuild(&self.tables)
        })
    }

    /// Looks whether all is there and makes it so; returns whether it was.
    pub(crate) fn verify(&self) -> Result<bool, AttachError> {
        let mut inner = locked(&self.inner);
        let verify = |inner: &mut Inner| -> Result<bool, Error> {
            let rules = inner.rules.on_this_host(inner.rules.strangers);
            let whole = inner.rules == rules && inner.is_whole(&self.tables)?;
            inner.rules = rules;
            if !whole {
                inner.rebuild(&self.tables)?;
            }
            Ok(whole)
        };
        verify(&mut inner).map_err(|source| self.failed(source))
    }

    /// Makes a change, in one transaction.
    ///
    /// # Errors
    /// [`PortError::Allocated`] when a port leads somewhere else already, and what the kernel says. Nothing
    /// was changed in the kernel then; take it back all the same.
    pub(crate) fn apply(&self, change: &Change) -> Result<(), AttachError> {
        let mut inner = locked(&self.inner);
        for item in &change.add {
            let Item::Port(port, target) = item else { continue };
            let key = PortKey::new(port);
            let gone = |old: &SocketAddr| {
                change.remove.iter().any(|item| {
                    matches!(item, Item::Port(port, target) if PortKey::new(port) == key && target == old)
                })
            };
            if inner.ports.get(&key).is_some_and(|old| old != target && !gone(old)) {
                return Err(PortError::Allocated { address: port.host_address, port: port.host_port }.into());
            }
        }
        let [gone, new] = inner.wish(change);
        self.transact(&mut inner, &gone, &new).map_err(|source| self.failed(source))?;
        self.forget_flows(&mut inner, change);
        Ok(())
    }

    /// Makes the tables hold exactly this, whatever an earlier engine left in them.
    pub(crate) fn replace(&self, strangers: Strangers, items: Vec<Item>) -> Result<(), AttachError> {
        let mut inner = locked(&self.inner);
        inner.rules = inner.rules.on_this_host(strangers);
        inner.wanted.clear();
        inner.ports.clear();
        inner.wish(&Change { add: items, remove: Vec::new() });
        inner.rebuild(&self.tables).map_err(|source| self.failed(source))
    }

    /// Removes the tables; none is no error, and then nothing is changed.
    pub(crate) fn remove(&self) -> Result<(), AttachError> {
        self.change(|inner| {
            inner.wanted.clear();
            inner.ports.clear();
            inner.verified = None;
            for table in [&self.tables.inet, &self.tables.bridge] {
                match inner.nft()?.commit(Transaction::new(table).delete_table()) {
                    Err(error) if error.is_not_there() || error.is_unsupported() => {}
                    outcome => outcome?,
                }
            }
            Ok(())
        })
    }

    /// Whether a sandbox of ours has this host port; an unspecified address is every one of its family.
    pub(crate) fn has_port(&self, address: IpAddr, protocol: Protocol, port: u16) -> bool {
        let inner = locked(&self.inner);
        let all = PortKey::all_addresses(protocol, port);
        inner.ports.range(all).any(|(key, _)| {
            key.address.is_ipv4() == address.is_ipv4()
                && (key.address == address || key.address.is_unspecified() || address.is_unspecified())
        })
    }

    fn transact(
        &self,
        inner: &mut Inner,
        gone: &BTreeMap<Key, Element>,
        new: &BTreeMap<Key, Element>,
    ) -> Result<(), Error> {
        let mut transaction = Transaction::new(&self.tables.inet);
        for (bridge, table) in [(false, &self.tables.inet), (true, &self.tables.bridge)] {
            transaction = transaction.on(table);
            for (set, elements) in grouped(bridge, gone) {
                transaction = transaction.delete_elements(set, &elements);
            }
            transaction = with_elements(transaction, bridge, new);
        }
        if transaction.is_empty() {
            return Ok(());
        }
        match inner.commit(transaction) {
            // Missing or stale: somebody changed the table, or an earlier engine left elements.
            Err(error) if error.is_not_there() || error.is_already_there() => {
                // What was only to go needs no table for it.
                let removes_only = new.is_empty() && inner.wanted.is_empty();
                if removes_only { Ok(()) } else { inner.rebuild(&self.tables) }
            }
            outcome => outcome,
        }
    }

    fn forget_flows(&self, inner: &mut Inner, change: &Change) {
        for item in &change.add {
            if let Item::Port(port, _) = item
                && port.protocol == Protocol::Udp
            {
                inner
                    .forget(|conntrack| conntrack.forget_udp_to(port.host_port, port.host_address.is_ipv4()));
            }
        }
        let mut answered: Vec<IpAddr> = Vec::new();
        for item in &change.remove {
            if let Item::Port(port, target) = item
                && port.protocol == Protocol::Udp
                && !answered.contains(&target.ip())
            {
                answered.push(target.ip());
            }
        }
        for address in answered {
            inner.forget(|conntrack| conntrack.forget_answered_by(address));
        }
    }

    fn change(&self, work: impl FnOnce(&mut Inner) -> Result<(), Error>) -> Result<(), AttachError> {
        work(&mut locked(&self.inner)).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: Error) -> AttachError {
        AttachError::Firewall { table: self.tables.inet.name.clone(), source }
    }
}

/// Elements by the set they belong to, in the order of the sets.
fn grouped(bridge: bool, elements: &BTreeMap<Key, Element>) -> Vec<(&'static str, Vec<Element>)> {
    let mut groups: Vec<(&'static str, Vec<Element>)> = Vec::new();
    for (key, element) in elements.iter().filter(|(key, _)| key.bridge == bridge) {
        match groups.last_mut() {
            Some((set, group)) if *set == key.set => group.push(element.clone()),
            _ => groups.push((key.set, vec![element.clone()])),
        }
    }
    groups
}

fn with_elements(
    mut transaction: Transaction,
    bridge: bool,
    elements: &BTreeMap<Key, Element>,
) -> Transaction {
    for (set, elements) in grouped(bridge, elements) {
        transaction = transaction.add_elements(set, &elements);
    }
    transaction
}
