//! Published ports for clients of the family that a container has no address of.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, TcpStream, UdpSocket},
    process::Child,
    time::Duration,
};

use minke_testkit::{Cli, Host, Lan, Run};

use super::{
    exec, inspect,
    ways::{SERVER, page},
};

/// Another address of the host's on the LAN, which it would not choose by itself.
const OTHER_ADDRESS: &str = "fd77::99";

/// Echoes: datagrams of port 53, and port 7 a whole connection once its client has said all.
const ECHO: &str = "
import socket, threading
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('0.0.0.0', 53))
tcp = socket.create_server(('0.0.0.0', 7))
def datagrams():
    while True:
        data, peer = udp.recvfrom(65535)
        udp.sendto(data, peer)
threading.Thread(target=datagrams, daemon=True).start()
while True:
    client = tcp.accept()[0]
    data = b''
    while part := client.recv(65536):
        data += part
    client.sendall(data); client.close()
";

struct Echo(Child);

impl Echo {
    /// Runs beside the processes of a container, in its network namespace.
    fn beside(host: &Host, container: &str) -> Self {
        let pid = inspect(host, Cli::Minke, "{{.State.Pid}}", container);
        Self(Run::new("nsenter", ["-t", &pid, "-n", "python3", "-c", ECHO]).spawn())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What comes back for a datagram; nothing within a moment is an error.
fn ask_datagram(address: SocketAddr, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    // An answer from anywhere else is not seen.
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    socket.send(text)?;
    let mut answer = vec![0; 65_535];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn ask_stream(address: SocketAddr, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(text)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn v6(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

#[test]
fn clients_by_ipv6_reach_a_container_with_ipv4_alone() {
    let mut host = Host::with_busybox();
    let lan = Lan::of(host.netns());
    let _ = Run::new("ip", ["addr", "add", &format!("{OTHER_ADDRESS}/64"), "dev", "lan0", "nodad"])
        .within(host.netns())
        .ok();
    let run = [
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-p",
        "8053:53/udp",
        "-p",
        "8007:7",
        "-p",
        "[::1]:8081:80",
        "busybox",
        "sh",
        "-c",
        SERVER,
    ];
    let _ = host.cli_args(Cli::Minke, &run).ok();
    let ports = host.minke(["port", "web", "80"]).ok();
    assert_eq!(ports, "0.0.0.0:8080\n[::]:8080\n[::1]:8081");
    let echo = Echo::beside(&host, "web");

    for address in ["127.0.0.1:8080", "[::1]:8080", "[::1]:8081"] {
        assert!(host.fetch(address).ends_with("page\n"), "{address}");
    }
    assert!(page(&lan, Lan::HOST[1], 8080).is_ok_and(|answer| answer.ends_with("page\n")));
    assert!(page(&lan, Lan::HOST[1], 8081).is_err(), "published on the loopback alone");
    // All of it, though one side has said its last.
    let long: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    host.until("the echo", || {
        host.netns().enter(|| ask_stream(v6("::1", 8007), b"x").is_ok_and(|a| a == b"x"))
    });
    assert!(host.netns().enter(|| ask_stream(v6("::1", 8007), &long)).expect("an echo") == long);

    // Datagrams, from whichever address they were sent to, however long.
    let lan_address = Lan::HOST[1].to_string();
    host.until("datagrams", || host.netns().enter(|| ask_datagram(v6("::1", 8053), b"x").is_ok()));
    for address in [lan_address.as_str(), OTHER_ADDRESS] {
        for text in [&b""[..], b"short", &long[..60_000]] {
            let answer = lan.netns.enter(|| ask_datagram(v6(address, 8053), text));
            assert!(
                answer.as_deref().is_ok_and(|answer| answer == text),
                "{address}: {:?}",
                answer.map(|a| a.len())
            );
        }
    }

    // The port is the container's, with the next engine too.
    let taken = ["run", "--rm", "-p", "[::1]:8081:80", "busybox", "true"];
    let _ = host.cli_args(Cli::Minke, &taken).expect_code(125).expect_stderr("port is already allocated");
    host.kill_daemon();
    host.start_daemon();
    assert!(host.fetch("[::1]:8080").ends_with("page\n"));
    host.until("datagrams again", || host.netns().enter(|| ask_datagram(v6("::1", 8053), b"x").is_ok()));

    // With an address of the family the kernel leads there, and the relay is idle.
    let _ = host.minke(["network", "create", "--ipv6", "--subnet", "fd66::/64", "six"]).ok();
    let _ = host.minke(["network", "connect", "six", "web"]).ok();
    assert!(exec(&host, Cli::Minke, "web", "ip -6 -o addr show eth1").contains("fd66::"));
    assert!(host.fetch("[::1]:8080").ends_with("page\n"));
    let _ = host.minke(["network", "disconnect", "six", "web"]).ok();
    assert!(host.fetch("[::1]:8080").ends_with("page\n"));
    // At another address, for a client too that has been sending.
    let _ = host.minke(["network", "create", "other"]).ok();
    let _ = host.minke(["network", "connect", "other", "web"]).ok();
    let chatting = host.netns().enter(|| {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a socket");
        socket.connect(v6("::1", 8053)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a setting");
        socket
    });
    let chat = || chatting.send(b"x").and_then(|_| chatting.recv(&mut [0; 9])).is_ok();
    host.until("a first answer", chat);
    let _ = host.minke(["network", "disconnect", "bridge", "web"]).ok();
    host.until("an answer from the other address", chat);
    assert!(host.fetch("[::1]:8080").ends_with("page\n"));

    // At once free, with a client that is still connected.
    let client = host.netns().enter(|| TcpStream::connect(v6("::1", 8080))).expect("a connection");
    host.until("a silent client is asked whether it is there", || {
        let relayed = ["-Htno", "state", "established", "sport = :8080"];
        Run::new("ss", relayed).within(host.netns()).ok().contains("keepalive")
    });
    let _ = host.minke(["stop", "-t", "0", "web"]).ok();
    assert!(host.netns().enter(|| TcpStream::connect(v6("::1", 8080)).is_err()));
    let _ = host.minke(["start", "web"]).ok();
    assert!(host.fetch("[::1]:8080").ends_with("page\n"));
    drop((client, echo, lan));
    host.expect_nothing_left();
}

#[test]
fn clients_by_ipv4_reach_a_container_with_ipv6_alone() {
    let host = Host::with_busybox();
    let lan = Lan::of(host.netns());
    let create = ["network", "create", "--ipv6", "--ipv4=false", "--subnet", "fd66::/64", "six"];
    let _ = host.cli_args(Cli::Minke, &create).ok();
    let run =
        ["run", "-d", "--name", "web", "--network", "six", "-p", "8080:80", "busybox", "sh", "-c", SERVER];
    let _ = host.cli_args(Cli::Minke, &run).ok();
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    assert!(page(&lan, Lan::HOST[0], 8080).is_ok_and(|answer| answer.ends_with("page\n")));
    drop(lan);
    host.expect_nothing_left();
}

#[test]
fn an_address_of_one_link_leads_to_a_container_with_both_families() {
    let host = Host::with_busybox();
    let lan = Lan::of(host.netns());
    let _ = host.minke(["network", "create", "--ipv6", "--subnet", "fd66::/64", "both"]).ok();
    let run =
        ["run", "-d", "--name", "web", "--network", "both", "-p", "8080:80", "busybox", "sh", "-c", SERVER];
    let _ = host.cli_args(Cli::Minke, &run).ok();
    for address in ["127.0.0.1:8080", "[::1]:8080"] {
        assert!(host.fetch(address).ends_with("page\n"), "{address}");
    }
    for address in Lan::HOST {
        assert!(page(&lan, address, 8080).is_ok_and(|answer| answer.ends_with("page\n")), "{address}");
    }
    let shown = Run::new("ip", ["-6", "-o", "addr", "show", "dev", "lan0", "scope", "link"])
        .within(host.netns())
        .ok();
    let own =
        shown.split_whitespace().find_map(|word| word.strip_suffix("/64")).expect("it has one").to_owned();
    let link = Run::new("ip", ["-o", "link", "show", "eth0"]).within(&lan.netns).ok();
    let index: u32 = link.split(':').next().and_then(|index| index.parse().ok()).expect("an index");
    let ask = |port: u16| {
        let address = SocketAddr::V6(SocketAddrV6::new(own.parse().expect("an address"), port, 0, index));
        lan.netns.enter(|| {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        })
    };
    let answer = ask(8080);
    assert!(answer.as_deref().is_ok_and(|answer| answer.ends_with("page\n")), "{answer:?}");
    // Who comes by IPv6 is led to IPv6: the program may listen there alone.
    let listen = "echo page > /var/www/index.html; exec httpd -f -h /var/www -p [fd66::10]:80";
    let run = ["run", "-d", "--network", "both", "--ip6", "fd66::10", "-p", "8081:80"];
    let _ = host
        .cli_args(Cli::Minke, &[&run[..], &["--name", "six", "busybox", "sh", "-c", listen]].concat())
        .ok();
    assert!(host.fetch("[fd66::10]:80").ends_with("page\n"), "it listens");
    let answer = ask(8081);
    assert!(answer.as_deref().is_ok_and(|answer| answer.ends_with("page\n")), "{answer:?}");
    drop(lan);
    host.expect_nothing_left();
}

#[test]
fn without_relays_ports_are_published_in_the_containers_families_alone() {
    let mut host = Host::start_with(&["--userland-proxy=false"]);
    host.import("busybox", minke_testkit::Rootfs::busybox());
    let run = ["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c", SERVER];
    let _ = host.cli_args(Cli::Minke, &run).ok();
    assert_eq!(host.minke(["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8080");
    assert!(host.fetch("127.0.0.1:8080").ends_with("page\n"));
    let refused = host.netns().enter(|| TcpStream::connect(v6("::1", 8080)).is_err());
    assert!(refused);
    let named = ["run", "--rm", "-p", "[::1]:8081:80", "busybox", "true"];
    let _ = host.cli_args(Cli::Minke, &named).expect_code(125).expect_stderr("::1");
    assert!(host.netns().enter(|| std::net::TcpListener::bind(("::1", 8080)).is_ok()), "nobody keeps it");
    // An engine with relays doesn't take what one without left free.
    host.stop_daemon();
    host.set_flags(&[]);
    host.start_daemon();
    assert_eq!(host.minke(["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8080");
    host.expect_nothing_left();
}
