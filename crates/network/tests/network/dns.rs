//! The name server's sockets in a sandbox: port 53 of 127.0.0.11 leads to them and is free elsewhere.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use minke_network::DnsSockets;

use crate::world::*;

fn answer(sockets: DnsSockets, name: &'static str) {
    sockets.udp.set_nonblocking(false).unwrap();
    sockets.tcp.set_nonblocking(false).unwrap();
    thread::spawn(move || {
        while let Ok((_, peer)) = sockets.udp.recv_from(&mut [0; 64]) {
            let _ = sockets.udp.send_to(name.as_bytes(), peer);
        }
    });
    thread::spawn(move || {
        while let Ok((mut stream, _)) = sockets.tcp.accept() {
            let _ = stream.write_all(name.as_bytes());
        }
    });
}

#[test]
fn the_name_server_is_asked_at_port_53_in_udp_and_tcp_also_after_a_restart() {
    let world = World::new();
    let networks = world.networks("names");
    let spec = world.network(&networks, "x", &[]);
    let mut wish = request(vec![]);
    wish.endpoints = vec![minke_network::EndpointRequest::new(spec.id.clone(), "x")];
    wish.dns = true;
    let mut app = world.on_host(|| networks.attach(wish)).unwrap();
    answer(app.dns.take().unwrap(), "first");
    for name in ["first", "second"] {
        let (udp, tcp) = inside(&app.netns, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            // Connected: an answer from another port would not be taken.
            socket.connect("127.0.0.11:53").unwrap();
            socket.send(b"?").unwrap();
            let mut buffer = [0; 16];
            let length = socket.recv(&mut buffer).unwrap();
            let mut stream = TcpStream::connect("127.0.0.11:53").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            (String::from_utf8_lossy(&buffer[..length]).into_owned(), text)
        });
        assert_eq!((udp.as_str(), tcp.as_str()), (name, name));
        if name == "first" {
            answer(networks.dns_sockets(app.netns.as_fd()).unwrap(), "second");
        }
    }
    // A name server of the container's own has its port.
    inside(&app.netns, || {
        UdpSocket::bind("0.0.0.0:53").unwrap();
        TcpListener::bind("0.0.0.0:53").unwrap();
    });
}
