//! The task of a container: reads datagrams, takes connections, and ends what it started when it ends.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
    time,
};

use super::{
    Sandbox,
    answer::{Step, answer},
    connection::{MOST_CONNECTIONS, connection},
};
use crate::query::Transport;

/// Connections that wait to be taken.
pub(super) const BACKLOG: i32 = 64;
/// The longest question. A name has 255 bytes, and EDNS options some dozens.
pub(super) const LONGEST_QUESTION: usize = 4096;
/// Datagrams that are answered before connections and other tasks of the engine get their turn.
const BATCH: usize = 64;
/// How long to leave a socket alone that fails, so that one without descriptors left doesn't turn in circles.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a container until it is aborted.
pub(super) async fn listen(sandbox: Arc<Sandbox>, udp: UdpSocket, tcp: TcpListener) {
    let udp = Arc::new(udp);
    let mut tasks = JoinSet::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            ready = udp.readable() => {
                match ready.and_then(|()| datagrams(&sandbox, &udp, &mut tasks)) {
                    Ok(More::No) => {}
                    Ok(More::Maybe) => tokio::task::yield_now().await,
                    Err(error) => {
                        tracing::debug!(%error, "a container's DNS socket");
                        time::sleep(PAUSE).await;
                    }
                }
            }
            accepted = tcp.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(sandbox.clone(), stream));
                }
                Err(error) => {
                    tracing::debug!(%error, "a container's DNS listener");
                    time::sleep(PAUSE).await;
                }
            },
            Some(_) = tasks.join_next() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Whether datagrams are left.
enum More {
    No,
    Maybe,
}

/// Answers what has come.
fn datagrams(sandbox: &Arc<Sandbox>, udp: &Arc<UdpSocket>, tasks: &mut JoinSet<()>) -> io::Result<More> {
    let mut buffer = [0; LONGEST_QUESTION];
    let view = sandbox.view();
    for _ in 0..BATCH {
        let (length, client) = match udp.try_recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(More::No),
            Err(error) => return Err(error),
        };
        let step = answer(&buffer[..length], Transport::Udp, &view, &sandbox.shared.zones.read());
        match step {
            Step::Ignore => {}
            Step::Answer(reply) => send(udp, &reply, client),
            Step::Forward(asked) => {
                let (sandbox, udp) = (sandbox.clone(), udp.clone());
                tasks.spawn(async move { send(&udp, &sandbox.forward(*asked).await, client) });
            }
        }
    }
    Ok(More::Maybe)
}

/// What a full socket doesn't take is lost, as datagrams are; its client asks again.
fn send(udp: &UdpSocket, reply: &[u8], client: SocketAddr) {
    if let Err(error) = udp.try_send_to(reply, client) {
        tracing::debug!(%error, %client, "send a DNS answer");
    }
}
