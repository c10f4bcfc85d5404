//! Bridges between async streams and the blocking code of images and archives: bounded channels of pieces.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use futures_util::stream;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
};

use crate::{ByteStream, engine::Busy};

const PIECE: usize = 128 << 10;
const PIECES: usize = 8;
/// Pieces of a download in flight: the connection's own are up to half a megabyte each, and there are several downloads.
const RECEIVED_PIECES: usize = 2;

/// The blocking end that reads what an async task sends.
pub(crate) struct PipeReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

/// The blocking end that writes what an async stream delivers.
pub(crate) struct PipeWriter {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

/// A pipe from async to blocking.
pub(crate) fn to_blocking() -> (mpsc::Sender<io::Result<Bytes>>, PipeReader) {
    let (sender, pieces) = mpsc::channel(PIECES);
    (sender, PipeReader { pieces, current: Bytes::new() })
}

/// The same for what a connection brings in pieces of its own size.
pub(crate) fn received() -> (mpsc::Sender<io::Result<Bytes>>, PipeReader) {
    let (sender, pieces) = mpsc::channel(RECEIVED_PIECES);
    (sender, PipeReader { pieces, current: Bytes::new() })
}

/// A pipe from blocking to async; the stream keeps `busy` as long as it lives.
pub(crate) fn to_async(busy: Busy) -> (PipeWriter, ByteStream) {
    let (pieces, receiver) = mpsc::channel(PIECES);
    let stream = stream::unfold((receiver, busy), |(mut receiver, busy)| async move {
        receiver.recv().await.map(|piece| (piece, (receiver, busy)))
    });
    (PipeWriter { pieces, buffer: Vec::with_capacity(PIECE) }, Box::pin(stream))
}

/// Sends all of `from` into the pipe; ends early when nobody reads any more.
pub(crate) async fn pump<R: AsyncRead + Unpin>(mut from: R, pipe: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut piece = bytes::BytesMut::with_capacity(PIECE);
        let message = match from.read_buf(&mut piece).await {
            Ok(0) => return,
            Ok(_) => Ok(piece.freeze()),
            Err(error) => Err(error),
        };
        let failed = message.is_err();
        if pipe.send(message).await.is_err() || failed {
            return;
        }
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.current = piece?,
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl PipeWriter {
    /// Ends the stream with an error, so that the client does not take what it has for the whole.
    pub(crate) fn fail(self, error: io::Error) {
        let _ = self.pieces.blocking_send(Err(error));
    }

    fn send(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;

    use super::*;
    use crate::engine::Idle;

    #[tokio::test]
    async fn bytes_pass_both_bridges_unchanged() {
        let text: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (sender, mut reader) = to_blocking();
        let (mut writer, stream) = to_async(Idle::busy(&Arc::new(Idle::new())));
        let copying = tokio::task::spawn_blocking(move || {
            io::copy(&mut reader, &mut writer).unwrap();
            writer.flush().unwrap();
        });
        let source = text.clone();
        let (_, got) = tokio::join!(
            pump(source.as_slice(), sender),
            stream.map(|piece| piece.unwrap()).collect::<Vec<_>>()
        );
        copying.await.unwrap();
        assert_eq!(got.concat(), text);
    }
}
