//! The names of containers on user-defined networks: made known when they come, forgotten when they go, and told by a DNS
//! server at 127.0.0.11 of each such container.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

use minke_dns::{
    Endpoint, EndpointKey, HostResolvers, Link, Membership, NetworkKey, Origin, Server, Serving, Sockets,
    Upstream, Upstreams, View, Zones,
};
use minke_network::{Attachment, DnsSockets};
use tokio::runtime::Handle;

use super::endpoint::{dns_names, link_words};
use crate::{
    Error,
    container::{Record, resolver},
    engine::Inner,
};

/// Whom the host itself asks.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The port of DNS.
const DNS: u16 = 53;

/// Who is called what, and who is told.
pub(crate) struct Names {
    zones: Zones,
    server: Server,
    /// The server's part for each container, by its id.
    serving: Mutex<HashMap<String, Served>>,
}

/// One container that is told names.
struct Served {
    serving: Serving,
    /// Its network namespace, from which the name servers of its own are asked.
    netns: Arc<OwnedFd>,
}

impl Names {
    /// Names of nobody, told on this runtime.
    pub(crate) fn new(runtime: Handle) -> Self {
        let zones = Zones::new();
        let server = Server::new(zones.clone(), HostResolvers::new(RESOLV_CONF), runtime);
        Self { zones, server, serving: Mutex::default() }
    }

    fn serving(&self) -> std::sync::MutexGuard<'_, HashMap<String, Served>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether a container on these networks is told names.
    pub(crate) fn has_names(&self, attachment: &Attachment) -> bool {
        attachment.endpoints.iter().any(|endpoint| {
            self.network_table.with_id(&endpoint.network).is_some_and(|network| network.is_user_defined())
        })
    }

    /// Makes the container's names known on its user-defined networks, in place of those it had.
    pub(crate) fn make_named(&self, record: &Record, attachment: &Attachment) {
        for endpoint in &attachment.endpoints {
            let Some(network) = self.network_table.with_id(&endpoint.network) else { continue };
            if !network.is_user_defined() {
                continue;
            }
            let settings = record.networks.get(&network.name).cloned().unwrap_or_default();
            let known = Endpoint {
                names: dns_names(record, &settings),
                ipv4: endpoint.address_ipv4(),
                ipv6: endpoint.address_ipv6(),
            };
            let key = EndpointKey::from(endpoint.endpoint_id.as_str());
            self.names.zones.insert(&NetworkKey::from(network.id.as_str()), key, known);
        }
    }

    /// Forgets the names of one place on a network.
    pub(crate) fn forget_names(&self, endpoint_id: &str) {
        self.names.zones.remove(&EndpointKey::from(endpoint_id));
    }

    /// Forgets all names of a container that leaves, and tells it no more.
    pub(crate) fn forget_named(&self, attachment: &Attachment) {
        for endpoint in &attachment.endpoints {
            self.forget_names(&endpoint.endpoint_id);
        }
        self.names.serving().remove(attachment.id.as_str());
    }

    /// Tells a container names at these sockets in its namespace.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn tell_names(
        &self,
        record: &Record,
        attachment: &Attachment,
        netns: OwnedFd,
        sockets: DnsSockets,
    ) -> Result<(), Error> {
        let netns = Arc::new(netns);
        let view = self.view(record, attachment, &netns);
        let sockets = Sockets { udp: sockets.udp.into(), tcp: sockets.tcp.into() };
        let serving = self.names.server.serve(sockets, view);
        let serving = serving.map_err(|error| Error::internal("serve names to the container", &error))?;
        self.names.serving().insert(record.id.to_string(), Served { serving, netns });
        Ok(())
    }

    /// Whether the container is told names.
    pub(crate) fn is_told_names(&self, id: &str) -> bool {
        self.names.serving().contains_key(id)
    }

    /// The container's networks have changed.
    pub(crate) fn tell_other_names(&self, record: &Record, attachment: &Attachment) {
        let serving = self.names.serving();
        if let Some(served) = serving.get(record.id.as_str()) {
            served.serving.update(self.view(record, attachment, &served.netns));
        }
    }

    fn view(&self, record: &Record, attachment: &Attachment, netns: &Arc<OwnedFd>) -> View {
        let mut networks = Vec::new();
        let mut forwards = false;
        for endpoint in &attachment.endpoints {
            let Some(network) = self.network_table.with_id(&endpoint.network) else { continue };
            forwards |= network.has_a_way_out();
            if !network.is_user_defined() {
                continue;
            }
            let mut membership = Membership::new(NetworkKey::from(network.id.as_str()), network.name.clone());
            let links = record.networks.get(&network.name).and_then(|settings| settings.links.as_ref());
            for (target, alias) in links.into_iter().flatten().map(|text| link_words(text)) {
                membership.links.push(Link { alias: alias.to_owned(), target: target.to_owned() });
            }
            networks.push((endpoint.gateway_priority, membership));
        }
        // Docker's order: whose gateway is preferred, then by name, which they are in already.
        networks.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        let networks = networks.into_iter().map(|(_, membership)| membership).collect();
        // What is wrong with them was told when the container was created.
        let overrides = resolver::dns(self, record).unwrap_or_default();
        let upstream = |address: IpAddr| Upstream {
            address: SocketAddr::new(address, DNS),
            origin: Origin::Namespace(Arc::clone(netns)),
        };
        let upstreams = match overrides.servers.is_empty() {
            true => Upstreams::Host,
            false => Upstreams::Own(overrides.servers.into_iter().map(upstream).collect()),
        };
        let chose_dots = |option: &String| {
            option
                .strip_prefix("ndots:")
                .and_then(|dots| dots.parse::<u8>().ok())
                .is_some_and(|dots| dots > 0)
        };
        let keeps_single_words = overrides.options.iter().any(chose_dots);
        View { networks, upstreams, forwards, keeps_single_words }
    }
}
