//! An attachment in the making, which undoes itself unless it is kept.

use std::{fmt::Write as _, io, net::IpAddr, os::fd::OwnedFd};

use minke_model::ContainerId;
use rustix::rand::{GetRandomFlags, getrandom};

use super::{Held, Inner, locked};
use crate::{
    AttachError, Attachment, Driver, Endpoint, EndpointRequest, GatewayMode, IpNet, Mac, NetworkSpec,
    PortRequest,
    firewall::{Change, Item},
    ports::{self, Reservation},
    publish,
    sandbox::{DefaultRoutes, Device, Place},
    spec::{GATEWAY_IPV4, GATEWAY_IPV6, is_interface_name},
    sysctl,
};

/// What interfaces in sandboxes are called, and a number.
const INTERFACE: &str = "eth";

/// An attachment in the making. Dropped, it takes back what was done so far.
pub(super) struct Making<'a> {
    inner: &'a Inner,
    /// As it was: empty for a new sandbox.
    before: Attachment,
    /// As it is going to be.
    attachment: Attachment,
    /// What is new.
    places: Vec<Place>,
    /// The ports that the engine itself keeps.
    held: Vec<Held>,
    has_links: bool,
    has_elements: bool,
    kept: bool,
}

impl<'a> Making<'a> {
    /// A new sandbox's.
    pub(super) fn new(inner: &'a Inner, id: ContainerId) -> Self {
        Self::of(inner, Attachment::nowhere(id))
    }

    /// A running sandbox's.
    pub(super) fn of(inner: &'a Inner, before: Attachment) -> Self {
        Self {
            inner,
            attachment: before.clone(),
            before,
            places: Vec::new(),
            held: Vec::new(),
            has_links: false,
            has_elements: false,
            kept: false,
        }
    }

    /// A place on a network: its id, name, addresses. `has` says whether the sandbox has an interface.
    pub(super) fn add(
        &mut self,
        wish: &EndpointRequest,
        spec: &NetworkSpec,
        device: Device,
        default_ipv6: bool,
        has: impl FnMut(&str) -> bool,
    ) -> Result<(), AttachError> {
        if self.attachment.endpoint(&wish.network).is_some() {
            return Err(AttachError::Twice(wish.network.clone()));
        }
        let interface = self.interface(wish, spec, has)?;
        let settings = settings(wish, spec, &interface, default_ipv6)?;
        let mac = match &device {
            Device::Vlan(parent) if matches!(spec.driver, Driver::Ipvlan(_)) => {
                parent.mac.map(Mac::from_octets)
            }
            _ => wish.mac,
        };
        if let (Some(mac), Device::Bridge { bridge, .. }) = (mac, &device)
            && mac.octets() == bridge.mac
        {
            return Err(AttachError::Endpoint(format!(
                "hardware address {mac} is the bridge's own: choose another"
            )));
        }
        let mut book = locked(&self.inner.book);
        let endpoint_id = book.free_id(random_id).map_err(AttachError::Random)?;
        // From here on nothing may fail: they are this endpoint's.
        let addresses = book.take_addresses(wish)?;
        let first = addresses.ipv4.or(addresses.ipv6).map(|net| net.address());
        let mac = mac.or(first.map(Mac::of_address)).unwrap_or_else(|| Mac::of_id(&endpoint_id));
        let host_interface = self.inner.names.host_interface(&endpoint_id);
        let endpoint = Endpoint {
            network: wish.network.clone(),
            network_name: wish.network_name.clone(),
            host_interface: matches!(device, Device::Bridge { .. }).then_some(host_interface),
            interface,
            ipv4: addresses.ipv4,
            ipv6: addresses.ipv6,
            gateway_ipv4: match way_out(spec, addresses.ipv4) {
                Some(IpAddr::V4(address)) => Some(address),
                _ => None,
            },
            gateway_ipv6: match way_out(spec, addresses.ipv6) {
                Some(IpAddr::V6(address)) => Some(address),
                _ => None,
            },
            link_local: wish.link_local.clone(),
            mac,
            gateway_priority: wish.gateway_priority,
            endpoint_id,
        };
        book.enter(self.attachment.id.clone(), endpoint.clone());
        self.attachment.endpoints.push(endpoint.clone());
        self.places.push(Place { endpoint, device, settings });
        Ok(())
    }

