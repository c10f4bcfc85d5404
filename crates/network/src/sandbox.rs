//! A sandbox's network namespace and the veth pair that joins it to the bridge.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use minke_netlink::{
    Error,
    namespace::{self, Making},
    route::{Batch, RouteSocket, Veth},
};

use crate::{Attachment, Mac, sysctl};

/// How long an interface may take from being up to being in operation; on a host that is so busy,
/// a container may begin without waiting any longer.
const OPERATIONAL_WITHIN: Duration = Duration::from_millis(100);
const POLL_EVERY: Duration = Duration::from_micros(100);

/// A network namespace with lo up, and a socket that was opened in it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) netns: OwnedFd,
    route: RouteSocket,
}

/// Begins to make a network namespace; the caller does its other work meanwhile.
///
/// # Errors
/// When no thread could be started for it.
pub(crate) fn begin() -> io::Result<Making<Sandbox>> {
    namespace::make(|| {
        // No IPv6 on this network: without this, eth0 would spend its first seconds looking for
        // routers and neighbours. lo keeps ::1, since it was there before.
        sysctl::disable_ipv6("default");
        let mut route = RouteSocket::open().map_err(io::Error::other)?;
        route.run(Batch::new().up("lo")).map_err(io::Error::other)?;
        Ok(Sandbox { netns: namespace::current()?, route })
    })
}

/// A fresh network namespace with lo up and nothing else, for `--network none`.
///
/// # Errors
/// When the kernel makes no namespace (no CAP_SYS_ADMIN, the limit of namespaces).
pub fn loopback_only() -> io::Result<OwnedFd> {
    let making = namespace::make(|| {
        let mut route = RouteSocket::open().map_err(io::Error::other)?;
        route.run(Batch::new().up("lo")).map_err(io::Error::other)?;
        namespace::current()
    })?;
    making.finish()
}

impl Sandbox {
    /// Joins the sandbox to the bridge with index `bridge`: veth pair, address, default route.
    /// `host` is a socket of the host's namespace.
    pub(crate) fn plumb(
        &mut self,
        host: &mut RouteSocket,
        bridge: u32,
        mtu: u32,
        mac: Mac,
        attachment: &Attachment,
    ) -> Result<(), Error> {
        let veth = Veth {
            name: &attachment.host_interface,
            bridge: Some(bridge),
            peer: &attachment.interface,
            peer_mac: mac.octets(),
            namespace: self.netns.as_fd(),
            mtu,
        };
        host.run(Batch::new().veth(&veth).bridge_port_up(&attachment.host_interface))?;
        let Some(link) = self.route.link(&attachment.interface)? else {
            return Err(Error::missing(&format!("find interface {} in the sandbox", attachment.interface)));
        };
        let (address, gateway) = (IpAddr::V4(attachment.address), IpAddr::V4(attachment.gateway));
        let batch =
            Batch::new().up(&attachment.interface).address(link.index, address, attachment.prefix_len);
        self.route.run(batch.default_route(link.index, gateway))
    }

    /// Waits until packets get through between the sandbox and the bridge.
    pub(crate) fn wait_until_operational(
        &mut self,
        host: &mut RouteSocket,
        bridge: &str,
        attachment: &Attachment,
    ) -> Result<(), Error> {
        wait_until_operational(&mut self.route, &[&attachment.interface])?;
        wait_until_operational(host, &[&attachment.host_interface, bridge])
    }
}

/// Waits until these interfaces carry packets. The kernel brings interfaces into operation from a
/// work queue, up to some milliseconds after they are up, and drops what is sent before; a lost ARP
/// request would cost a new container's first connection a whole second.
pub(crate) fn wait_until_operational(route: &mut RouteSocket, interfaces: &[&str]) -> Result<(), Error> {
    let begin = Instant::now();
    for interface in interfaces {
        while !route.link(interface)?.is_some_and(|link| link.operational) {
            if begin.elapsed() > OPERATIONAL_WITHIN {
                tracing::warn!(interface, "the interface is up but not in operation yet");
                return Ok(());
            }
            thread::sleep(POLL_EVERY);
        }
    }
    Ok(())
}
