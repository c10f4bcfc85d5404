//! Reserving host ports: a bound socket that never listens keeps everybody else off a port.
//!
//! Published traffic is rewritten before it would reach the socket, so the socket only ever holds
//! the name. It doesn't listen, so that a connection which no rule caught is refused at once
//! instead of hanging in a queue that nobody reads. That of a port that needs a [`Relay`] begins to listen with it.
//!
//! SCTP needs no socket to be forwarded. Where the kernel has none for it, nothing keeps other programs
//! off the port, which they could not have either.

mod holder;

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketFlags, SocketType, sockopt},
};

#[cfg(doc)]
use crate::Relay;
use crate::{PortError, PortRequest, Protocol, PublishedPort};

/// How often another port is tried when a free one of IPv4 is taken in IPv6.
const ATTEMPTS: usize = 16;
/// How many connections may wait for a relay; net.core.somaxconn bounds it too.
const RELAY_BACKLOG: i32 = 1024;

/// A reserved port and the socket that reserves it.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) port: PublishedPort,
    pub(crate) socket: Option<OwnedFd>,
}

/// Where ports of a sandbox may be published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bindings {
    pub(crate) ipv4: Option<Binding>,
    pub(crate) ipv6: Option<Binding>,
}

/// How the ports of one family are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// On the host; on this address when none is named, or not at all.
    Host(Option<IpAddr>),
    /// The same by a relay alone, since the sandbox has no address of this family.
    Relayed(Option<IpAddr>),
    /// At the sandbox's own address; the host's ports don't matter.
    Routed,
}

/// Whether a sandbox of this engine has a port.
pub(crate) type Ours<'a> = &'a dyn Fn(IpAddr, Protocol, u16) -> bool;

/// Reserves a host port for each request.
pub(crate) fn reserve_all(
    requests: &[PortRequest],
    bindings: Bindings,
    ours: Ours<'_>,
) -> Result<Vec<Reservation>, PortError> {
    let mut reserved: Vec<Reservation> = Vec::with_capacity(requests.len());
    for request in requests {
        if request.container_port == 0 {
            return Err(PortError::ZeroPort);
        }
        let (routed, on_host): (Vec<_>, Vec<_>) =
            addresses(request, bindings)?.into_iter().partition(|(_, routed)| *routed);
        let routed = routed.into_iter().map(|(host_address, _)| PublishedPort {
            container_port: request.container_port,
            protocol: request.protocol,
            host_address,
            host_port: 0,
        });
        let routed: Vec<_> = routed.map(|port| Reservation { port, socket: None }).collect();
        let on_host: Vec<IpAddr> = on_host.into_iter().map(|(address, _)| address).collect();
        let before = reserved.len();
        if !on_host.is_empty() {
            // What this very request has already is ours as well.
            let taken = |address: IpAddr, protocol, port| {
                ours(address, protocol, port)
                    || reserved.iter().any(|other| other.port.clashes(address, protocol, port))
            };
            let more = reserve(request, &on_host, &taken)?;
            reserved.extend(more);
        }
        reserved.extend(routed);
        reserved[before..].sort_by_key(|reservation| reservation.port.host_address.is_ipv6());
    }
    Ok(reserved)
}

/// A request, or a part of it, that is not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) request: PortRequest,
    /// Where the part may be published.
    pub(crate) bindings: Bindings,
}

/// What of these requests none of the published ports answers, as far as there is a way now. A request that is published in
/// one family has the same port in the other.
pub(crate) fn missing(
    requests: &[PortRequest],
    bindings: Bindings,
    published: &[PublishedPort],
) -> Vec<Missing> {
    let mut left = published.to_vec();
    let mut missing = Vec::new();
    // Who takes any port takes none that another one asks for.
    let (any, named): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.host_ports.is_none());
    for request in named.into_iter().chain(any) {
        let families = [(true, bindings.ipv4), (false, bindings.ipv6)];
        let mut open = Bindings::default();
        let mut port = None;
        for (ipv4, binding) in families {
            let is_published = left.iter().position(|port| answers(port, request, ipv4));
            if let Some(known) = is_published.map(|at| left.remove(at)).filter(|known| known.host_port != 0) {
                port = Some(known.host_port);
            } else if request.host_address.is_none_or(|address| address.is_ipv4() == ipv4)
                && !(is_published.is_some() && binding == Some(Binding::Routed))
            {
                *(if ipv4 { &mut open.ipv4 } else { &mut open.ipv6 }) = binding;
            }
        }
        if open != Bindings::default() {
            let host_ports = port.map_or_else(|| request.host_ports.clone(), |port| Some(port..=port));
            missing.push(Missing { request: PortRequest { host_ports, ..request.clone() }, bindings: open });
        }
    }
    missing
}

