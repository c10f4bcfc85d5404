//! The networks of one engine: attach, detach, restore, close.
//!
//! ```text
//! attach:  namespace (own thread) ┐
//!          table, bridge ─ address ─ host ports ─ veth, address, route ─ elements of the ports
//! detach:  elements ─ address ─ veth (later)      (also what undoes an attach that failed)
//! ```
//!
//! Attaches run side by side: the locks are held for look-ups, for making the bridge and for the
//! one nftables transaction. The kernel's own lock on links (rtnl) is the limit.

mod endpoint;
mod reaper;
mod restore;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use minke_model::NetworkId;
use minke_netlink::route::RouteSocket;

use crate::{
    AttachError, AttachRequest, Attached, Attachment, CloseError, CreateError, DetachError, DnsSockets,
    Driver, EndpointRequest, Failures, IpNet, Ipv4Net, NetworkConfig, NetworkRequest, NetworkSpec, OpenError,
    Pool, RemoveError, RestoreError,
    allocator::Allocator,
    attachment::Single,
    bridge::{self, BridgePlan},
    BridgeOptions,
    error::chain,
    firewall::{BridgeRules, Firewall},
    foreign::{Foreign, Ours},
    naming::Names,
    pool, sandbox,
    state::{BridgeState, StateFile},
    sysctl,
};
use endpoint::Endpoint;
use reaper::{Reaper, Remains};

/// Docker's default MTU of a bridge network, in bytes.
const DEFAULT_MTU: u32 = 1500;
/// The sandbox's end of the veth pair.
const INTERFACE: &str = "eth0";

/// The networks of one engine. Clones share everything.
#[derive(Clone, Debug)]
pub struct Networks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: Names,
    mtu: u32,
    /// `--bip`, which is never given up for another subnet.
    fixed: Option<Ipv4Net>,
    state: StateFile,
    firewall: Firewall,
    /// The host's other firewalls.
    foreign: Foreign,
    plan: Mutex<Plan>,
    made: Mutex<Made>,
    /// What is attached, by endpoint id.
    live: Mutex<BTreeMap<String, Single>>,
    /// The networks that are known.
    specs: Mutex<BTreeMap<NetworkId, NetworkSpec>>,
    /// Removes the host's ends of veth pairs behind the scenes.
    reaper: Reaper,
    /// Attach and detach share it; restore and close want to be alone.
    lifecycle: RwLock<()>,
}

/// The subnet of the default bridge and its addresses.
#[derive(Debug)]
struct Plan {
    /// The bridge's own address with the subnet's prefix length.
    bridge: Ipv4Net,
    addresses: Allocator,
}

/// What this engine knows to be in the kernel.
#[derive(Debug, Default)]
struct Made {
    /// The index of the bridge whose address and settings were checked.
    bridge: Option<u32>,
    /// Whether the bridge routes loopback addresses.
    routes_loopback: bool,
    enabled_forwarding: bool,
}

impl Plan {
    fn new(bridge: Ipv4Net) -> Self {
        Self { bridge, addresses: Allocator::new(bridge, bridge.address()) }
    }
}

