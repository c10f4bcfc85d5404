//! Which networks there are: may this one be made, and as what?

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, PoisonError},
};

use minke_model::NetworkId;
use minke_netlink::{
    Error,
    route::{Batch, RouteSocket},
};

use super::{Networks, book::Book, locked, open_route};
use crate::{
    BridgeOptions, CreateError, Driver, Failures, GatewayMode, IpNet, MacvlanMode, NetworkConfig,
    NetworkRequest, NetworkSpec, OpenError, OptionError, Pool, PoolRequest, RemoveError, bridge,
    error::chain,
    firewall::{Change, Item},
    naming::Names,
    pool, publish, spec,
};

impl Networks {
    /// The default bridge network with this id, as the daemon's configuration has it. Its pool stays the
    /// one that an earlier engine chose as long as its bridge is there. Call it once, after
    /// [`adopt`](Self::adopt) and before [`restore`](Self::restore); afterwards it is a network like any
    /// other, but that its subnet may be chosen again while nothing is on it: ask for its
    /// [`spec`](Self::spec).
    ///
    /// # Errors
    /// [`CreateError`].
    pub fn default_bridge(&self, id: NetworkId) -> Result<NetworkSpec, CreateError> {
        let config = &self.0.config;
        let options = BridgeOptions {
            name: Some(config.bridge.as_ref().unwrap_or(&self.0.names.bridge).clone()),
            mtu: Some(self.0.mtu),
            icc: config.icc,
            masquerade: config.masquerade,
            host_binding_ipv4: config.host_binding,
            default_bridge: true,
            ..BridgeOptions::default()
        };
        let remembered = locked(&self.0.devices).state.default_network.clone();
        let earlier = |ipv4: bool| {
            let spec = remembered.as_ref()?;
            let pool = if ipv4 { spec.ipv4.as_ref() } else { spec.ipv6.as_ref() }?;
            Some(PoolRequest { subnet: Some(pool.subnet), gateway: pool.gateway, ..PoolRequest::default() })
        };
        let asked = |net: Option<IpNet>, ipv4: bool| match net {
            Some(net) => {
                let gateway = (net.address() != net.first()).then_some(net.address());
                PoolRequest { subnet: Some(net.subnet()), gateway, ..PoolRequest::default() }
            }
            None => earlier(ipv4).unwrap_or_default(),
        };
        let gateway = |name: &str, address: Option<IpAddr>| -> BTreeMap<String, IpAddr> {
            address.map(|address| (name.to_owned(), address)).into_iter().collect()
        };
        let ipv4 = PoolRequest {
            range: config.range,
            auxiliary: gateway(spec::GATEWAY_IPV4, config.gateway.map(IpAddr::V4)),
            ..asked(config.subnet, true)
        };
        let ipv6 = config.ipv6.then(|| PoolRequest {
            range: config.range_ipv6,
            auxiliary: gateway(spec::GATEWAY_IPV6, config.gateway_ipv6.map(IpAddr::V6)),
            ..asked(config.subnet_ipv6, false)
        });
        let driver = Driver::Bridge(options);
        let further = Vec::new();
        self.register(NetworkRequest { id, driver, internal: false, ipv4: Some(ipv4), ipv6, further })
    }

    /// Checks a network that is asked for and completes it: name of the bridge, pools, gateways. Its bridge is made at
    /// once, for what the host's administrator puts on it; other devices when something is attached. The network is
    /// known from then on.
    ///
    /// # Errors
    /// [`CreateError`]: options that can't be together, a pool that overlaps another network's, no pool left, a
    /// bridge that can't be made. Nothing is left of it then.
    pub fn create(&self, request: NetworkRequest) -> Result<NetworkSpec, CreateError> {
        let spec = self.register(request)?;
        if spec.bridge().is_none() {
            return Ok(spec);
        }
        let made = {
            let _shared = self.0.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
            let specs = [Arc::new(spec.clone())];
            open_route(&self.0.names).and_then(|mut host| self.0.ensure_devices(&mut host, &specs))
        };
        match made {
            Ok(_) => Ok(spec),
            Err(error) => {
                if let Err(left) = self.remove(&spec.id) {
                    tracing::warn!(error = %chain(&left), "remove what was made of a network");
                }
                Err(CreateError::Device(error))
            }
        }
    }

