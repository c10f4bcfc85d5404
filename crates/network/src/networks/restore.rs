//! Coming back after a restart, looking after what is there, and leaving: what is in the kernel against
//! what should be.
//!
//! Takes no hint about what happened: reads what is, keeps what living sandboxes own, removes the
//! rest of what is ours. Ours are the tables of our name, the bridges that we remember or know by their
//! network, if an engine made them, and the ports of those that have a name of ours.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use minke_netlink::{
    Error,
    route::{Batch, Link, RouteSocket},
};

use super::{Inner, book::Living, devices::turn_forwarding_on, locked};
use crate::{
    AttachError, Attachment, Endpoint, NetworkSpec, PublishedPort,
    bridge::{self, BridgePlan, GROUP_PORT, MadeBridge},
    error::chain,
    firewall::Item,
    ports, publish, ready, sandbox, sysctl,
};

/// Makes the kernel agree with `living`; returns what failed.
pub(super) fn restore(inner: &Inner, living: &[Attachment]) -> Vec<String> {
    adopt(inner, living);
    if living.iter().all(|attachment| attachment.endpoints.is_empty()) {
        return remove_all(inner);
    }
    let mut failures = Vec::new();
    let outcome = RouteSocket::open().map_err(|error| chain(&error)).and_then(|mut host| {
        restore_networks(inner, &mut host, living, &mut failures).map_err(|error| chain(&error))?;
        let links = host.links(None).map_err(|error| chain(&error))?;
        restore_ports(inner, &mut host, links).map_err(|error| chain(&error))
    });
    failures.extend(outcome.err());
    failures
}

/// Looks whether all is there, and repairs what is not; returns what failed.
pub(super) fn reconcile(inner: &Inner) -> Vec<String> {
    if !locked(&inner.book).is_used() {
        return Vec::new();
    }
    let mut failures = Vec::new();
    match inner.firewall.verify() {
        Ok(true) => {}
        Ok(false) => tracing::warn!("somebody changed our nftables tables; they are as they were"),
        Err(error) => failures.push(chain(&error)),
    }
    let outcome = RouteSocket::open().map_err(|error| chain(&error)).and_then(|mut host| {
        let mut links = host.links(None).map_err(|error| chain(&error))?;
        if repair_bridges(inner, &mut host, &links, &mut failures).map_err(|error| chain(&error))? {
            links = host.links(None).map_err(|error| chain(&error))?;
        }
        restore_ports(inner, &mut host, links).map_err(|error| chain(&error))
    });
    failures.extend(outcome.err());
    failures.extend(repair_settings(inner).err().map(|error| chain(&error)));
    failures
}

/// Removes every interface of ours, the bridges, the tables and the state; returns what failed.
/// Nothing being there is no error, and then nothing is changed either.
pub(super) fn remove_all(inner: &Inner) -> Vec<String> {
    let mut failures = Vec::new();
    let mut devices = locked(&inner.devices);
    devices.forget_all();
    let mut names = devices.state.bridges.clone();
    names.insert(inner.names.bridge.clone());
    if let Err(error) = remove_links(inner, &names) {
        failures.push(chain(&error));
    }
    // The tables go last: their guards stand as long as there is a bridge.
    if let Err(error) = inner.firewall.remove() {
        failures.push(chain(&error));
    }
    let mut state = devices.state.clone();
    state.bridges.clear();
    state.default_network = None;
    match inner.write_state(&state) {
        Ok(()) => devices.state = state,
        Err(error) => failures.push(chain(&error)),
    }
    failures
}

/// Takes over addresses, and the default network as it was. What lives decides about that: another
/// configuration waits until the network is idle.
fn adopt(inner: &Inner, living: &[Attachment]) {
    let mut book = locked(&inner.book);
    let remembered = locked(&inner.devices).state.default_network.clone();
    if let Some(earlier) = remembered {
        let is_used = living.iter().any(|attachment| attachment.endpoint(&earlier.id).is_some());
        let now = book.spec(&earlier.id);
        if is_used && now.as_deref() != Some(&earlier) {
            let (used, asked) =
                (subnets(&earlier), now.map_or_else(|| "none".to_owned(), |now| subnets(&now)));
            if used != asked {
                tracing::warn!(used, asked, "living containers keep their subnet");
            }
            book.put(earlier);
        }
    }
    book.adopt(living.iter().flat_map(|attachment| {
        let container = &attachment.id;
        let endpoints = attachment.endpoints.iter();
        endpoints.map(|endpoint| Living { container: container.clone(), endpoint: endpoint.clone() })
    }));
}

