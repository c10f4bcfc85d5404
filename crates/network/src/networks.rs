//! The networks of one engine: create and remove, attach and detach, connect and disconnect, restore,
//! reconcile, close.
//!
//! ```text
//! attach:  namespace (own thread) ┐
//!          tables, bridges ─ addresses ─ host ports ─ links, addresses, routes ─ one nftables transaction
//! detach:  elements ─ addresses ─ veths (later)     (also what undoes an attach that failed)
//! ```
//!
//! Attaches run side by side: the locks are held for look-ups, for making bridges and for the
//! one nftables transaction. The kernel's own lock on links (rtnl) is the limit.
//!
//! | file | its question |
//! |---|---|
//! | `book` | which networks and endpoints are there, and which addresses do they have? |
//! | `registry` | may this network be made, and as what? |
//! | `devices` | which bridges are there, and does the host forward? |
//! | `making` | what does a sandbox get, and how is that taken back? |
//! | `running` | how does a running sandbox come to a network or leave it? |
//! | `links` | what does a link open where containers don't reach each other? |
//! | `restore` | what is in the kernel against what should be? |
//! | `reaper` | who removes veth pairs where nobody waits for it? |

mod book;
mod devices;
mod links;
mod making;
mod reaper;
mod registry;
mod restore;
mod running;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use minke_model::{ContainerId, NetworkId};
use minke_netlink::route::RouteSocket;

use crate::{
    AddressPool, AttachError, AttachRequest, Attached, Attachment, CloseError, DetachError, DnsSockets,
    Endpoint, EndpointRequest, Failures, NetworkConfig, NetworkSpec, OpenError, PortError, Protocol,
    PublishedPort, Relay, RestoreError, bridge, dns,
    error::chain,
    firewall::{Change, Firewall, Item, Strangers},
    foreign::{Foreign, Ours},
    naming::Names,
    pool,
    ports::{self, Bindings},
    publish, sandbox,
    state::StateFile,
};
use book::Book;
use devices::Devices;
use making::Making;
use reaper::{Reaper, Remains};

/// Docker's default MTU of a bridge network, in bytes.
const DEFAULT_MTU: u32 = 1500;

/// The networks of one engine. Clones share everything.
#[derive(Clone, Debug)]
pub struct Networks(Arc<Inner>);

/// A port and the socket that reserves it.
type Held = (PublishedPort, OwnedFd);

#[derive(Debug)]
struct Inner {
    names: Names,
    config: NetworkConfig,
    mtu: u32,
    /// Where subnets come from that nobody chose, of both families.
    pools: Vec<AddressPool>,
    state: StateFile,
    firewall: Firewall,
    /// The host's other firewalls.
    foreign: Foreign,
    book: Mutex<Book>,
    devices: Mutex<Devices>,
    /// Ports of sandboxes that nobody else reserves.
    held: Mutex<HashMap<ContainerId, Vec<Held>>>,
    /// What links opened, by the sandbox that has them.
    links: Mutex<HashMap<ContainerId, Vec<Item>>>,
    /// Removes the host's ends of veth pairs behind the scenes.
    reaper: Reaper,
    /// Attach and detach share it; restore and close want to be alone.
    lifecycle: RwLock<()>,
    /// Everything was removed for good.
    closed: AtomicBool,
}

impl Networks {
    /// Checks the configuration. Makes nothing: an engine that runs nothing leaves nothing. Then come
    /// [`adopt`](Self::adopt) for each network that is stored, [`default_bridge`](Self::default_bridge) if there is to be
    /// one, and [`restore`](Self::restore), in this order.
    ///
    /// # Errors
    /// [`OpenError`], for a configuration that can't work or a state that can't be read.
    pub fn open(mut config: NetworkConfig) -> Result<Self, OpenError> {
        let names = Names::new(&config.prefix)?;
        config.bridge = config.bridge.filter(|name| *name != names.bridge);
        if let Some(name) = &config.bridge {
            [config.subnet, config.subnet_ipv6] =
                bridge::addresses_of_others(name, [config.range, config.range_ipv6])?;
        }
        config.subnet = config.subnet.or(config.range);
        config.subnet_ipv6 = config.subnet_ipv6.or(config.range_ipv6);
        let mtu = config.mtu.unwrap_or(DEFAULT_MTU);
        if !(68..=65_535).contains(&mtu) {
            return Err(OpenError::Mtu(mtu));
        }
        registry::check_config(&config)?;
        let state = StateFile::new(&config.state);
        let remembered = state.read().map_err(|source| OpenError::State { path: state.path(), source })?;
        Ok(Self(Arc::new(Inner {
            firewall: Firewall::new(&names.table, config.pin_sources, config.obey_input),
            foreign: Foreign::default(),
            names,
            mtu,
            pools: pools(&config),
            config,
            state,
            book: Mutex::default(),
            devices: Mutex::new(Devices::new(remembered)),
            held: Mutex::default(),
            links: Mutex::default(),
            reaper: Reaper::default(),
            lifecycle: RwLock::default(),
            closed: AtomicBool::new(false),
        })))
    }

