//! Putting a container on a network and taking it off, whether it runs or not.
//!
//! For one that runs, three things change: the kernel, run.json (from which the next engine knows what is in the kernel) and the
//! record (what was asked for). An engine that opens takes away what the record doesn't ask for, so:
//!
//! ```text
//! connect:     kernel ─▶ run.json ─▶ record       killed before the end: nobody was answered, and it is taken away again
//! disconnect:  record ─▶ run.json ─▶ kernel       killed before the end: the next engine goes on with it
//! ```

use std::{os::fd::AsFd, sync::Arc};

use bollard_stubs::models::EndpointSettings;
use minke_model::runtime_spec::NamespaceType;
use minke_network::{Attachment, DnsSockets, PublishedPort};

use super::{Phase, Record, RunNote, actor::Actor, ports, requests::Message, resolver, sandbox};
use crate::{
    Engine, Error, ErrorKind,
    engine::Inner,
    networks::{self, NetworkRecord, endpoint},
    spec::modes::{Modes, NetworkMode},
};

impl Engine {
    /// Puts a container on a network: at once if it runs, else when it is started.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Forbidden`] when it is on it already, or the address is taken;
    /// [`crate::ErrorKind::InvalidParameter`] for settings that can't be, and where its other networks don't allow it.
    pub async fn network_connect(
        &self,
        network: &str,
        container: &str,
        settings: EndpointSettings,
    ) -> Result<(), Error> {
        let container = self.inner().find(container)?;
        let (network, settings) = (network.to_owned(), Box::new(settings));
        container.ask(|reply| Message::Connect { network, settings, reply }).await
    }

    /// Takes a container off a network. With `force` also off one that is not there any more.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`]; [`crate::ErrorKind::Internal`], as in Docker, when it is not on it.
    pub async fn network_disconnect(&self, network: &str, container: &str, force: bool) -> Result<(), Error> {
        let container = self.inner().find(container)?;
        let network = network.to_owned();
        container.ask(|reply| Message::Disconnect { network, force, reply }).await
    }
}

impl Actor {
    pub(super) async fn connect(
        &mut self,
        inner: &Arc<Inner>,
        network: &str,
        settings: EndpointSettings,
    ) -> Result<(), Error> {
        let record = self.container.record();
        let run = self.container.run();
        refuse_in_removal(&record, run.phase)?;
        let modes = Modes::parse(&record.host, inner.host.facts.resources.unified)?;
        let found = match inner.network_table.find(network) {
            Ok(found) => found,
            // As in Docker it may come later.
            Err(error) if error.kind() == ErrorKind::NotFound && !run.phase.is_alive() => {
                endpoint::check(network, None, &settings)?;
                let name = network.to_owned();
                return self.ask_for(inner, name, settings).await;
            }
            Err(error) => return Err(error),
        };
        endpoint::check(&found.name, Some(&found), &settings)?;
        let others: Vec<_> =
            record.networks.keys().filter_map(|name| inner.network_table.find(name).ok()).collect();
        networks::check_together(&modes.network, others.iter().map(AsRef::as_ref), &found)?;
        let name = found.name.clone();
        if !run.phase.is_alive() {
            return self.ask_for(inner, name, settings).await;
        }
        let attachment = run.attachment.unwrap_or_else(|| nothing(&record));
        let is_nowhere_on_it = found.spec().is_none() && record.networks.contains_key(&name);
        if attachment.endpoint(&found.id).is_some() || is_nowhere_on_it {
            return Err(Error::new(
                ErrorKind::Forbidden,
                format!("endpoint with name {} already exists in network {name}", record.name),
            ));
        }
        if found.spec().is_none() {
            // `none`: there is nothing to plug in.
            return self.ask_for(inner, name, settings).await;
        }
        let mut wanted = (*record).clone();
        wanted.networks.insert(name, settings);
        self.plug_in(inner, &record, wanted, attachment, &found).await?;
        inner.connected_event("connect", &found, &self.container);
        Ok(())
    }

    /// Notes that a container wants to be on a network. As in Docker, one that does already keeps what it asked for.
    async fn ask_for(
        &mut self,
        inner: &Arc<Inner>,
        name: String,
        settings: EndpointSettings,
    ) -> Result<(), Error> {
        let note = move |record: &mut Record| {
            record.networks.entry(name).or_insert(settings);
        };
        self.replace(inner, Box::new(note)).await
    }

