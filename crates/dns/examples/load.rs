//! How many answers a second one core gives, and how long they take.
//!
//! `cargo run --release -p minke-dns --example load [SECONDS]` serves a container of its own in a fresh network namespace
//! (as root): first as many questions as the server answers, with 64 on the way at a time; then a steady 50,000 a second, for
//! the time that each takes. The server has one thread; what core it runs on is for the kernel to choose. Its own
//! processor time is printed beside, since the asking costs as much and shares the machine. Last, what containers cost
//! that ask nothing.

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
const WINDOW: usize = 64;
/// The goal, in answers a second.
const STEADY: u32 = 50_000;
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
    let (_serving, address) = serve(&server, "127.0.0.11:0");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();

    let (busy, start) = (processor_time(worker), Instant::now());
    let answers = flood(&socket, time);
    report("as many as it answers", answers, start.elapsed(), processor_time(worker) - busy);

    let (busy, start) = (processor_time(worker), Instant::now());
    let mut latencies = steady(&socket, time);
    report("50,000 a second asked", latencies.len(), start.elapsed(), processor_time(worker) - busy);
    latencies.sort_unstable();
    for (name, part) in [("50th", 0.5), ("99th", 0.99), ("99.9th", 0.999)] {
        let at = (latencies.len() as f64 * part) as usize;
        println!("  {name} percentile {:?}", latencies[at.min(latencies.len() - 1)]);
    }

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

/// Keeps as many questions on the way as the window has, and counts answers.
fn flood(socket: &UdpSocket, time: Duration) -> usize {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let questions: Vec<_> = (0..u16::MAX).map(question).collect();
    let mut ask = questions.iter().cycle();
    let (mut answers, mut reply) = (0, [0; 512]);
    let mut next = || drop(socket.send(ask.next().unwrap()));
    (0..WINDOW).for_each(|_| next());
    let start = Instant::now();
    while start.elapsed() < time {
        match socket.recv(&mut reply) {
            Ok(_) => {
                answers += 1;
                next();
            }
            // What was lost is asked again.
            Err(_) => (0..WINDOW).for_each(|_| next()),
        }
    }
    while socket.recv(&mut reply).is_ok() {}
    answers
}

/// Asks at a fixed rate whatever comes back, and says how long each took.
fn steady(socket: &UdpSocket, time: Duration) -> Vec<Duration> {
    let start = Instant::now();
    let total = (f64::from(STEADY) * time.as_secs_f64()) as u32;
    let mut sent_at = vec![Instant::now(); usize::from(u16::MAX) + 1];
    let (mut sent, mut latencies, mut reply) = (0u32, Vec::with_capacity(total as usize), [0; 512]);
    socket.set_nonblocking(true).unwrap();
    while sent < total || start.elapsed() < time + Duration::from_millis(200) {
        let due = (start.elapsed().as_secs_f64() * f64::from(STEADY)) as u32;
        while sent < due.min(total) {
            let number = sent as u16;
            sent_at[usize::from(number)] = Instant::now();
            let _ = socket.send(&question(number));
            sent += 1;
        }
        while socket.recv(&mut reply).is_ok() {
            latencies.push(sent_at[usize::from(u16::from_be_bytes([reply[0], reply[1]]))].elapsed());
        }
    }
    println!("  {} of {total} were answered", latencies.len());
    latencies
}

fn report(what: &str, answers: usize, time: Duration, busy: Duration) {
    println!(
        "{what}: {:.0} answers/s, {:.2} µs of the server's processor time each (one core: {:.0}/s)",
        answers as f64 / time.as_secs_f64(),
        busy.as_secs_f64() * 1e6 / answers as f64,
        answers as f64 / busy.as_secs_f64()
    );
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
