//! Sockets to a collector: streams and datagrams, non-blocking.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
        connect as connect_socket, recv, send, sendmsg, socket_with, sockopt,
    },
};

use crate::supervise::protocol::CollectorAddress;

/// A peer that has gone without a word is found out after so many milliseconds of unanswered data.
const SILENCE_MS: u32 = 30_000;
/// How much of an answer is read at a time.
const ANSWER: usize = 4 << 10;
/// More of an answer than this makes no sense.
const LONGEST_ANSWER: usize = 64 << 10;

/// A socket that is connected, or on its way.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stream,
    /// Where the peer's answer to a datagram that nobody wanted is an error to be asked for.
    Udp,
    UnixDatagram,
}

/// What became of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// So many bytes were taken.
    Bytes(usize),
    /// The first record was.
    Record,
    /// Nothing can be taken now.
    Nothing,
    /// The first record is longer than a datagram may be.
    TooLong,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Connects to the first address that answers, and waits for it.
///
/// # Errors
/// Why the last one does not.
pub(super) fn connect(addresses: &[CollectorAddress], patience: Duration) -> io::Result<Socket> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "it has no address");
    for address in addresses {
        match connect_one(address, patience) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = io::Error::new(error.kind(), format!("{}: {error}", name_of(address))),
        }
    }
    Err(last)
}

fn connect_one(address: &CollectorAddress, patience: Duration) -> io::Result<Socket> {
    let (socket, connected) = Socket::begin(address)?;
    if connected {
        return Ok(socket);
    }
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => {
                if let Some(outcome) = socket.outcome() {
                    return outcome.map(|()| socket);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// An address as people write it.
fn name_of(address: &CollectorAddress) -> String {
    match address {
        CollectorAddress::Tcp(address) => format!("tcp://{address}"),
        CollectorAddress::Udp(address) => format!("udp://{address}"),
        CollectorAddress::Unix(path) => format!("unix://{}", path.display()),
        CollectorAddress::UnixDatagram(path) => format!("unixgram://{}", path.display()),
    }
}

impl Socket {
    /// Makes a socket and begins to connect it; says whether that is done already.
    ///
    /// # Errors
    /// Those of socket(2) and connect(2).
    pub(super) fn begin(address: &CollectorAddress) -> io::Result<(Self, bool)> {
        let (fd, connecting) = match address {
            CollectorAddress::Tcp(address) => {
                let fd = new_socket(family(address), SocketType::STREAM)?;
                sockopt::set_socket_keepalive(&fd, true)?;
                sockopt::set_tcp_user_timeout(&fd, SILENCE_MS)?;
                let connecting = connect_socket(&fd, address);
                (Self { fd, kind: Kind::Stream }, connecting)
            }
            CollectorAddress::Udp(address) => {
                let fd = new_socket(family(address), SocketType::DGRAM)?;
                let connecting = connect_socket(&fd, address);
                (Self { fd, kind: Kind::Udp }, connecting)
            }
            CollectorAddress::Unix(path) => {
                let stream = unix(path, SocketType::STREAM, Kind::Stream)?;
                match stream.1 {
                    // What listens there, /dev/log mostly, wants datagrams.
                    Err(Errno::PROTOTYPE) => unix(path, SocketType::DGRAM, Kind::UnixDatagram)?,
                    _ => stream,
                }
            }
            CollectorAddress::UnixDatagram(path) => unix(path, SocketType::DGRAM, Kind::UnixDatagram)?,
        };
        match connecting {
            Ok(()) => Ok((fd, true)),
            Err(Errno::INPROGRESS) => Ok((fd, false)),
            Err(error) => Err(error.into()),
        }
    }

    /// How the attempt to connect ended; `None` while it goes on.
    pub(super) fn outcome(&self) -> Option<io::Result<()>> {
        match sockopt::socket_error(&self.fd) {
            Ok(Err(error)) | Err(error) => Some(Err(error.into())),
            Ok(Ok(())) => match rustix::net::getpeername(&self.fd) {
                Ok(_) => Some(Ok(())),
                Err(_) => None,
            },
        }
    }

    /// Sends as much of these records as is taken at once; of datagrams, the first.
    ///
    /// # Errors
    /// The collector is gone.
    pub(super) fn send(&self, records: &[IoSlice<'_>]) -> io::Result<Sent> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = match (self.kind, records.first()) {
            (_, None) => return Ok(Sent::Nothing),
            (Kind::Stream, _) => {
                sendmsg(&self.fd, records, &mut SendAncillaryBuffer::default(), flags).map(Sent::Bytes)
            }
            (Kind::Udp | Kind::UnixDatagram, Some(record)) => {
                send(&self.fd, record, flags).map(|_| Sent::Record)
            }
        };
        match sent {
            // On this machine, and often on the next one, a refusal is known by now.
            Ok(sent) if self.kind == Kind::Udp => {
                sockopt::socket_error(&self.fd)??;
                Ok(sent)
            }
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Sent::Nothing),
            Err(Errno::MSGSIZE) => Ok(Sent::TooLong),
            Err(error) => Err(error.into()),
        }
    }

    /// Appends what the collector has sent to `answer`; false when there is nothing.
    ///
    /// # Errors
    /// The collector is gone, or talks nonsense.
    pub(super) fn receive(&self, answer: &mut Vec<u8>) -> io::Result<bool> {
        let mut buffer = [0; ANSWER];
        match recv(&self.fd, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) if self.kind == Kind::Stream => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, _)) => {
                if answer.len() + count > LONGEST_ANSWER {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                answer.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn family(address: &std::net::SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

fn new_socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

fn unix(path: &Path, kind: SocketType, ours: Kind) -> io::Result<(Socket, Result<(), Errno>)> {
    let fd = new_socket(AddressFamily::UNIX, kind)?;
    let connecting = connect_socket(&fd, &SocketAddrUnix::new(path)?);
    Ok((Socket { fd, kind: ours }, connecting))
}
