//! How many answers a second one core gives, and how long they take.
//!
//! `cargo run --release -p minke-dns --example load [SECONDS]` serves containers in a fresh network namespace (as root).
//! First what they cost that ask nothing. Then one thread asks for one of a thousand names after the other, with 32
//! questions on the way at a time, so the server's one thread is never without work, and an answer's time has those before
//! it in the queue. The server's own processor time is printed beside, since the asking costs as much and shares the machine.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use minke_dns::{Endpoint, HostResolvers, Membership, Server, Serving, Sockets, Upstreams, View, Zones};
use minke_netlink::{
    namespace,
    route::{Batch, RouteSocket},
};
use tokio::runtime::Builder;

/// Endpoints of the network.
const NAMES: u16 = 1000;
/// Questions on the way at a time.
const WINDOW: u16 = 32;
/// Containers that ask nothing.
const IDLE: u32 = 1000;

fn main() {
    let seconds = std::env::args().nth(1).map_or(5, |text| text.parse().unwrap());
    let work = move || {
        RouteSocket::open().unwrap().run(Batch::new().up("lo")).unwrap();
        run(Duration::from_secs(seconds));
        Ok(())
    };
    namespace::make(work).unwrap().finish().unwrap();
}

fn run(time: Duration) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let worker =
        runtime.block_on(runtime.spawn(async { rustix::thread::gettid().as_raw_nonzero().get() })).unwrap();
    let server = Server::new(zones(), HostResolvers::new("/etc/resolv.conf"), runtime.handle().clone());

    let before = resident();
    let idle: Vec<_> = (0..IDLE).map(|_| serve(&server, "127.0.0.11:0")).collect();
    thread::sleep(Duration::from_millis(200));
    let busy = processor_time(worker);
    thread::sleep(Duration::from_secs(2));
    println!(
        "{IDLE} containers that ask nothing: {:.1} KiB each, {:?} of processor time in 2 s",
        (resident() - before) / f64::from(IDLE),
        processor_time(worker) - busy
    );

    let (_serving, address) = serve(&server, "127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    flood(&socket, Duration::from_millis(200));
    let (busy, start) = (processor_time(worker), Instant::now());
    let mut latencies = flood(&socket, time);
    let (time, busy) = (start.elapsed().as_secs_f64(), (processor_time(worker) - busy).as_secs_f64());
    let answers = latencies.len() as f64;
    println!("{:.0} answers/s while the asking had a core too", answers / time);
    println!(
        "{:.2} µs of the server's core for each: {:.0} answers/s of it alone",
        busy * 1e6 / answers,
        answers / busy
    );
    latencies.sort_unstable();
    for (name, part) in [("50th", 0.5), ("99th", 0.99), ("99.9th", 0.999)] {
        let at = (answers * part) as usize;
        println!("  {name} percentile {:?}", latencies[at.min(latencies.len() - 1)]);
    }
    drop(idle);
}

fn zones() -> Zones {
    let zones = Zones::new();
    for n in 0..NAMES {
        let [high, low] = n.to_be_bytes();
        let endpoint =
            Endpoint { names: vec![format!("c{n:04}")], ipv4: Some([10, 1, high, low].into()), ipv6: None };
        zones.insert(&"front".into(), n.to_string().into(), endpoint);
    }
    zones
}

fn serve(server: &Server, address: &str) -> (Serving, std::net::SocketAddr) {
    let udp = UdpSocket::bind(address).unwrap();
    let tcp = TcpListener::bind(address).unwrap();
    let bound = udp.local_addr().unwrap();
    let networks = vec![Membership::new("front".into(), "front")];
    let view = View { networks, upstreams: Upstreams::Host, forwards: true, keeps_single_words: false };
    let sockets = Sockets { udp: udp.into(), tcp: OwnedFd::from(tcp) };
    (server.serve(sockets, view).unwrap(), bound)
}

fn question(number: u16) -> Vec<u8> {
    let name = format!("c{:04}", number % NAMES);
    let header = [&number.to_be_bytes()[..], b"\x01\x00\0\x01\0\0\0\0\0\0\x05"].concat();
    [&header[..], name.as_bytes(), b"\0\0\x01\0\x01"].concat()
}

/// Keeps as many questions on the way as the window has, and says how long each answer took.
fn flood(socket: &UdpSocket, time: Duration) -> Vec<Duration> {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let questions: Vec<_> = (0..=u16::MAX).map(question).collect();
    let mut sent_at = vec![Instant::now(); questions.len()];
    let (mut number, mut latencies, mut reply) = (0u16, Vec::new(), [0; 512]);
    let mut ask = |sent_at: &mut [Instant]| {
        number = number.wrapping_add(1);
        sent_at[usize::from(number)] = Instant::now();
        socket.send(&questions[usize::from(number)]).unwrap();
    };
    (0..WINDOW).for_each(|_| ask(&mut sent_at));
    let start = Instant::now();
    while start.elapsed() < time {
        socket.recv(&mut reply).unwrap();
        latencies.push(sent_at[usize::from(u16::from_be_bytes([reply[0], reply[1]]))].elapsed());
        ask(&mut sent_at);
    }
    (0..WINDOW).for_each(|_| drop(socket.recv(&mut reply)));
    latencies
}

/// What a thread has used so far (proc_pid_schedstat: nanoseconds on a processor).
fn processor_time(thread: i32) -> Duration {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// This process's resident memory in KiB.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}
