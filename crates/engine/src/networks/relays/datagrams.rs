//! Datagrams of UDP: a flow for each client, which ends when nothing came for a while.

use std::{
    collections::{HashMap, hash_map::Entry},
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd as _},
    sync::Arc,
    time::Duration,
};

use nix::{
    cmsg_space,
    libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

use super::{Budget, Target};

/// How long a client may be silent, and its container too. Docker's.
const PATIENCE: Duration = Duration::from_secs(90);
/// How many datagrams wait for a flow; more are lost.
const QUEUE: usize = 64;
/// How many bytes of datagrams wait for a port's flows together.
const MOST_WAITING: usize = 4 << 20;
/// How many clients of one port may have a flow at the same time.
const FLOWS: usize = 1024;
/// The longest datagram, in bytes.
const LONGEST: usize = 65_535;

/// Whom a datagram is from, and which of the host's addresses it was sent to: the answer has to come from there.
type Peers = (SocketAddr, Local);
/// A datagram on its way to a flow, and the room that it takes.
type Waiting = (Vec<u8>, OwnedSemaphorePermit);

/// An address of the host's and the interface, where one is needed to name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Local {
    address: IpAddr,
    interface: u32,
}

/// Passes on datagrams until it is dropped. Where there is neither room nor budget for a further client, its are lost.
pub(super) async fn relay(socket: Socket, target: Target, budget: Budget) {
    let socket = Arc::new(socket);
    let mut flows: HashMap<Peers, mpsc::Sender<Waiting>> = HashMap::new();
    let room = Arc::new(Semaphore::new(MOST_WAITING));
    let mut running = JoinSet::new();
    let mut buffer = vec![0; LONGEST];
    loop {
        let received = tokio::select! {
            received = socket.receive(&mut buffer) => received,
            Some(ended) = running.join_next() => {
                if let Ok(peers) = ended {
                    flows.remove(&peers);
                }
                continue;
            }
        };
        let (length, peers) = match received {
            Ok(received) => received,
            Err(error) => {
                // What a client's host says about an answer that nobody waited for.
                tracing::debug!(%error, "receive a datagram for a published port");
                continue;
            }
        };
        if target.borrow().is_none() {
            continue;
        }
        let is_full = flows.len() >= FLOWS;
        let flow = match flows.entry(peers) {
            // One that is just ending takes nothing more, and is in the way until it has.
            Entry::Occupied(flow) if !flow.get().is_closed() => flow.into_mut(),
            Entry::Occupied(_) => continue,
            Entry::Vacant(_) if is_full => continue,
            Entry::Vacant(vacant) => {
                let Ok(permit) = budget.try_acquire() else { continue };
                let (sender, datagrams) = mpsc::channel(QUEUE);
                let (socket, target) = (Arc::clone(&socket), target.clone());
                running.spawn(async move {
                    let _permit = permit;
                    if let Err(error) = flow(&socket, peers, target, datagrams).await {
                        tracing::debug!(%error, client = %peers.0, "datagrams to a published port");
                    }
                    peers
                });
                vacant.insert(sender)
            }
        };
        let size = u32::try_from(length).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&room).try_acquire_many_owned(size) else { continue };
        let _ = flow.try_send((buffer[..length].to_vec(), room));
    }
}

/// One client's datagrams, and the container's answers, as long as the container is where it is.
async fn flow(
    socket: &Socket,
    client: Peers,
    mut target: Target,
    mut datagrams: mpsc::Receiver<Waiting>,
) -> io::Result<()> {
    let Some(address) = *target.borrow_and_update() else { return Ok(()) };
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let server = UdpSocket::bind((any, 0)).await?;
    server.connect(address).await?;
    loop {
        let turn = async {
            tokio::select! {
                datagram = datagrams.recv() => {
                    let Some((datagram, _room)) = datagram else { return Ok(false) };
                    ignore_refused(server.send(&datagram).await)?;
                }
                _ = target.changed() => return Ok(false),
                readable = server.readable() => {
                    readable?;
                    // Here and not longer: most flows are silent most of the time.
                    let mut answer = Vec::with_capacity(LONGEST);
                    match server.try_recv_buf(&mut answer) {
                        Ok(_) => ignore_refused(socket.send(&answer, client).await)?,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        refused => ignore_refused(refused)?,
                    }
                }
            }
            Ok::<_, io::Error>(true)
        };
        match timeout(PATIENCE, turn).await {
            Ok(Ok(true)) => {}
            Ok(Err(error)) => return Err(error),
            Ok(Ok(false)) | Err(_) => return Ok(()),
        }
    }
}

/// A port's socket, which tells and chooses which of the host's addresses a datagram goes to or comes from.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
}

impl Socket {
    /// # Errors
    /// When the kernel can't tell where datagrams go to.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        match socket.local_addr()?.is_ipv4() {
            true => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            false => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(Self { socket })
    }

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Peers)> {
        let receive = || {
            let mut control = cmsg_space!(in6_pktinfo);
            let mut parts = [IoSliceMut::new(&mut *buffer)];
            let descriptor = self.socket.as_fd().as_raw_fd();
            let message =
                recvmsg::<SockaddrStorage>(descriptor, &mut parts, Some(&mut control), MsgFlags::empty())?;
            let local = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::Ipv4PacketInfo(info) => Some(Local::v4(info)),
                ControlMessageOwned::Ipv6PacketInfo(info) => Some(Local::v6(info)),
                _ => None,
            });
            let client = message.address.as_ref().and_then(socket_address);
            let peers = client.zip(local).ok_or(io::ErrorKind::InvalidData)?;
            Ok((message.bytes, peers))
        };
        self.socket.async_io(Interest::READABLE, receive).await
    }

    async fn send(&self, datagram: &[u8], (client, local): Peers) -> io::Result<usize> {
        let send = || {
            let parts = [IoSlice::new(datagram)];
            let descriptor = self.socket.as_fd().as_raw_fd();
            let flags = MsgFlags::empty();
            let client = SockaddrStorage::from(client);
            let sent = match local.address {
                IpAddr::V4(address) => {
                    let from = in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
                    let info =
                        in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: in_addr { s_addr: 0 } };
                    let control = [ControlMessage::Ipv4PacketInfo(&info)];
                    sendmsg(descriptor, &parts, &control, flags, Some(&client))
                }
                IpAddr::V6(address) => {
                    let from = in6_addr { s6_addr: address.octets() };
                    let info = in6_pktinfo { ipi6_addr: from, ipi6_ifindex: local.interface };
                    let control = [ControlMessage::Ipv6PacketInfo(&info)];
                    sendmsg(descriptor, &parts, &control, flags, Some(&client))
                }
            };
            Ok(sent?)
        };
        self.socket.async_io(Interest::WRITABLE, send).await
    }
}

impl Local {
    fn v4(info: in_pktinfo) -> Self {
        let address = Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
        Self { address: address.into(), interface: 0 }
    }

    fn v6(info: in6_pktinfo) -> Self {
        let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
        let interface = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
        Self { address: address.into(), interface }
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let ipv4 = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    ipv4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}

/// That nobody listens now doesn't mean that nobody will.
fn ignore_refused(outcome: io::Result<usize>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => Err(error),
        _ => Ok(()),
    }
}
