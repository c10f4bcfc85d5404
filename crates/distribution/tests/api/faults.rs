//! A proxy for TCP that does to connections what networks do: it cuts, slows, stalls and corrupts them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
    time::sleep,
};

/// What happens to a connection. Bytes are counted from its beginning, over all that it carries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is closed before anything is said.
    Refuse,
    /// It ends after so many bytes of answers.
    CutAnswer(usize),
    /// Nothing comes any more after so many bytes of answers.
    StallAnswer(usize),
    /// From there on each byte takes so long.
    DripAnswer(usize, Duration),
    /// This byte of the answers is another one.
    CorruptAnswer(usize),
    /// It ends after so many bytes of requests.
    CutRequest(usize),
    /// Nothing of requests is taken any more after so many bytes.
    StallRequest(usize),
}

/// A proxy that works until it is dropped.
pub(crate) struct FaultProxy {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// A proxy in front of `target`. `fault` says what happens to the connection of each number, from 0.
    pub(crate) async fn start(
        target: SocketAddr,
        fault: impl Fn(usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let fault = fault(counted.fetch_add(1, Ordering::SeqCst));
                tokio::spawn(carry(client, target, fault));
            }
        });
        Self { address, connections, task }
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries both directions until one of them ends, and drops both.
async fn carry(client: TcpStream, target: SocketAddr, fault: Fault) {
    if matches!(fault, Fault::Refuse) {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = pass(from_client, to_server, on_request(fault)) => {}
        () = pass(from_server, to_client, on_answer(fault)) => {}
    }
}

/// What happens to one direction.
#[derive(Clone, Copy)]
enum Effect {
    None,
    Cut(usize),
    Stall(usize),
    Drip(usize, Duration),
    Corrupt(usize),
}

fn on_answer(fault: Fault) -> Effect {
    match fault {
        Fault::CutAnswer(at) => Effect::Cut(at),
        Fault::StallAnswer(at) => Effect::Stall(at),
        Fault::DripAnswer(at, pause) => Effect::Drip(at, pause),
        Fault::CorruptAnswer(at) => Effect::Corrupt(at),
        _ => Effect::None,
    }
}

fn on_request(fault: Fault) -> Effect {
    match fault {
        Fault::CutRequest(at) => Effect::Cut(at),
        Fault::StallRequest(at) => Effect::Stall(at),
        _ => Effect::None,
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, effect: Effect) {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0;
    loop {
        let most = match effect {
            Effect::Cut(at) | Effect::Stall(at) | Effect::Drip(at, _) if passed < at => at - passed,
            Effect::Drip(..) => 1,
            _ => buffer.len(),
        };
        let most = most.min(buffer.len());
        let Ok(length @ 1..) = from.read(&mut buffer[..most]).await else { return };
        let piece = &mut buffer[..length];
        match effect {
            Effect::Corrupt(at) if (passed..passed + length).contains(&at) => piece[at - passed] ^= 0xff,
            Effect::Drip(at, pause) if passed >= at => sleep(pause).await,
            _ => {}
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
        passed += length;
        match effect {
            Effect::Cut(at) if passed >= at => {
                // What was passed on is read before the end is noticed.
                let _ = to.shutdown().await;
                return;
            }
            Effect::Stall(at) if passed >= at => std::future::pending().await,
            _ => {}
        }
    }
}
