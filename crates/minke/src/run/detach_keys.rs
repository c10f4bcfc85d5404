//! The key sequence that detaches from a container: `ctrl-p,ctrl-q` unless the user says otherwise.
//!
//! The engine watches for the sequence too. The client must know by itself that the user left, since a
//! closed stream alone could as well be the container's end, for whose exit code it would wait.

use super::FlagError;

/// What Docker takes where nothing is said.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Watches the user's keys.
#[derive(Debug)]
pub(crate) struct DetachKeys {
    sequence: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`; the empty text is the default.
    ///
    /// # Errors
    /// Names the key that there is not.
    pub(crate) fn parse(text: &str) -> Result<Self, FlagError> {
        if text.is_empty() {
            return Ok(Self { sequence: DEFAULT.to_vec(), matched: 0 });
        }
        let sequence = text.split(',').map(|key| code(key).ok_or_else(|| {
            FlagError::new(format!("invalid detach keys ({text}): unknown key {key:?} (want a letter, or ctrl- and one of a-z @ [ \\ ] ^ _)"))
        }));
        Ok(Self { sequence: sequence.collect::<Result<_, _>>()?, matched: 0 })
    }

    /// What of `input` to hand on to the container, and whether the sequence was completed. Keys that may
    /// be the sequence's beginning are held back until the next.
    pub(crate) fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(input.len());
        for &byte in input {
            if byte == self.sequence[self.matched] {
                self.matched += 1;
                if self.matched == self.sequence.len() {
                    self.matched = 0;
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&self.sequence[..self.matched]);
            self.matched = usize::from(byte == self.sequence[0] && self.sequence.len() > 1);
            if self.matched == 0 {
                passed.push(byte);
            }
        }
        (passed, false)
    }
}

fn code(key: &str) -> Option<u8> {
    match key.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => Some(letter - b'a' + 1),
        Some(b"@") => Some(0),
        Some([symbol @ (b'[' | b'\\' | b']' | b'^' | b'_')]) => Some(symbol - 64),
        Some(_) => None,
        None => match key.as_bytes() {
            [key] => Some(*key),
            b"DEL" => Some(127),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_dockers_form() {
        assert_eq!(DetachKeys::parse("").unwrap().sequence, [16, 17]);
        assert_eq!(DetachKeys::parse("ctrl-a,b,ctrl-@,ctrl-\\").unwrap().sequence, [1, b'b', 0, 28]);
        for text in ["ctrl-", "ctrl-A", "ab", "a,,b", "ctrl-aa"] {
            assert!(DetachKeys::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_sequence_detaches_and_everything_else_passes() {
        let mut keys = DetachKeys::parse("").unwrap();
        assert_eq!(keys.filter(b"ls\n"), (b"ls\n".to_vec(), false));
        assert_eq!(keys.filter(&[b'x', 16]), (b"x".to_vec(), false));
        assert_eq!(keys.filter(b"y"), (vec![16, b'y'], false));
        assert_eq!(keys.filter(&[16, 16]), (vec![16], false));
        assert_eq!(keys.filter(&[17, b'z']), (vec![], true));
    }
}
