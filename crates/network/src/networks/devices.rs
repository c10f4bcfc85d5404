//! The bridges and other interfaces that endpoints hang on, and whether the host forwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use minke_model::NetworkId;
use minke_netlink::route::RouteSocket;

use super::{Inner, locked};
use crate::{
    AttachError, Attachment, IpNet, NetworkSpec,
    bridge::{self, BridgePlan, MadeBridge},
    error::chain,
    firewall::{Change, Item},
    pool, publish,
    sandbox::Device,
    state::State,
    sysctl,
    vlan::{self, Parent},
};

/// What this engine knows to be in the kernel.
#[derive(Debug)]
pub(super) struct Devices {
    made: BTreeMap<NetworkId, Made>,
    /// What is remembered in the state file, once it is written.
    pub(super) state: State,
}

#[derive(Debug)]
enum Made {
    /// A bridge, and whether it routes loopback addresses.
    Bridge(MadeBridge, bool),
    Vlan(Parent),
}

impl Devices {
    pub(super) fn new(state: State) -> Self {
        Self { made: BTreeMap::new(), state }
    }

    pub(super) fn bridge(&self, network: &NetworkId) -> Option<MadeBridge> {
        match self.made.get(network) {
            Some(Made::Bridge(bridge, _)) => Some(*bridge),
            _ => None,
        }
    }

    /// The networks that have a bridge.
    pub(super) fn bridges(&self) -> BTreeSet<NetworkId> {
        let bridges = self.made.iter().filter(|(_, made)| matches!(made, Made::Bridge(..)));
        bridges.map(|(id, _)| id.clone()).collect()
    }

    /// The networks whose bridge routes loopback addresses.
    pub(super) fn loopback_routers(&self) -> BTreeSet<NetworkId> {
        let routers = self.made.iter().filter(|(_, made)| matches!(made, Made::Bridge(_, true)));
        routers.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn forget(&mut self, network: &NetworkId) {
        self.made.remove(network);
    }

    pub(super) fn forget_all(&mut self) {
        self.made.clear();
    }
}

impl Inner {
    /// What the endpoints of these networks hang on, made with its rules and settings where it is missing.
    pub(super) fn ensure_devices(
        &self,
        host: &mut RouteSocket,
        specs: &[Arc<NetworkSpec>],
    ) -> Result<Vec<Device>, AttachError> {
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        let mut devices = locked(&self.devices);
        let mut found: Vec<Option<Device>> = Vec::with_capacity(specs.len());
        for spec in specs {
            found.push(self.known_device(host, &devices, spec)?);
        }
        if found.iter().all(Option::is_some) {
            self.firewall.ensure(self.strangers(&devices))?;
            drop(devices);
            if let Some(ours) = specs.iter().find_map(|spec| self.ours(spec)) {
                self.foreign.check_again(ours);
            }
            return Ok(found.into_iter().flatten().collect());
        }
        self.choose_again_if_idle(host, specs)?;
        let specs: Vec<Arc<NetworkSpec>> = self.specs(specs.iter().map(|spec| &spec.id))?;
        let turn_on = self.remember(&mut devices, &specs)?;
        // The tables first: their guards must stand before the host forwards and bridges carry.
        self.firewall.ensure(self.strangers(&devices))?;
        let mut complete = Vec::with_capacity(specs.len());
        for (spec, known) in specs.iter().zip(found) {
            complete.push(match known {
                Some(device) => device,
                None => self.make_device(host, &mut devices, spec)?,
            });
        }
        turn_forwarding_on(turn_on)?;
        Ok(complete)
    }

