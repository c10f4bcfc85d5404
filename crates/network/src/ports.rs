//! Reserving host ports: a bound socket that never listens keeps everybody else off a port.
//!
//! Published traffic is rewritten before it would reach the socket, so the socket only ever holds
//! the name. It doesn't listen, so that a connection which no rule caught is refused at once
//! instead of hanging in a queue that nobody reads.

mod holder;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::OwnedFd,
};

use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketFlags, SocketType, sockopt},
};

use crate::{PortError, PortRequest, Protocol, PublishedPort};

/// A reserved port and the socket that reserves it.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) port: PublishedPort,
    pub(crate) socket: OwnedFd,
}

/// Reserves a host port for each request; `ours` says whether a sandbox of this engine has one.
pub(crate) fn reserve_all(
    requests: &[PortRequest],
    ours: &dyn Fn(Ipv4Addr, Protocol, u16) -> bool,
) -> Result<Vec<Reservation>, PortError> {
    let mut reserved: Vec<Reservation> = Vec::with_capacity(requests.len());
    for request in requests {
        // What this very request has already is ours as well.
        let taken = |address: Ipv4Addr, protocol, port| {
            ours(address, protocol, port)
                || reserved.iter().any(|other| other.port.clashes(address, protocol, port))
        };
        let reservation = reserve(request, &taken)?;
        reserved.push(reservation);
    }
    Ok(reserved)
}

fn reserve(
    request: &PortRequest,
    ours: &dyn Fn(Ipv4Addr, Protocol, u16) -> bool,
) -> Result<Reservation, PortError> {
    let address = match request.host_address {
        None => Ipv4Addr::UNSPECIFIED,
        Some(IpAddr::V4(address)) => address,
        Some(address @ IpAddr::V6(_)) => return Err(PortError::NoIpv6(address)),
    };
    if request.container_port == 0 {
        return Err(PortError::ZeroPort);
    }
    let (first, last) = match &request.host_ports {
        Some(range) => (*range.start(), *range.end()),
        None => (0, 0),
    };
    for port in first..=last {
        // The socket of a sandbox that is ours may be gone before its port is withdrawn.
        let bound = if port != 0 && ours(address, request.protocol, port) {
            Err(Errno::ADDRINUSE)
        } else {
            bind(address, port, request.protocol)
        };
        match bound {
            Ok((socket, host_port)) => {
                let port = PublishedPort {
                    container_port: request.container_port,
                    protocol: request.protocol,
                    host_address: IpAddr::V4(address),
                    host_port,
                };
                return Ok(Reservation { port, socket });
            }
            Err(Errno::ADDRINUSE) if first < last => {}
            Err(errno) => return Err(refused(address, port, request.protocol, errno, ours)),
        }
    }
    Err(PortError::RangeExhausted { address: IpAddr::V4(address), first, last, protocol: request.protocol })
}

/// A socket bound to the port, or to a free one of net.ipv4.ip_local_port_range for port 0.
fn bind(address: Ipv4Addr, port: u16, protocol: Protocol) -> Result<(OwnedFd, u16), Errno> {
    match bind_exclusively(address, port, protocol) {
        Err(Errno::ADDRINUSE) if protocol == Protocol::Tcp => bind_over_finished(address, port),
        bound => bound,
    }
}

fn bind_exclusively(address: Ipv4Addr, port: u16, protocol: Protocol) -> Result<(OwnedFd, u16), Errno> {
    let socket = open(protocol)?;
    net::bind(&socket, &SocketAddrV4::new(address, port))?;
    let port = bound_port(&socket)?;
    Ok((socket, port))
}

/// Connections of a server that just ended keep its port for a minute (TIME_WAIT). Sharing the
/// address gets past them, and past every other bound socket that shares too; that nobody
/// listens is then what listening ourselves finds out, and it keeps later servers off.
fn bind_over_finished(address: Ipv4Addr, port: u16) -> Result<(OwnedFd, u16), Errno> {
    let socket = open(Protocol::Tcp)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &SocketAddrV4::new(address, port))?;
    net::listen(&socket, 0)?;
    Ok((socket, port))
}

fn open(protocol: Protocol) -> Result<OwnedFd, Errno> {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
        // Only kernels with SCTP have sockets for it.
        Protocol::Sctp => SocketType::STREAM,
    };
    let protocol = (protocol == Protocol::Sctp).then_some(net::ipproto::SCTP);
    net::socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, protocol)
}

fn bound_port(socket: &OwnedFd) -> Result<u16, Errno> {
    let address = net::getsockname(socket)?;
    SocketAddr::try_from(address).map(|address| address.port())
}

/// Why a port could not be had, in Docker's words, with its holder's name when that can be found.
fn refused(
    address: Ipv4Addr,
    port: u16,
    protocol: Protocol,
    errno: Errno,
    ours: &dyn Fn(Ipv4Addr, Protocol, u16) -> bool,
) -> PortError {
    if errno == Errno::ADDRINUSE && ours(address, protocol, port) {
        return PortError::Allocated { address: IpAddr::V4(address), port };
    }
    let (reason, holder) = match errno {
        Errno::ADDRINUSE => {
            let holder = holder::find(address, port, protocol);
            ("address already in use".to_owned(), holder.map(|holder| format!(" (held by {holder})")))
        }
        Errno::ADDRNOTAVAIL => ("cannot assign requested address".to_owned(), None),
        errno => (io::Error::from(errno).to_string(), None),
    };
    PortError::Refused {
        address: IpAddr::V4(address),
        port,
        protocol,
        reason,
        holder: holder.unwrap_or_default(),
    }
}
