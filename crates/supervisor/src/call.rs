//! One exchange with a supervisor: connect, send a request's frame, read the reply's frame.
//!
//! Reading takes exactly the frame's bytes and not one more, since a raw stream may follow.

use std::{
    io,
    path::{Path, PathBuf},
};

use minke_oci_runtime::supervise::{
    frame::{self, FrameError},
    protocol::{Failure, Reply, Request},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// Why a call to a supervisor failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The supervisor understood and could not do it; repeating helps only when the container has changed.
    #[error("{0}")]
    Refused(#[source] Failure),
    /// Nobody listens on the socket, or the supervisor left in the middle of the call: the container has ended.
    #[error("the supervisor at {} is gone", socket.display())]
    Gone {
        /// Where it listened.
        socket: PathBuf,
    },
    /// The socket failed in another way.
    #[error("{action}")]
    Io {
        /// What was tried, and on which socket.
        action: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The bytes that came are not of the protocol: another program listens there.
    #[error("the answer from {} is not a supervisor's", socket.display())]
    Frame {
        /// Which socket.
        socket: PathBuf,
        /// What is wrong with the frame.
        #[source]
        source: FrameError,
    },
    /// A reply that does not belong to the request.
    #[error("the supervisor at {} answered {request} with {reply}", socket.display())]
    Protocol {
        /// Which socket.
        socket: PathBuf,
        /// The request's name.
        request: &'static str,
        /// The reply, for a bug report.
        reply: String,
    },
}

impl CallError {
    pub(crate) fn unexpected(socket: &Path, request: &'static str, reply: &Reply) -> Self {
        Self::Protocol { socket: socket.to_owned(), request, reply: format!("{reply:?}") }
    }

    fn from_io(socket: &Path, action: &str, source: io::Error) -> Self {
        if means_gone(&source) {
            return Self::Gone { socket: socket.to_owned() };
        }
        Self::Io { action: format!("{action} {}", socket.display()), source }
    }
}

/// Sends one request and gives its reply, with the connection for the raw stream that may follow.
pub(crate) async fn call(socket: &Path, request: &Request) -> Result<(Reply, UnixStream), CallError> {
    let mut stream = connect(socket).await?;
    let bytes = frame::encode(request).map_err(|source| frame_error(socket, source))?;
    if let Err(error) = stream.write_all(&bytes).await {
        // A refusal may have been sent before the request was read; it says more than the broken pipe.
        let refusal = read_reply(&mut stream, socket).await;
        return match refusal {
            Ok(reply) => Ok((reply, stream)),
            Err(_) => Err(CallError::from_io(socket, "send a request to", error)),
        };
    }
    let reply = read_reply(&mut stream, socket).await?;
    Ok((reply, stream))
}

pub(crate) async fn connect(socket: &Path) -> Result<UnixStream, CallError> {
    UnixStream::connect(socket).await.map_err(|source| CallError::from_io(socket, "connect to", source))
}

/// Reads one reply; a refusal becomes an error.
pub(crate) async fn read_reply(stream: &mut UnixStream, socket: &Path) -> Result<Reply, CallError> {
    let mut header = [0; frame::HEADER];
    read_exact(stream, &mut header, socket).await?;
    let length = frame::payload_length(header).map_err(|source| frame_error(socket, source))?;
    let mut payload = vec![0; length];
    read_exact(stream, &mut payload, socket).await?;
    match frame::decode(&payload).map_err(|source| frame_error(socket, source))? {
        Reply::Error(failure) => Err(CallError::Refused(failure)),
        reply => Ok(reply),
    }
}

async fn read_exact(stream: &mut UnixStream, buffer: &mut [u8], socket: &Path) -> Result<(), CallError> {
    let read = stream.read_exact(buffer).await;
    read.map(drop).map_err(|source| CallError::from_io(socket, "read a reply from", source))
}

fn frame_error(socket: &Path, source: FrameError) -> CallError {
    CallError::Frame { socket: socket.to_owned(), source }
}

/// Whether an error of connecting, sending or receiving says that the other side no longer lives.
fn means_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
}
