//! An attached client: the relay between its connection and a process's streams.
//!
//! Each direction has one buffer. A client that doesn't read holds up only its own copy of the output; a
//! client that ends its input (half-close) goes on getting output; detaching leaves the process alone.

use std::io;

use futures_util::{StreamExt, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    ByteStream,
    container::{SessionGuard, Wire},
    detach_keys::DetachKeys,
    engine::Busy,
    frames::{self, Splitter},
};

const BUFFER: usize = 64 << 10;

/// How long the end of the output waits for the exit code that belongs to it.
pub(crate) const SETTLING: std::time::Duration = std::time::Duration::from_secs(1);

/// How a client gets output, next to how the process's supervisor sends it.
pub(crate) enum OutputForm {
    Same,
    /// A terminal's, in frames of standard output.
    Framed,
    /// Both outputs without their frames.
    Raw(Splitter),
}

impl OutputForm {
    /// The bytes to send for `output`, in `out` unless they are the same.
    fn of<'a>(&mut self, output: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
        out.clear();
        match self {
            Self::Same => return output,
            Self::Framed => frames::push(out, frames::STDOUT, output),
            Self::Raw(splitter) => splitter.feed(output, |payload| out.extend_from_slice(payload)),
        }
        out
    }
}

/// A connection to a process's streams that waits for its client's end.
pub struct AttachSession {
    pub(crate) tty: bool,
    pub(crate) form: OutputForm,
    /// What is sent before the live output: the log so far.
    pub(crate) before: Option<ByteStream>,
    /// The live streams, if they are wanted.
    pub(crate) wire: Option<Wire>,
    pub(crate) stdin: bool,
    pub(crate) keys: DetachKeys,
    /// Ends when the process's exit is known: clients ask for its code as soon as the stream ends.
    pub(crate) settled: Option<BoxFuture<'static, ()>>,
    /// Told when the client detaches by keys.
    pub(crate) on_detach: Option<Box<dyn FnOnce() + Send>>,
    pub(crate) guard: (SessionGuard, Busy),
}

impl AttachSession {
    /// The stream is raw, as a terminal's is, else multiplexed.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Copies both ways until the output ends or the client detaches or goes away.
    ///
    /// # Errors
    /// Those of the connections.
    pub async fn run<Io: AsyncRead + AsyncWrite + Unpin + Send>(self, io: Io) -> io::Result<()> {
        let (mut from_client, mut to_client) = tokio::io::split(io);
        let guard = self.guard;
        if let Some(mut before) = self.before {
            while let Some(bytes) = before.next().await {
                to_client.write_all(&bytes?).await?;
            }
            to_client.flush().await?;
        }
        let stream = match self.wire {
            None => None,
            Some(Wire::Connected(stream)) => Some(stream),
            Some(Wire::Pending(receiver)) => await_start(receiver, &mut from_client, self.stdin).await,
        };
        if let Some(stream) = stream {
            let (from_process, to_process) = stream.into_split();
            let output = copy_output(from_process, &mut to_client, self.form);
            let input = copy_input(&mut from_client, to_process, self.stdin, self.keys);
            tokio::select! {
                done = output => {
                    done?;
                    // A process may close its output and live on; then the stream's end is not its exit.
                    if let Some(settled) = self.settled {
                        let _ = tokio::time::timeout(SETTLING, settled).await;
                    }
                }
                detached = input => {
                    if detached
                        && let Some(told) = self.on_detach {
                            told();
                        }
                }
            }
        }
        let _ = to_client.shutdown().await;
        drop(guard);
        Ok(())
    }
}

/// Waits for the start. Nothing is read from a client meanwhile, so that none of its input is lost; one
/// that leaves is noticed when it is written to.
async fn await_start<R: AsyncRead + Unpin>(
    receiver: tokio::sync::oneshot::Receiver<UnixStream>,
    client: &mut R,
    stdin: bool,
) -> Option<UnixStream> {
    if stdin {
        return receiver.await.ok();
    }
    let mut receiver = receiver;
    let mut byte = [0; 1];
    tokio::select! {
        stream = &mut receiver => stream.ok(),
        // A half-close of a client without input is no departure.
        read = client.read(&mut byte) => match read {
            Ok(_) => receiver.await.ok(),
            Err(_) => None,
        },
    }
}

async fn copy_output<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    mut from: R,
    to: &mut W,
    mut form: OutputForm,
) -> io::Result<()> {
    let (mut buffer, mut formed) = (vec![0; BUFFER], Vec::new());
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.flush().await;
        }
        to.write_all(form.of(&buffer[..count], &mut formed)).await?;
        to.flush().await?;
    }
}

/// True when the client detached or left; after the end of its input it never returns, since output goes on.
async fn copy_input<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut R,
    to: W,
    stdin: bool,
    mut keys: DetachKeys,
) -> bool {
    let mut to = Some(to);
    let (mut buffer, mut passed) = (vec![0; if stdin { BUFFER } else { 1024 }], Vec::new());
    loop {
        match from.read(&mut buffer).await {
            Err(_) => return false,
            Ok(0) => {
                if let Some(mut to) = to.take() {
                    let _ = to.write_all(keys.rest()).await;
                    // Dropping a half does not end the stream; this does.
                    let _ = to.shutdown().await;
                }
                return std::future::pending().await;
            }
            Ok(count) => {
                passed.clear();
                let detached = keys.feed(&buffer[..count], &mut passed);
                if let Some(process) = to.as_mut().filter(|_| stdin)
                    && process.write_all(&passed).await.is_err()
                {
                    // The process has closed its input or ended; its output may still come.
                    to = None;
                }
                if detached {
                    return true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn input_passes_until_the_detach_keys() {
        let (mut client, mut side) = tokio::io::duplex(64);
        let (process, mut stdin) = tokio::io::duplex(64);
        client.write_all(b"ls\n\x10\x11ignored").await.unwrap();
        assert!(copy_input(&mut side, process, true, DetachKeys::parse(None).unwrap()).await);
        let mut got = Vec::new();
        stdin.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"ls\n");
    }

    #[tokio::test]
    async fn output_comes_in_the_form_that_its_client_asked_for() {
        let framed = b"\x01\0\0\0\0\0\0\x03one\x02\0\0\0\0\0\0\x03two";
        for (form, output, wanted) in [
            (OutputForm::Same, &b"one"[..], &b"one"[..]),
            (OutputForm::Framed, b"one", &framed[..11]),
            (OutputForm::Raw(Splitter::default()), framed, b"onetwo"),
        ] {
            let mut got = Vec::new();
            copy_output(output, &mut got, form).await.unwrap();
            assert_eq!(got, wanted);
        }
    }

    #[tokio::test]
    async fn the_end_of_input_reaches_the_process_and_does_not_end_the_session() {
        let (client, mut side) = tokio::io::duplex(64);
        let (process, mut stdin) = tokio::io::duplex(64);
        drop(client);
        let copying = copy_input(&mut side, process, true, DetachKeys::none());
        let ended = tokio::time::timeout(std::time::Duration::from_millis(50), copying).await;
        assert!(ended.is_err());
        let mut got = Vec::new();
        stdin.read_to_end(&mut got).await.unwrap();
        assert!(got.is_empty());
    }
}
