//! Legacy links (`--link db:alias`): on the default bridge, which resolves no names, a container learns the addresses of
//! others from its /etc/hosts and its environment, as they are when it is started. Where containers there don't reach each
//! other, links open what the others expose.

use std::{
    net::IpAddr,
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
};

use bollard_stubs::models::{ContainerConfig, HostConfig};
use minke_model::runtime_spec::NamespaceType;
use minke_network::{
    Attachment, OpenLink,
    files::{ExtraHost, HostAddress},
};

use super::{Container, Record, network_owner, ports, requests::Message, resolver, sandbox};
use crate::{
    Engine, Error,
    engine::Inner,
    networks,
    spec::{env, modes::Modes},
};

/// A link of a container's: to whom, and under which name.
struct Link {
    target: Arc<Container>,
    alias: String,
}

/// A link's two words; without the second the first is both.
fn words(text: &str) -> (&str, &str) {
    let (name, alias) = text.split_once(':').unwrap_or((text, ""));
    let name = name.trim_start_matches('/');
    // `/db:/web/alias`, as `inspect` shows it.
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    (name, if alias.is_empty() { name } else { alias })
}

impl Engine {
    /// Removes a link by its name, `/web/db`: the container loses the alias.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Conflict`] for a name that is a container's own.
    pub async fn remove_link(&self, name: &str) -> Result<(), Error> {
        let inner = self.inner();
        let Some((holder, alias)) = name.trim_start_matches('/').rsplit_once('/') else {
            return Err(Error::conflict("Conflict, cannot remove the default link name of the container"));
        };
        let container = inner.find(holder)?;
        if target_id(&container.record(), alias).is_none() {
            return Err(Error::not_found(format!("Could not find entity for /{holder}/{alias}")));
        }
        let alias = alias.to_owned();
        let edit = Box::new(move |record: &mut Record| {
            record.host.links.iter_mut().for_each(|links| links.retain(|text| words(text).1 != alias));
        });
        container.ask(|reply| Message::Replace { edit, reply }).await?;
        if container.is_alive() {
            tell(inner, &container);
        }
        Ok(())
    }
}

/// Checks the links that were asked for and remembers the others by their ids, so that they may be renamed.
///
/// # Errors
/// `InvalidParameter` for a malformed link, a container that is not there, and a network without links.
pub(super) fn pin(inner: &Inner, host: &mut HostConfig) -> Result<(), Error> {
    let links = host.links.iter().flatten().next().is_some();
    let Some(list) = host.links.as_mut().filter(|_| links) else { return Ok(()) };
    let mode = host.network_mode.as_deref().unwrap_or("");
    let kind = match mode {
        "host" => Some("host"),
        "none" => Some("none"),
        _ if mode.starts_with("container:") => Some("container"),
        _ => None,
    };
    if let Some(kind) = kind {
        return Err(no_links(kind));
    }
    for link in list {
        let (name, alias) = words(link);
        if name.is_empty() || link.matches(':').count() > 1 {
            return Err(Error::invalid(format!("bad format for links: {link}")));
        }
        // One that is in another's network is reached there. That one is missing is no 404: the clients would take that for a
        // missing image.
        let target = inner
            .find(name)
            .and_then(|target| network_owner(inner, target))
            .map_err(|error| Error::invalid(format!("could not get container for {name}: {error}")))?;
        if target.record().host.network_mode.as_deref() == Some("host") {
            return Err(no_links("host"));
        }
        *link = format!("{}:{alias}", target.id);
    }
    Ok(())
}

/// The links of a container to others that are still there.
fn links(inner: &Inner, record: &Record) -> Vec<Link> {
    let links = record.host.links.iter().flatten();
    let found = links.filter_map(|text| {
        let (id, alias) = words(text);
        Some(Link { target: inner.find(id).ok()?, alias: alias.to_owned() })
    });
    found.collect()
}

/// As Docker shows them: `/db:/web/alias`.
pub(super) fn shown(inner: &Inner, record: &Record) -> Option<Vec<String>> {
    let shown = |link: Link| format!("/{}:/{}/{}", link.target.record().name, record.name, link.alias);
    Some(links(inner, record).into_iter().map(shown).collect::<Vec<_>>()).filter(|links| !links.is_empty())
}

fn no_links(kind: &str) -> Error {
    Error::invalid(format!(
        "conflicting options: {kind} type networking can't be used with links. This would result in undefined behavior"
    ))
}

