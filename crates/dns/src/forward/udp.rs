//! One question to one name server by UDP.

use std::{io, net, time::Duration};

use rustix::net::{RecvFlags, SocketType, recv};
use tokio::{io::Interest, net::UdpSocket, time};

use super::{AskError, check, opener::Opener, random};
use crate::{query::Asked, view::Upstream};

/// When a question is sent again whose datagram, or whose answer's, may have been lost.
const RESEND: Duration = Duration::from_secs(1);
/// Wrong answers that are put up with. Who guesses numbers needs thousands.
const MOST_NOISE: u32 = 16;
/// Servers that know no EDNS may send what doesn't fit in 512 bytes all the same.
const LARGEST: usize = 65_535;

/// That nobody listens at a port comes as an error of the socket alone, not as something to read.
const HEARD: Interest = Interest::READABLE.add(Interest::ERROR);

/// What came back.
pub(super) enum Heard {
    /// The answer.
    Answer(Vec<u8>),
    /// So many wrong answers that somebody may be guessing: only TCP can be trusted.
    Noise,
}

/// Asks until there is an answer. The caller's patience ends it.
pub(super) async fn ask(asked: &Asked, upstream: &Upstream, opener: &Opener) -> Result<Heard, AskError> {
    let socket = opener.open(upstream, SocketType::DGRAM).await.map_err(AskError::Open)?;
    let socket = UdpSocket::from_std(net::UdpSocket::from(socket)).map_err(AskError::Open)?;
    // The kernel draws the port here, and lets nothing through that isn't from this address.
    socket.connect(upstream.address).await.map_err(AskError::Ask)?;
    let number = random::number().map_err(AskError::Open)?;
    let question = check::numbered(asked, number);
    let mut noise = 0;
    loop {
        socket.send(&question).await.map_err(AskError::Ask)?;
        let Ok(heard) = time::timeout(RESEND, hear(&socket, asked, number, &mut noise)).await else {
            continue;
        };
        return heard.map_err(AskError::Ask);
    }
}

async fn hear(socket: &UdpSocket, asked: &Asked, number: u16, noise: &mut u32) -> io::Result<Heard> {
    while *noise < MOST_NOISE {
        let ready = socket.ready(HEARD).await?;
        // One at a time: tokio's try_io knows no combinations, and would never call for them.
        let heard = if ready.is_readable() { Interest::READABLE } else { Interest::ERROR };
        match receive(socket, heard, asked, number) {
            Ok(Some(answer)) => return Ok(Heard::Answer(answer)),
            Ok(None) => *noise += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Heard::Noise)
}

/// The buffer is on the stack for this moment only, not in every question that waits.
fn receive(socket: &UdpSocket, heard: Interest, asked: &Asked, number: u16) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; LARGEST];
    let (length, _) = socket.try_io(heard, || Ok(recv(socket, &mut buffer[..], RecvFlags::empty())?))?;
    Ok(check::accepted(&buffer[..length], number, asked))
}