/// Whether a published port is what a request asked for in a family.
fn answers(port: &PublishedPort, request: &PortRequest, ipv4: bool) -> bool {
    let same = (port.container_port, port.protocol) == (request.container_port, request.protocol);
    let in_range = port.host_port == 0
        || request.host_ports.as_ref().is_none_or(|range| range.contains(&port.host_port));
    let address = request.host_address.is_none_or(|address| address == port.host_address);
    same && in_range && address && port.host_address.is_ipv4() == ipv4
}

/// Takes a port of a living sandbox again, which an engine before this one kept; none if somebody has it.
pub(crate) fn hold_again(port: &PublishedPort) -> Option<OwnedFd> {
    match bind(port.host_address, port.host_port, port.protocol, &|_, _, _| false) {
        Ok((socket, _)) => socket,
        Err(errno) => {
            tracing::warn!(%errno, port = port.host_port, "a published port can't be kept from other programs");
            None
        }
    }
}

/// Lets the socket of a port take what comes, for a relay.
pub(crate) fn open_up(socket: &OwnedFd, protocol: Protocol) -> Result<(), Errno> {
    if protocol == Protocol::Tcp {
        // Connections that were passed on keep the port of their container from nobody, living or ended.
        sockopt::set_socket_reuseaddr(socket, true)?;
        net::listen(socket, RELAY_BACKLOG)?;
    }
    rustix::io::ioctl_fionbio(socket, true)
}

/// Why a relay has no socket.
pub(crate) fn cannot_listen(port: &PublishedPort, error: &io::Error) -> PortError {
    PortError::Refused {
        address: port.host_address,
        port: port.host_port,
        protocol: port.protocol,
        reason: error.to_string(),
        holder: String::new(),
    }
}

/// The host's addresses of a request, and whether they only stand for the sandbox's own. Nobody relays SCTP.
fn addresses(request: &PortRequest, bindings: Bindings) -> Result<Vec<(IpAddr, bool)>, PortError> {
    let relays = request.protocol != Protocol::Sctp;
    let named = |address: IpAddr, binding: Option<Binding>| match binding {
        Some(Binding::Host(_)) => Ok(vec![(address, false)]),
        Some(Binding::Relayed(_)) if relays => Ok(vec![(address, false)]),
        Some(Binding::Routed) => Ok(vec![(address, true)]),
        Some(Binding::Relayed(_)) | None => Err(PortError::NoTarget(address)),
    };
    match request.host_address {
        Some(address @ IpAddr::V4(_)) => named(address, bindings.ipv4),
        Some(address @ IpAddr::V6(_)) => named(address, bindings.ipv6),
        None => {
            let any: [(IpAddr, _); 2] = [
                (Ipv4Addr::UNSPECIFIED.into(), bindings.ipv4),
                (Ipv6Addr::UNSPECIFIED.into(), bindings.ipv6),
            ];
            let found = any.into_iter().filter_map(|(any, binding)| match binding? {
                Binding::Host(address) => address.map(|address| (address, false)),
                Binding::Relayed(address) => address.filter(|_| relays).map(|address| (address, false)),
                Binding::Routed => Some((any, true)),
            });
            Ok(found.collect())
        }
    }
}

/// The same port on all of these addresses.
fn reserve(
    request: &PortRequest,
    addresses: &[IpAddr],
    ours: Ours<'_>,
) -> Result<Vec<Reservation>, PortError> {
    let (first, last) = match &request.host_ports {
        Some(range) => (*range.start(), *range.end()),
        None => (0, 0),
    };
    let mut attempts = 0;
    for port in first..=last {
        loop {
            match on_all(request, addresses, port, ours) {
                Ok(reserved) => return Ok(reserved),
                Err((Errno::ADDRINUSE, _)) if first < last => break,
                Err((Errno::ADDRINUSE, _)) if port == 0 && attempts < ATTEMPTS => attempts += 1,
                Err((errno, address)) => return Err(refused(address, port, request.protocol, errno, ours)),
            }
        }
    }
    let address = addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    Err(PortError::RangeExhausted { address, first, last, protocol: request.protocol })
}

