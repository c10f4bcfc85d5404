//! Where a sandbox's published ports lead, and what the firewall is told about the sandbox. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{
    Attachment, Endpoint, GatewayMode, NetworkSpec, Protocol, PublishedPort,
    firewall::{BridgeRules, Guard, Item, SubnetRules},
    ports::{Binding, Bindings},
};

/// Finds a network's spec.
pub(crate) type Specs<'a> = &'a dyn Fn(&minke_model::NetworkId) -> Option<NetworkSpec>;

/// What holds for a bridge network.
pub(crate) fn bridge_rules(spec: &NetworkSpec) -> Option<BridgeRules> {
    let options = spec.bridge()?;
    let subnet = |ipv4: bool| {
        let pool = if ipv4 { spec.ipv4.as_ref() } else { spec.ipv6.as_ref() }?;
        let mode = options.gateway_mode(ipv4);
        let translated = matches!(mode, GatewayMode::Nat | GatewayMode::NatUnprotected);
        let leaves_as = match ipv4 {
            true => options.host_ipv4.map(IpAddr::V4),
            false => options.host_ipv6.map(IpAddr::V6),
        };
        Some(SubnetRules {
            subnet: pool.subnet,
            masquerade: options.masquerade && translated && !spec.internal,
            leaves_as,
            unprotected: mode == GatewayMode::NatUnprotected && !spec.internal,
            routed: mode == GatewayMode::Routed && !spec.internal,
        })
    };
    Some(BridgeRules {
        bridge: options.name.clone()?,
        icc: options.icc,
        internal: spec.internal,
        trusted: options.trusted_host_interfaces.clone(),
        subnets: [subnet(true), subnet(false)].into_iter().flatten().collect(),
    })
}

/// Which addresses an endpoint may send from, if it is a bridge's port.
pub(crate) fn guard(endpoint: &Endpoint) -> Option<Guard> {
    let mut addresses: Vec<IpAddr> = endpoint.addresses().map(|net| net.address()).collect();
    addresses.extend(&endpoint.link_local);
    if endpoint.ipv6.is_some() {
        addresses.push(endpoint.mac.link_local().into());
    }
    Some(Guard { interface: endpoint.host_interface.clone()?, mac: endpoint.mac, addresses })
}

/// Where the ports of an attachment may be published. `relay`: also in the family that it has no address of.
pub(crate) fn bindings(attachment: &Attachment, specs: Specs<'_>, relay: bool) -> Bindings {
    let binding = |ipv4: bool| {
        let endpoint = match attachment.gateway(ipv4) {
            None => attachment.gateway(!ipv4).filter(|_| relay && !attachment.has_address(ipv4)),
            own => own,
        }?;
        let is_own = if ipv4 { endpoint.ipv4.is_some() } else { endpoint.ipv6.is_some() };
        let spec = specs(&endpoint.network)?;
        let options = spec.bridge()?;
        // A host's address of IPv4 alone that was chosen for all ports means no other one.
        let only_ipv4 = options.host_binding_ipv4.is_some_and(|address| !address.is_unspecified());
        let address = match ipv4 {
            true => Some(options.host_binding_ipv4.unwrap_or(Ipv4Addr::UNSPECIFIED).into()),
            false if only_ipv4 => options.host_binding_ipv6.map(IpAddr::V6),
            false => Some(options.host_binding_ipv6.unwrap_or(Ipv6Addr::UNSPECIFIED).into()),
        };
        match options.gateway_mode(ipv4 == is_own) {
            GatewayMode::Nat | GatewayMode::NatUnprotected if is_own => Some(Binding::Host(address)),
            GatewayMode::Nat | GatewayMode::NatUnprotected => Some(Binding::Relayed(address)),
            GatewayMode::Routed if is_own => Some(Binding::Routed),
            GatewayMode::Routed | GatewayMode::Isolated => None,
        }
    };
    Bindings { ipv4: binding(true), ipv6: binding(false) }
}

/// Where a relay leads what no rule leads to a sandbox: to the same port in the family that it came by, or else in the other. None for a port that needs no
/// relay as things are.
pub(crate) fn relay_target(
    attachment: &Attachment,
    port: &PublishedPort,
    specs: Specs<'_>,
) -> Option<SocketAddr> {
    let of = |ipv4: bool| {
        let endpoint = attachment.gateway(ipv4)?;
        let mode = specs(&endpoint.network)?.bridge()?.gateway_mode(ipv4);
        let address = match ipv4 {
            true => endpoint.address_ipv4()?.into(),
            false => endpoint.address_ipv6()?.into(),
        };
        let is_open = matches!(mode, GatewayMode::Nat | GatewayMode::NatUnprotected);
        is_open.then(|| SocketAddr::new(address, port.container_port))
    };
    let ipv4 = port.host_address.is_ipv4();
    // What is sent to an address of one link can't be rewritten, nor what is sent to ::1 where br_netfilter is on.
    let needed = !ipv4 || !attachment.has_address(true);
    (needed && port.protocol != Protocol::Sctp).then(|| of(ipv4).or_else(|| of(!ipv4)))?
}

/// What the firewall holds for the ports of an attachment. `direct`: other hosts reach them at its own addresses as well.
pub(crate) fn port_items(attachment: &Attachment, specs: Specs<'_>, direct: bool) -> Vec<Item> {
    let modes = [true, false].map(|ipv4| {
        let endpoint = attachment.gateway(ipv4)?;
        let mode = specs(&endpoint.network)?.bridge()?.gateway_mode(ipv4);
        let address = match ipv4 {
            true => endpoint.address_ipv4()?.into(),
            false => endpoint.address_ipv6()?.into(),
        };
        Some::<(IpAddr, _)>((address, mode))
    });
    let mut items = Vec::new();
    for port in &attachment.ports {
        let Some((address, mode)) = modes[usize::from(port.host_address.is_ipv6())] else { continue };
        let target = SocketAddr::new(address, port.container_port);
        let translated =
            matches!(mode, GatewayMode::Nat | GatewayMode::NatUnprotected) && port.host_port != 0;
        if translated {
            items.push(Item::Port(*port, target));
        }
        let routed = Item::Routed(port.protocol, target);
        // Several ports of the host's may lead to it.
        if (mode == GatewayMode::Routed || translated && direct) && !items.contains(&routed) {
            items.push(routed);
        }
    }
    items
}

/// What the firewall holds for an attachment.
pub(crate) fn items(attachment: &Attachment, specs: Specs<'_>, direct: bool) -> Vec<Item> {
    let guards = attachment.endpoints.iter().filter_map(guard).map(Item::Guard);
    guards.chain(port_items(attachment, specs, direct)).collect()
}