    /// After an engine restart: takes over what living sandboxes use, and removes every interface,
    /// nftables element and state of ours that none of them owns. Repairs what is missing.
    ///
    /// # Errors
    /// [`RestoreError`] lists what failed; everything else was done.
    pub fn restore(&self, living: &[Attachment]) -> Result<(), RestoreError> {
        let _alone = self.0.lifecycle.write().unwrap_or_else(PoisonError::into_inner);
        self.0.reaper.finish();
        let failures = restore::restore(&self.0, living);
        if failures.is_empty() { Ok(()) } else { Err(RestoreError { failures: Failures(failures) }) }
    }

    /// Makes the bridges of all networks, with their rules, as far as they are missing: for what programs of the host and its
    /// administrator want to find there before the first container. After [`restore`](Self::restore).
    ///
    /// # Errors
    /// [`RestoreError`] lists what failed; everything else was done. An attach will try again.
    pub fn prepare(&self) -> Result<(), RestoreError> {
        let inner = &*self.0;
        let networks: Vec<_> = locked(&inner.book).specs().collect();
        let mut failures = Vec::new();
        for spec in networks.iter().filter(|spec| spec.bridge().is_some()) {
            let _shared = inner.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
            if inner.closed.load(Ordering::Relaxed) {
                break;
            }
            // One that was removed meanwhile is none that failed.
            let Some(spec) = inner.spec(&spec.id) else { continue };
            let specs = [Arc::new(spec)];
            let made = open_route(&inner.names).and_then(|mut host| inner.ensure_devices(&mut host, &specs));
            failures.extend(made.err().map(|error| chain(&error)));
        }
        if failures.is_empty() { Ok(()) } else { Err(RestoreError { failures: Failures(failures) }) }
    }

    /// Looks whether what should be in the kernel is there, and repairs what others deleted, flushed or
    /// changed: bridges, ports of bridges, settings, the firewall. Cheap when nothing is wrong; for a timer.
    ///
    /// # Errors
    /// [`RestoreError`] lists what could not be repaired.
    pub fn reconcile(&self) -> Result<(), RestoreError> {
        let _alone = self.0.lifecycle.write().unwrap_or_else(PoisonError::into_inner);
        let failures = restore::reconcile(&self.0);
        if failures.is_empty() { Ok(()) } else { Err(RestoreError { failures: Failures(failures) }) }
    }

    /// A fresh network namespace with an interface on each of the networks. Bridges, tables and
    /// forwarding are made when first needed.
    ///
    /// # Errors
    /// [`AttachError`]; nothing of the sandbox is left then.
    pub fn attach(&self, request: AttachRequest) -> Result<Attached, AttachError> {
        let inner = &*self.0;
        let _shared = inner.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
        let specs = inner.specs(request.endpoints.iter().map(|endpoint| &endpoint.network))?;
        let has_ipv6 =
            |(wish, spec): (&EndpointRequest, &Arc<NetworkSpec>)| wish.has_ipv6 && spec.ipv6.is_some();
        let ipv6 = request.endpoints.iter().zip(&specs).any(has_ipv6);
        let beginning = sandbox::begin(ipv6).map_err(AttachError::Namespace)?;
        let mut host = open_route(&inner.names)?;
        let devices = inner.ensure_devices(&mut host, &specs)?;
        // The default network may have another subnet now.
        let specs = inner.specs(specs.iter().map(|spec| &spec.id))?;
        let mut making = Making::new(inner, request.id.clone());
        for ((wish, spec), device) in request.endpoints.iter().zip(&specs).zip(devices) {
            making.add(wish, spec, device, ipv6, |_| false)?;
        }
        let held = making.reserve_ports(&request.ports)?;

        let mut sandbox = beginning.finish().map_err(AttachError::Namespace)?;
        sandbox.make_links(&mut host, making.places())?;
        making.has_links();
        sandbox.plumb(making.places(), &making.default_routes())?;
        making.publish()?;
        sandbox.join(&mut host, making.places())?;
        let netns = sandbox.netns;
        let dns = if request.dns { Some(dns::open(netns.as_fd())?) } else { None };
        Ok(Attached { netns, held, attachment: making.keep(), dns })
    }

