//! An attachment in the making, which undoes itself unless it is kept.

use std::{fmt::Write as _, io, os::fd::OwnedFd};

use rustix::rand::{GetRandomFlags, getrandom};

use super::{INTERFACE, Inner, locked};
use crate::{AttachError, AttachRequest, Attachment, PortRequest, PublishedPort, ports};

/// An attachment in the making. Dropped, it takes back what was done so far.
pub(super) struct Endpoint<'a> {
    inner: &'a Inner,
    attachment: Attachment,
    kept: bool,
}

impl<'a> Endpoint<'a> {
    /// Gives the endpoint its id and address.
    pub(super) fn new(inner: &'a Inner, request: &AttachRequest) -> Result<Self, AttachError> {
        let endpoint_id = random_id().map_err(AttachError::Random)?;
        let mut plan = locked(&inner.plan);
        let address = match request.address {
            Some(address) => plan.addresses.claim(address).map(|()| address)?,
            None => plan.addresses.allocate()?,
        };
        let mac = request.mac.unwrap_or_else(|| crate::Mac::of_address(address));
        let attachment = Attachment {
            id: request.id.clone(),
            host_interface: inner.names.host_interface(&endpoint_id),
            interface: INTERFACE.to_owned(),
            address,
            prefix_len: plan.bridge.prefix_len(),
            gateway: plan.bridge.address(),
            mac: mac.to_string(),
            ports: Vec::new(),
            endpoint_id,
        };
        locked(&inner.live).insert(attachment.endpoint_id.clone(), attachment.clone());
        Ok(Self { inner, attachment, kept: false })
    }

    pub(super) fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Reserves the host's ports; the sockets keep them.
    pub(super) fn reserve_ports(&mut self, requests: &[PortRequest]) -> Result<Vec<OwnedFd>, AttachError> {
        let ours = |address, protocol, port| self.inner.firewall.has_port(address, protocol, port);
        let reservations = ports::reserve_all(requests, &ours)?;
        let (ports, held): (Vec<PublishedPort>, Vec<OwnedFd>) =
            reservations.into_iter().map(|reservation| (reservation.port, reservation.socket)).unzip();
        self.attachment.ports = ports;
        Ok(held)
    }

    /// Lets traffic to the reserved ports through.
    pub(super) fn publish(&self) -> Result<(), AttachError> {
        if self.attachment.ports.is_empty() {
            return Ok(());
        }
        self.inner.route_loopback()?;
        self.inner.firewall.publish(&self.attachment.ports, self.attachment.address)
    }

    /// It is done: nothing is undone any more.
    pub(super) fn keep(mut self) -> Attachment {
        self.kept = true;
        let mut live = locked(&self.inner.live);
        live.insert(self.attachment.endpoint_id.clone(), self.attachment.clone());
        self.attachment.clone()
    }
}

impl Drop for Endpoint<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        for failure in self.inner.tear_down(&self.attachment) {
            tracing::warn!(failure, "undo of a failed attach");
        }
    }
}

/// 64 random hexadecimal digits.
fn random_id() -> io::Result<String> {
    let mut bytes = [0u8; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
