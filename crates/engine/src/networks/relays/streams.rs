//! Connections of TCP.

use std::{io, net::SocketAddr, time::Duration};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    task::JoinSet,
    try_join,
};

use super::{Budget, Target};

/// How long nobody is let in after that failed: the host or the engine has no descriptors left.
const REST: Duration = Duration::from_millis(100);
/// After how many seconds of silence a peer is asked whether it is there, and again. Docker's (Go's default).
const KEEP_ALIVE: u32 = 15;
/// How many bytes are passed on at once: what the kernel puts together of packets, at most.
const PIECE: usize = 64 << 10;

/// Lets clients in and passes on what they and the container say, until it is dropped. Who finds the budget spent waits.
pub(super) async fn relay(listener: TcpListener, target: Target, budget: Budget) {
    let mut connections = JoinSet::new();
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let client = match client {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::debug!(%error, "let in a client of a published port");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Ok(permit) = budget.acquire().await else { return };
        let Some(target) = *target.borrow() else { continue };
        connections.spawn(async move {
            let _permit = permit;
            pass_on(client, target).await;
        });
    }
}

/// Small words go out at once, and a silent peer is asked whether it is still there, so that one that has vanished holds
/// nothing for ever.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &KEEP_ALIVE)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &KEEP_ALIVE)?;
    stream.set_nodelay(true)
}

/// Passes on what both sides say until both have said their last, or one is gone.
async fn pass_on(mut client: TcpStream, target: SocketAddr) {
    let passed = async {
        let mut server = TcpStream::connect(target).await?;
        prepare(&client)?;
        prepare(&server)?;
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        try_join!(pour(from_client, to_server), pour(from_server, to_client))
    };
    if let Err(error) = passed.await {
        tracing::debug!(%error, %target, "a connection to a published port ended");
    }
}

/// Passes on what one side says, and that it has said its last.
async fn pour(from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    loop {
        from.readable().await?;
        // Here and not longer: most connections are silent most of the time.
        let mut piece = Vec::with_capacity(PIECE);
        match from.try_read_buf(&mut piece) {
            Ok(0) => return to.shutdown().await,
            Ok(_) => to.write_all(&piece).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
