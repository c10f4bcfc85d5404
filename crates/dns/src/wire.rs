//! Records in a message, found without reading what is in them: for that, all there is to know is where each one ends.

/// The header's length (RFC 1035, section 4.1.1).
pub(crate) const HEADER: usize = 12;

/// Where a record is, and its fixed fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawRecord {
    /// Its name is the root's.
    pub(crate) is_root: bool,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// Where the next one begins.
    pub(crate) end: usize,
}

/// The record that begins at `start`; `None` when the message ends before it does.
pub(crate) fn record(message: &[u8], start: usize) -> Option<RawRecord> {
    let at = name_end(message, start)?;
    let fixed = message.get(at..at + 10)?;
    let end = at + 10 + usize::from(number(fixed, 8));
    (end <= message.len()).then(|| RawRecord {
        is_root: message[start] == 0,
        kind: number(fixed, 0),
        class: number(fixed, 2),
        ttl: u32::from(number(fixed, 4)) << 16 | u32::from(number(fixed, 6)),
        end,
    })
}

/// Where the name that begins at `start` ends. A pointer ends it, wherever that leads.
pub(crate) fn name_end(message: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// The 16 bits at a place that is there.
pub(crate) fn number(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_where_its_length_says() {
        let bytes = b"\x01a\x00\x00\x29\x04\xd0\x00\x01\x80\x00\x00\x02xxrest";
        let found = RawRecord { is_root: false, kind: 41, class: 1232, ttl: 0x0001_8000, end: 15 };
        assert_eq!(record(bytes, 0), Some(found));
        for length in 0..15 {
            assert_eq!(record(&bytes[..length], 0), None, "{length}");
        }
    }

    #[test]
    fn a_pointer_ends_a_name_and_other_labels_are_no_names() {
        assert_eq!(name_end(b"\x01a\xc0\x00", 0), Some(4));
        assert_eq!(name_end(b"\x00", 0), Some(1));
        assert_eq!(name_end(b"\x40a", 0), None);
        assert_eq!(name_end(b"\x05ab", 0), None);
    }
}