fn subnets(spec: &NetworkSpec) -> String {
    spec.pools().map(|pool| pool.subnet.to_string()).collect::<Vec<_>>().join(", ")
}

/// Tables, bridges and settings, with exactly what the living have.
fn restore_networks(
    inner: &Inner,
    host: &mut RouteSocket,
    living: &[Attachment],
    failures: &mut Vec<String>,
) -> Result<(), AttachError> {
    let specs = used_specs(inner);
    let mut devices = locked(&inner.devices);
    devices.forget_all();
    let turn_on = inner.remember(&mut devices, &specs)?;
    let rules = specs.iter().filter_map(|spec| publish::bridge_rules(spec)).map(Item::Bridge);
    let of_sandboxes = living.iter().flat_map(|attachment| inner.items(attachment));
    // Whoever has links opens them again.
    locked(&inner.links).clear();
    locked(&inner.held).clear();
    inner.firewall.replace(inner.strangers(&devices), rules.chain(of_sandboxes).collect())?;
    let idle: BTreeSet<String> = {
        let used: HashSet<&str> = specs.iter().filter_map(|spec| spec.bridge()?.name.as_deref()).collect();
        let parents: HashSet<&str> = specs.iter().filter_map(|spec| crate::vlan::plan(spec)?.1).collect();
        let names = devices.state.bridges.iter();
        names
            .filter(|name| !used.contains(name.as_str()) && !parents.contains(name.as_str()))
            .cloned()
            .collect()
    };
    for spec in &specs {
        failures.extend(inner.make_device(host, &mut devices, spec).err().map(|error| chain(&error)));
    }
    turn_forwarding_on(turn_on)?;
    let failed = |source| AttachError::Bridge { bridge: inner.names.bridge.clone(), source };
    remove_links(inner, &idle).map_err(failed)?;
    let mut state = devices.state.clone();
    state.bridges.retain(|name| !idle.contains(name));
    if state != devices.state {
        inner.write_state(&state)?;
        devices.state = state;
    }
    drop(devices);
    for attachment in living {
        let again = |port: &PublishedPort| Some((*port, ports::hold_again(port)?));
        inner.hold(&attachment.id, attachment.late_ports.iter().filter_map(again).collect());
    }
    living.iter().try_for_each(|attachment| inner.route_loopback(attachment))
}

fn used_specs(inner: &Inner) -> Vec<Arc<NetworkSpec>> {
    let book = locked(&inner.book);
    book.used_networks().iter().filter_map(|id| book.spec(id)).collect()
}

/// Makes bridges anew that were deleted, taken down or have lost an address; returns whether there were any.
fn repair_bridges(
    inner: &Inner,
    host: &mut RouteSocket,
    links: &[Link],
    failures: &mut Vec<String>,
) -> Result<bool, Error> {
    let addresses = host.addresses()?;
    let mut repaired = false;
    let links: HashMap<&str, &Link> = links.iter().map(|link| (link.name.as_str(), link)).collect();
    let mut devices = locked(&inner.devices);
    for spec in used_specs(inner) {
        let Some(plan) = BridgePlan::of(&spec, inner.mtu) else { continue };
        let has = |link: &&&Link| {
            plan.addresses.iter().all(|net| {
                addresses.iter().any(|other| other.index == link.index && other.address == net.address())
            })
        };
        let made = devices.bridge(&spec.id);
        let whole = |link: &&&Link| link.up && made.is_some_and(|made| made.index == link.index) && has(link);
        if links.get(plan.name.as_str()).filter(whole).is_some() {
            continue;
        }
        tracing::warn!(bridge = plan.name, "somebody changed a bridge of ours; it is made as it was");
        failures.extend(inner.make_device(host, &mut devices, &spec).err().map(|error| chain(&error)));
        repaired = true;
    }
    Ok(repaired)
}

/// What others may have switched off.
fn repair_settings(inner: &Inner) -> Result<(), AttachError> {
    let specs = used_specs(inner);
    let devices = locked(&inner.devices);
    for ipv4 in [true, false] {
        let needs = |spec: &Arc<NetworkSpec>| {
            let pool = if ipv4 { &spec.ipv4 } else { &spec.ipv6 };
            spec.bridge().is_some() && pool.is_some() && !spec.internal
        };
        if inner.config.forward && specs.iter().any(needs) && !sysctl::forwards(ipv4) {
            sysctl::enable_forwarding(ipv4)?;
        }
    }
    let routers = devices.loopback_routers();
    for spec in specs.iter().filter(|spec| routers.contains(&spec.id)) {
        if let Some(name) = spec.bridge().and_then(|options| options.name.as_deref())
            && !sysctl::routes_loopback(name)
        {
            sysctl::route_loopback(name)?;
        }
    }
    Ok(())
}

