//! An attachment in the making, which undoes itself unless it is kept.

use std::{collections::BTreeMap, fmt::Write as _, io, os::fd::OwnedFd};

use rustix::rand::{GetRandomFlags, getrandom};

use super::{INTERFACE, Inner, locked};
use crate::{
    AttachError, AttachRequest, PortRequest, PublishedPort, attachment::Single, naming::ENDPOINT_DIGITS,
    ports,
};

/// An attachment in the making. Dropped, it takes back what was done so far.
pub(super) struct Endpoint<'a> {
    inner: &'a Inner,
    attachment: Single,
    has_interface: bool,
    kept: bool,
}

impl<'a> Endpoint<'a> {
    /// Gives the endpoint its id and address.
    pub(super) fn new(inner: &'a Inner, request: &AttachRequest) -> Result<Self, AttachError> {
        let mut plan = locked(&inner.plan);
        let endpoint_id = free_id(&locked(&inner.live), random_id).map_err(AttachError::Random)?;
        let address = match request.endpoints.first().and_then(|endpoint| endpoint.ipv4) {
            Some(address) => plan.addresses.claim(address).map(|()| address)?,
            None => plan.addresses.allocate()?,
        };
        let mac = request.endpoints.first().and_then(|endpoint| endpoint.mac).unwrap_or_else(|| crate::Mac::of_address(address));
        let attachment = Single {
            id: request.id.clone(),
            host_interface: inner.names.host_interface(&endpoint_id),
            interface: INTERFACE.to_owned(),
            address,
            prefix_len: plan.bridge.prefix_len(),
            gateway: plan.bridge.address(),
            mac,
            ports: Vec::new(),
            endpoint_id,
        };
        locked(&inner.live).insert(attachment.endpoint_id.clone(), attachment.clone());
        Ok(Self { inner, attachment, has_interface: false, kept: false })
    }

    pub(super) fn attachment(&self) -> &Single {
        &self.attachment
    }

    /// The veth pair is made, and to be removed again.
    pub(super) fn has_interface(&mut self) {
        self.has_interface = true;
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
    pub(super) fn keep(mut self) -> Single {
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
        for failure in self.inner.tear_down(&self.attachment, self.has_interface) {
            tracing::warn!(failure, "undo of a failed attach");
        }
    }
}

/// An id whose first digits, of which the interface's name is made, no living endpoint has.
fn free_id(
    live: &BTreeMap<String, Single>,
    mut random: impl FnMut() -> io::Result<String>,
) -> io::Result<String> {
    loop {
        let id = random()?;
        let name = &id[..id.len().min(ENDPOINT_DIGITS)];
        let next = live.range(name.to_owned()..).next();
        if next.is_none_or(|(other, _)| !other.starts_with(name)) {
            return Ok(id);
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

#[cfg(test)]
mod tests {
    use minke_model::ContainerId;

    use super::*;

    #[test]
    fn an_id_whose_interface_another_has_is_passed_over() {
        let attachment = Single {
            id: ContainerId::from_random([1; 32]),
            endpoint_id: "0123456fff".to_owned(),
            host_interface: "minkeve0123456".to_owned(),
            interface: INTERFACE.to_owned(),
            address: [10, 0, 0, 2].into(),
            prefix_len: 24,
            gateway: [10, 0, 0, 1].into(),
            mac: crate::Mac::of_address([10, 0, 0, 2].into()),
            ports: Vec::new(),
        };
        let live = BTreeMap::from([(attachment.endpoint_id.clone(), attachment)]);
        let mut ids = ["0123456000", "0123456fff", "0123457000"].map(str::to_owned).into_iter();
        let id = free_id(&live, || ids.next().ok_or_else(|| io::Error::other("no more"))).unwrap();
        assert_eq!(id, "0123457000");
    }
}
