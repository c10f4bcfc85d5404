//! The keys by which a terminal lets go of a container: Docker's notation, and finding them in what is typed.

use crate::Error;

/// `ctrl-p,ctrl-q`.
const DEFAULT: [u8; 2] = [16, 17];

/// Watches typed bytes for the sequence; what may still become it is held back and passed on when it doesn't.
#[derive(Debug, Clone)]
pub(crate) struct DetachKeys {
    sequence: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`, `a,b`, `ctrl-@`; `None` or empty is the default.
    ///
    /// # Errors
    /// `InvalidParameter` for an unknown key.
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, Error> {
        let sequence = match text.filter(|text| !text.is_empty()) {
            None => DEFAULT.to_vec(),
            Some(text) => text.split(',').map(|key| Self::key(key, text)).collect::<Result<_, _>>()?,
        };
        Ok(Self { sequence, matched: 0 })
    }

    /// Never lets go.
    pub(crate) fn none() -> Self {
        Self { sequence: Vec::new(), matched: 0 }
    }

    fn key(key: &str, text: &str) -> Result<u8, Error> {
        let error = || Error::invalid(format!("Invalid detach keys ({text}) provided: unknown key {key:?}"));
        match (key.as_bytes(), key.strip_prefix("ctrl-").map(str::as_bytes)) {
            ([byte], _) if byte.is_ascii() => Ok(*byte),
            (_, Some([letter @ b'a'..=b'z'])) => Ok(letter - b'a' + 1),
            (_, Some(b"@")) => Ok(0),
            (_, Some(b"[")) => Ok(27),
            (_, Some(b"\\")) => Ok(28),
            (_, Some(b"]")) => Ok(29),
            (_, Some(b"^")) => Ok(30),
            (_, Some(b"_")) => Ok(31),
            _ => Err(error()),
        }
    }

    /// Takes typed bytes, appends those to pass on to `out`, and says whether the sequence is complete.
    pub(crate) fn feed(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        if self.sequence.is_empty() {
            out.extend_from_slice(typed);
            return false;
        }
        for byte in typed {
            if *byte == self.sequence[self.matched] {
                self.matched += 1;
                if self.matched == self.sequence.len() {
                    self.matched = 0;
                    return true;
                }
                continue;
            }
            out.extend_from_slice(&self.sequence[..self.matched]);
            self.matched = usize::from(*byte == self.sequence[0]);
            if self.matched == 0 {
                out.push(*byte);
            }
        }
        false
    }

    /// What is still held back when the client ends its input.
    pub(crate) fn rest(&mut self) -> &[u8] {
        let rest = &self.sequence[..self.matched];
        self.matched = 0;
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(keys: &mut DetachKeys, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let detached = keys.feed(typed, &mut out);
        (out, detached)
    }

    #[test]
    fn the_default_is_ctrl_p_ctrl_q_also_across_reads() {
        let mut keys = DetachKeys::parse(None).unwrap();
        assert_eq!(feed(&mut keys, b"ls\x10"), (b"ls".to_vec(), false));
        assert_eq!(feed(&mut keys, b"\x11"), (vec![], true));
    }

    #[test]
    fn a_broken_sequence_is_passed_on() {
        let mut keys = DetachKeys::parse(Some("ctrl-p,ctrl-q")).unwrap();
        assert_eq!(feed(&mut keys, b"\x10x"), (b"\x10x".to_vec(), false));
        assert_eq!(feed(&mut keys, b"\x10\x10\x11"), (b"\x10".to_vec(), true));
        assert_eq!(feed(&mut keys, b"\x10"), (vec![], false));
        assert_eq!(keys.rest(), b"\x10");
    }

    #[test]
    fn other_keys_can_be_chosen() {
        let mut keys = DetachKeys::parse(Some("a,ctrl-@,ctrl-]")).unwrap();
        assert_eq!(feed(&mut keys, b"xa\0\x1d"), (b"x".to_vec(), true));
        for text in ["ctrl-", "ctrl-P", "abc", ",", "ctrl-1", "é"] {
            assert!(DetachKeys::parse(Some(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn single_keys_detach_and_no_keys_never_do() {
        let mut keys = DetachKeys::parse(Some("q")).unwrap();
        assert_eq!(feed(&mut keys, b"q"), (vec![], true));
        assert_eq!(feed(&mut DetachKeys::none(), b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