    /// The name that was asked for, or the first free number.
    fn interface(
        &self,
        wish: &EndpointRequest,
        spec: &NetworkSpec,
        mut has: impl FnMut(&str) -> bool,
    ) -> Result<String, AttachError> {
        let mut taken = |name: &str| {
            name == "lo" || self.attachment.endpoints.iter().any(|other| other.interface == name) || has(name)
        };
        if let Some(name) = &wish.interface {
            if !is_interface_name(name) {
                let name: String = name.chars().take(64).collect();
                return Err(AttachError::Endpoint(format!("{name:?} can't be the name of an interface")));
            }
            if taken(name) {
                let text = format!(
                    "error renaming interface: file exists: the sandbox has an interface {name} already"
                );
                return Err(AttachError::Endpoint(text));
            }
            return Ok(name.clone());
        }
        let prefix = spec.bridge().and_then(|options| options.container_iface_prefix.as_deref());
        let names = (0u32..1000).map(|number| format!("{}{number}", prefix.unwrap_or(INTERFACE)));
        let mut names = names.filter(|name| !taken(name));
        names.next().ok_or_else(|| AttachError::Endpoint("the sandbox has too many interfaces".to_owned()))
    }

    /// What is new.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The links are made, and to be removed again. Who had the addresses before is forgotten, or will not be.
    pub(super) fn has_links(&mut self) {
        self.has_links = true;
        for place in &self.places {
            if let Device::Bridge { bridge, .. } = &place.device {
                let addresses: Vec<IpAddr> = place.endpoint.addresses().map(|net| net.address()).collect();
                self.inner.reaper.keep(bridge.index, &addresses);
            }
        }
    }

    /// The default routes that are other than before.
    pub(super) fn default_routes(&self) -> DefaultRoutes {
        let changed = |ipv4| {
            let after = self.attachment.gateway(ipv4)?;
            let before = self.before.gateway(ipv4);
            before.is_none_or(|before| before.endpoint_id != after.endpoint_id).then(|| after.clone())
        };
        DefaultRoutes { ipv4: changed(true), ipv6: changed(false) }
    }

