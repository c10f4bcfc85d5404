//! What the tests speak: a host, its LAN, sandboxes on it, servers and clients in each.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    thread,
    time::Duration,
};

use minke_model::{ContainerId, NetworkId};
use minke_netlink::{
    namespace,
    nft::{Family, NftSocket, Table},
    route::{Batch, RouteSocket, Veth},
};
use minke_network::{
    AttachError, AttachRequest, Attached, Attachment, Driver, EndpointRequest, NetworkConfig, NetworkRequest,
    NetworkSpec, Networks, OpenError, Pool, PoolRequest, PortRequest, Protocol,
};

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
        let veth = Veth {
            name,
            bridge: None,
            group: 0,
            peer: "eth0",
            peer_mac,
            namespace: there.as_fd(),
            mtu: 1500,
        };
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
        self.configured(prefix, |_| {})
    }

    pub(crate) fn configured(&self, prefix: &str, change: impl FnOnce(&mut NetworkConfig)) -> Networks {
        // Nobody runs relays here, but where one is looked at.
        let mut config =
            NetworkConfig { relay: false, ..NetworkConfig::new(prefix, self.state.path().join(prefix)) };
        change(&mut config);
        self.on_host(|| opened(config)).unwrap()
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

    /// A bridge network with these options.
    pub(crate) fn network(&self, networks: &Networks, _name: &str, options: &[(&str, &str)]) -> NetworkSpec {
        self.create(networks, "bridge", options, |_| {})
    }

    pub(crate) fn network_with(
        &self,
        networks: &Networks,
        _name: &str,
        change: impl FnOnce(&mut NetworkRequest),
    ) -> NetworkSpec {
        self.create(networks, "bridge", &[], change)
    }

    pub(crate) fn create(
        &self,
        networks: &Networks,
        driver: &str,
        options: &[(&str, &str)],
        change: impl FnOnce(&mut NetworkRequest),
    ) -> NetworkSpec {
        let mut request = network_request(driver, options);
        change(&mut request);
        self.on_host(|| networks.create(request)).unwrap()
    }

    /// A sandbox on these networks.
    pub(crate) fn on(
        &self,
        networks: &Networks,
        specs: &[&NetworkSpec],
        ports: Vec<PortRequest>,
    ) -> Attached {
        self.try_on(networks, specs, ports).unwrap()
    }

    pub(crate) fn try_on(
        &self,
        networks: &Networks,
        specs: &[&NetworkSpec],
        ports: Vec<PortRequest>,
    ) -> Result<Attached, AttachError> {
        let mut request = request(ports);
        request.endpoints =
            specs.iter().map(|spec| EndpointRequest::new(spec.id.clone(), spec.id.as_str())).collect();
        self.on_host(|| networks.attach(request))
    }

    pub(crate) fn bridge_elements(&self, table: &str, set: &str) -> usize {
        let table = Table { family: Family::Bridge, name: table.to_owned() };
        self.on_host(|| NftSocket::open().unwrap().elements(&table, set).unwrap().len())
    }

    pub(crate) fn has_link(&self, name: &str) -> bool {
        self.links().iter().any(|link| link == name)
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

/// The networks of an engine with its default bridge.
pub(crate) fn opened(config: NetworkConfig) -> Result<Networks, OpenError> {
    let networks = Networks::open(config)?;
    networks.default_bridge(default_id()).unwrap();
    Ok(networks)
}

pub(crate) fn default_id() -> NetworkId {
    NetworkId::from_random([0xdb; 32])
}

pub(crate) fn default_net(networks: &Networks) -> Pool {
    networks.spec(&default_id()).unwrap().ipv4.unwrap()
}

pub(crate) fn default_gateway(networks: &Networks) -> Ipv4Addr {
    match default_net(networks).gateway {
        Some(IpAddr::V4(gateway)) => gateway,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    bytes
}

pub(crate) fn network_request(driver: &str, options: &[(&str, &str)]) -> NetworkRequest {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    NetworkRequest {
        id: NetworkId::from_random(random()),
        driver: Driver::parse(driver, &options).unwrap(),
        internal: false,
        ipv4: Some(PoolRequest::default()),
        ipv6: None,
        further: Vec::new(),
    }
}

/// The first endpoint of an attachment.
pub(crate) trait First {
    fn ip(&self) -> Ipv4Addr;
    fn bridge(&self) -> Ipv4Addr;
    fn port(&self) -> &str;
}

impl First for Attachment {
    fn ip(&self) -> Ipv4Addr {
        self.endpoints[0].address_ipv4().unwrap()
    }

    fn bridge(&self) -> Ipv4Addr {
        self.endpoints[0].gateway_ipv4.unwrap()
    }

    fn port(&self) -> &str {
        self.endpoints[0].host_interface.as_deref().unwrap()
    }
}

pub(crate) fn request(ports: Vec<PortRequest>) -> AttachRequest {
    let endpoints = vec![EndpointRequest::new(default_id(), "bridge")];
    AttachRequest { id: ContainerId::from_random(random()), endpoints, ports, dns: false }
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
    let listener = inside(namespace, || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))).unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = write!(stream, "{name} {}", peer.ip().to_canonical());
        }
    });
}

/// Answers every datagram with `name` and the client's address, until the test ends.
pub(crate) fn serve_udp(namespace: &OwnedFd, name: &'static str, port: u16) {
    let socket = inside(namespace, || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))).unwrap();
    thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 64]) {
            let _ = socket.send_to(format!("{name} {}", peer.ip().to_canonical()).as_bytes(), peer);
        }
    });
}

/// What a TCP server answers a client in `namespace`.
pub(crate) fn ask_tcp(namespace: &OwnedFd, address: impl Into<IpAddr>, port: u16) -> io::Result<String> {
    let address = SocketAddr::new(address.into(), port);
    inside(namespace, || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// What a UDP server answers a client in `namespace`.
pub(crate) fn ask_udp(namespace: &OwnedFd, address: impl Into<IpAddr>, port: u16) -> io::Result<String> {
    let address = address.into();
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = inside(namespace, || UdpSocket::bind((any, 0)))?;
    ask_udp_with(&socket, address, port)
}

/// What a UDP server answers this very client.
pub(crate) fn ask_udp_with(socket: &UdpSocket, address: impl Into<IpAddr>, port: u16) -> io::Result<String> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((address.into(), port))?;
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A descriptor of the same namespace.
pub(crate) fn same(namespace: BorrowedFd<'_>) -> OwnedFd {
    namespace.try_clone_to_owned().unwrap()
}
