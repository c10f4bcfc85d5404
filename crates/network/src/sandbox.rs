//! A sandbox's network namespace and the veth pair that joins it to the bridge.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use minke_netlink::{
    Error,
    namespace::{self, Making},
    route::{Batch, Link, RouteSocket, Veth},
};

use crate::{AttachError, DnsSockets, Mac, attachment::Single, sysctl};

/// Where Docker's embedded name server answers.
const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
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
    /// Makes the veth pair between the sandbox and the bridge with index `bridge`. `host` is a socket
    /// of the host's namespace. After an error there is none: the kernel makes it whole or not at all.
    pub(crate) fn make_pair(
        &self,
        host: &mut RouteSocket,
        bridge: u32,
        mtu: u32,
        mac: Mac,
        attachment: &Single,
    ) -> Result<(), Error> {
        let veth = Veth {
            name: &attachment.host_interface,
            bridge: Some(bridge),
            peer: &attachment.interface,
            peer_mac: mac.octets(),
            namespace: self.netns.as_fd(),
            mtu,
        };
        host.run(Batch::new().veth(&veth))
    }

    /// Brings the pair up and gives the sandbox its address and default route.
    pub(crate) fn plumb(&mut self, host: &mut RouteSocket, attachment: &Single) -> Result<(), Error> {
        host.run(Batch::new().bridge_port_up(&attachment.host_interface))?;
        let Some(link) = self.route.link(&attachment.interface)? else {
            return Err(Error::missing(&format!("find interface {} in the sandbox", attachment.interface)));
        };
        let (address, gateway) = (IpAddr::V4(attachment.address), IpAddr::V4(attachment.gateway));
        let gateway_mac = Mac::of_address(attachment.gateway).octets();
        let batch = Batch::new()
            .up(&attachment.interface)
            .address(link.index, address, attachment.prefix_len)
            .default_route(link.index, gateway)
            .neighbour(link.index, attachment.gateway, gateway_mac);
        self.route.run(batch)
    }

    /// Waits until packets get through between the sandbox and the bridge, and tells the host where
    /// the sandbox is. It would find out by asking, but each question goes to all sandboxes of the
    /// bridge, a thousand copies of one overflow the kernel's queues, and the neighbours that all
    /// namespaces have found share one small table.
    pub(crate) fn join(
        &mut self,
        host: &mut RouteSocket,
        (name, bridge): (&str, u32),
        mac: Mac,
        attachment: &Single,
    ) -> Result<(), Error> {
        wait_until_operational(&mut self.route, &[&attachment.interface])?;
        let links = wait_until_operational(host, &[name, &attachment.host_interface])?;
        let Some(port) = links.last() else { return Ok(()) };
        let batch = Batch::new().neighbour(bridge, attachment.address, mac.octets());
        host.run(batch.behind_port(port.index, mac.octets()))
    }
}

/// Waits until these interfaces carry packets. The kernel brings interfaces into operation from a
/// work queue, up to some milliseconds after they are up, and drops what is sent before; a lost ARP
/// request would cost a new container's first connection a whole second.
pub(crate) fn wait_until_operational(
    route: &mut RouteSocket,
    interfaces: &[&str],
) -> Result<Vec<Link>, Error> {
    let begin = Instant::now();
    interfaces.iter().map(|interface| wait_for(route, interface, begin)).collect()
}

/// Since Linux 6.8, to ask is to have it brought into operation; before, the work queue has to come
/// round. An interface that is gone will not come.
fn wait_for(route: &mut RouteSocket, interface: &str, begin: Instant) -> Result<Link, Error> {
    loop {
        let Some(link) = route.link(interface)? else {
            return Err(Error::missing(&format!("find interface {interface}")));
        };
        if link.operational {
            return Ok(link);
        }
        if begin.elapsed() > OPERATIONAL_WITHIN {
            tracing::warn!(interface, "the interface is up but not in operation yet");
            return Ok(link);
        }
        thread::sleep(POLL_EVERY);
    }
}

/// The name server's sockets in a sandbox, non-blocking.
pub(crate) fn dns_sockets(netns: BorrowedFd<'_>) -> Result<DnsSockets, AttachError> {
    let open = || -> io::Result<DnsSockets> {
        let udp = UdpSocket::bind((DNS_ADDRESS, 0))?;
        let tcp = TcpListener::bind((DNS_ADDRESS, 0))?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok(DnsSockets { udp, tcp })
    };
    namespace::run_in(netns, open).and_then(|sockets| sockets).map_err(AttachError::Dns)
}
