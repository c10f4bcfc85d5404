//! Receiving a folder through a call: the connection's side of a [`Receiver`], which works on a thread of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::SyncError;
use super::receiver::{Beside, Receiver};
use crate::grpc::{Call, Code, Status};
use crate::pb::fsutil::{Kind, Packet};

/// Packets that may wait for the disk.
const WAITING: usize = 64;
/// How long the sender may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(10);

/// Receives into a folder; `progress` is told the bytes of content so far. What is held is given back when nobody writes to
/// the folder any more, and stays held as long as somebody does.
///
/// # Errors
/// What the sender did wrong, or this host, or that the connection broke.
pub async fn receive<T: Send + 'static>(
    mut call: Call,
    folder: PathBuf,
    beside: Beside,
    held: T,
    progress: impl Fn(u64),
) -> Result<T, Status> {
    let (packets, incoming) = mpsc::channel(WAITING);
    let (wishes, mut asked) = mpsc::unbounded_channel();
    // What is held goes along: the thread writes to the end of its packet even if nobody waits any more.
    let mut work = minke_patience::spawn(move || {
        let received = write(&folder, beside, incoming, &wishes);
        (received, held)
    });
    let mut bytes = 0;
    let mut packets = Some(packets);
    let outcome = loop {
        tokio::select! {
            Some(id) = asked.recv() => call.send(&Packet::request(id)).await?,
            packet = call.next::<Packet>(), if packets.is_some() => match packet? {
                Some(packet) => {
                    if packet.kind() == Kind::Data && !packet.data.is_empty() {
                        bytes += packet.data.len() as u64;
                        progress(bytes);
                    }
                    let taken = match &packets {
                        Some(packets) => packets.send(packet).await.is_ok(),
                        None => false,
                    };
                    // A thread that is gone has said why.
                    if !taken { packets = None; }
                }
                None => packets = None,
            },
            done = &mut work => break done,
        }
    };
    let (received, held) =
        outcome.map_err(|error| Status::new(Code::Internal, format!("receiving files broke: {error}")))?;
    if let Err(error) = received {
        // It may be gone, which is why it failed.
        let _ = call.send(&Packet::error(&error.to_string())).await;
        return Err(status(&error));
    }
    call.send(&Packet::end()).await?;
    call.close();
    let _ =
        tokio::time::timeout(GOODBYE, async { while let Ok(Some(_)) = call.next::<Packet>().await {} }).await;
    Ok(held)
}

/// The thread's part: packets in, wishes out, until all is there.
fn write(
    folder: &Path,
    beside: Beside,
    mut incoming: mpsc::Receiver<Packet>,
    wishes: &mpsc::UnboundedSender<u32>,
) -> Result<(), SyncError> {
    let mut receiver = Receiver::new(folder, beside)?;
    while !receiver.is_complete() {
        let Some(packet) = incoming.blocking_recv() else {
            return Err(SyncError::Sender("it ended before all was sent".to_owned()));
        };
        for id in receiver.packet(packet)? {
            // Nobody to hear it is nobody to answer: the next packet doesn't come.
            let _ = wishes.send(id);
        }
    }
    receiver.finish()
}

fn status(error: &SyncError) -> Status {
    let code = if error.is_callers_fault() { Code::InvalidArgument } else { Code::Internal };
    Status::new(code, error.to_string())
}