/// Where a host's end of a veth pair belongs.
struct Owned {
    endpoint: Endpoint,
    bridge: MadeBridge,
    bridge_name: String,
    /// Whether it is isolated from others; nothing where they may talk.
    isolated: Option<bool>,
}

/// Removes ports of our bridges that nobody owns, and joins again what lost its bridge or was taken down.
fn restore_ports(inner: &Inner, host: &mut RouteSocket, links: Vec<Link>) -> Result<(), Error> {
    let owned = owned(inner);
    let bridges: HashSet<u32> = owned.values().map(|owned| owned.bridge.index).collect();
    let (mut batch, mut strays, mut joined_again) = (Batch::new(), Vec::new(), Vec::new());
    for link in links {
        match owned.get(&link.name) {
            // Whether bridged packets are filtered may have changed, and what a port is like in an engine of before.
            Some(owned) => {
                let is_lost = link.controller != Some(owned.bridge.index) || !link.up;
                if is_lost {
                    batch = batch.join_bridge(&link.name, owned.bridge.index);
                    joined_again.push((link.index, owned));
                }
                if is_lost || owned.isolated.is_some() || link.group != GROUP_PORT {
                    batch = batch.bridge_port_up(
                        &link.name,
                        owned.isolated == Some(true),
                        link.ipv6_disabled.is_some(),
                    );
                    batch = batch.group(&link.name, GROUP_PORT);
                }
            }
            None if link.controller.is_some_and(|index| bridges.contains(&index))
                && inner.names.is_host_interface(&link.name) =>
            {
                strays.push(link.name);
            }
            _ => {}
        }
    }
    let restored = host.run(batch.remove_all(strays.iter().map(String::as_str)));
    if joined_again.is_empty() {
        return restored;
    }
    tracing::info!(ports = joined_again.len(), "ports that had lost their bridge are on it again");
    // A bridge that had no port is out of operation itself.
    let mut interfaces: Vec<&str> = Vec::new();
    for (_, owned) in &joined_again {
        interfaces.extend(owned.endpoint.host_interface.as_deref());
        interfaces.push(&owned.bridge_name);
    }
    interfaces.sort_unstable();
    interfaces.dedup();
    let ready = ready::wait_until_operational(host, &interfaces);
    let told = |batch: Batch, (port, owned): &(u32, &Owned)| {
        sandbox::known(batch, owned.bridge.index, *port, &owned.endpoint)
    };
    // The bridge learns it from nobody else, and there is no second time.
    let told = host.run(joined_again.iter().fold(Batch::new(), told));
    restored.and(ready.map(drop)).and(told)
}

/// The host's ends of veth pairs that living sandboxes have.
fn owned(inner: &Inner) -> BTreeMap<String, Owned> {
    let devices = locked(&inner.devices);
    let book = locked(&inner.book);
    let owned = book.living().filter_map(|living| {
        let endpoint = living.endpoint.clone();
        let bridge = devices.bridge(&endpoint.network)?;
        let spec = book.spec(&endpoint.network)?;
        let options = spec.bridge()?;
        let isolated = (!options.icc).then(|| super::devices::isolates(&spec));
        let bridge_name = options.name.clone()?;
        Some((endpoint.host_interface.clone()?, Owned { endpoint, bridge, bridge_name, isolated }))
    });
    owned.collect()
}

/// Removes these bridges if an engine made them, and the ports of them that have names of ours.
fn remove_links(inner: &Inner, names: &BTreeSet<String>) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let mut host = RouteSocket::open()?;
    let links = host.links(None)?;
    let ours = links.iter().filter(|link| names.contains(&link.name));
    let bridges: HashSet<u32> = ours.clone().map(|link| link.index).collect();
    let ours = ours.filter(|link| bridge::is_ours(link));
    let is_port = |link: &&Link| {
        link.controller.is_some_and(|index| bridges.contains(&index))
            && inner.names.is_host_interface(&link.name)
    };
    let ports = links.iter().filter(is_port);
    host.run(Batch::new().remove_all(ports.chain(ours).map(|link| link.name.as_str())))
}