    /// Reserves the host's ports; the sockets keep them. Those that need a relay stay with the engine.
    pub(super) fn reserve_ports(&mut self, requests: &[PortRequest]) -> Result<Vec<OwnedFd>, AttachError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let bindings = self.inner.bindings(&self.attachment);
        if bindings == ports::Bindings::default() {
            // As with Docker, a sandbox with no way out publishes nothing.
            tracing::warn!(
                container = self.attachment.id.short(),
                "no network with a gateway: no port is published"
            );
            return Ok(Vec::new());
        }
        let inner = self.inner;
        let ours = |address, protocol, port| inner.has_port(address, protocol, port);
        let mut of_sandbox = Vec::new();
        for reservation in ports::reserve_all(requests, bindings, &ours)? {
            match self.inner.relay_target(&self.attachment, &reservation.port).is_some() {
                true => self.keep_port(reservation),
                false => {
                    self.attachment.ports.push(reservation.port);
                    of_sandbox.extend(reservation.socket);
                }
            }
        }
        Ok(of_sandbox)
    }

    /// A port whose socket the engine keeps.
    fn keep_port(&mut self, reservation: Reservation) {
        self.attachment.ports.push(reservation.port);
        self.attachment.late_ports.push(reservation.port);
        self.held.extend(reservation.socket.map(|socket| (reservation.port, socket)));
    }

    /// Reserves those of a running sandbox's ports that could not be published before: it had no way out, or none in one of
    /// the families. The engine keeps them, since their sandbox's supervisor is there already.
    pub(super) fn reserve_more(&mut self, requests: &[PortRequest]) -> Result<(), AttachError> {
        let inner = self.inner;
        let ours = |address, protocol, port| inner.has_port(address, protocol, port);
        for missing in ports::missing(requests, inner.bindings(&self.attachment), &self.attachment.ports) {
            ports::reserve_all(&[missing.request], missing.bindings, &ours)?
                .into_iter()
                .for_each(|reservation| self.keep_port(reservation));
        }
        Ok(())
    }

    /// Lets traffic to the ports through, and from the new addresses.
    pub(super) fn publish(&mut self) -> Result<(), AttachError> {
        let guards = self.places.iter().filter_map(|place| publish::guard(&place.endpoint)).map(Item::Guard);
        let (before, after) = (self.inner.port_items(&self.before), self.inner.port_items(&self.attachment));
        let mut change = Change { add: guards.collect(), remove: Vec::new() };
        if before != after {
            change.remove = before;
            change.add.extend(after);
        }
        self.inner.route_loopback(&self.attachment)?;
        self.has_elements = true;
        self.inner.firewall.apply(&change)
    }

    /// It is done: nothing is undone any more.
    pub(super) fn keep(mut self) -> Attachment {
        self.kept = true;
        self.inner.hold(&self.attachment.id, std::mem::take(&mut self.held));
        self.attachment.clone()
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if self.has_elements {
            let guards = self.places.iter().filter_map(|place| publish::guard(&place.endpoint));
            let mut change = Change { remove: guards.map(Item::Guard).collect(), add: Vec::new() };
            change.remove.extend(self.inner.port_items(&self.attachment));
            change.add.extend(self.inner.port_items(&self.before));
            if let Err(error) = self.inner.firewall.apply(&change) {
                tracing::warn!(error = crate::error::chain(&error), "undo of a failed attach");
            }
        }
        let new: Vec<Endpoint> = self.places.iter().map(|place| place.endpoint.clone()).collect();
        for endpoint in new.iter().filter(|_| self.has_links) {
            self.inner.bury(endpoint);
        }
        locked(&self.inner.book).leave(&new);
    }
}

/// The gateway that leads out of a network from one of its addresses; an internal one has none, nor has one on top of
/// nothing.
fn way_out(spec: &NetworkSpec, address: Option<IpNet>) -> Option<IpAddr> {
    let pool = spec.pool_with(address?.address())?;
    let ipv4 = pool.subnet.is_ipv4();
    if spec.internal {
        return None;
    }
    match &spec.driver {
        Driver::Bridge(options) if options.gateway_mode(ipv4) == GatewayMode::Isolated => None,
        Driver::Bridge(_) => {
            let other = pool.auxiliary.get(if ipv4 { GATEWAY_IPV4 } else { GATEWAY_IPV6 });
            other.copied().or(pool.gateway)
        }
        Driver::Macvlan(options) => pool.gateway.filter(|_| options.parent.is_some()),
        Driver::Ipvlan(options) => pool.gateway.filter(|_| options.parent.is_some()),
    }
}

/// The settings of an endpoint's interface. `default_ipv6`: what interfaces in this sandbox do about IPv6
/// unless they are told.
fn settings(
    wish: &EndpointRequest,
    spec: &NetworkSpec,
    interface: &str,
    default_ipv6: bool,
) -> Result<Vec<(String, String)>, AttachError> {
    let mut settings = Vec::new();
    let ipv6 = spec.ipv6.is_some() && wish.has_ipv6;
    if ipv6 != default_ipv6 {
        settings = sysctl::interface_ipv6(interface, ipv6);
    }
    for (name, value) in &wish.sysctls {
        let file = sysctl::of_interface(name, interface).ok_or_else(|| {
            let name: String = name.chars().take(128).collect();
            AttachError::Endpoint(format!(
                "sysctl {name:?} can't be set for an endpoint: want net.ipv4.conf.IFNAME.…, net.ipv4.neigh.IFNAME.…, the same of ipv6, or net.mpls.conf.IFNAME.…"
            ))
        })?;
        settings.push((file, value.clone()));
    }
    Ok(settings)
}

/// 64 random hexadecimal digits.
fn random_id() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