    /// Takes a network over that an earlier engine created. It is not checked against the host's routes
    /// again.
    ///
    /// # Errors
    /// [`CreateError`] when another one that is known already has its id, its addresses or its bridge.
    pub fn adopt(&self, spec: NetworkSpec) -> Result<(), CreateError> {
        let mut book = locked(&self.0.book);
        check_beside(&book, &spec)?;
        let taken = book.subnets_beside(&spec.id);
        if spec.pools().any(|pool| taken.iter().any(|other| other.overlaps(pool.subnet))) {
            return Err(CreateError::Overlap);
        }
        book.put(spec);
        Ok(())
    }

    /// Forgets a network and removes what was made for it.
    ///
    /// # Errors
    /// [`RemoveError::InUse`] as long as it has endpoints; one that isn't known is no error.
    pub fn remove(&self, id: &NetworkId) -> Result<(), RemoveError> {
        // Alone, so that nobody attaches to it meanwhile.
        let _alone = self.0.lifecycle.write().unwrap_or_else(PoisonError::into_inner);
        let containers = locked(&self.0.book).containers_on(id);
        if !containers.is_empty() {
            return Err(RemoveError::InUse { id: id.clone(), containers });
        }
        let Some(spec) = locked(&self.0.book).forget(id) else { return Ok(()) };
        let failures = self.0.remove_device(&spec);
        if failures.is_empty() {
            return Ok(());
        }
        Err(RemoveError::Kernel { id: id.clone(), failures: Failures(failures) })
    }

    /// A network as it is.
    pub fn spec(&self, id: &NetworkId) -> Option<NetworkSpec> {
        self.0.spec(id)
    }

    /// What the host has a route or an address in that overlaps a network's subnets, other than the
    /// network's own bridge: containers on it can't reach that, or the host can't. `create` chooses around
    /// it, but takes what a user chose, as Docker does; this is for the warning.
    pub fn overlaps_with_host(&self, spec: &NetworkSpec) -> Option<IpNet> {
        // What is on top of the host's own network overlaps it on purpose.
        spec.bridge()?;
        let taken = self.0.taken_by_host(Some(spec)).ok()?;
        taken
            .into_iter()
            .filter(|net| net.prefix_len() > 0)
            .find(|net| spec.pools().any(|pool| pool.subnet.overlaps(*net)))
    }

    fn register(&self, request: NetworkRequest) -> Result<NetworkSpec, CreateError> {
        check_options(&request)?;
        // Read before the lock is taken: a host may have a great many routes.
        let chooses = [&request.ipv4, &request.ipv6].into_iter().flatten().any(|pool| pool.subnet.is_none());
        let taken = if chooses { self.0.taken_by_host(None).map_err(CreateError::Host)? } else { Vec::new() };
        let mut book = locked(&self.0.book);
        let mut spec = NetworkSpec {
            driver: named(&request),
            id: request.id,
            internal: request.internal,
            ipv4: None,
            ipv6: None,
            further: Vec::new(),
        };
        check_beside(&book, &spec)?;
        let others = book.subnets_beside(&spec.id);
        let complete = |spec: &NetworkSpec, ipv4: bool, request: &PoolRequest| -> Result<Pool, CreateError> {
            if [request.subnet, request.range].into_iter().flatten().any(|net| net.is_ipv4() != ipv4) {
                let net = request.subnet.or(request.range).map(|net| net.to_string()).unwrap_or_default();
                return Err(CreateError::Pool(format!("invalid subnet {net}: it is of the other IP family")));
            }
            let subnet = match request.subnet {
                Some(subnet) if others.iter().any(|other| other.overlaps(subnet)) => {
                    return Err(CreateError::Overlap);
                }
                Some(subnet) => subnet,
                None if request.range.is_some() || request.gateway.is_some() => {
                    let text = "an ip-range or a gateway needs the subnet that it is of";
                    return Err(CreateError::Pool(text.to_owned()));
                }
                None => {
                    let taken = [&taken[..], &others[..]].concat();
                    pool::choose(ipv4, None, &self.0.pools, &taken).ok_or(CreateError::NoFreePool)?
                }
            };
            pool::complete(request, subnet, spec.needs_gateway(ipv4))
        };
        spec.ipv4 = request.ipv4.as_ref().map(|request| complete(&spec, true, request)).transpose()?;
        spec.ipv6 = request.ipv6.as_ref().map(|request| complete(&spec, false, request)).transpose()?;
        for request in &request.further {
            let ipv4 = request.subnet.is_some_and(IpNet::is_ipv4);
            let pool = complete(&spec, ipv4, request)?;
            if spec.pools().any(|other| other.subnet.overlaps(pool.subnet)) {
                return Err(CreateError::Overlap);
            }
            spec.further.push(pool);
        }
        if spec.bridge().is_some() && !spec.further.is_empty() {
            return Err(CreateError::SeveralSubnets);
        }
        book.put(spec.clone());
        Ok(spec)
    }
}