fn on_all(
    request: &PortRequest,
    addresses: &[IpAddr],
    port: u16,
    ours: Ours<'_>,
) -> Result<Vec<Reservation>, (Errno, IpAddr)> {
    let mut reserved: Vec<Reservation> = Vec::with_capacity(addresses.len());
    for &address in addresses {
        // A port that was free in IPv4 is the one for IPv6 as well.
        let port = reserved.first().map_or(port, |first| first.port.host_port);
        // The socket of a sandbox that is ours may be gone before its port is withdrawn; then the kernel takes it for free, too.
        let bound = match bind(address, port, request.protocol, ours) {
            Ok((_, found)) if ours(address, request.protocol, found) => Err(Errno::ADDRINUSE),
            bound => bound,
        };
        let (socket, host_port) = match bound {
            Ok(bound) => bound,
            // A host without IPv6 has no port to publish on there.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
                if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && request.host_address.is_none() =>
            {
                continue;
            }
            Err(errno) => return Err((errno, address)),
        };
        let (container_port, protocol) = (request.container_port, request.protocol);
        let port = PublishedPort { container_port, protocol, host_address: address, host_port };
        reserved.push(Reservation { port, socket });
    }
    Ok(reserved)
}

/// A socket bound to the port, or to a free one of net.ipv4.ip_local_port_range for port 0.
fn bind(
    address: IpAddr,
    port: u16,
    protocol: Protocol,
    ours: Ours<'_>,
) -> Result<(Option<OwnedFd>, u16), Errno> {
    match bind_exclusively(address, port, protocol) {
        Err(Errno::ADDRINUSE) if protocol == Protocol::Tcp && port != 0 => bind_over_finished(address, port),
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) if protocol == Protocol::Sctp => {
            Ok((None, if port == 0 { free_port(address, ours)? } else { port }))
        }
        bound => bound,
    }
}

fn bind_exclusively(address: IpAddr, port: u16, protocol: Protocol) -> Result<(Option<OwnedFd>, u16), Errno> {
    let socket = open(address, protocol)?;
    net::bind(&socket, &SocketAddr::new(address, port))?;
    let port = bound_port(&socket)?;
    Ok((Some(socket), port))
}

/// Connections of a server that just ended keep its port for a minute (TIME_WAIT). Sharing the
/// address gets past them, and past every other bound socket that shares too; that nobody
/// listens is then what listening ourselves finds out, and it keeps later servers off.
fn bind_over_finished(address: IpAddr, port: u16) -> Result<(Option<OwnedFd>, u16), Errno> {
    let socket = open(address, Protocol::Tcp)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &SocketAddr::new(address, port))?;
    net::listen(&socket, 0)?;
    Ok((Some(socket), port))
}

/// Whether this kernel has SCTP. Where it hasn't, published ports lead to containers all the same, whose programs must have an
/// SCTP of their own.
pub fn has_sctp() -> bool {
    !matches!(
        open(Ipv4Addr::UNSPECIFIED.into(), Protocol::Sctp),
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT)
    )
}

/// A port that no sandbox of ours has, where no socket can find one.
fn free_port(address: IpAddr, ours: Ours<'_>) -> Result<u16, Errno> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u16>().ok());
    let (first, last) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
    (first..=last).find(|port| !ours(address, Protocol::Sctp, *port)).ok_or(Errno::ADDRINUSE)
}

