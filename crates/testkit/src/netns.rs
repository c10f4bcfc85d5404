//! A network namespace that a test makes, so that its traffic and tables are its own, and a LAN that it is on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread,
    time::Duration,
};

use minke_netlink::{
    namespace,
    route::{Batch, RouteSocket, Veth},
};

/// A network namespace with its loopback up; it goes when the last process and handle in it are gone.
#[derive(Clone)]
pub struct NetworkNamespace(Arc<OwnedFd>);

impl NetworkNamespace {
    /// A fresh one.
    ///
    /// # Panics
    /// When the kernel refuses (not root).
    pub fn new() -> Self {
        let making = namespace::make(|| {
            RouteSocket::open()
                .and_then(|mut socket| socket.run(Batch::new().up("lo")))
                .map_err(io::Error::other)?;
            namespace::current()
        });
        let made = making.and_then(namespace::Making::finish);
        Self(Arc::new(made.expect("a network namespace can be made (as root)")))
    }

    /// Runs `work` on a thread of this namespace; sockets and processes it makes stay in it.
    ///
    /// # Panics
    /// When `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::run_in(self.0.as_fd(), work).expect("the namespace can be entered")
    }
}

/// Another machine on a LAN with a test's host, until it is dropped. The host's interface there is `lan0`.
pub struct Lan {
    /// The other machine.
    pub netns: NetworkNamespace,
    host: NetworkNamespace,
}

impl Lan {
    /// The host's addresses on the LAN.
    pub const HOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)), IpAddr::V6(ula(1))];
    /// The other machine's.
    pub const OTHER: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)), IpAddr::V6(ula(2))];

    /// Joins the host to a new machine, which sends what it has no route for to the host.
    ///
    /// # Panics
    /// When the kernel refuses (not root).
    pub fn of(host: &NetworkNamespace) -> Self {
        let lan = Self { netns: NetworkNamespace::new(), host: host.clone() };
        host.enter(|| {
            let namespace = lan.netns.0.as_fd();
            let peer_mac = [2, 0, 10, 77, 0, 2];
            let veth =
                Veth { name: "lan0", bridge: None, group: 0, peer: "eth0", peer_mac, namespace, mtu: 1500 };
            socket().run(Batch::new().veth(&veth)).expect("a veth pair can be made");
        });
        lan.netns.enter(|| addressed("eth0", Self::OTHER, Some(Self::HOST)));
        host.enter(|| addressed("lan0", Self::HOST, None));
        for (netns, interface) in [(host, "lan0"), (&lan.netns, "eth0")] {
            // Until then, what is sent is lost.
            let carries = || matches!(socket().link(interface), Ok(Some(link)) if link.operational);
            netns.enter(|| {
                while !carries() {
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        lan
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let removed =
            self.host.enter(|| RouteSocket::open().and_then(|mut s| s.run(Batch::new().remove("lan0"))));
        if let Err(error) = removed {
            eprintln!("the LAN stays: {error}");
        }
    }
}

const fn ula(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last)
}

fn socket() -> RouteSocket {
    RouteSocket::open().expect("a netlink socket")
}

/// Gives an interface of the present namespace its addresses, at once, and a way out.
fn addressed(interface: &str, addresses: [IpAddr; 2], gateways: Option<[IpAddr; 2]>) {
    for (setting, value) in [("disable_ipv6", "0"), ("accept_dad", "0")] {
        let file = format!("/proc/sys/net/ipv6/conf/{interface}/{setting}");
        std::fs::write(file, value).expect("a setting of an interface");
    }
    let mut route = socket();
    let index = route.link(interface).expect("links").expect("it is there").index;
    let [ipv4, ipv6] = addresses;
    let batch = Batch::new().up(interface).address(index, ipv4, 24).address(index, ipv6, 64);
    let ways = |batch: Batch, gateway: &IpAddr| batch.default_route(index, *gateway);
    route.run(gateways.iter().flatten().fold(batch, ways)).expect("addresses and routes");
}

impl Default for NetworkNamespace {
    fn default() -> Self {
        Self::new()
    }
}
