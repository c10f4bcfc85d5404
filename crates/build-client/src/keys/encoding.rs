//! How SSH writes strings and numbers (RFC 4251, 5).

/// What is written, part after part.
#[derive(Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    pub(super) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// A number of 32 bits. What is counted here is of one message or of a user's own keys, and never near that.
    pub(super) fn number(mut self, number: usize) -> Self {
        self.0.extend_from_slice(&(number as u32).to_be_bytes());
        self
    }

    pub(super) fn string(self, string: &[u8]) -> Self {
        let mut whole = self.number(string.len());
        whole.0.extend_from_slice(string);
        whole
    }

    /// A positive number of any size: without leading zeros, but for one where it would seem negative.
    pub(super) fn integer(self, bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = &bytes[zeros..];
        if bytes.first().is_none_or(|first| *first < 0x80) {
            return self.string(bytes);
        }
        let mut whole = self.number(bytes.len() + 1).byte(0);
        whole.0.extend_from_slice(bytes);
        whole
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Takes a string off; `None` where it would end after what there is.
pub(super) fn string<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(from)? as usize;
    let (string, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(string)
}

/// Takes a number of 32 bits off.
pub(super) fn number(from: &mut &[u8]) -> Option<u32> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_as_short_as_they_can_be_and_positive() {
        let written = |bytes: &[u8]| Encoder::default().integer(bytes).done();
        assert_eq!(written(&[0, 0, 0x7f]), [0, 0, 0, 1, 0x7f]);
        assert_eq!(written(&[0, 0x80, 1]), [0, 0, 0, 3, 0, 0x80, 1]);
        assert_eq!(written(&[0]), [0, 0, 0, 0]);
    }

    #[test]
    fn what_says_more_than_there_is_is_nothing() {
        let mut asked = &[0, 0, 0, 1, 7, 255, 255, 255, 255, 1][..];
        assert_eq!(string(&mut asked), Some(&[7][..]));
        assert_eq!(string(&mut asked), None);
        assert_eq!(number(&mut &[0, 0, 1][..]), None);
    }
}
