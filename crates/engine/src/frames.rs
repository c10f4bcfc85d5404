//! Docker's multiplexed stream: each piece of output behind a header that says which stream it is
//! (Docker Engine API, "Attach to a container", "Stream format").

/// The kind byte of standard output.
pub(crate) const STDOUT: u8 = 1;
/// The kind byte of standard error.
pub(crate) const STDERR: u8 = 2;

/// Appends one frame.
pub(crate) fn push(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(payload);
}

/// Takes multiplexed bytes in any pieces and gives the payloads back.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    header: Vec<u8>,
    left: usize,
}

impl Splitter {
    /// Calls `each` with every piece of payload in `bytes`.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (now, rest) = bytes.split_at(self.left.min(bytes.len()));
                each(now);
                self.left -= now.len();
                bytes = rest;
                continue;
            }
            let (now, rest) = bytes.split_at((8 - self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(now);
            bytes = rest;
            if let [_, _, _, _, a, b, c, d] = self.header[..] {
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                self.header.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_which_stream_and_how_long() {
        let mut out = Vec::new();
        push(&mut out, STDERR, b"no");
        assert_eq!(out, [2, 0, 0, 0, 0, 0, 0, 2, b'n', b'o']);
    }

    #[test]
    fn payloads_come_back_from_any_pieces() {
        let mut stream = Vec::new();
        push(&mut stream, STDOUT, b"hello ");
        push(&mut stream, STDERR, b"world");
        for size in 1..stream.len() {
            let (mut splitter, mut text) = (Splitter::default(), Vec::new());
            stream.chunks(size).for_each(|piece| splitter.feed(piece, |part| text.extend_from_slice(part)));
            assert_eq!(text, b"hello world");
        }
    }
}