impl Networks {
    /// Checks the configuration and chooses the default bridge's subnet. Makes nothing: an engine
    /// that runs nothing leaves nothing.
    ///
    /// # Errors
    /// [`OpenError`], for a configuration that can't work or a host that can't be read.
    pub fn open(config: NetworkConfig) -> Result<Self, OpenError> {
        let names = Names::new(&config.prefix)?;
        let mtu = config.mtu.unwrap_or(DEFAULT_MTU);
        if !(68..=65_535).contains(&mtu) {
            return Err(OpenError::Mtu(mtu));
        }
        let fixed = config.subnet.map(bridge_address).transpose()?;
        let state = StateFile::new(&config.state);
        let remembered = state.read().map_err(|source| OpenError::State { path: state.path(), source })?;
        let plan = Plan::new(choose_subnet(&names, fixed, remembered.bridge)?);
        Ok(Self(Arc::new(Inner {
            firewall: Firewall::new(&names.table),
            foreign: Foreign::default(),
            names,
            mtu,
            fixed,
            state,
            plan: Mutex::new(plan),
            made: Mutex::new(Made { enabled_forwarding: remembered.enabled_forwarding, ..Made::default() }),
            live: Mutex::default(),
            specs: Mutex::default(),
            reaper: Reaper::default(),
            lifecycle: RwLock::default(),
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
        let living: Vec<Single> = living.iter().filter_map(Single::of).collect();
        let failures = restore::restore(&self.0, &living);
        if failures.is_empty() { Ok(()) } else { Err(RestoreError { failures: Failures(failures) }) }
    }

    /// A fresh network namespace with an interface on the default bridge. Bridge, table and
    /// forwarding are made when first needed.
    ///
    /// # Errors
    /// [`AttachError`]; nothing of the sandbox is left then.
    pub fn attach(&self, request: AttachRequest) -> Result<Attached, AttachError> {
        let Some(first) = request.endpoints.first() else {
            let netns = sandbox::loopback_only().map_err(AttachError::Namespace)?;
            let attachment = Attachment { id: request.id, endpoints: Vec::new(), ports: Vec::new() };
            return Ok(Attached { netns, held: Vec::new(), attachment, dns: None });
        };
        let network = first.network.clone();
        if !locked(&self.0.specs).contains_key(&network) {
            return Err(AttachError::NoNetwork(network));
        }
        let _shared = self.0.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
        let making = sandbox::begin().map_err(AttachError::Namespace)?;
        let mut host = open_route(&self.0.names)?;
        let bridge = self.0.ensure_bridge(&mut host)?;
        let mut endpoint = Endpoint::new(&self.0, &request)?;
        let held = endpoint.reserve_ports(&request.ports)?;

        let mut sandbox = making.finish().map_err(AttachError::Namespace)?;
        let mac = endpoint.attachment().mac;
        let interface = endpoint.attachment().host_interface.clone();
        let failed = |source| AttachError::Plumb { interface: interface.clone(), source };
        sandbox.make_pair(&mut host, bridge, self.0.mtu, mac, endpoint.attachment()).map_err(failed)?;
        endpoint.has_interface();
        let attachment = endpoint.attachment();
        sandbox.plumb(&mut host, attachment).map_err(failed)?;
        endpoint.publish()?;
        sandbox.join(&mut host, (&self.0.names.bridge, bridge), mac, attachment).map_err(failed)?;
        Ok(Attached { netns: sandbox.netns, held, attachment: endpoint.keep().on(network), dns: None })
    }

    /// Closes a sandbox's published ports, frees its address and queues its interface for removal,
    /// which the kernel needs some 30 ms for. What is gone already is no error, so this may be
    /// called again.
    ///
    /// # Errors
    /// [`DetachError`] lists what failed; everything else was done.
    pub fn detach(&self, attachment: &Attachment) -> Result<(), DetachError> {
        let Some(attachment) = &Single::of(attachment) else { return Ok(()) };
        let _shared = self.0.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
        let failures = self.0.tear_down(attachment, true);
        if failures.is_empty() {
            return Ok(());
        }
        Err(DetachError { interface: attachment.host_interface.clone(), failures: Failures(failures) })
    }

    /// Removes bridge and table if no sandbox is attached; else does nothing. Forwarding stays on,
    /// since others may rely on it by now.
    ///
    /// # Errors
    /// [`CloseError`] lists what failed; everything else was done.
    pub fn close(&self) -> Result<(), CloseError> {
        let _alone = self.0.lifecycle.write().unwrap_or_else(PoisonError::into_inner);
        if !locked(&self.0.live).is_empty() {
            return Ok(());
        }
        self.0.reaper.finish();
        let failures = restore::remove_all(&self.0);
        if failures.is_empty() {
            return Ok(());
        }
        Err(CloseError { prefix: self.0.names.table.clone(), failures: Failures(failures) })
    }

    /// What on this host keeps containers from being reached or from reaching others, one sentence
    /// with a remedy for each: chains of other firewalls that drop our packets. For `docker info`.
    ///
    /// Looks at the host each time (0.1 ms and more, blocking). It is also looked at, and what is new
    /// is logged, when the bridge is made and by an attach now and then.
    pub fn warnings(&self) -> Vec<String> {
        self.0.foreign.check(self.0.ours(locked(&self.0.plan).bridge))
    }

    /// The default bridge network with this id, as the daemon's configuration has it. Its pool stays the
    /// one that an earlier engine chose as long as that is free. Call it once, before
    /// [`Networks::restore`]; afterwards it is a network like any other, but for [`Networks::remove`].
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn default_bridge(&self, id: NetworkId) -> Result<NetworkSpec, CreateError> {
        let bridge = locked(&self.0.plan).bridge;
        let pool = Pool {
            subnet: IpNet::new(bridge.first().into(), bridge.prefix_len()),
            range: None,
            gateway: Some(bridge.address().into()),
            auxiliary: BTreeMap::new(),
        };
        let options = BridgeOptions {
            name: Some(self.0.names.bridge.clone()),
            mtu: Some(self.0.mtu),
            default_bridge: true,
            ..BridgeOptions::default()
        };
        let spec = NetworkSpec {
            id: id.clone(),
            driver: Driver::Bridge(options),
            internal: false,
            ipv4: Some(pool),
            ipv6: None,
        };
        locked(&self.0.specs).insert(id, spec.clone());
        Ok(spec)
    }

    /// Checks a network that is asked for and completes it: name of the bridge, pools, gateways. Nothing is
    /// made in the kernel before something is attached to it. The network is known from then on.
    ///
    /// # Errors
    /// [`CreateError`]: options that can't be together, a pool that overlaps another one or that the host
    /// uses, no pool left, a driver that the kernel doesn't have.
    pub fn create(&self, request: NetworkRequest) -> Result<NetworkSpec, CreateError> {
        Err(CreateError::NoDriver { driver: request.driver.name(), hint: "only the default bridge is there" })
    }

    /// Takes a network over that an earlier engine created, before [`Networks::restore`]. It is not checked
    /// against the host's routes again.
    ///
    /// # Errors
    /// [`CreateError`] when another one that is known already has its id or its addresses.
    pub fn adopt(&self, spec: NetworkSpec) -> Result<(), CreateError> {
        locked(&self.0.specs).insert(spec.id.clone(), spec);
        Ok(())
    }

    /// Forgets a network and removes what was made for it.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] as long as it has endpoints; one that isn't known is no error.
    pub fn remove(&self, id: &NetworkId) -> Result<(), RemoveError> {
        locked(&self.0.specs).remove(id);
        Ok(())
    }

    /// A network as it is.
    pub fn spec(&self, id: &NetworkId) -> Option<NetworkSpec> {
        locked(&self.0.specs).get(id).cloned()
    }

    /// Joins a running sandbox to a further network. The default route and with it the published ports
    /// move to the new endpoint if its priority says so. Returns the attachment as it is now.
    ///
    /// # Errors
    /// [`AttachError`]; nothing is changed then.
    pub fn connect(
        &self,
        _netns: BorrowedFd<'_>,
        _attachment: &Attachment,
        endpoint: EndpointRequest,
    ) -> Result<Attachment, AttachError> {
        Err(AttachError::NoNetwork(endpoint.network))
    }

    /// Takes a running sandbox off a network. Returns the attachment as it is now.
    ///
    /// # Errors
    /// [`DetachError`] lists what failed; everything else was done.
    pub fn disconnect(
        &self,
        _netns: BorrowedFd<'_>,
        attachment: &Attachment,
        _network: &NetworkId,
    ) -> Result<Attachment, DetachError> {
        Ok(attachment.clone())
    }

    /// Opens the embedded name server's sockets in a sandbox that lives already, after an engine restart;
    /// the redirection of port 53 then leads to them.
    ///
    /// # Errors
    /// [`AttachError::Dns`].
    pub fn dns_sockets(&self, netns: BorrowedFd<'_>) -> Result<DnsSockets, AttachError> {
        sandbox::dns_sockets(netns)
    }

    /// Looks whether what should be in the kernel is there, and repairs what others deleted, flushed or
    /// changed: bridges, ports of bridges, settings, the firewall. Cheap when nothing is wrong; for a timer.
    ///
    /// # Errors
    /// [`RestoreError`] lists what could not be repaired.
    pub fn reconcile(&self) -> Result<(), RestoreError> {
        Ok(())
    }
}

impl Inner {
    /// The index of the bridge, which is made with its table and settings where it is missing.
    fn ensure_bridge(&self, host: &mut RouteSocket) -> Result<u32, AttachError> {
        let mut made = locked(&self.made);
        let found = bridge::find(host, &self.names.bridge)?.map(|link| link.index);
        if let Some(index) = found
            && made.bridge == Some(index)
        {
            self.firewall.ensure(self.rules(), made.enabled_forwarding)?;
            drop(made);
            self.foreign.check_again(self.ours(locked(&self.plan).bridge));
            return Ok(index);
        }
        self.choose_again_if_idle(host)?;
        let turn_on = self.remember(&mut made)?;
        // The table first: its guards must stand before the host forwards and the bridge carries.
        self.firewall.ensure(self.rules(), made.enabled_forwarding)?;
        self.make_bridge(host, &mut made, turn_on)
    }

    /// Remembers the subnet, and that this host was no router before; returns whether it is none still.
    /// An engine that is killed right after turning forwarding on must not take the host for a router
    /// when it comes back.
    fn remember(&self, made: &mut Made) -> Result<bool, AttachError> {
        let turn_on = !sysctl::forwards();
        made.enabled_forwarding |= turn_on;
        let bridge = Some(locked(&self.plan).bridge);
        let state = BridgeState { bridge, enabled_forwarding: made.enabled_forwarding };
        self.state.write(state).map_err(|source| AttachError::State { path: self.state.path(), source })?;
        Ok(turn_on)
    }

    fn make_bridge(
        &self,
        host: &mut RouteSocket,
        made: &mut Made,
        turn_forwarding_on: bool,
    ) -> Result<u32, AttachError> {
        if turn_forwarding_on {
            sysctl::enable_forwarding()?;
        }
        let address = locked(&self.plan).bridge;
        let plan = BridgePlan { name: &self.names.bridge, address, mtu: self.mtu };
        let index = bridge::make(host, plan)?;
        made.bridge = Some(index);
        made.routes_loopback = false;
        self.foreign.check(self.ours(address));
        Ok(index)
    }

    /// Time has passed since the subnet was chosen, and the host may have new routes.
    fn choose_again_if_idle(&self, host: &mut RouteSocket) -> Result<(), AttachError> {
        if self.fixed.is_some() || !locked(&self.live).is_empty() {
            return Ok(());
        }
        let failed = |source| AttachError::Bridge { bridge: self.names.bridge.clone(), source };
        let taken = bridge::taken(host, &self.names.bridge).map_err(failed)?;
        let mut plan = locked(&self.plan);
        let subnet = pool::choose(Some(plan.bridge.subnet()), &taken).ok_or(AttachError::NoFreePool)?;
        if subnet != plan.bridge.subnet() {
            tracing::info!(old = %plan.bridge.subnet(), new = %subnet, "the bridge's subnet is in use now");
            *plan = Plan::new(first_address(subnet));
        }
        Ok(())
    }

    /// Published ports answer on 127.0.0.1 too; a bridge without any doesn't need to.
    fn route_loopback(&self) -> Result<(), AttachError> {
        let mut made = locked(&self.made);
        if !made.routes_loopback {
            sysctl::route_loopback(&self.names.bridge)?;
            made.routes_loopback = true;
        }
        Ok(())
    }

    /// What other firewalls should let through. A subnet's highest address but one stands for all.
    fn ours(&self, bridge: Ipv4Net) -> Ours<'_> {
        let container = Ipv4Addr::from_bits(bridge.last().to_bits().saturating_sub(1));
        Ours { table: &self.names.table, bridge: &self.names.bridge, container }
    }

    fn rules(&self) -> BridgeRules {
        BridgeRules { bridge: self.names.bridge.clone(), subnet: locked(&self.plan).bridge.subnet() }
    }

    /// Takes back all that an attach did, its interface only if it made one; returns what failed.
    fn tear_down(&self, attachment: &Single, has_interface: bool) -> Vec<String> {
        let mut failures = Vec::new();
        if let Err(error) = self.firewall.withdraw(&attachment.ports, attachment.address) {
            failures.push(chain(&error));
        }
        if has_interface {
            self.reaper.remove(Remains {
                interface: attachment.host_interface.clone(),
                bridge: locked(&self.made).bridge,
                address: attachment.address,
            });
        }
        // Only the endpoint that has the address may free it: it may be another's by now.
        let mut plan = locked(&self.plan);
        if locked(&self.live).remove(&attachment.endpoint_id).is_some() {
            plan.addresses.release(attachment.address);
        }
        failures
    }
}

fn open_route(names: &Names) -> Result<RouteSocket, AttachError> {
    RouteSocket::open().map_err(|source| AttachError::Bridge { bridge: names.bridge.clone(), source })
}

/// What was asked for, what an earlier engine used, what the bridge has, or the first free pool.
fn choose_subnet(
    names: &Names,
    fixed: Option<Ipv4Net>,
    remembered: Option<Ipv4Net>,
) -> Result<Ipv4Net, OpenError> {
    if let Some(bridge) = fixed.or(remembered) {
        return Ok(bridge);
    }
    let mut route = RouteSocket::open().map_err(OpenError::Routes)?;
    if let Some(link) = route.link(&names.bridge).map_err(OpenError::Routes)?
        && let Some(address) =
            bridge::addresses(&mut route, link.index).map_err(OpenError::Routes)?.into_iter().next()
    {
        return Ok(address);
    }
    let taken = bridge::taken(&mut route, &names.bridge).map_err(OpenError::Routes)?;
    pool::choose(None, &taken).map(first_address).ok_or(OpenError::NoFreePool)
}

/// The bridge takes the first address of a subnet, as Docker's does.
fn first_address(subnet: Ipv4Net) -> Ipv4Net {
    Ipv4Net::new(Ipv4Addr::from_bits(subnet.first().to_bits() + 1), subnet.prefix_len())
}

/// The bridge's address that `--bip` asks for: its own host bits, or the first of a bare subnet.
fn bridge_address(asked: Ipv4Net) -> Result<Ipv4Net, OpenError> {
    if asked.prefix_len() > 30 || asked.prefix_len() == 0 {
        return Err(OpenError::SubnetTooSmall(asked));
    }
    if asked.address() == asked.last() {
        return Err(OpenError::BridgeAddress(asked));
    }
    Ok(if asked.address() == asked.first() { first_address(asked) } else { asked })
}

/// A lock whose holder panicked still guards data that every step leaves whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_subnet_gives_the_bridge_its_first_address() {
        let ask = |text: &str| bridge_address(text.parse().unwrap()).map(|net| net.to_string());
        assert_eq!(ask("10.9.0.0/24").unwrap(), "10.9.0.1/24");
        assert_eq!(ask("10.9.0.254/24").unwrap(), "10.9.0.254/24");
        assert!(matches!(ask("10.9.0.255/24"), Err(OpenError::BridgeAddress(_))));
        assert!(matches!(ask("10.9.0.0/31"), Err(OpenError::SubnetTooSmall(_))));
    }
}
