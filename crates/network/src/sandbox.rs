//! A sandbox's network namespace and the interfaces in it.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use minke_netlink::{
    Error,
    namespace::{self, Making},
    route::{Batch, IpvlanMode, Link, RouteSocket, Slave, SlaveKind, Veth},
};

use crate::{
    AttachError, Endpoint,
    bridge::{GROUP_PORT, MadeBridge},
    naming::ENDPOINT_DIGITS,
    ready, sysctl,
    vlan::Parent,
};

/// A network namespace with lo up, and a socket that was opened in it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) netns: OwnedFd,
    route: RouteSocket,
}

/// A place on a network with what it takes to make it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) endpoint: Endpoint,
    pub(crate) device: Device,
    /// Settings of the sandbox's interface, files below /proc/sys with their values.
    pub(crate) settings: Vec<(String, String)>,
}

/// What an endpoint hangs on.
#[derive(Debug, Clone)]
pub(crate) enum Device {
    /// A port of a bridge, which has these addresses itself.
    Bridge { bridge: MadeBridge, name: String, addresses: Vec<IpAddr>, mtu: u32, isolated: bool },
    /// On top of an interface of the host's.
    Vlan(Parent),
}

/// The default routes of a sandbox: the interface and gateway of each family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DefaultRoutes {
    pub(crate) ipv4: Option<Endpoint>,
    pub(crate) ipv6: Option<Endpoint>,
}

/// Begins to make a network namespace; the caller does its other work meanwhile.
///
/// # Errors
/// When no thread could be started for it.
pub(crate) fn begin(ipv6: bool) -> io::Result<Making<Sandbox>> {
    namespace::make(move || {
        sysctl::default_ipv6(ipv6);
        let mut route = RouteSocket::open().map_err(io::Error::other)?;
        route.run(Batch::new().up("lo")).map_err(io::Error::other)?;
        Ok(Sandbox { netns: namespace::current()?, route })
    })
}

/// A fresh network namespace with lo up and nothing else, for `--network none`.
///
/// # Errors
/// When the kernel makes no namespace (no CAP_SYS_ADMIN, the limit of namespaces).
pub fn loopback_only() -> io::Result<OwnedFd> {
    let making = namespace::make(|| {
        let mut route = RouteSocket::open().map_err(io::Error::other)?;
        route.run(Batch::new().up("lo")).map_err(io::Error::other)?;
        namespace::current()
    })?;
    making.finish()
}

impl Sandbox {
    /// The sandbox of a running container.
    pub(crate) fn enter(netns: BorrowedFd<'_>) -> Result<Self, AttachError> {
        let route = namespace::run_in(netns, RouteSocket::open).map_err(AttachError::Namespace)?;
        let route = route.map_err(|error| AttachError::Namespace(io::Error::other(error)))?;
        Ok(Self { netns: netns.try_clone_to_owned().map_err(AttachError::Namespace)?, route })
    }

    /// Whether an interface of this name is there.
    pub(crate) fn has(&mut self, interface: &str) -> bool {
        matches!(self.route.link(interface), Ok(Some(_)))
    }

