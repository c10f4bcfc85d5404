//! The bridge interface: made when the first sandbox needs it, checked by every later one.

use std::net::IpAddr;

use minke_netlink::{
    Error,
    route::{Address, Batch, Bridge, Link, RouteSocket},
};

use crate::{AttachError, Ipv4Net, Mac, sysctl};

/// The interface group of every bridge of every engine, "mnke". An engine that keeps the host from
/// routing for others recognises its neighbours' bridges by it.
pub(crate) const GROUP: u32 = u32::from_be_bytes(*b"mnke");

/// What the bridge should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BridgePlan<'a> {
    pub(crate) name: &'a str,
    /// The bridge's own address with the subnet's prefix length.
    pub(crate) address: Ipv4Net,
    pub(crate) mtu: u32,
}

/// The bridge, if there is one.
pub(crate) fn find(route: &mut RouteSocket, name: &str) -> Result<Option<Link>, AttachError> {
    let failed = |source| AttachError::Bridge { bridge: name.to_owned(), source };
    match route.link(name).map_err(failed)? {
        Some(link) if link.kind.as_deref() != Some("bridge") => Err(AttachError::NotABridge(name.to_owned())),
        found => Ok(found),
    }
}

/// Makes the bridge what it should be; returns its index. One that has another IPv4 address is of
/// an earlier configuration and is made anew: the caller knows that no sandbox lives on it.
pub(crate) fn make(route: &mut RouteSocket, plan: BridgePlan<'_>) -> Result<u32, AttachError> {
    let found = find(route, plan.name)?;
    try_make(route, plan, found)
        .map_err(|source| AttachError::Bridge { bridge: plan.name.to_owned(), source })?
        .ok_or_else(|| AttachError::NotABridge(plan.name.to_owned()))
}

fn try_make(
    route: &mut RouteSocket,
    plan: BridgePlan<'_>,
    found: Option<Link>,
) -> Result<Option<u32>, Error> {
    if let Some(link) = &found
        && addresses(route, link.index)?.iter().any(|net| *net != plan.address)
    {
        route.run(Batch::new().remove(plan.name))?;
    }
    let mac = Mac::of_address(plan.address.address()).octets();
    let bridge = Bridge { name: plan.name, mac, mtu: plan.mtu, group: GROUP };
    route.run(Batch::new().bridge(bridge))?;
    sysctl::disable_ipv6(plan.name);
    let Some(link) = route.link(plan.name)? else { return Ok(None) };
    let address = IpAddr::V4(plan.address.address());
    route.run(Batch::new().up(plan.name).address(link.index, address, plan.address.prefix_len()))?;
    Ok(Some(link.index))
}

/// The IPv4 addresses of an interface.
pub(crate) fn addresses(route: &mut RouteSocket, index: u32) -> Result<Vec<Ipv4Net>, Error> {
    Ok(route.addresses()?.into_iter().filter(|address| address.index == index).filter_map(ipv4).collect())
}

/// All that the host routes somewhere or has itself, for choosing a subnet beside it; `bridge` is
/// our own and doesn't count.
pub(crate) fn taken(route: &mut RouteSocket, bridge: &str) -> Result<Vec<Ipv4Net>, Error> {
    let own = route.link(bridge)?.map(|link| link.index);
    let mut taken: Vec<Ipv4Net> = route
        .routes()?
        .into_iter()
        .filter(|route| own.is_none() || route.interface != own)
        .map(|route| Ipv4Net::new(route.destination, route.prefix_len))
        .collect();
    taken.extend(route.addresses()?.into_iter().filter(|a| Some(a.index) != own).filter_map(ipv4));
    Ok(taken)
}

fn ipv4(address: Address) -> Option<Ipv4Net> {
    match address.address {
        IpAddr::V4(v4) => Some(Ipv4Net::new(v4, address.prefix_len)),
        IpAddr::V6(_) => None,
    }
}