    /// Closes a sandbox's published ports, frees its addresses and queues its interfaces for removal,
    /// which the kernel needs some 30 ms for. What is gone already is no error, so this may be
    /// called again.
    ///
    /// # Errors
    /// [`DetachError`] lists what failed; everything else was done.
    pub fn detach(&self, attachment: &Attachment) -> Result<(), DetachError> {
        let _shared = self.0.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
        let failures = self.0.tear_down(attachment, true, true);
        if failures.is_empty() {
            return Ok(());
        }
        let interface = attachment.endpoints.iter().find_map(|endpoint| endpoint.host_interface.clone());
        Err(DetachError { interface: interface.unwrap_or_default(), failures: Failures(failures) })
    }

    /// Opens the embedded name server's sockets in a sandbox that lives already, after an engine restart;
    /// port 53 of 127.0.0.11 then leads to them.
    ///
    /// # Errors
    /// [`AttachError::Dns`].
    pub fn dns_sockets(&self, netns: BorrowedFd<'_>) -> Result<DnsSockets, AttachError> {
        dns::open(netns)
    }

    /// The ways to published ports of an attachment where no rule may lead, with sockets of their own to take traffic at.
    /// What rules catch never comes there. A port stays reserved beside them until its sandbox is detached.
    ///
    /// # Errors
    /// [`PortError::Refused`] when a socket can't listen: somebody else does on its port, or there are no descriptors left.
    pub fn relays(&self, attachment: &Attachment) -> Result<Vec<Relay>, PortError> {
        let mut relays = Vec::new();
        let held = locked(&self.0.held);
        for (port, socket) in held.get(&attachment.id).into_iter().flatten() {
            let Some(target) = self.0.relay_target(attachment, port) else { continue };
            let socket = ports::open_up(socket, port.protocol)
                .map_err(Into::into)
                .and_then(|()| socket.try_clone())
                .map_err(|error| ports::cannot_listen(port, &error))?;
            relays.push(Relay { port: *port, target, socket });
        }
        Ok(relays)
    }

    /// Removes bridges and tables if no sandbox is attached; else does nothing. Forwarding stays on,
    /// since others may rely on it by now.
    ///
    /// # Errors
    /// [`CloseError`] lists what failed; everything else was done.
    pub fn close(&self) -> Result<(), CloseError> {
        let _alone = self.0.lifecycle.write().unwrap_or_else(PoisonError::into_inner);
        if locked(&self.0.book).is_used() {
            return Ok(());
        }
        self.0.closed.store(true, Ordering::Relaxed);
        self.0.reaper.finish();
        let failures = restore::remove_all(&self.0);
        if failures.is_empty() {
            return Ok(());
        }
        Err(CloseError { prefix: self.0.names.table.clone(), failures: Failures(failures) })
    }

    /// Whose endpoints are on a network.
    pub fn members(&self, network: &NetworkId) -> Vec<ContainerId> {
        locked(&self.0.book).containers_on(network)
    }

    /// What on this host keeps containers from being reached or from reaching others, one sentence
    /// with a remedy for each: chains of other firewalls that drop our packets. For `docker info`.
    ///
    /// Looks at the host each time (0.1 ms and more, blocking). It is also looked at, and what is new
    /// is logged, when a bridge is made and by an attach now and then.
    pub fn warnings(&self) -> Vec<String> {
        let specs = self.0.watched();
        specs.iter().filter_map(|spec| Some(self.0.foreign.check(self.0.ours(spec)?))).flatten().collect()
    }
}