    /// Makes the interfaces, in one batch. `host` is a socket of the host's namespace. After an error there
    /// is none of that one which was refused: the kernel makes each whole or not at all.
    pub(crate) fn make_links(&self, host: &mut RouteSocket, places: &[Place]) -> Result<(), AttachError> {
        let mut batch = Batch::new();
        for place in places {
            let (endpoint, namespace) = (&place.endpoint, self.netns.as_fd());
            batch = match (&place.device, &endpoint.host_interface) {
                (Device::Bridge { bridge, mtu, isolated, .. }, Some(name)) => {
                    let veth = Veth {
                        name,
                        bridge: Some(bridge.index),
                        group: GROUP_PORT,
                        peer: &endpoint.interface,
                        peer_mac: endpoint.mac.octets(),
                        namespace,
                        mtu: *mtu,
                    };
                    batch.veth(&veth).bridge_port_up(name, *isolated, sysctl::takes_ipv6(*mtu))
                }
                (Device::Vlan(parent), _) => batch.slave(Slave {
                    name: &endpoint.interface,
                    parent: parent.index,
                    // ipvlan has its parent's.
                    mac: matches!(parent.kind, SlaveKind::Macvlan(_)).then(|| endpoint.mac.octets()),
                    mtu: parent.mtu,
                    namespace,
                    kind: parent.kind,
                }),
                (Device::Bridge { .. }, None) => batch,
            };
        }
        let interface = places.first().map(|place| place.endpoint.interface.clone()).unwrap_or_default();
        host.run(batch).map_err(|source| match (source.is_unsupported(), places) {
            (true, [Place { device: Device::Vlan(parent), .. }, ..]) => {
                AttachError::NoDriver(match parent.kind {
                    SlaveKind::Macvlan(_) => "macvlan",
                    SlaveKind::Ipvlan(..) => "ipvlan",
                })
            }
            _ => AttachError::Plumb { interface, source },
        })
    }

    /// Changes the settings of the interfaces and gives them their addresses; then the sandbox has these
    /// default routes and no others.
    pub(crate) fn plumb(&mut self, places: &[Place], routes: &DefaultRoutes) -> Result<(), AttachError> {
        let mut settings = Vec::new();
        for place in places.iter().filter(|place| !place.settings.is_empty()) {
            let link = self.link(&place.endpoint.interface).map_err(failed(&place.endpoint))?;
            // Not one by one: a later one may change what an earlier one says.
            if !place.settings.iter().all(|setting| sysctl::is_so(&link, setting)) {
                settings.extend(place.settings.clone());
            }
        }
        if !settings.is_empty() {
            namespace::run_in(self.netns.as_fd(), || sysctl::write_all(&settings))
                .map_err(AttachError::Namespace)??;
        }
        for place in places {
            let endpoint = &place.endpoint;
            let failed = failed(endpoint);
            let index = self.index(&endpoint.interface).map_err(&failed)?;
            let mut batch = Batch::new().up(&endpoint.interface);
            for net in endpoint.addresses() {
                batch = batch.address(index, net.address(), net.prefix_len());
            }
            for address in &endpoint.link_local {
                batch = batch.address(index, *address, if address.is_ipv4() { 16 } else { 64 });
            }
            // One of somebody else's may take another hardware address when a port joins it.
            if let Device::Bridge { bridge, addresses, .. } = &place.device
                && bridge.ours
            {
                for gateway in gateways(endpoint).filter(|gateway| addresses.contains(gateway)) {
                    batch = batch.neighbour(index, gateway, bridge.mac);
                }
            }
            self.route.run(batch).map_err(&failed)?;
        }
        self.set_default_routes(places, routes)
    }

    /// Changes what an interface knows of its neighbours.
    pub(crate) fn meet(
        &mut self,
        endpoint: &Endpoint,
        neighbours: impl FnOnce(Batch, u32) -> Batch,
    ) -> Result<(), AttachError> {
        let failed = failed(endpoint);
        let index = self.index(&endpoint.interface).map_err(&failed)?;
        self.route.run(neighbours(Batch::new(), index)).map_err(failed)
    }

    /// Replaces the default routes.
    pub(crate) fn set_default_routes(
        &mut self,
        places: &[Place],
        routes: &DefaultRoutes,
    ) -> Result<(), AttachError> {
        for (ipv4, endpoint) in [(true, &routes.ipv4), (false, &routes.ipv6)] {
            let Some(endpoint) = endpoint else { continue };
            let failed = failed(endpoint);
            let index = self.index(&endpoint.interface).map_err(&failed)?;
            let gateway = gateways(endpoint).find(|gateway| gateway.is_ipv4() == ipv4);
            let layer3 = places.iter().any(|place| {
                place.endpoint.endpoint_id == endpoint.endpoint_id
                    && matches!(
                        &place.device,
                        Device::Vlan(Parent {
                            kind: SlaveKind::Ipvlan(IpvlanMode::L3 | IpvlanMode::L3s, _),
                            ..
                        })
                    )
            });
            let batch = match gateway {
                Some(_) if layer3 => Batch::new().default_route_on_link(index, ipv4),
                Some(gateway) => Batch::new().default_route(index, gateway),
                None => continue,
            };
            self.route.run(batch).map_err(&failed)?;
        }
        Ok(())
    }