/// The names of a container: its own, `/db`, and those that links to it give it, `/web/database`.
pub(super) fn names(inner: &Inner, record: &Record) -> Vec<String> {
    let given = inner.linked_from(&record.id).into_iter().flat_map(|holder| {
        let holder = holder.record();
        let links = holder.host.links.iter().flatten().map(|text| words(text));
        let to_it = links.filter(|(id, _)| *id == record.id.as_str());
        to_it.map(|(_, alias)| format!("/{}/{alias}", holder.name)).collect::<Vec<_>>()
    });
    let mut given: Vec<_> = given.collect();
    given.sort_unstable();
    given.insert(0, format!("/{}", record.name));
    given
}

/// Whom a container's link of this alias leads to.
pub(crate) fn target_id(record: &Record, alias: &str) -> Option<String> {
    let mut links = record.host.links.iter().flatten().map(|text| words(text));
    links.find(|(_, given)| *given == alias).map(|(id, _)| id.to_owned())
}

/// The ids of those that one links to, whether they are there or not.
pub(crate) fn target_ids(record: &Record) -> impl Iterator<Item = &str> {
    record.host.links.iter().flatten().map(|text| words(text).0)
}

/// The containers that one links to.
pub(crate) fn targets(inner: &Inner, record: &Record) -> Vec<Arc<Container>> {
    links(inner, record).into_iter().map(|link| link.target).collect()
}

/// The lines of /etc/hosts for those that run.
pub(super) fn hosts(inner: &Inner, record: &Record) -> Vec<ExtraHost> {
    let links = links(inner, record);
    let running = links.iter().filter_map(|link| Some((link, link.address(inner, record).ok()?)));
    let line = |(link, address): (&Link, IpAddr)| {
        let target = link.target.record();
        let mut name = format!("{} {}", link.alias, target.hostname());
        if link.alias != target.name {
            name = format!("{name} {}", target.name);
        }
        ExtraHost { name, address: HostAddress::Literal(address) }
    };
    running.map(line).collect()
}

/// The environment with what links to those that run add to it.
pub(crate) fn environment_of(inner: &Inner, record: &Record) -> Vec<String> {
    let links = links(inner, record);
    let told = links.iter().filter_map(|link| link.variables(inner, record).ok());
    env::merge(&told.flatten().collect::<Vec<_>>(), record.config.env.as_deref().unwrap_or(&[]))
}

/// The configuration with what links add to its environment; the container's own variables win.
///
/// # Errors
/// `Conflict` when one of the others does not run.
pub(super) fn with_environment(inner: &Inner, record: &Record) -> Result<ContainerConfig, Error> {
    for link in links(inner, record) {
        let _ = link.variables(inner, record)?;
    }
    Ok(ContainerConfig { env: Some(environment_of(inner, record)), ..record.config.clone() })
}

/// The variables of one link.
fn environment(alias: &str, own: &str, address: &str, target: &Record) -> Vec<String> {
    let prefix = alias.to_uppercase().replace('-', "_");
    let mut all = vec![format!("{prefix}_NAME=/{own}/{alias}")];
    let keys = target.config.exposed_ports.iter().flatten();
    let mut ports: Vec<_> = keys.filter_map(|key| ports::parse(key).ok()).collect();
    ports.sort_by_key(|(port, protocol)| (*port, protocol.to_string()));
    if let Some((port, protocol)) = ports.first() {
        all.push(format!("{prefix}_PORT={protocol}://{address}:{port}"));
    }
    for (port, protocol) in &ports {
        let name = format!("{prefix}_PORT_{port}_{}", protocol.to_string().to_uppercase());
        all.push(format!("{name}={protocol}://{address}:{port}"));
        all.push(format!("{name}_ADDR={address}"));
        all.push(format!("{name}_PORT={port}"));
        all.push(format!("{name}_PROTO={protocol}"));
    }
    for variable in target.config.env.iter().flatten() {
        // Nobody links to somebody else's path.
        if variable.split_once('=').is_some_and(|(name, _)| !matches!(name, "HOME" | "PATH")) {
            all.push(format!("{prefix}_ENV_{variable}"));
        }
    }
    all
}

impl Link {
    fn variables(&self, inner: &Inner, record: &Record) -> Result<Vec<String>, Error> {
        let address = self.address(inner, record)?.to_string();
        Ok(environment(&self.alias, &record.name, &address, &self.target.record()))
    }

    /// The other's address on the default bridge.
    fn address(&self, inner: &Inner, record: &Record) -> Result<IpAddr, Error> {
        let bridge = inner.network_table.named("bridge");
        let address = self.target.look(|run| {
            let attachment = run.attachment.as_ref().filter(|_| run.phase.is_alive())?;
            let endpoint = attachment.endpoint(&bridge.as_ref()?.id)?;
            endpoint.address_ipv4().map(IpAddr::V4).or(endpoint.address_ipv6().map(IpAddr::V6))
        });
        address.ok_or_else(|| {
            Error::conflict(format!(
                "Cannot link to a non running container: /{} AS /{}/{}",
                self.target.record().name,
                record.name,
                self.alias
            ))
        })
    }
}

