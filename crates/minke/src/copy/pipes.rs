//! Pipes between the event loop and a thread that packs or unpacks: neither waits for the other but through them.

use std::io::{self, PipeReader, PipeWriter};

use tokio::net::unix::pipe::{Receiver, Sender};

/// A thread writes, the event loop reads.
pub(crate) fn from_thread() -> io::Result<(PipeWriter, Receiver)> {
    let (reader, writer) = io::pipe()?;
    Ok((writer, Receiver::from_owned_fd(reader.into())?))
}

/// The event loop writes, a thread reads.
pub(crate) fn to_thread() -> io::Result<(Sender, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    Ok((Sender::from_owned_fd(writer.into())?, reader))
}
