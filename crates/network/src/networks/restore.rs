//! Coming back after a restart, and leaving: what is in the kernel against what should be.
//!
//! Takes no hint about what happened: reads what is, keeps what living sandboxes own, removes the
//! rest of what is ours. Ours is the table of our name, the bridge of our name, and the ports of
//! that bridge that have a name of ours.

use std::collections::HashSet;

use minke_netlink::{
    Error,
    route::{Batch, RouteSocket},
};

use super::{Inner, Plan, locked};
use crate::{Ipv4Net, PublishedPort, attachment::Single, bridge, error::chain, sandbox, state::BridgeState, sysctl};

/// Makes the kernel agree with `living`; returns what failed.
pub(super) fn restore(inner: &Inner, living: &[Single]) -> Vec<String> {
    adopt(inner, living);
    if living.is_empty() {
        return remove_all(inner);
    }
    let mut failures = Vec::new();
    let outcome = RouteSocket::open().map_err(|error| chain(&error)).and_then(|mut host| {
        let index = restore_bridge(inner, &mut host, living).map_err(|error| chain(&error))?;
        restore_interfaces(inner, &mut host, index, living).map_err(|error| chain(&error))
    });
    failures.extend(outcome.err());
    failures
}

/// Removes every interface of ours, the bridge, the table and the state; returns what failed.
/// Nothing being there is no error, and then nothing is changed either.
pub(super) fn remove_all(inner: &Inner) -> Vec<String> {
    let mut failures = Vec::new();
    let mut made = locked(&inner.made);
    made.bridge = None;
    if let Err(error) = remove_links(inner) {
        failures.push(error);
    }
    // The table goes last: its guards stand as long as there is a bridge.
    if let Err(error) = inner.firewall.remove() {
        failures.push(chain(&error));
    }
    let state = BridgeState { bridge: None, enabled_forwarding: made.enabled_forwarding };
    if let Err(error) = inner.state.write(state) {
        failures.push(format!("write {}: {error}", inner.state.path().display()));
    }
    failures
}

/// Takes over addresses and subnet. What lives decides about the subnet: a new `--bip` waits until
/// the network is idle.
fn adopt(inner: &Inner, living: &[Single]) {
    let mut plan = locked(&inner.plan);
    if let Some(first) = living.first() {
        let bridge = Ipv4Net::new(first.gateway, first.prefix_len);
        if bridge != plan.bridge {
            tracing::warn!(used = %bridge, asked = %plan.bridge, "living containers keep their subnet");
        }
        *plan = Plan::new(bridge);
    }
    let mut live = locked(&inner.live);
    live.clear();
    for attachment in living {
        plan.addresses.adopt(attachment.address);
        live.insert(attachment.endpoint_id.clone(), attachment.clone());
    }
}

/// Table, bridge and settings, with exactly the ports of the living.
fn restore_bridge(
    inner: &Inner,
    host: &mut RouteSocket,
    living: &[Single],
) -> Result<u32, crate::AttachError> {
    let mut made = locked(&inner.made);
    let turn_on = inner.remember(&mut made)?;
    let ports: Vec<(PublishedPort, _)> = living
        .iter()
        .flat_map(|attachment| attachment.ports.iter().map(|port| (*port, attachment.address)))
        .collect();
    inner.firewall.replace(inner.rules(), made.enabled_forwarding, &ports)?;
    let index = inner.make_bridge(host, &mut made, turn_on)?;
    if !ports.is_empty() {
        sysctl::route_loopback(&inner.names.bridge)?;
        made.routes_loopback = true;
    }
    Ok(index)
}

/// Removes ports of the bridge that nobody owns, and joins again what lost its bridge or was taken down.
fn restore_interfaces(
    inner: &Inner,
    host: &mut RouteSocket,
    bridge: u32,
    living: &[Single],
) -> Result<(), Error> {
    let owned: HashSet<&str> = living.iter().map(|attachment| attachment.host_interface.as_str()).collect();
    let (mut batch, mut strays, mut joined_again) = (Batch::new(), Vec::new(), Vec::new());
    for link in host.links(None)? {
        let owned = owned.contains(link.name.as_str());
        let joined = link.controller == Some(bridge);
        if owned && (!joined || !link.up) {
            batch = batch.join_bridge(&link.name, bridge).bridge_port_up(&link.name);
            joined_again.push(link.name);
        } else if !owned && joined && inner.names.is_host_interface(&link.name) {
            strays.push(link.name);
        }
    }
    host.run(batch.remove_all(strays.iter().map(String::as_str)))?;
    if joined_again.is_empty() {
        return Ok(());
    }
    // A bridge that had no port is out of operation itself.
    let interfaces: Vec<&str> =
        joined_again.iter().map(String::as_str).chain([inner.names.bridge.as_str()]).collect();
    sandbox::wait_until_operational(host, &interfaces).map(|_| ())
}

fn remove_links(inner: &Inner) -> Result<(), String> {
    let mut host = RouteSocket::open().map_err(|error| chain(&error))?;
    let found = bridge::find(&mut host, &inner.names.bridge).map_err(|error| chain(&error))?;
    let Some(link) = found else { return Ok(()) };
    let ports = host.links(Some(link.index)).map_err(|error| chain(&error))?;
    let strays =
        ports.iter().map(|port| port.name.as_str()).filter(|name| inner.names.is_host_interface(name));
    let doomed = strays.chain([inner.names.bridge.as_str()]);
    host.run(Batch::new().remove_all(doomed)).map_err(|error| chain(&error))
}