impl Inner {
    fn specs<'a>(
        &self,
        networks: impl Iterator<Item = &'a NetworkId>,
    ) -> Result<Vec<Arc<NetworkSpec>>, AttachError> {
        let book = locked(&self.book);
        networks.map(|id| book.spec(id).ok_or_else(|| AttachError::NoNetwork(id.clone()))).collect()
    }

    fn spec(&self, id: &NetworkId) -> Option<NetworkSpec> {
        locked(&self.book).spec(id).map(|spec| (*spec).clone())
    }

    /// What the firewall holds for an attachment.
    fn items(&self, attachment: &Attachment) -> Vec<Item> {
        publish::items(attachment, &|id| self.spec(id), self.config.direct_routing)
    }

    /// What it holds for the ports of an attachment.
    fn port_items(&self, attachment: &Attachment) -> Vec<Item> {
        publish::port_items(attachment, &|id| self.spec(id), self.config.direct_routing)
    }

    /// For which families the host is to be no router but for containers.
    fn strangers(&self, devices: &Devices) -> Strangers {
        let keep_out = !self.config.forward_for_others;
        Strangers {
            ipv4: keep_out && devices.state.enabled_forwarding,
            ipv6: keep_out && devices.state.enabled_forwarding_ipv6,
        }
    }

    /// The networks that other firewalls should let through: the default one, and all that have a bridge.
    fn watched(&self) -> Vec<Arc<NetworkSpec>> {
        let made = locked(&self.devices).bridges();
        let book = locked(&self.book);
        let is_watched = |spec: &Arc<NetworkSpec>| {
            made.contains(&spec.id) || spec.bridge().is_some_and(|options| options.default_bridge)
        };
        book.specs().filter(is_watched).collect()
    }

    /// What other firewalls should let through. A subnet's highest address but one stands for all.
    fn ours<'a>(&'a self, spec: &'a NetworkSpec) -> Option<Ours<'a>> {
        let bridge = spec.bridge()?.name.as_deref()?;
        let subnet = spec.ipv4.as_ref()?.subnet;
        match subnet.nth(subnet.last_place().saturating_sub(1))? {
            IpAddr::V4(container) => Some(Ours { table: &self.names.table, bridge, container }),
            IpAddr::V6(_) => None,
        }
    }

    /// Takes back all that an attach did, the elements and interfaces only if it made some; returns what
    /// failed.
    fn tear_down(&self, attachment: &Attachment, has_elements: bool, has_links: bool) -> Vec<String> {
        let mut failures = Vec::new();
        if has_elements {
            let remove = self.items(attachment);
            if let Err(error) = self.firewall.apply(&Change { remove, add: Vec::new() }) {
                failures.push(chain(&error));
            }
        }
        for endpoint in attachment.endpoints.iter().filter(|_| has_links) {
            self.bury(endpoint);
        }
        locked(&self.book).leave(&attachment.endpoints);
        failures.extend(self.unlink(&attachment.id).err().map(|error| chain(&error)));
        locked(&self.held).remove(&attachment.id);
        failures
    }

    /// Where a relay leads from a published port, if it needs one.
    fn relay_target(&self, attachment: &Attachment, port: &PublishedPort) -> Option<SocketAddr> {
        publish::relay_target(attachment, port, &|id| self.spec(id)).filter(|_| self.config.relay)
    }

    /// Whether a sandbox of this engine has a port.
    fn has_port(&self, address: IpAddr, protocol: Protocol, port: u16) -> bool {
        self.firewall.has_port(address, protocol, port)
            || locked(&self.held).values().flatten().any(|(held, _)| held.clashes(address, protocol, port))
    }

    /// Where a sandbox's ports may be published.
    fn bindings(&self, attachment: &Attachment) -> Bindings {
        publish::bindings(attachment, &|id| self.spec(id), self.config.relay)
    }

    /// Keeps sockets as long as a sandbox is attached.
    fn hold(&self, sandbox: &ContainerId, sockets: Vec<Held>) {
        if !sockets.is_empty() {
            locked(&self.held).entry(sandbox.clone()).or_default().extend(sockets);
        }
    }

    /// Queues an endpoint's interface for removal; what is on top of another goes with its namespace.
    fn bury(&self, endpoint: &Endpoint) {
        if let Some(interface) = endpoint.host_interface.clone() {
            self.reaper.remove(Remains {
                interface,
                bridge: locked(&self.devices).bridge(&endpoint.network).map(|bridge| bridge.index),
                addresses: endpoint.addresses().map(|net| net.address()).collect(),
            });
        }
    }
}

fn open_route(names: &Names) -> Result<RouteSocket, AttachError> {
    RouteSocket::open().map_err(|source| AttachError::Bridge { bridge: names.bridge.clone(), source })
}

/// The configured pools; a family without any has Docker's.
fn pools(config: &NetworkConfig) -> Vec<AddressPool> {
    let mut pools = config.pools.clone();
    if !pools.iter().any(|pool| pool.base.is_ipv4()) {
        pools.extend(pool::docker_pools());
    }
    if pools.iter().all(|pool| pool.base.is_ipv4()) {
        let seed = if config.seed.is_empty() { &config.prefix } else { &config.seed };
        pools.push(pool::unique_local_pool(seed));
    }
    pools
}

/// A lock whose holder panicked still guards data that every step leaves whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