    /// Kernel, names, run.json, record; what was done is undone when a later step fails.
    async fn plug_in(
        &mut self,
        inner: &Arc<Inner>,
        before: &Arc<Record>,
        wanted: Record,
        attachment: Attachment,
        network: &Arc<NetworkRecord>,
    ) -> Result<(), Error> {
        let wanted = Arc::new(wanted);
        let plugged = {
            let (inner, container) = (Arc::clone(inner), Arc::clone(&self.container));
            let (before, wanted, network) = (Arc::clone(before), Arc::clone(&wanted), Arc::clone(network));
            tokio::task::spawn_blocking(move || {
                plug(&inner, &container, &before, &wanted, &attachment, &network)
            })
        };
        let plugged = plugged.await.map_err(|error| Error::internal("connect a container", &error))??;
        let networks = wanted.networks.clone();
        if let Err(error) = self.replace(inner, Box::new(move |record| record.networks = networks)).await {
            let (inner, container) = (Arc::clone(inner), Arc::clone(&self.container));
            let (before, network) = (Arc::clone(before), Arc::clone(network));
            let undone =
                tokio::task::spawn_blocking(move || unplug(&inner, &container, &before, &plugged, &network));
            if let Ok(Err(error)) = undone.await {
                tracing::warn!(%error, "take a container off a network again");
            }
            return Err(error);
        }
        Ok(())
    }

    pub(super) async fn disconnect(
        &mut self,
        inner: &Arc<Inner>,
        network: &str,
        force: bool,
    ) -> Result<(), Error> {
        let record = self.container.record();
        let run = self.container.run();
        let found = inner.network_table.find(network);
        let name = found.as_ref().map_or_else(|_| network.to_owned(), |found| found.name.clone());
        let is_on_it = record.networks.contains_key(&name);
        let not_connected = || {
            Error::new(
                ErrorKind::Internal,
                format!("container {} is not connected to the network {name}", record.id),
            )
        };
        if !run.phase.is_alive() || (found.is_err() && force) {
            refuse_in_removal(&record, run.phase)?;
            if !is_on_it {
                return Err(not_connected());
            }
            return self.replace(inner, Box::new(move |record| drop(record.networks.remove(&name)))).await;
        }
        let found = found?;
        let modes = Modes::parse(&record.host, inner.host.facts.resources.unified)?;
        if modes.network == NetworkMode::Host && found.driver() == "host" {
            return Err(Error::invalid(
                "cannot disconnect container from host network - container was created in host network mode",
            ));
        }
        if !is_on_it {
            return Err(not_connected());
        }
        let gone = name.clone();
        self.replace(inner, Box::new(move |record| drop(record.networks.remove(&gone)))).await?;
        if let Some(attachment) = run.attachment {
            let before = attachment.clone();
            let unplugged = {
                let (inner, container, network) =
                    (Arc::clone(inner), Arc::clone(&self.container), Arc::clone(&found));
                let record = self.container.record();
                tokio::task::spawn_blocking(move || unplug(&inner, &container, &record, &before, &network))
            };
            unplugged.await.map_err(|error| Error::internal("disconnect a container", &error))??;
            self.release_ports(inner, &attachment.ports).await;
        }
        inner.connected_event("disconnect", &found, &self.container);
        Ok(())
    }

    /// Gives the ports free that a container had and has no more.
    async fn release_ports(&self, inner: &Inner, before: &[PublishedPort]) {
        let run = self.container.run();
        if before.is_empty() || run.attachment.is_some_and(|attachment| !attachment.ports.is_empty()) {
            return;
        }
        inner.relays.stop(&self.container.id).await;
        let Some(supervisor) = run.supervisor else { return };
        if let Err(error) = supervisor.release_held().await {
            tracing::warn!(%error, container = self.container.id.short(), "give the ports free");
        }
    }
}

/// What a container that runs without any network has.
fn nothing(record: &Record) -> Attachment {
    Attachment::nowhere(record.id.clone())
}

fn refuse_in_removal(record: &Record, phase: Phase) -> Result<(), Error> {
    match phase {
        Phase::Removing | Phase::Dead => Err(Error::new(
            ErrorKind::Internal,
            format!(
                "Container {} is marked for removal and cannot be connected or disconnected to the network",
                record.id
            ),
        )),
        _ => Ok(()),
    }
}

