//! What the tests speak: a host, its LAN, sandboxes on it, servers and clients in each.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
    time::Duration,
};

use minke_model::ContainerId;
use minke_netlink::{
    namespace,
    nft::{Family, NftSocket, Table},
    route::{Batch, RouteSocket, Veth},
};
use minke_network::{AttachError, AttachRequest, Attached, NetworkConfig, Networks, PortRequest, Protocol};

pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const LAN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// How long a client waits for an answer: several times what a machine with six times more to do than
/// processors needed, and shorter than the second after which TCP and ARP repeat what was lost.
const PATIENCE: Duration = Duration::from_millis(400);

pub(crate) struct World {
    pub(crate) host: OwnedFd,
    pub(crate) lan: OwnedFd,
    pub(crate) state: tempfile::TempDir,
}

/// An empty namespace. The LAN's lo stays down, so that even 127.0.0.1 goes out on its wire.
pub(crate) fn namespace(lo: bool) -> OwnedFd {
    let making = namespace::make(move || {
        if lo {
            RouteSocket::open().and_then(|mut s| s.run(Batch::new().up("lo"))).map_err(io::Error::other)?;
        }
        // A new namespace takes this setting over from the machine, where another engine may have changed it.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "0")?;
        namespace::current()
    });
    making.unwrap().finish().unwrap()
}

pub(crate) fn inside<T: Send>(namespace: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    namespace::run_in(namespace.as_fd(), work).unwrap()
}

/// Joins two namespaces by a wire with an address at each end.
pub(crate) fn wire(here: &OwnedFd, name: &str, address: Ipv4Addr, there: &OwnedFd, other: Ipv4Addr) {
    inside(here, || {
        let mut route = RouteSocket::open().unwrap();
        let peer_mac = [2, 0, 10, 77, other.octets()[2], 2];
        let veth = Veth { name, bridge: None, peer: "eth0", peer_mac, namespace: there.as_fd(), mtu: 1500 };
        route.run(Batch::new().veth(&veth).up(name)).unwrap();
        let index = route.link(name).unwrap().unwrap().index;
        route.run(Batch::new().address(index, IpAddr::V4(address), 24)).unwrap();
    });
    inside(there, || {
        let mut route = RouteSocket::open().unwrap();
        let index = route.link("eth0").unwrap().unwrap().index;
        let batch = Batch::new().up("eth0").address(index, IpAddr::V4(other), 24);
        route.run(batch.default_route(index, IpAddr::V4(address))).unwrap();
        wait_until_operational(&mut route, "eth0");
    });
    inside(here, || wait_until_operational(&mut RouteSocket::open().unwrap(), name));
}

/// Until then, what is sent is lost.
fn wait_until_operational(route: &mut RouteSocket, interface: &str) {
    while !route.link(interface).unwrap().unwrap().operational {
        thread::sleep(Duration::from_millis(1));
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let (host, lan) = (namespace(true), namespace(false));
        wire(&host, "lan0", HOST, &lan, LAN);
        Self { host, lan, state: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn networks(&self, prefix: &str) -> Networks {
        let config = NetworkConfig {
            prefix: prefix.to_owned(),
            state: self.state.path().join(prefix),
            subnet: None,
            mtu: None,
        };
        self.on_host(|| Networks::open(config)).unwrap()
    }

    pub(crate) fn on_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.host, work)
    }

    pub(crate) fn attach(&self, networks: &Networks, ports: Vec<PortRequest>) -> Attached {
        self.try_attach(networks, ports).unwrap()
    }

    pub(crate) fn try_attach(
        &self,
        networks: &Networks,
        ports: Vec<PortRequest>,
    ) -> Result<Attached, AttachError> {
        self.on_host(|| networks.attach(request(ports)))
    }

    pub(crate) fn links(&self) -> Vec<String> {
        self.on_host(|| {
            RouteSocket::open().unwrap().links(None).unwrap().into_iter().map(|l| l.name).collect()
        })
    }

    pub(crate) fn tables(&self) -> Vec<String> {
        self.on_host(|| NftSocket::open().unwrap().tables(Family::Inet).unwrap())
    }

    pub(crate) fn elements(&self, table: &str, set: &str) -> usize {
        let table = Table { family: Family::Inet, name: table.to_owned() };
        self.on_host(|| NftSocket::open().unwrap().elements(&table, set).unwrap().len())
    }

    /// Whether bridged packets pass the firewall a second time, as br_netfilter makes them.
    pub(crate) fn set_bridge_netfilter(&self, on: bool) -> bool {
        self.on_host(|| fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", if on { "1" } else { "0" }))
            .is_ok()
    }
}

pub(crate) fn request(ports: Vec<PortRequest>) -> AttachRequest {
    let mut bytes = [0; 32];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    AttachRequest { id: ContainerId::from_random(bytes), ports, mac: None, address: None }
}

pub(crate) fn tcp(host_port: u16, container_port: u16) -> PortRequest {
    PortRequest {
        container_port,
        protocol: Protocol::Tcp,
        host_address: None,
        host_ports: Some(host_port..=host_port),
    }
}

pub(crate) fn udp(host_port: u16, container_port: u16) -> PortRequest {
    PortRequest { protocol: Protocol::Udp, ..tcp(host_port, container_port) }
}

pub(crate) fn on(address: Ipv4Addr, port: PortRequest) -> PortRequest {
    PortRequest { host_address: Some(IpAddr::V4(address)), ..port }
}

/// Answers every connection with `name` and the client's address, until the test ends.
pub(crate) fn serve_tcp(namespace: &OwnedFd, name: &'static str, port: u16) {
    let listener = inside(namespace, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = write!(stream, "{name} {}", peer.ip());
        }
    });
}

/// Answers every datagram with `name` and the client's address, until the test ends.
pub(crate) fn serve_udp(namespace: &OwnedFd, name: &'static str, port: u16) {
    let socket = inside(namespace, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).unwrap();
    thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 64]) {
            let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
        }
    });
}

/// What a TCP server answers a client in `namespace`.
pub(crate) fn ask_tcp(namespace: &OwnedFd, address: Ipv4Addr, port: u16) -> io::Result<String> {
    inside(namespace, || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, port)), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// What a UDP server answers a client in `namespace`.
pub(crate) fn ask_udp(namespace: &OwnedFd, address: Ipv4Addr, port: u16) -> io::Result<String> {
    let socket = inside(namespace, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    ask_udp_with(&socket, address, port)
}

/// What a UDP server answers this very client.
pub(crate) fn ask_udp_with(socket: &UdpSocket, address: Ipv4Addr, port: u16) -> io::Result<String> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((address, port))?;
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A descriptor of the same namespace.
pub(crate) fn same(namespace: BorrowedFd<'_>) -> OwnedFd {
    namespace.try_clone_to_owned().unwrap()
}
