//! A host with name servers, and containers on it: each a network namespace with nothing but its loopback.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use minke_dns::{
    Endpoint, HostResolvers, Membership, NetworkKey, Origin, Server, Serving, Sockets, Upstream, Upstreams,
    View, Zones,
};
use minke_netlink::namespace;
use minke_testkit::{NetworkNamespace, on_path};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Where a container asks.
pub(crate) const SERVER: &str = "127.0.0.11:53";
/// The network that containers of the tests are in.
pub(crate) const FRONT: &str = "front";

/// A host with one server for all of its containers.
pub(crate) struct World {
    pub(crate) host: NetworkNamespace,
    pub(crate) server: Server,
    folder: TempDir,
    /// Its one thread is in the host's namespace.
    runtime: Runtime,
}

/// A namespace that is being served.
pub(crate) struct Container {
    pub(crate) net: NetworkNamespace,
    pub(crate) serving: Option<Serving>,
}

/// A name server of Debian.
pub(crate) struct Dnsmasq(Child);

/// What dig printed.
#[derive(Debug)]
pub(crate) struct Dig {
    pub(crate) status: String,
    pub(crate) flags: String,
    /// `TTL TYPE DATA`, without the name.
    pub(crate) answers: Vec<String>,
    pub(crate) all: String,
}

impl World {
    /// A host whose resolv.conf says this.
    pub(crate) fn new(resolv_conf: &str) -> Self {
        let (host, folder) = (NetworkNamespace::new(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("resolv.conf"), resolv_conf).unwrap();
        let runtime =
            host.enter(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
        let resolvers = HostResolvers::new(folder.path().join("resolv.conf"));
        let server = Server::new(Zones::new(), resolvers, runtime.handle().clone());
        Self { host, server, folder, runtime }
    }

    /// Replaces the host's resolv.conf as programs do, and waits until that is known.
    pub(crate) fn set_resolv_conf(&self, text: &str) {
        let (new, path) = (self.folder.path().join("new"), self.folder.path().join("resolv.conf"));
        let before = self.server.host().current();
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
        wait_for("the new resolv.conf", || !Arc::ptr_eq(&before, &self.server.host().current()));
    }

    /// The time that the server's thread has run.
    pub(crate) fn processor_time(&self) -> Duration {
        let thread = self.runtime.spawn(async { rustix::thread::gettid().as_raw_nonzero().get() });
        let thread = self.runtime.block_on(thread).unwrap();
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }

    pub(crate) fn container(&self, view: View) -> Container {
        let net = NetworkNamespace::new();
        let serving = self.server.serve(sockets(&net), view).unwrap();
        Container { net, serving: Some(serving) }
    }

    /// Makes an endpoint known.
    pub(crate) fn name(&self, network: &str, key: &str, names: &[&str], ipv4: &str, ipv6: Option<&str>) {
        let endpoint = Endpoint {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            ipv4: Some(ipv4.parse().unwrap()),
            ipv6: ipv6.map(|text| text.parse().unwrap()),
        };
        self.server.zones().insert(&NetworkKey::from(network), key.into(), endpoint);
    }
}

/// One that is in the network [`FRONT`] and asks the host's name servers.
pub(crate) fn view() -> View {
    View {
        networks: vec![Membership::new(FRONT.into(), FRONT)],
        upstreams: Upstreams::Host,
        forwards: true,
        keeps_single_words: false,
    }
}

/// Name servers of the container's own.
pub(crate) fn own(net: &NetworkNamespace, addresses: &[&str]) -> Upstreams {
    let namespace = Arc::new(net.enter(namespace::current).unwrap());
    let upstream = |address: &&str| Upstream {
        address: address.parse().unwrap(),
        origin: Origin::Namespace(namespace.clone()),
    };
    Upstreams::Own(addresses.iter().map(upstream).collect())
}

fn sockets(net: &NetworkNamespace) -> Sockets {
    net.enter(|| Sockets {
        udp: UdpSocket::bind(SERVER).unwrap().into(),
        tcp: OwnedFd::from(TcpListener::bind(SERVER).unwrap()),
    })
}

impl Container {
    /// Asks as programs in the container do.
    pub(crate) fn dig(&self, arguments: &str) -> Dig {
        dig(&self.net, arguments)
    }

    pub(crate) fn update(&self, view: View) {
        self.serving.as_ref().unwrap().update(view);
    }

    /// A socket in the container that is connected to its server.
    pub(crate) fn socket(&self) -> UdpSocket {
        self.net.enter(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(SERVER).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket
        })
    }

    pub(crate) fn connection(&self) -> TcpStream {
        let stream = self.net.enter(|| TcpStream::connect(SERVER).unwrap());
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }
}

/// Asks 127.0.0.11 with `dig`, once, with patience.
pub(crate) fn dig(net: &NetworkNamespace, arguments: &str) -> Dig {
    let mut command = Command::new(on_path("dig"));
    command.args(["-r", "@127.0.0.11", "+tries=1", "+time=20", "+noidnin"]).args(arguments.split(' '));
    let output = net.enter(|| command.output().unwrap());
    Dig::parse(&String::from_utf8_lossy(&output.stdout))
}

impl Dig {
    fn parse(text: &str) -> Self {
        let after = |mark: &str| {
            let found = text.split_once(mark).map_or("", |(_, rest)| rest);
            found.split([',', ';', '\n']).next().unwrap_or_default().trim().to_owned()
        };
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
        let answers = lines
            .map(|line| {
                let words: Vec<&str> = line.split_ascii_whitespace().collect();
                format!("{} {} {}", words[1], words[3], words[4..].join(" "))
            })
            .collect();
        Self { status: after("status: "), flags: after("flags: "), answers, all: text.to_owned() }
    }

    /// The answer has these records alone.
    #[track_caller]
    pub(crate) fn expect(&self, answers: &[&str]) {
        assert_eq!(self.status, "NOERROR", "{}", self.all);
        assert_eq!(self.answers, answers, "{}", self.all);
    }

    /// There is no record, for this reason.
    #[track_caller]
    pub(crate) fn expect_nothing(&self, status: &str) {
        assert_eq!((self.status.as_str(), self.answers.len()), (status, 0), "{}", self.all);
    }
}

impl Dnsmasq {
    /// Listens on port 53 of an address in a namespace, and knows only what it is told here.
    pub(crate) fn start(net: &NetworkNamespace, address: &str, knows: &[&str]) -> Self {
        let mut command = Command::new(on_path("dnsmasq"));
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll"])
            .args(["--bind-interfaces", "--log-facility=-", "--pid-file", "--user=root", "--group=root"])
            .args(["--local=/example/", &format!("--listen-address={address}")])
            .args(knows)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = net.enter(|| command.spawn().unwrap());
        let server = SocketAddr::new(address.parse().unwrap(), 53);
        wait_for("dnsmasq", || net.enter(|| TcpStream::connect(server).is_ok()));
        Self(child)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for something that has to come.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_there() {
        assert!(Instant::now() < end, "{what} doesn't come");
        thread::sleep(Duration::from_millis(20));
    }
}