fn open(address: IpAddr, protocol: Protocol) -> Result<OwnedFd, Errno> {
    let kind = match protocol {
        Protocol::Tcp | Protocol::Sctp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let protocol = (protocol == Protocol::Sctp).then_some(net::ipproto::SCTP);
    let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

fn bound_port(socket: &OwnedFd) -> Result<u16, Errno> {
    let address = net::getsockname(socket)?;
    SocketAddr::try_from(address).map(|address| address.port())
}

/// Why a port could not be had, in Docker's words, with its holder's name when that can be found.
fn refused(address: IpAddr, port: u16, protocol: Protocol, errno: Errno, ours: Ours<'_>) -> PortError {
    if errno == Errno::ADDRINUSE && ours(address, protocol, port) {
        return PortError::Allocated { address, port };
    }
    let (reason, holder) = match errno {
        Errno::ADDRINUSE => {
            let holder = holder::find(address, port, protocol);
            ("address already in use".to_owned(), holder.map(|holder| format!(" (held by {holder})")))
        }
        Errno::ADDRNOTAVAIL => ("cannot assign requested address".to_owned(), None),
        errno => (io::Error::from(errno).to_string(), None),
    };
    PortError::Refused { address, port, protocol, reason, holder: holder.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_way_only_now_is_missing_and_keeps_its_port_in_both_families() {
        let host = |any: IpAddr| Some(Binding::Host(Some(any)));
        let both =
            Bindings { ipv4: host(Ipv4Addr::UNSPECIFIED.into()), ipv6: host(Ipv6Addr::UNSPECIFIED.into()) };
        let ipv4 = Bindings { ipv6: None, ..both };
        let published = |address: &str, host_port| PublishedPort {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_address: address.parse().unwrap(),
            host_port,
        };
        let any = request(None);
        let asked = PortRequest { host_ports: Some(8080..=8090), ..request(None) };
        assert_eq!(
            missing(std::slice::from_ref(&any), ipv4, &[]),
            [Missing { request: any.clone(), bindings: ipv4 }]
        );
        let found = missing(&[any.clone(), asked.clone()], both, &[published("0.0.0.0", 8081)]);
        let at_8081 = PortRequest { host_ports: Some(8081..=8081), ..asked.clone() };
        let ipv6 = Bindings { ipv4: None, ..both };
        assert_eq!(found[0], Missing { request: at_8081, bindings: ipv6 });
        assert_eq!(found[1], Missing { request: any.clone(), bindings: both });
        let all = [published("0.0.0.0", 8081), published("::", 8081)];
        assert_eq!(missing(std::slice::from_ref(&asked), both, &all), []);
        assert_eq!(missing(&[request(Some("::1"))], ipv4, &[]), [], "there is no way still");
    }

    fn request(address: Option<&str>) -> PortRequest {
        PortRequest {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_address: address.map(|address| address.parse().unwrap()),
            host_ports: None,
        }
    }

    #[test]
    fn a_port_is_published_where_the_container_has_addresses() {
        let any4: IpAddr = Ipv4Addr::UNSPECIFIED.into();
        let any6: IpAddr = Ipv6Addr::UNSPECIFIED.into();
        let both = Bindings { ipv4: Some(Binding::Host(Some(any4))), ipv6: Some(Binding::Host(Some(any6))) };
        let on_host = |address| (address, false);
        assert_eq!(addresses(&request(None), both).unwrap(), [any4, any6].map(on_host));
        assert_eq!(addresses(&request(Some("0.0.0.0")), both).unwrap(), [on_host(any4)]);
        let only4 = Bindings { ipv6: None, ..both };
        assert_eq!(addresses(&request(None), only4).unwrap(), [on_host(any4)]);
        assert!(matches!(addresses(&request(Some("::1")), only4), Err(PortError::NoTarget(_))));
        let mixed = Bindings { ipv4: Some(Binding::Host(None)), ipv6: Some(Binding::Routed) };
        assert_eq!(addresses(&request(None), mixed).unwrap(), [(any6, true)]);
        let relayed = Bindings { ipv6: Some(Binding::Relayed(Some(any6))), ..both };
        assert_eq!(addresses(&request(None), relayed).unwrap(), [on_host(any4), (any6, false)]);
        let sctp = PortRequest { protocol: Protocol::Sctp, ..request(None) };
        assert_eq!(addresses(&sctp, relayed).unwrap(), [on_host(any4)], "nobody relays it");
    }

    #[test]
    fn a_free_port_that_still_leads_to_a_sandbox_is_not_taken() {
        let address: IpAddr = Ipv4Addr::LOCALHOST.into();
        let first = std::sync::atomic::AtomicU16::new(0);
        let ours = |_: IpAddr, _: Protocol, port: u16| {
            let order = std::sync::atomic::Ordering::Relaxed;
            first.compare_exchange(0, port, order, order).is_ok()
        };
        let reserved = reserve(&request(Some("127.0.0.1")), &[address], &ours).unwrap();
        let (found, first) = (reserved[0].port.host_port, first.into_inner());
        assert!(first != 0 && found != 0 && found != first);
    }
}
