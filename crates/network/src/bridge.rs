//! The bridge interface of a network: made with it, checked by every sandbox, which makes it again where it is gone.

use std::net::{IpAddr, Ipv6Addr};

use minke_netlink::{
    Error,
    route::{Batch, Bridge, Link, RouteSocket},
};

use crate::{AttachError, IpNet, Mac, NetworkSpec, OpenError, ready, sysctl};

/// The interface group of every bridge of every engine, "mnke". An engine that keeps the host from
/// routing for others recognises its neighbours' bridges by it. A bridge that is in no such group was
/// made by somebody else: it is used, and never removed.
pub(crate) const GROUP: u32 = u32::from_be_bytes(*b"mnke");

/// The interface group of every port of those bridges, "mnkp".
pub(crate) const GROUP_PORT: u32 = u32::from_be_bytes(*b"mnkp");

/// The interface group of what macvlan and ipvlan networks are on top of, "mnkv". It is another one, since
/// such an interface is no bridge of containers: the host must not route for strangers there.
pub(crate) const GROUP_BELOW: u32 = u32::from_be_bytes(*b"mnkv");

/// Whether an engine made a link.
pub(crate) fn is_ours(link: &Link) -> bool {
    [GROUP, GROUP_BELOW].contains(&link.group)
}

/// What the bridge should be.
#[derive(Debug, Clone)]
pub(crate) struct BridgePlan {
    pub(crate) name: String,
    /// The bridge's own addresses with the subnets' prefix lengths.
    pub(crate) addresses: Vec<IpNet>,
    pub(crate) ipv6: bool,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
}

/// A bridge that is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MadeBridge {
    pub(crate) index: u32,
    /// Its hardware address.
    pub(crate) mac: [u8; 6],
    /// Whether an engine made it.
    pub(crate) ours: bool,
}

impl BridgePlan {
    /// The bridge of a network; `None` if it is none.
    pub(crate) fn of(spec: &NetworkSpec, mtu: u32) -> Option<Self> {
        let options = spec.bridge()?;
        let address = |ipv4: bool| {
            let pool = if ipv4 { spec.ipv4.as_ref() } else { spec.ipv6.as_ref() }?;
            let inhibited = ipv4 && options.inhibit_ipv4;
            let isolated = options.gateway_mode(ipv4) == crate::GatewayMode::Isolated;
            let gateway = pool.gateway.filter(|_| !inhibited && !isolated)?;
            Some(IpNet::new(gateway, pool.subnet.prefix_len()))
        };
        let gateway = spec.pools().find_map(|pool| pool.gateway);
        Some(Self {
            name: options.name.clone()?,
            addresses: [address(true), address(false)].into_iter().flatten().collect(),
            ipv6: spec.ipv6.is_some(),
            mac: gateway.map_or_else(|| Mac::of_id(spec.id.as_str()), Mac::of_address),
            mtu: options.mtu.unwrap_or(mtu),
        })
    }
}

/// The bridge, if there is one.
pub(crate) fn find(route: &mut RouteSocket, name: &str) -> Result<Option<Link>, AttachError> {
    let failed = |source| AttachError::Bridge { bridge: name.to_owned(), source };
    match route.link(name).map_err(failed)? {
        Some(link) if link.kind.as_deref() != Some("bridge") => Err(AttachError::NotABridge(name.to_owned())),
        found => Ok(found),
    }
}

/// Makes the bridge what it should be. One of ours that has another IPv4 address is of an earlier
/// configuration and is made anew: the caller knows that no sandbox lives on it.
pub(crate) fn make(route: &mut RouteSocket, plan: &BridgePlan) -> Result<MadeBridge, AttachError> {
    let found = find(route, &plan.name)?;
    try_make(route, plan, found)
        .map_err(|source| AttachError::Bridge { bridge: plan.name.clone(), source })?
        .ok_or_else(|| AttachError::NotABridge(plan.name.clone()))
}