    /// What was made for a network and is still there.
    fn known_device(
        &self,
        host: &mut RouteSocket,
        devices: &Devices,
        spec: &NetworkSpec,
    ) -> Result<Option<Device>, AttachError> {
        match devices.made.get(&spec.id) {
            Some(Made::Bridge(made, _)) => {
                let Some(name) = spec.bridge().and_then(|options| options.name.as_deref()) else {
                    return Ok(None);
                };
                let index = bridge::find(host, name)?.map(|link| link.index);
                Ok((index == Some(made.index)).then(|| self.bridge_device(spec, *made)).flatten())
            }
            Some(Made::Vlan(parent)) => {
                let name = vlan::parent_name(spec);
                let failed = |source| AttachError::Bridge { bridge: name.clone(), source };
                let index = host.link(&name).map_err(failed)?.map(|link| link.index);
                Ok((index == Some(parent.index)).then_some(Device::Vlan(*parent)))
            }
            None => Ok(None),
        }
    }

    pub(super) fn bridge_device(&self, spec: &NetworkSpec, bridge: MadeBridge) -> Option<Device> {
        let options = spec.bridge()?;
        Some(Device::Bridge {
            bridge,
            name: options.name.clone()?,
            addresses: BridgePlan::of(spec, self.mtu)?.addresses.into_iter().map(IpNet::address).collect(),
            mtu: options.mtu.unwrap_or(self.mtu),
            isolated: !options.icc && isolates(spec),
        })
    }

    /// Makes what the endpoints of a network hang on, with its rules.
    pub(super) fn make_device(
        &self,
        host: &mut RouteSocket,
        devices: &mut Devices,
        spec: &NetworkSpec,
    ) -> Result<Device, AttachError> {
        let Some(plan) = BridgePlan::of(spec, self.mtu) else {
            let (parent, made) = vlan::make(host, spec)?;
            if let Some(name) = made
                && devices.state.bridges.insert(name)
            {
                self.write_state(&devices.state)?;
            }
            devices.made.insert(spec.id.clone(), Made::Vlan(parent));
            return Ok(Device::Vlan(parent));
        };
        // What is no bridge gets no rules, not for a moment. One that somebody else keeps may have ports and addresses that we know nothing
        // about.
        if bridge::find(host, &plan.name)?.is_none() && self.config.bridge.as_ref() == Some(&plan.name) {
            return Err(AttachError::NoBridge(plan.name));
        }
        let rules = publish::bridge_rules(spec).map(Item::Bridge);
        let ruled = self.firewall.apply(&Change { add: rules.into_iter().collect(), remove: Vec::new() });
        let routed_loopback = matches!(devices.made.get(&spec.id), Some(Made::Bridge(_, true)));
        let made = match ruled.and_then(|()| bridge::make(host, &plan)) {
            Ok(made) => made,
            Err(error) => {
                self.take_rules_back(devices, spec);
                return Err(error);
            }
        };
        if routed_loopback {
            bridge::route_loopback(host, &plan.name, made.index)?;
        }
        devices.made.insert(spec.id.clone(), Made::Bridge(made, routed_loopback));
        if let Some(ours) = self.ours(spec) {
            self.foreign.check(ours);
        }
        self.bridge_device(spec, made).ok_or(AttachError::NotABridge(plan.name))
    }

    /// The rules of a network whose bridge can't be made would be about another's interface.
    fn take_rules_back(&self, devices: &Devices, spec: &NetworkSpec) {
        if devices.made.contains_key(&spec.id) || !locked(&self.book).containers_on(&spec.id).is_empty() {
            return;
        }
        let Some(rules) = publish::bridge_rules(spec) else { return };
        let change = Change { remove: vec![Item::Bridge(rules)], add: Vec::new() };
        if let Err(error) = self.firewall.apply(&change) {
            tracing::warn!(error = chain(&error), "take back the rules of a bridge that can't be made");
        }
    }

    /// Remembers what is about to be made, and that this host was no router before; returns in which
    /// families it is none still. An engine that is killed right after turning forwarding on must not take
    /// the host for a router when it comes back.
    pub(super) fn remember(
        &self,
        devices: &mut Devices,
        specs: &[Arc<NetworkSpec>],
    ) -> Result<[bool; 2], AttachError> {
        let mut state = devices.state.clone();
        let mut turn_on = [false; 2];
        for spec in specs {
            let Some(options) = spec.bridge() else { continue };
            state.bridges.extend(options.name.clone());
            if options.default_bridge {
                state.default_network = Some((**spec).clone());
            }
            for (index, pool) in [&spec.ipv4, &spec.ipv6].into_iter().enumerate() {
                let needs = pool.is_some() && !spec.internal && self.config.forward;
                turn_on[index] |= needs && !sysctl::forwards(index == 0);
            }
        }
        state.enabled_forwarding |= turn_on[0];
        state.enabled_forwarding_ipv6 |= turn_on[1];
        if state != devices.state {
            self.write_state(&state)?;
            devices.state = state;
        }
        Ok(turn_on)
    }

