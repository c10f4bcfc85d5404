//! A UDP server for test containers: answers every datagram on the given port with its own content.
//!
//! busybox has no UDP server; this one is linked statically like minke's own programs.

use std::net::UdpSocket;

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok()).unwrap_or(53);
    let socket = UdpSocket::bind(("0.0.0.0", port))?;
    let mut datagram = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut datagram)?;
        socket.send_to(&datagram[..length], from)?;
    }
}