impl super::Inner {
    /// What the host has routes and addresses in, beside the bridges of our own that may go.
    fn taken_by_host(&self, spec: Option<&NetworkSpec>) -> Result<Vec<IpNet>, Error> {
        let mut route = RouteSocket::open()?;
        let names = [spec.and_then(|spec| spec.bridge()?.name.as_deref()), Some(self.names.bridge.as_str())];
        let mut own = Vec::new();
        for name in names.into_iter().flatten() {
            own.extend(route.link(name)?.map(|link| link.index));
        }
        bridge::taken(&mut route, &own)
    }

    /// Removes the bridge of a network that nobody is on, and its rules; returns what failed.
    fn remove_device(&self, spec: &NetworkSpec) -> Vec<String> {
        let mut failures = Vec::new();
        self.reaper.finish();
        let mut devices = locked(&self.devices);
        let was_made = devices.bridge(&spec.id).is_some();
        devices.forget(&spec.id);
        let name = match &spec.driver {
            Driver::Bridge(options) => options.name.clone(),
            Driver::Macvlan(options) => options.parent.clone(),
            Driver::Ipvlan(options) => options.parent.clone(),
        };
        let name = name.unwrap_or_else(|| Names::network_dummy(&spec.id));
        let shared = spec.bridge().is_none()
            && locked(&self.book).specs().any(|other| parent(&other.driver) == Some(name.as_str()));
        if !shared && devices.state.bridges.contains(&name) {
            let remove = || -> Result<(), Error> {
                let mut host = RouteSocket::open()?;
                match host.link(&name)? {
                    Some(link) if bridge::is_ours(&link) => host.run(Batch::new().remove(&name)),
                    _ => Ok(()),
                }
            };
            failures.extend(remove().err().map(|error| chain(&error)));
            let mut state = devices.state.clone();
            state.bridges.remove(&name);
            match self.write_state(&state) {
                Ok(()) => devices.state = state,
                Err(error) => failures.push(chain(&error)),
            }
        }
        if was_made && let Some(rules) = publish::bridge_rules(spec) {
            let change = Change { remove: vec![Item::Bridge(rules)], add: Vec::new() };
            failures.extend(self.firewall.apply(&change).err().map(|error| chain(&error)));
        }
        failures
    }
}