    pub(super) fn write_state(&self, state: &State) -> Result<(), AttachError> {
        self.state.write(state).map_err(|source| AttachError::State { path: self.state.path(), source })
    }

    /// Time has passed since the default network's subnet was chosen, and the host may have new routes.
    fn choose_again_if_idle(
        &self,
        host: &mut RouteSocket,
        specs: &[Arc<NetworkSpec>],
    ) -> Result<(), AttachError> {
        let default = specs.iter().find(|spec| spec.bridge().is_some_and(|options| options.default_bridge));
        let Some(default) = default.filter(|_| self.config.subnet.is_none()) else { return Ok(()) };
        let Some(pool) = &default.ipv4 else { return Ok(()) };
        let name = default.bridge().and_then(|options| options.name.clone()).unwrap_or_default();
        let failed = |source| AttachError::Bridge { bridge: name.clone(), source };
        let own = host.link(&name).map_err(failed)?.map(|link| link.index);
        let mut taken = bridge::taken(host, own.as_slice()).map_err(failed)?;
        let mut book = locked(&self.book);
        if !book.containers_on(&default.id).is_empty() {
            return Ok(());
        }
        taken.extend(book.subnets_beside(&default.id));
        let subnet =
            pool::choose(true, Some(pool.subnet), &self.pools, &taken).ok_or(AttachError::NoFreePool)?;
        if subnet != pool.subnet {
            tracing::info!(old = %pool.subnet, new = %subnet, "the default bridge's subnet is in use now");
            let mut spec = (**default).clone();
            spec.ipv4 = Some(crate::Pool {
                subnet,
                range: None,
                gateway: subnet.nth(1),
                auxiliary: Default::default(),
            });
            book.put(spec);
        }
        Ok(())
    }

    /// Published ports answer on 127.0.0.1 and ::1 too; a bridge to which none leads doesn't need to.
    pub(super) fn route_loopback(&self, attachment: &Attachment) -> Result<(), AttachError> {
        if attachment.ports.is_empty() {
            return Ok(());
        }
        for endpoint in [true, false].into_iter().filter_map(|ipv4| attachment.gateway(ipv4)) {
            let mut devices = locked(&self.devices);
            let Some(Made::Bridge(made, routes)) = devices.made.get_mut(&endpoint.network) else { continue };
            let spec = locked(&self.book).spec(&endpoint.network).filter(|_| !*routes);
            if let Some(name) = spec.as_ref().and_then(|spec| spec.bridge()?.name.as_deref()) {
                bridge::route_loopback(&mut super::open_route(&self.names)?, name, made.index)?;
                *routes = true;
            }
        }
        Ok(())
    }
}

/// Whether ports of a bridge whose containers don't reach each other must be isolated. Where br_netfilter
/// shows bridged packets to the firewall, that drops them, and isolated ports would not even exchange what is
/// published: br_netfilter rewrites that on its way from port to port.
pub(super) fn isolates(spec: &NetworkSpec) -> bool {
    let families = [(true, &spec.ipv4), (false, &spec.ipv6)];
    families.iter().any(|(ipv4, pool)| pool.is_some() && !sysctl::filters_bridged(*ipv4))
}

/// Turns forwarding on in these families.
pub(super) fn turn_forwarding_on([ipv4, ipv6]: [bool; 2]) -> Result<(), AttachError> {
    if ipv4 {
        sysctl::enable_forwarding(true)?;
    }
    if ipv6 {
        sysctl::enable_forwarding(false)?;
    }
    Ok(())
}