/// Opens the ports that those expose to whom a container links, where containers on the default bridge don't reach each other.
/// Who doesn't run any more is closed to it.
///
/// # Errors
/// What the network says.
pub(super) fn open(
    inner: &Inner,
    record: &Record,
    netns: BorrowedFd<'_>,
    attachment: &Attachment,
) -> Result<(), Error> {
    let Some(bridge) = inner.network_table.named("bridge") else { return Ok(()) };
    let closed = bridge.spec().and_then(|spec| spec.bridge()).is_some_and(|options| !options.icc);
    // Without any link left, what the last one opened is closed.
    let own = attachment.endpoint(&bridge.id).filter(|_| closed);
    let Some(own) = own else { return Ok(()) };
    let found = links(inner, record).into_iter().filter_map(|link| {
        let endpoint = link.target.look(|run| run.attachment.as_ref()?.endpoint(&bridge.id).cloned())?;
        let netns = sandbox::namespace_of(&link.target, NamespaceType::Network).ok()?;
        let target = link.target.record();
        let keys = target.config.exposed_ports.iter().flatten();
        let ports: Vec<_> = keys.filter_map(|key| ports::parse(key).ok()).collect();
        Some((
            netns,
            endpoint,
            ports.into_iter().map(|(port, protocol)| (protocol, port)).collect::<Vec<_>>(),
        ))
    });
    let found: Vec<_> = found.collect();
    let links: Vec<_> = found
        .iter()
        .map(|(netns, endpoint, ports)| OpenLink { netns: netns.as_fd(), endpoint, ports: ports.clone() })
        .collect();
    let opened = inner.networks.link(&record.id, netns, own, &links);
    opened.map_err(|error| networks::errors::attach("open links", &error))
}

/// Opens the links of a container that runs already.
pub(crate) fn open_again(inner: &Inner, container: &Container) {
    let (record, attachment) = (container.record(), container.look(|run| run.attachment.clone()));
    let Some(attachment) = attachment else { return };
    let opened = sandbox::namespace_of(container, NamespaceType::Network)
        .and_then(|netns| open(inner, &record, netns.as_fd(), &attachment));
    if let Err(error) = opened {
        tracing::warn!(%error, container = record.id.short(), "open a container's links");
    }
}

/// A container that has ended is closed to those that link to it: its address may be another's soon.
pub(super) fn close_to(inner: &Inner, ended: &Container) {
    for container in inner.linked_from(&ended.id).iter().filter(|container| container.is_alive()) {
        open_again(inner, container);
    }
}

/// A container that has started may have another address than before: whoever links to it is told.
pub(super) fn refresh(inner: &Inner, started: &Container) {
    for container in inner.linked_from(&started.id) {
        if container.is_alive() {
            tell(inner, &container);
        }
    }
}

/// Tells a running container its links as they are now.
fn tell(inner: &Inner, container: &Container) {
    let record = container.record();
    let Ok(modes) = Modes::parse(&record.host, inner.host.facts.resources.unified) else { return };
    let (places, attachment) = (inner.places(&record.id), container.run().attachment);
    if let Err(error) = resolver::write_hosts(inner, &record, &modes, &places, attachment.as_ref()) {
        tracing::warn!(%error, container = record.id.short(), "tell a container of its links");
    }
    open_again(inner, container);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_two_words_or_one_for_both() {
        assert_eq!(words("db:database"), ("db", "database"));
        assert_eq!(words("/db"), ("db", "db"));
        assert_eq!(words("/db:/web/database"), ("db", "database"));
    }

    #[test]
    fn the_environment_tells_ports_and_variables() {
        let mut target = Record::for_tests();
        target.config.exposed_ports = Some(vec!["6379/tcp".to_owned(), "53/udp".to_owned()]);
        target.config.env = Some(vec!["PATH=/bin".to_owned(), "MODE=fast".to_owned()]);
        let told = environment("my-db", "web", "172.17.0.2", &target);
        assert_eq!(
            told,
            [
                "MY_DB_NAME=/web/my-db",
                "MY_DB_PORT=udp://172.17.0.2:53",
                "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
                "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
                "MY_DB_PORT_53_UDP_PORT=53",
                "MY_DB_PORT_53_UDP_PROTO=udp",
                "MY_DB_PORT_6379_TCP=tcp://172.17.0.2:6379",
                "MY_DB_PORT_6379_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_6379_TCP_PORT=6379",
                "MY_DB_PORT_6379_TCP_PROTO=tcp",
                "MY_DB_ENV_MODE=fast",
            ]
        );
    }
}
