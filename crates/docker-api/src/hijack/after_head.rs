//! The first output of a hijacked connection waits until the client has read the answer's head.
//!
//! Clients that read the head through a buffer and then go on with the socket itself (docker-py) lose what they happen to
//! read along with it. Docker is slow enough to hide that. Here a loaded machine lost a tenth of the outputs of short execs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Sleep, sleep};

/// Between two looks. Nothing tells when a peer reads.
const STEP: Duration = Duration::from_millis(1);
/// Looks until a client that doesn't read is sent its output all the same.
const LOOKS: u32 = 1000;

/// A connection on which a head was sent last.
pub(crate) struct AfterHead<T> {
    io: T,
    /// Of `io`, to ask what the peer has read.
    socket: fn(&T) -> &UnixStream,
    waiting: Option<(Pin<Box<Sleep>>, u32)>,
}

impl<T> AfterHead<T> {
    pub(crate) fn new(io: T, socket: fn(&T) -> &UnixStream) -> Self {
        Self { io, socket, waiting: Some((Box::pin(sleep(STEP)), LOOKS)) }
    }

    fn poll_read_by_peer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some((step, looks)) = &mut self.waiting {
            // What can't be asked isn't waited for.
            if *looks == 0 || minke_kernel::socket::is_all_read((self.socket)(&self.io)).unwrap_or(true) {
                self.waiting = None;
                break;
            }
            ready!(step.as_mut().poll(cx));
            step.set(sleep(STEP));
            *looks -= 1;
        }
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for AfterHead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for AfterHead<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_read_by_peer(cx));
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn output_never_arrives_together_with_the_head() {
        let (mut near, mut client) = UnixStream::pair().unwrap();
        near.write_all(b"head").await.unwrap();
        let mut output = AfterHead::new(near, |io| io);
        let writing = tokio::spawn(async move { output.write_all(b"output").await });
        // Time for it to be wrong.
        tokio::time::sleep(STEP * 20).await;
        let mut buffer = [0; 64];
        let count = client.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"head");
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "output");
        writing.await.unwrap().unwrap();
    }
}