    /// Takes the default route of a family away.
    pub(crate) fn remove_default_route(&mut self, ipv4: bool) -> Result<(), Error> {
        self.route.run(Batch::new().remove_default_route(ipv4))
    }

    /// Takes an interface out of use at once: down, without addresses and routes, and its name free. Its
    /// removal, which takes the kernel some 20 ms, is left to who removes its other end.
    pub(crate) fn retire(&mut self, endpoint: &Endpoint) -> Result<(), Error> {
        let index = self.index(&endpoint.interface)?;
        let digits = endpoint.endpoint_id.get(..ENDPOINT_DIGITS).unwrap_or_default();
        self.route.run(Batch::new().down(&endpoint.interface).rename(index, &format!("gone{digits}")))
    }

    /// Removes an interface; one that is gone is no error.
    pub(crate) fn remove(&mut self, interface: &str) -> Result<(), Error> {
        self.route.run(Batch::new().remove(interface))
    }

    /// Waits until packets get through between the sandbox and its bridges, and tells the host where
    /// the sandbox is. It would find out by asking, but each question goes to all sandboxes of the
    /// bridge, a thousand copies of one overflow the kernel's queues, and the neighbours that all
    /// namespaces have found share one small table.
    pub(crate) fn join(&mut self, host: &mut RouteSocket, places: &[Place]) -> Result<(), AttachError> {
        let mut batch = Batch::new();
        for place in places {
            let endpoint = &place.endpoint;
            let failed = failed(endpoint);
            if let Some(address) = endpoint.address_ipv6() {
                ready::wait_until_own(&mut self.route, address).map_err(&failed)?;
            }
            let (Device::Bridge { name, bridge, .. }, Some(interface)) =
                (&place.device, &endpoint.host_interface)
            else {
                continue;
            };
            ready::wait_until_operational(&mut self.route, &[&endpoint.interface]).map_err(&failed)?;
            let links = ready::wait_until_operational(host, &[name, interface]).map_err(&failed)?;
            let Some(port) = links.last() else { continue };
            batch = known(batch, bridge.index, port.index, endpoint);
        }
        let interface = places.first().map(|place| place.endpoint.interface.clone()).unwrap_or_default();
        host.run(batch).map_err(|source| AttachError::Plumb { interface, source })
    }

    fn index(&mut self, interface: &str) -> Result<u32, Error> {
        self.link(interface).map(|link| link.index)
    }

    fn link(&mut self, interface: &str) -> Result<Link, Error> {
        let found = self.route.link(interface)?;
        found.ok_or_else(|| Error::missing(&format!("find interface {interface} in the sandbox")))
    }
}

/// What the host and the bridge are told about who is behind a port.
pub(crate) fn known(mut batch: Batch, bridge: u32, port: u32, endpoint: &Endpoint) -> Batch {
    for net in endpoint.addresses() {
        batch = batch.neighbour(bridge, net.address(), endpoint.mac.octets());
    }
    batch.behind_port(port, endpoint.mac.octets())
}

fn gateways(endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    let ipv4 = endpoint.gateway_ipv4.map(Into::into);
    ipv4.into_iter().chain(endpoint.gateway_ipv6.map(Into::into))
}

fn failed(endpoint: &Endpoint) -> impl Fn(Error) -> AttachError {
    let interface = endpoint.host_interface.clone().unwrap_or_else(|| endpoint.interface.clone());
    move |source| AttachError::Plumb { interface: interface.clone(), source }
}
