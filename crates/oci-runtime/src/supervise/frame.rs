//! The frames of the [protocol](super::protocol): a length (u32, little endian) and that many bytes of JSON.
//!
//! Pure: bytes in, messages out. The engine's side reads whole frames with [`payload_length`] and
//! [`decode`]; the supervisor's side, which never blocks, feeds whatever came to a [`FrameReader`].

use serde::{Serialize, de::DeserializeOwned};

use super::protocol::MAX_FRAME;

/// The length's own length, in bytes.
pub const HEADER: usize = 4;

/// Why bytes are not a frame, or a message does not fit into one.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("a frame of {length} bytes is longer than the {MAX_FRAME} allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The payload is not JSON, or not the JSON of the expected message.
    #[error("a frame's content")]
    Content(#[from] serde_json::Error),
}

/// The whole frame of `message`.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - HEADER;
    match u32::try_from(length) {
        Ok(short) if short <= MAX_FRAME => frame[..HEADER].copy_from_slice(&short.to_le_bytes()),
        _ => return Err(FrameError::TooLong { length }),
    }
    Ok(frame)
}

/// How many bytes follow this header.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn payload_length(header: [u8; HEADER]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(header);
    if length > MAX_FRAME {
        return Err(FrameError::TooLong { length: length as usize });
    }
    Ok(length as usize)
}

/// The message in a frame's payload.
///
/// # Errors
/// [`FrameError::Content`].
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(payload)?)
}

/// Collects bytes until they are a frame. Memory grows with what came, not with what a header announces.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
}

impl FrameReader {
    /// Adds bytes that came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, once all of it has come.
    ///
    /// # Errors
    /// [`FrameError`]; the bytes after it have no meaning, so the connection must end.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(header) = self.bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let end = HEADER + payload_length(*header)?;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let message = decode(&self.bytes[HEADER..end])?;
        self.bytes.drain(..end);
        if self.bytes.is_empty() {
            self.bytes = Vec::new(); // a request can be megabytes; its memory must not stay
        }
        Ok(Some(message))
    }

    /// What came after the last message: the start of the raw stream.
    pub fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Whether nothing came since the last message.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_survive_any_fragmentation(
            messages in prop::collection::vec(any::<Vec<String>>(), 0..6),
            cut in 1_usize..40,
            rest in any::<Vec<u8>>().prop_filter("too short to be a header", |rest| rest.len() < HEADER),
        ) {
            let mut stream: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            stream.extend_from_slice(&rest);
            let (mut reader, mut seen) = (FrameReader::default(), Vec::new());
            for piece in stream.chunks(cut) {
                reader.feed(piece);
                while let Some(message) = reader.next_message::<Vec<String>>().unwrap() {
                    seen.push(message);
                }
            }
            prop_assert_eq!(seen, messages);
            prop_assert_eq!(reader.take_rest(), rest);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            let mut reader = FrameReader::default();
            reader.feed(&bytes);
            let _ = reader.next_message::<super::super::protocol::Request>();
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_bytes_come() {
        let mut reader = FrameReader::default();
        reader.feed(&(MAX_FRAME + 1).to_le_bytes());
        assert!(matches!(reader.next_message::<String>(), Err(FrameError::TooLong { .. })));
        let long = "x".repeat(MAX_FRAME as usize);
        assert!(matches!(encode(&long), Err(FrameError::TooLong { .. })));
    }
}
