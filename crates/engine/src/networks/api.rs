//! Listing, inspecting, removing and pruning networks.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bollard_stubs::models::{EndpointResource, NetworkInspect, NetworkPruneResponse};
use minke_model::NetworkId;
use minke_network::{Attachment, Endpoint, RemoveError};
use time::OffsetDateTime;

use super::{Kind, NetworkRecord, errors, is_predefined};
use crate::{
    Engine, Error, ErrorKind, Filters, container::Container, engine::Inner, error::chain, events::About,
    time_text,
};

const LIST_FILTERS: [&str; 8] = ["dangling", "driver", "id", "label", "label!", "name", "scope", "type"];

impl Engine {
    /// Makes the bridges of all networks now and not with their first containers, as dockerd does: programs of the host listen on
    /// their addresses, and its administrator has rules for them. Behind the scenes; what fails is logged.
    pub fn prepare_networks(&self) {
        let networks = self.inner().networks.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = networks.prepare() {
                tracing::warn!(error = chain(&error), "make the bridges of networks");
            }
        });
    }

    /// The networks that match: `name`, `id`, `driver`, `scope`, `type`, `label`, `dangling`; `containers` also tells who
    /// is on them, as API versions before 1.28 did.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for an unknown filter or value.
    pub async fn network_list(
        &self,
        filters: &Filters,
        containers: bool,
    ) -> Result<Vec<NetworkInspect>, Error> {
        filters.expect(&LIST_FILTERS)?;
        let dangling = filters.boolean("dangling")?;
        if let Some(kind) = filters
            .get("type")
            .and_then(|kinds| kinds.iter().find(|kind| !matches!(kind.as_str(), "builtin" | "custom")))
        {
            return Err(Error::invalid(format!("invalid filter: 'type'='{kind}'")));
        }
        let inner = self.inner();
        let used = if dangling.is_some() { inner.networks_in_use() } else { BTreeSet::new() };
        let mut found = inner.network_table.all();
        found.retain(|network| {
            let builtin = is_predefined(&network.name);
            let in_use = builtin || used.contains(&network.id);
            filters.any("type", |kind| (kind == "builtin") == builtin)
                && dangling.is_none_or(|dangling| dangling != in_use)
                && matches(network, filters)
        });
        found.sort_by(|a, b| b.created.cmp(&a.created));
        let show = |network: Arc<NetworkRecord>| match containers {
            true => inner.network_with_containers(&network),
            false => inner.shown_network(&network),
        };
        Ok(found.into_iter().map(show).collect())
    }

    /// A network with the containers on it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::InvalidParameter`] for an ambiguous beginning of an id.
    pub async fn network_inspect(&self, name: &str) -> Result<NetworkInspect, Error> {
        let inner = self.inner();
        Ok(inner.network_with_containers(&*inner.network_table.find(name)?))
    }

    /// Removes a network that no running container is on.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Forbidden`] for a predefined one, and while containers are on it.
    pub async fn network_remove(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.blocking(move |inner| {
            let network = inner.network_table.find(&name)?;
            remove(&inner, &network).map_err(|error| {
                let text = match is_predefined(&network.name) {
                    true => error.to_string(),
                    false => format!("error while removing network: {error}"),
                };
                Error::new(error.kind(), text)
            })
        })
        .await
    }

    /// Removes every network that no running container is on, those that match `label` and `until`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] for an unknown filter.
    pub async fn network_prune(&self, filters: &Filters) -> Result<NetworkPruneResponse, Error> {
        filters.expect(&["label", "label!", "until"])?;
        let until = filters.single("until")?.map(time_text::until).transpose()?;
        let filters = filters.clone();
        self.blocking(move |inner| {
            let used = inner.networks_in_use();
            let doomed = inner.network_table.all().into_iter().filter(|network| {
                !is_predefined(&network.name)
                    && !network.is_config()
                    && !used.contains(&network.id)
                    && until.is_none_or(|until| created(network) <= until)
                    && filters.labels(|key| network.labels.get(key).map(String::as_str))
            });
            let mut removed = Vec::new();
            for network in doomed {
                match remove(&inner, &network) {
                    Ok(()) => removed.push(network.name.clone()),
                    // Somebody has just taken it.
                    Err(error) if error.kind() == ErrorKind::Forbidden => {}
                    Err(error) => tracing::warn!(%error, network = network.name, "prune a network"),
                }
            }
            inner.events.emit(About::Network, "prune", "", [("reclaimed".to_owned(), "0".to_owned())]);
            let networks_deleted = Some(removed).filter(|removed| !removed.is_empty());
            Ok(NetworkPruneResponse { networks_deleted })
        })
        .await
    }
}

