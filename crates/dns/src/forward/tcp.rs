//! One question to one name server by TCP.

use std::{io, net};

use rustix::net::SocketType;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use super::{AskError, check, opener::Opener, random};
use crate::{query::Asked, view::Upstream};

/// Asks until there is an answer. The caller's patience ends it.
pub(super) async fn ask(asked: &Asked, upstream: &Upstream, opener: &Opener) -> Result<Vec<u8>, AskError> {
    let socket = opener.open(upstream, SocketType::STREAM).await.map_err(AskError::Open)?;
    let socket = TcpSocket::from_std_stream(net::TcpStream::from(socket));
    let number = random::number().map_err(AskError::Open)?;
    let answer = exchange(socket, upstream, &check::numbered(asked, number)).await.map_err(AskError::Ask)?;
    check::accepted(&answer, number, asked).ok_or(AskError::NoAnswer)
}

async fn exchange(socket: TcpSocket, upstream: &Upstream, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = socket.connect(upstream.address).await?;
    let mut frame = Vec::with_capacity(2 + question.len());
    // Questions are at most some thousand bytes long.
    frame.extend_from_slice(&(question.len() as u16).to_be_bytes());
    frame.extend_from_slice(question);
    stream.write_all(&frame).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