/// Whether the configuration can work at all.
pub(super) fn check_config(config: &NetworkConfig) -> Result<(), OpenError> {
    let nets = [(config.subnet, true), (config.range, true)];
    for (net, ipv4) in nets.into_iter().chain([(config.subnet_ipv6, false), (config.range_ipv6, false)]) {
        if let Some(net) = net.filter(|net| net.is_ipv4() != ipv4) {
            return Err(OpenError::Family(net));
        }
    }
    for net in config.subnet.into_iter().chain(config.subnet_ipv6) {
        if net.host_bits() < 2 || net.prefix_len() == 0 {
            return Err(OpenError::SubnetTooSmall(net));
        }
        if net.is_ipv4() && net.address() == net.last() {
            return Err(OpenError::BridgeAddress(net));
        }
    }
    let gateways = [
        (config.gateway.map(IpAddr::V4), config.subnet, "bip"),
        (config.gateway_ipv6.map(IpAddr::V6), config.subnet_ipv6, "bip6"),
    ];
    for (gateway, subnet, option) in gateways {
        if let Some(gateway) = gateway.filter(|gateway| !subnet.is_some_and(|net| net.contains(*gateway))) {
            return Err(OpenError::Gateway { gateway, option });
        }
    }
    for pool in &config.pools {
        let longest = if pool.base.is_ipv4() { 30 } else { 126 };
        if pool.size < pool.base.prefix_len() || pool.size > longest || pool.base.prefix_len() == 0 {
            return Err(OpenError::AddressPool { base: pool.base, size: pool.size });
        }
    }
    Ok(())
}

/// The driver with the names that nobody chose.
fn named(request: &NetworkRequest) -> Driver {
    let mut driver = request.driver.clone();
    if let Driver::Bridge(options) = &mut driver {
        options.name.get_or_insert_with(|| Names::network_bridge(&request.id));
    }
    driver
}

fn parent(driver: &Driver) -> Option<&str> {
    match driver {
        Driver::Bridge(_) => None,
        Driver::Macvlan(options) => options.parent.as_deref(),
        Driver::Ipvlan(options) => options.parent.as_deref(),
    }
}

/// Whether the request agrees with itself.
fn check_options(request: &NetworkRequest) -> Result<(), CreateError> {
    if request.ipv4.is_none() && request.ipv6.is_none() {
        return Err(CreateError::Pool("IPv4 or IPv6 must be enabled".to_owned()));
    }
    let Driver::Bridge(options) = &request.driver else { return Ok(()) };
    let isolated = [true, false].iter().any(|ipv4| options.gateway_mode(*ipv4) == GatewayMode::Isolated);
    if isolated && !request.internal {
        return Err(OptionError::Conflict(
            "com.docker.network.bridge.gateway_mode=isolated",
            "a network that is not internal",
        )
        .into());
    }
    Ok(())
}

/// Whether the network can be beside those that are there.
fn check_beside(book: &Book, spec: &NetworkSpec) -> Result<(), CreateError> {
    let mut bridges: BTreeMap<String, NetworkId> = BTreeMap::new();
    for other in book.specs() {
        if other.id == spec.id {
            return Err(CreateError::Exists(spec.id.clone()));
        }
        if let Some(name) = other.bridge().and_then(|options| options.name.clone()) {
            bridges.insert(name, other.id.clone());
        }
        let alone = |driver: &Driver| matches!(driver, Driver::Macvlan(options) if options.mode == MacvlanMode::Passthru);
        let same = parent(&other.driver).is_some() && parent(&other.driver) == parent(&spec.driver);
        let differ = other.driver.name() != spec.driver.name();
        if same && (differ || alone(&other.driver) || alone(&spec.driver)) {
            let parent = parent(&spec.driver).unwrap_or_default();
            let text = format!("network {} is already using parent interface {parent}", other.id.short());
            return Err(CreateError::Conflict(text));
        }
    }
    if let Some(name) = spec.bridge().and_then(|options| options.name.as_deref())
        && let Some(other) = bridges.get(name)
    {
        let text = format!("networks have same bridge name: network {} has bridge {name}", other.short());
        return Err(CreateError::Conflict(text));
    }
    let of_family = |pool: &Option<Pool>, ipv4: bool| {
        pool.as_ref().is_none_or(|pool| {
            let addresses = pool.gateway.iter().chain(pool.auxiliary.values());
            pool.subnet.is_ipv4() == ipv4 && addresses.into_iter().all(|a: &IpAddr| a.is_ipv4() == ipv4)
        })
    };
    if !of_family(&spec.ipv4, true) || !of_family(&spec.ipv6, false) {
        return Err(CreateError::Pool("a pool has addresses of the other IP family".to_owned()));
    }
    Ok(())
}
