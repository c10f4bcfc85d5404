//! One record of a container's output, on its way to the log file and to a collector.

use std::hash::{BuildHasher, RandomState};

use super::{clock::Moment, json_line::RecordTail};

/// A line, or a part of a long one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    /// Without the newline.
    pub(super) text: &'a [u8],
    /// Whether a newline followed.
    pub(super) ends_line: bool,
    /// Where and when it was read.
    pub(super) origin: &'a Origin,
    /// Set for a part of a line.
    pub(super) part: Option<Part<'a>>,
}

/// The stream and the time that records of one read share.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// `stdout` or `stderr`.
    pub(super) stream: &'static str,
    /// When it was read; for all parts of a line, when the first was.
    pub(super) at: Moment,
    /// The end of each record in the log file.
    pub(super) tail: RecordTail,
}

/// Which part of a line a record is, as Docker's drivers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The line's.
    pub(super) id: &'a str,
    /// From 1.
    pub(super) ordinal: u32,
    /// Whether the line ends with it.
    pub(super) last: bool,
}

impl Origin {
    pub(super) fn new(stream: &'static str, at: &Moment) -> Self {
        Self { stream, at: at.clone(), tail: RecordTail::new(stream, &at.text) }
    }
}

/// So many random hexadecimal digits, in sixteens: the standard library seeds its hashers from the kernel.
pub(super) fn random_hex(sixteens: usize) -> String {
    (0..sixteens).map(|number| format!("{:016x}", RandomState::new().hash_one(number))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_have_their_length_and_differ() {
        assert_eq!(random_hex(4).len(), 64);
        assert_ne!(random_hex(1), random_hex(1));
    }
}
