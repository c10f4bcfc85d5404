//! Legacy links (`--link`) on a network whose containers don't reach each other: the ports of the other that it exposes.
//!
//! Where ports of a bridge are isolated, no frame goes from one to the other. So each of the two takes the bridge for the
//! other's neighbour; their packets come to the host, which routes them back into the bridge as far as an element of the
//! table allows it. Where br_netfilter shows bridged packets to the table, the same element lets them through.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    sync::PoisonError,
};

use minke_model::ContainerId;
use minke_netlink::route::Batch;

use super::{Inner, Networks, locked};
use crate::{
    AttachError, Endpoint, OpenLink,
    firewall::{Change, Item},
    sandbox::Sandbox,
};

impl Networks {
    /// Opens what the links of a sandbox at this place lead to, in place of what they opened before. On a network whose
    /// containers reach each other there is nothing to open.
    ///
    /// # Errors
    /// [`AttachError`]; some of the links may be open then.
    pub fn link(
        &self,
        container: &ContainerId,
        netns: BorrowedFd<'_>,
        endpoint: &Endpoint,
        links: &[OpenLink<'_>],
    ) -> Result<(), AttachError> {
        let inner = &*self.0;
        let _shared = inner.lifecycle.read().unwrap_or_else(PoisonError::into_inner);
        if !locked(&inner.book).has(&endpoint.endpoint_id) {
            // It has left already.
            return Ok(());
        }
        let spec = inner.spec(&endpoint.network);
        let closed = spec.as_ref().and_then(|spec| spec.bridge()).is_some_and(|options| !options.icc);
        let bridge = locked(&inner.devices).bridge(&endpoint.network);
        let mut items = Vec::new();
        if let (true, Some(bridge), Some(own)) = (closed, bridge, endpoint.address_ipv4()) {
            for link in links {
                let Some(other) = link.endpoint.address_ipv4() else { continue };
                meet(netns, endpoint, other.into(), bridge.mac)?;
                meet(link.netns, link.endpoint, own.into(), bridge.mac)?;
                let target = |port: u16| SocketAddr::new(other.into(), port);
                items.extend(
                    link.ports.iter().map(|(protocol, port)| Item::Link(own, *protocol, target(*port))),
                );
            }
        }
        inner.replace_links(container, items)?;
        // It may be leaving at this very moment: then nobody else closes them any more.
        match locked(&inner.book).has(&endpoint.endpoint_id) {
            true => Ok(()),
            false => inner.unlink(container),
        }
    }
}

impl Inner {
    /// Closes what the links of a sandbox opened.
    pub(super) fn unlink(&self, container: &ContainerId) -> Result<(), AttachError> {
        self.replace_links(container, Vec::new())
    }

    fn replace_links(&self, container: &ContainerId, items: Vec<Item>) -> Result<(), AttachError> {
        let mut known = locked(&self.links);
        let remove = match items.is_empty() {
            true => known.remove(container).unwrap_or_default(),
            false => known.insert(container.clone(), items.clone()).unwrap_or_default(),
        };
        if remove.is_empty() && items.is_empty() {
            return Ok(());
        }
        self.firewall.apply(&Change { remove, add: items })
    }
}

/// Has a sandbox send what is for a neighbour to the bridge.
fn meet(
    netns: BorrowedFd<'_>,
    endpoint: &Endpoint,
    neighbour: IpAddr,
    bridge: [u8; 6],
) -> Result<(), AttachError> {
    Sandbox::enter(netns)?
        .meet(endpoint, |batch: Batch, index| batch.fixed_neighbour(index, neighbour, bridge))
}
