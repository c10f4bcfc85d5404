//! A connection: questions one after the other, answered as they are known (RFC 7766).

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time,
};

use super::{
    Sandbox,
    answer::{Step, answer},
    listen::LONGEST_QUESTION,
};
use crate::query::Transport;

/// Connections of one container at a time; others wait.
pub(super) const MOST_CONNECTIONS: usize = 32;
/// Questions of one connection that are being forwarded, or answers that wait, at a time; the next ones are not read
/// until then.
const MOST_PENDING: usize = 4;
/// How long a connection may say nothing, or not take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves a connection until its client has asked all, or does something odd. One beyond what all containers may have
/// ends at once.
pub(super) async fn connection(sandbox: Arc<Sandbox>, stream: TcpStream) {
    let shared = sandbox.shared.clone();
    let Ok(_permit) = shared.limits.connections.try_acquire() else { return };
    let (reader, writer) = stream.into_split();
    let (answers, queue) = mpsc::channel(MOST_PENDING);
    let (read, written) = tokio::join!(read(sandbox, reader, answers), write(writer, queue));
    if let Err(error) = read.and(written) {
        tracing::debug!(%error, "a container's DNS connection");
    }
}

async fn read(
    sandbox: Arc<Sandbox>,
    mut reader: OwnedReadHalf,
    answers: mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut pending = JoinSet::new();
    while let Some(message) = time::timeout(PATIENCE, question(&mut reader)).await?? {
        let view = sandbox.view();
        let step = answer(&message, Transport::Tcp, &view, &sandbox.shared.zones.read());
        match step {
            Step::Ignore => break,
            Step::Answer(reply) => {
                if answers.send(reply).await.is_err() {
                    break;
                }
            }
            Step::Forward(asked) => {
                while pending.len() >= MOST_PENDING {
                    pending.join_next().await;
                }
                let (sandbox, answers) = (sandbox.clone(), answers.clone());
                pending.spawn(async move { answers.send(sandbox.forward(*asked).await).await });
            }
        }
    }
    while pending.join_next().await.is_some() {}
    Ok(())
}

/// The next question; none when the client has asked all.
async fn question(reader: &mut OwnedReadHalf) -> io::Result<Option<Vec<u8>>> {
    let length = match reader.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > LONGEST_QUESTION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a question of {length} bytes")));
    }
    let mut message = vec![0; length];
    reader.read_exact(&mut message).await?;
    Ok(Some(message))
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(reply) = queue.recv().await {
        let Ok(length) = u16::try_from(reply.len()) else { continue };
        let mut frame = Vec::with_capacity(2 + reply.len());
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&reply);
        time::timeout(PATIENCE, writer.write_all(&frame)).await??;
    }
    Ok(())
}