/// Plugs a running container into a network, up to its run.json. Blocking.
fn plug(
    inner: &Inner,
    container: &super::Container,
    before: &Record,
    wanted: &Record,
    attachment: &Attachment,
    network: &NetworkRecord,
) -> Result<Attachment, Error> {
    let settings = wanted.networks.get(&network.name).cloned().unwrap_or_default();
    let request = endpoint::request(network, &settings, wanted.has_ipv6())?;
    let netns = sandbox::namespace_of(container, NamespaceType::Network)?;
    let ports = ports::requests(&wanted.config, &wanted.host)?;
    let connected = inner.networks.connect(netns.as_fd(), attachment, request, &ports);
    let connected = connected.map_err(|error| networks::errors::attach("", &error))?;
    let told = tell(inner, [before, wanted], [attachment, &connected], netns, network)
        .and_then(|()| note(inner, wanted, &connected));
    if let Err(error) = told {
        if let Err(error) = unplug(inner, container, before, &connected, network) {
            tracing::warn!(%error, container = before.id.short(), "take a container off a network again");
        }
        return Err(error);
    }
    inner.relays.update(&inner.networks, &connected);
    container.edit_run(|run| run.attachment = Some(connected.clone()));
    Ok(connected)
}

/// Makes its new place known: its names, its name server, its /etc/hosts and /etc/resolv.conf.
fn tell(
    inner: &Inner,
    [before, wanted]: [&Record; 2],
    [attachment, connected]: [&Attachment; 2],
    netns: std::os::fd::OwnedFd,
    network: &NetworkRecord,
) -> Result<(), Error> {
    let modes = Modes::parse(&wanted.host, inner.host.facts.resources.unified)?;
    let places = inner.places(&wanted.id);
    inner.make_named(wanted, connected);
    match inner.is_told_names(wanted.id.as_str()) {
        true => inner.tell_other_names(wanted, connected),
        false if network.is_user_defined() => {
            let sockets: DnsSockets = inner
                .networks
                .dns_sockets(netns.as_fd())
                .map_err(|error| networks::errors::attach("", &error))?;
            inner.tell_names(wanted, connected, netns, sockets)?;
            resolver::ask_names_from_now_on(inner, before, wanted, &modes, &places)?;
        }
        false => {}
    }
    resolver::update_hosts(inner, [before, wanted], &modes, &places, [attachment, connected])
}

/// Takes a running container off a network: run.json, names, kernel. Blocking.
fn unplug(
    inner: &Inner,
    container: &super::Container,
    record: &Record,
    attachment: &Attachment,
    network: &NetworkRecord,
) -> Result<(), Error> {
    let Some(endpoint) = attachment.endpoint(&network.id) else { return Ok(()) };
    let mut left = attachment.clone();
    left.endpoints.retain(|endpoint| endpoint.network != network.id);
    inner.forget_names(&endpoint.endpoint_id);
    // One that has just ended is taken off all its networks anyway.
    let Ok(netns) = sandbox::namespace_of(container, NamespaceType::Network) else { return Ok(()) };
    note(inner, record, &left)?;
    let left = inner.networks.disconnect(netns.as_fd(), attachment, &network.id).unwrap_or_else(|error| {
        // Everything else was done, and what is left goes with the container.
        tracing::warn!(%error, container = record.id.short(), "disconnect a container");
        left
    });
    note(inner, record, &left)?;
    inner.relays.update(&inner.networks, &left);
    inner.tell_other_names(record, &left);
    let modes = Modes::parse(&record.host, inner.host.facts.resources.unified)?;
    resolver::update_hosts(inner, [record; 2], &modes, &inner.places(&record.id), [attachment, &left])?;
    container.edit_run(|run| run.attachment = Some(left));
    Ok(())
}

/// Notes what a running container has, for the next engine.
fn note(inner: &Inner, record: &Record, attachment: &Attachment) -> Result<(), Error> {
    let directory = inner.places(&record.id).directory;
    let mut note = RunNote::read(&directory).unwrap_or_default();
    note.attachment = Some(attachment.clone());
    note.write(&directory).map_err(|error| Error::internal("note the container's networks", &error))
}