fn created(network: &NetworkRecord) -> OffsetDateTime {
    time_text::parse(&network.created).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn matches(network: &NetworkRecord, filters: &Filters) -> bool {
    filters.any("name", |wanted| Filters::pattern_matches(wanted, &network.name))
        && filters.any("id", |wanted| Filters::pattern_matches(wanted, network.id.as_str()))
        && filters.any("driver", |wanted| wanted == network.driver())
        && filters.any("scope", |scope| scope == "local")
        && filters.labels(|key| network.labels.get(key).map(String::as_str))
}

fn remove(inner: &Inner, network: &NetworkRecord) -> Result<(), Error> {
    let forbidden = |text: String| Err(Error::new(ErrorKind::Forbidden, text));
    if is_predefined(&network.name) {
        return forbidden(format!("{} is a pre-defined network and cannot be removed", network.name));
    }
    let _changing = inner.network_table.change();
    if inner.network_table.with_id(&network.id).is_none() {
        return Err(Error::not_found(format!("network {} not found", network.name)));
    }
    let users = inner.endpoints_of(network);
    if !users.is_empty() {
        let mut users: Vec<_> = users
            .values()
            .map(|user| {
                let id = user.endpoint_id.as_deref().unwrap_or_default();
                let short = id.get(..12).unwrap_or(id);
                format!("name:{:?} id:{short:?}", user.name.as_deref().unwrap_or_default())
            })
            .collect();
        users.sort();
        return forbidden(format!("network {} has active endpoints ({})", network.name, users.join(", ")));
    }
    if network.is_config() && inner.network_table.all().iter().any(|other| other.config_from == network.name)
    {
        return forbidden(format!("configuration network {:?} is in use", network.name));
    }
    if let Kind::Made(spec) = &network.kind {
        match inner.networks.remove(&spec.id) {
            Ok(()) => {}
            // It is forgotten all the same, and the next engine sweeps.
            Err(error @ RemoveError::Kernel { .. }) => {
                tracing::warn!(%error, network = network.name, "remove a network");
            }
            Err(error) => return Err(Error::new(errors::remove(&error), chain(&error))),
        }
    }
    if let Err(error) = inner.store.remove_network(network.id.as_str()) {
        // It is still there, for us and for the next engine.
        if let Kind::Made(spec) = &network.kind
            && let Err(error) = inner.networks.adopt((**spec).clone())
        {
            tracing::warn!(%error, network = network.name, "take a network back");
        }
        return Err(error);
    }
    inner.network_table.remove(network);
    if !network.is_config() {
        inner.network_event("destroy", network, []);
    }
    Ok(())
}

impl Inner {
    /// The id of the network of this name; empty where there is none.
    pub(crate) fn network_id(&self, name: &str) -> String {
        self.network_table.named(name).map(|network| network.id.to_string()).unwrap_or_default()
    }

    fn network_with_containers(&self, network: &NetworkRecord) -> NetworkInspect {
        NetworkInspect { containers: Some(self.endpoints_of(network)), ..self.shown_network(network) }
    }

    /// The default bridge's subnet may be chosen again while nothing is on it, so the network crate is asked.
    fn shown_network(&self, network: &NetworkRecord) -> NetworkInspect {
        let now = network.spec().and_then(|spec| self.networks.spec(&spec.id));
        network.shown(now.as_ref().or(network.spec()))
    }

    /// The living containers on a network, by their ids.
    fn endpoints_of(&self, network: &NetworkRecord) -> HashMap<String, EndpointResource> {
        let on_it = |container: &Container| match &network.kind {
            Kind::Made(spec) => container.look(|run| {
                let endpoint = run.attachment.as_ref()?.endpoint(&spec.id)?;
                Some(resource(endpoint))
            }),
            Kind::Config { .. } => None,
            Kind::Host | Kind::None => {
                let alive = container.look(|run| run.phase.is_alive());
                let on_it = alive && container.record().networks.contains_key(&network.name);
                on_it.then(|| EndpointResource {
                    endpoint_id: Some(container.id.to_string()),
                    ..EndpointResource::default()
                })
            }
        };
        let containers = match &network.kind {
            Kind::Made(spec) => {
                let members = self.networks.members(&spec.id);
                members.iter().filter_map(|id| self.find(id.as_str()).ok()).collect()
            }
            Kind::Config { .. } => Vec::new(),
            Kind::Host | Kind::None => self.containers(),
        };
        let mut endpoints = HashMap::new();
        for container in containers {
            if let Some(endpoint) = on_it(&container) {
                let name = Some(container.record().name.clone());
                endpoints.insert(container.id.to_string(), EndpointResource { name, ..endpoint });
            }
        }
        endpoints
    }

    /// The networks that living containers are on.
    fn networks_in_use(&self) -> BTreeSet<NetworkId> {
        let networks = |attachment: &Attachment| -> Vec<NetworkId> {
            attachment.endpoints.iter().map(|endpoint| endpoint.network.clone()).collect()
        };
        let containers = self.containers();
        let used = containers
            .iter()
            .filter_map(|container| container.look(|run| run.attachment.as_ref().map(networks)));
        used.flatten().collect()
    }

    /// An event about a network, with the attributes that Docker gives to each.
    pub(crate) fn network_event(
        &self,
        action: &str,
        network: &NetworkRecord,
        more: impl IntoIterator<Item = (String, String)>,
    ) {
        let own = [("name", network.name.as_str()), ("type", network.driver())];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.events.emit(About::Network, action, network.id.as_str(), own.into_iter().chain(more));
    }
}

fn resource(endpoint: &Endpoint) -> EndpointResource {
    let text = |net: Option<minke_network::IpNet>| Some(net.map(|net| net.to_string()).unwrap_or_default());
    EndpointResource {
        name: None,
        endpoint_id: Some(endpoint.endpoint_id.clone()),
        mac_address: Some(endpoint.mac.to_string()),
        ipv4_address: text(endpoint.ipv4),
        ipv6_address: text(endpoint.ipv6),
    }
}