fn try_make(
    route: &mut RouteSocket,
    plan: &BridgePlan,
    found: Option<Link>,
) -> Result<Option<MadeBridge>, Error> {
    let ours = found.as_ref().is_none_or(|link| link.group == GROUP);
    if let Some(link) = found.filter(|_| ours)
        && addresses(route, link.index)?.iter().any(|net| net.is_ipv4() && !plan.addresses.contains(net))
    {
        route.run(Batch::new().remove(&plan.name))?;
    }
    if ours {
        let mac = plan.mac.octets();
        let bridge = Bridge { name: &plan.name, mac, mtu: plan.mtu, group: GROUP };
        route.run(Batch::new().bridge(bridge))?;
        sysctl::bridge_ipv6(&plan.name, plan.ipv6);
    }
    let Some(link) = route.link(&plan.name)? else { return Ok(None) };
    let with_address = |batch: Batch, net: &IpNet| batch.address(link.index, net.address(), net.prefix_len());
    route.run(plan.addresses.iter().fold(Batch::new().up(&plan.name), with_address))?;
    for net in &plan.addresses {
        if let IpAddr::V6(address) = net.address() {
            ready::wait_until_own(route, address)?;
        }
    }
    Ok(Some(MadeBridge { index: link.index, mac: link.mac.unwrap_or(plan.mac.octets()), ours }))
}

/// The addresses, IPv4 and IPv6, that a bridge of somebody else's has in networks with room for containers. Of several it
/// is the one in whose network the `ranges` are, else the first, as in Docker.
pub(crate) fn addresses_of_others(
    name: &str,
    ranges: [Option<IpNet>; 2],
) -> Result<[Option<IpNet>; 2], OpenError> {
    let failed = |source| OpenError::Bridge { bridge: name.to_owned(), source };
    let mut route = RouteSocket::open().map_err(failed)?;
    let link = route.link(name).map_err(failed)?.ok_or_else(|| OpenError::NoBridge(name.to_owned()))?;
    if link.kind.as_deref() != Some("bridge") {
        return Err(OpenError::NotABridge(name.to_owned()));
    }
    let mut usable = addresses(&mut route, link.index).map_err(failed)?;
    usable.retain(|net| net.host_bits() >= 2 && !is_link_local(net.address()));
    let choose = |ipv4: bool, range: Option<IpNet>| {
        let of_family = || usable.iter().copied().filter(move |net| net.is_ipv4() == ipv4);
        let with_range = |net: &IpNet| range.is_some_and(|range| net.covers(range));
        of_family().find(with_range).or_else(|| of_family().next())
    };
    Ok([choose(true, ranges[0]), choose(false, ranges[1])])
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Lets published ports answer on 127.0.0.1 and ::1: answers to the host's loopback addresses come in
/// through the bridge. For IPv4 there is a setting; IPv6 looks for a route that says so, since ::1 is lo's
/// own. What containers themselves send to a loopback address is dropped before: by our table, and in IPv6
/// by the kernel.
pub(crate) fn route_loopback(route: &mut RouteSocket, name: &str, index: u32) -> Result<(), AttachError> {
    sysctl::route_loopback(name)?;
    match route.run(Batch::new().local_route(index, Ipv6Addr::LOCALHOST.into())) {
        Err(error) => {
            // A kernel without IPv6 has no ::1 either.
            tracing::debug!(error = crate::error::chain(&error), "published ports don't answer on ::1");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The addresses of an interface.
pub(crate) fn addresses(route: &mut RouteSocket, index: u32) -> Result<Vec<IpNet>, Error> {
    let all = route.addresses()?.into_iter().filter(|address| address.index == index);
    Ok(all.map(|address| IpNet::new(address.address, address.prefix_len)).collect())
}

/// All that the host routes somewhere or has itself, for choosing a subnet beside it; what belongs to
/// one of the interfaces in `own` doesn't count, nor do link-local addresses and multicast.
pub(crate) fn taken(route: &mut RouteSocket, own: &[u32]) -> Result<Vec<IpNet>, Error> {
    let counts = |interface: Option<u32>| interface.is_none_or(|index| !own.contains(&index));
    let mut taken: Vec<IpNet> = route
        .routes()?
        .into_iter()
        .filter(|route| counts(route.interface))
        .map(|route| IpNet::new(route.destination, route.prefix_len))
        .collect();
    let addresses = route.addresses()?.into_iter().filter(|address| counts(Some(address.index)));
    taken.extend(addresses.map(|address| IpNet::new(address.address, address.prefix_len)));
    taken.retain(|net| match net.address() {
        IpAddr::V4(address) => !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unicast_link_local(),
    });
    taken.sort_unstable();
    taken.dedup();
    Ok(taken)
}
