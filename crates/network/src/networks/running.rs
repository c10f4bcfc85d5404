//! A running sandbox comes to a network or leaves it.

use std::{os::fd::BorrowedFd, sync::PoisonError};

use minke_model::NetworkId;

use super::{Networks, locked, making::Making, open_route};
use crate::{
    AttachError, Attachment, DetachError, EndpointRequest, Failures, PortRequest,
    error::chain,
    firewall::{Change, Item},
    ports::Bindings,
    publish,
    sandbox::{DefaultRoutes, Sandbox},
};

impl Networks {
    /// Joins a running sandbox to a further network. The default route and with it the published ports
    /// move to the new endpoint if its priority says so; of `ports`, those are published that had no way
    /// before. Returns the attachment as it is now.
    ///
    /// # Errors
    /// [`AttachError`]; the sandbox is as it was then.
    pub fn connect(
        &self,
        netns: BorrowedFd<'_>,
        attachment: &Attachment,
        endpoint: EndpointRequest,
        ports: &[PortRequest],
    ) -> Result<Attachment, AttachError> {
        let inner = &*self.0;
        let _shared = inner.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
        let specs = inner.specs([&endpoint.network].into_iter())?;
        let mut sandbox = Sandbox::enter(netns)?;
        let mut host = open_route(&inner.names)?;
        let devices = inner.ensure_devices(&mut host, &specs)?;
        // The default network may have another subnet now.
        let specs = inner.specs([&endpoint.network].into_iter())?;
        let mut making = Making::of(inner, attachment.clone());
        for (spec, device) in specs.iter().zip(devices) {
            // Whatever the sandbox's defaults are by now, this interface is told.
            let ipv6 = spec.ipv6.is_some() && endpoint.has_ipv6;
            making.add(&endpoint, spec, device, !ipv6, |name| sandbox.has(name))?;
        }
        making.reserve_more(ports)?;
        sandbox.make_links(&mut host, making.places())?;
        making.has_links();
        let routes = making.default_routes();
        let mut finish = |sandbox: &mut Sandbox, making: &mut Making<'_>| -> Result<(), AttachError> {
            for (ipv4, changed) in [(true, &routes.ipv4), (false, &routes.ipv6)] {
                if changed.is_some() && attachment.gateway(ipv4).is_some() {
                    let interface = endpoint.network.short().to_owned();
                    sandbox
                        .remove_default_route(ipv4)
                        .map_err(|source| AttachError::Plumb { interface, source })?;
                }
            }
            sandbox.plumb(making.places(), &routes)?;
            making.publish()?;
            sandbox.join(&mut host, making.places())
        };
        if let Err(error) = finish(&mut sandbox, &mut making) {
            for place in making.places() {
                let _ = sandbox.remove(&place.endpoint.interface);
            }
            let before = DefaultRoutes {
                ipv4: routes.ipv4.and(attachment.gateway(true).cloned()),
                ipv6: routes.ipv6.and(attachment.gateway(false).cloned()),
            };
            if let Err(error) = sandbox.set_default_routes(&[], &before) {
                tracing::warn!(error = chain(&error), "restore the default route after a failed connect");
            }
            return Err(error);
        }
        Ok(making.keep())
    }

    /// Takes a running sandbox off a network; not being on it is no error. Returns the attachment as it is
    /// now: without ports where no way is left to them, and then whoever holds their sockets is to close them.
    ///
    /// # Errors
    /// [`DetachError`] lists what failed; everything else was done.
    pub fn disconnect(
        &self,
        netns: BorrowedFd<'_>,
        attachment: &Attachment,
        network: &NetworkId,
    ) -> Result<Attachment, DetachError> {
        let inner = &*self.0;
        let _shared = inner.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
        let Some(endpoint) = attachment.endpoint(network) else { return Ok(attachment.clone()) };
        let mut after = attachment.clone();
        after.endpoints.retain(|other| other.network != *network);
        if inner.bindings(&after) == Bindings::default() {
            after.ports.clear();
            after.late_ports.clear();
        }

        let mut failures = Vec::new();
        let mut change = Change::default();
        change.remove.extend(publish::guard(endpoint).map(Item::Guard));
        let (old, new) = (inner.port_items(attachment), inner.port_items(&after));
        if old != new {
            change.remove.extend(old);
            change.add.extend(new);
        }
        failures.extend(inner.route_loopback(&after).err().map(|error| chain(&error)));
        let leave = || -> Result<(), AttachError> {
            let mut sandbox = Sandbox::enter(netns)?;
            if endpoint.host_interface.is_none() || sandbox.retire(endpoint).is_err() {
                let interface = endpoint.interface.clone();
                sandbox.remove(&interface).map_err(|source| AttachError::Plumb { interface, source })?;
            }
            let moved = |ipv4| {
                let gone =
                    attachment.gateway(ipv4).is_some_and(|old| old.endpoint_id == endpoint.endpoint_id);
                after.gateway(ipv4).filter(|_| gone).cloned()
            };
            sandbox.set_default_routes(&[], &DefaultRoutes { ipv4: moved(true), ipv6: moved(false) })
        };
        // Its guard goes once it has left.
        failures.extend(leave().err().map(|error| chain(&error)));
        failures.extend(inner.firewall.apply(&change).err().map(|error| chain(&error)));
        inner.bury(endpoint);
        locked(&inner.book).leave(std::slice::from_ref(endpoint));
        if after.ports.is_empty() {
            locked(&inner.held).remove(&after.id);
        }
        if failures.is_empty() {
            return Ok(after);
        }
        let interface = endpoint.host_interface.clone().unwrap_or_else(|| endpoint.interface.clone());
        Err(DetachError { interface, failures: Failures(failures) })
    }
}
