//! An SCTP server and client for containers of a machine that has SCTP, which is neither in busybox nor on most test machines:
//!
//! ```text
//! sctp serve PORT            answers each association once, with what it is told
//! sctp ask ADDRESS:PORT TEXT tells TEXT and prints the answer
//! ```

use std::{
    io::{Error, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, listen, socket};

/// What a client waits for at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// A one-to-one style socket (RFC 6458, section 4), which std's streams can be made of.
fn sctp() -> Result<OwnedFd, Error> {
    Ok(socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::SCTP))?)
}

fn serve(port: u16) -> Result<(), Error> {
    let socket = sctp()?;
    bind(&socket, &SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))?;
    listen(&socket, 8)?;
    for stream in TcpListener::from(socket).incoming() {
        let mut stream = stream?;
        let mut told = [0; 1024];
        let length = stream.read(&mut told)?;
        stream.write_all(&told[..length])?;
    }
    Ok(())
}

fn ask(address: SocketAddr, text: &str) -> Result<(), Error> {
    let socket = sctp()?;
    connect(&socket, &address)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = [0; 1024];
    let length = stream.read(&mut answer)?;
    println!("{}", String::from_utf8_lossy(&answer[..length]));
    Ok(())
}

fn main() -> Result<(), Error> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", port] => serve(port.parse().map_err(Error::other)?),
        ["ask", address, text] => ask(address.parse().map_err(Error::other)?, text),
        _ => Err(Error::other("want serve PORT, or ask ADDRESS:PORT TEXT")),
    }
}
