//! Docker's stream frames: stdout and stderr of a container in one connection.
//!
//! A frame is one byte for the stream, three zero bytes, the payload's length as four bytes (big endian), and
//! the payload (Docker Engine API, ContainerAttach, "Stream format"). Containers with a terminal have one
//! stream and no frames.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes before each payload.
pub const HEADER: usize = 8;

/// Payload bytes moved at once; never the announced length, which a hostile engine could make 4 GiB.
const CHUNK: usize = 32 * 1024;

/// Longest message of the engine's own that is taken from a frame.
const MESSAGE: u64 = 64 * 1024;

/// Which stream a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the container wrote to its standard output (and 0, stdin's echo, which Docker writes there too).
    Stdout,
    /// What it wrote to its standard error.
    Stderr,
    /// The engine itself reports why the stream breaks.
    System,
}

/// Why demultiplexing stopped before the end of the stream.
#[derive(Debug, thiserror::Error)]
pub enum StdcopyError {
    /// The connection broke, also in the middle of a frame.
    #[error("reading the container's output")]
    Read(#[source] io::Error),
    /// The user's side can't be written to, e.g. a closed pipe.
    #[error("writing the container's output")]
    Write(#[source] io::Error),
    /// What came is not framed; the container probably has a terminal.
    #[error("the stream is not in Docker's multiplexed form: it has a frame of kind {0}")]
    UnknownKind(u8),
    /// The engine's own words.
    #[error("error from daemon in stream: {0}")]
    System(String),
}

/// The header of a frame.
pub fn header(kind: Kind, length: u32) -> [u8; HEADER] {
    let stream = match kind {
        Kind::Stdout => 1,
        Kind::Stderr => 2,
        Kind::System => 3,
    };
    let [a, b, c, d] = length.to_be_bytes();
    [stream, 0, 0, 0, a, b, c, d]
}

/// Reads a frame's header.
///
/// # Errors
/// `UnknownKind` when the first byte names no stream.
pub fn parse_header(header: [u8; HEADER]) -> Result<(Kind, u32), StdcopyError> {
    let [stream, _, _, _, a, b, c, d] = header;
    let kind = match stream {
        0 | 1 => Kind::Stdout,
        2 => Kind::Stderr,
        3 => Kind::System,
        other => return Err(StdcopyError::UnknownKind(other)),
    };
    Ok((kind, u32::from_be_bytes([a, b, c, d])))
}

/// Splits `from` until it ends; returns how many bytes went to stdout and to stderr. Every chunk is flushed
/// at once.
///
/// # Errors
/// See [`StdcopyError`]; none is worth a retry on the same stream.
pub async fn demultiplex(
    mut from: impl AsyncRead + Unpin,
    mut stdout: impl AsyncWrite + Unpin,
    mut stderr: impl AsyncWrite + Unpin,
) -> Result<(u64, u64), StdcopyError> {
    let mut buffer = vec![0; CHUNK];
    let mut totals = (0, 0);
    while let Some(head) = read_header(&mut from).await? {
        let (kind, length) = parse_header(head)?;
        match kind {
            Kind::Stdout => copy_payload(&mut from, &mut stdout, length, &mut buffer).await?,
            Kind::Stderr => copy_payload(&mut from, &mut stderr, length, &mut buffer).await?,
            Kind::System => return Err(system_error(from, length).await),
        }
        match kind {
            Kind::Stderr => totals.1 += u64::from(length),
            _ => totals.0 += u64::from(length),
        }
    }
    Ok(totals)
}

/// The next header, or `None` at a clean end of the stream.
async fn read_header(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<[u8; HEADER]>, StdcopyError> {
    let mut head = [0; HEADER];
    let first = from.read(&mut head).await.map_err(StdcopyError::Read)?;
    if first == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[first..]).await.map_err(StdcopyError::Read)?;
    Ok(Some(head))
}

async fn copy_payload(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    length: u32,
    buffer: &mut [u8],
) -> Result<(), StdcopyError> {
    let mut left = length as usize;
    while left > 0 {
        let room = left.min(buffer.len());
        let got = from.read(&mut buffer[..room]).await.map_err(StdcopyError::Read)?;
        if got == 0 {
            return Err(StdcopyError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        to.write_all(&buffer[..got]).await.map_err(StdcopyError::Write)?;
        to.flush().await.map_err(StdcopyError::Write)?;
        left -= got;
    }
    Ok(())
}

async fn system_error(from: impl AsyncRead + Unpin, length: u32) -> StdcopyError {
    let mut text = Vec::new();
    match from.take(u64::from(length).min(MESSAGE)).read_to_end(&mut text).await {
        Ok(_) => StdcopyError::System(String::from_utf8_lossy(&text).trim().to_owned()),
        Err(error) => StdcopyError::Read(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(parts: &[(bool, Vec<u8>)]) -> Vec<u8> {
        let mut wire = Vec::new();
        for (stderr, payload) in parts {
            let kind = if *stderr { Kind::Stderr } else { Kind::Stdout };
            wire.extend_from_slice(&header(kind, payload.len() as u32));
            wire.extend_from_slice(payload);
        }
        wire
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn every_byte_arrives_on_its_own_stream(
            parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20)
        ) {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let totals = block_on(demultiplex(frames(&parts).as_slice(), &mut out, &mut err)).unwrap();
            let of = |wanted| parts.iter().filter(|p| p.0 == wanted).flat_map(|p| p.1.clone()).collect::<Vec<_>>();
            prop_assert_eq!(totals, (out.len() as u64, err.len() as u64));
            prop_assert_eq!(out, of(false));
            prop_assert_eq!(err, of(true));
        }

        #[test]
        fn no_input_makes_it_panic(wire in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = block_on(demultiplex(wire.as_slice(), tokio::io::sink(), tokio::io::sink()));
        }
    }

    #[test]
    fn a_cut_frame_is_an_error() {
        let wire = frames(&[(false, b"hello".to_vec())]);
        for cut in [3, HEADER, HEADER + 2] {
            let result = block_on(demultiplex(&wire[..cut], tokio::io::sink(), tokio::io::sink()));
            assert!(matches!(result, Err(StdcopyError::Read(_))), "{cut}");
        }
    }

    #[test]
    fn the_engines_own_message_is_the_error() {
        let mut wire = header(Kind::System, 4).to_vec();
        wire.extend_from_slice(b"oops");
        let error = block_on(demultiplex(wire.as_slice(), tokio::io::sink(), tokio::io::sink())).unwrap_err();
        assert_eq!(error.to_string(), "error from daemon in stream: oops");
    }

    #[test]
    fn an_unframed_stream_is_named_as_such() {
        let error = block_on(demultiplex(&b"hello world"[..], tokio::io::sink(), tokio::io::sink()));
        assert!(matches!(error, Err(StdcopyError::UnknownKind(b'h'))));
    }
}
