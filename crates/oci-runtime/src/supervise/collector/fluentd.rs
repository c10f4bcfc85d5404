//! Records as messages of Fluentd's forward protocol (version 1, "Message Mode"), in MessagePack, and the acknowledgements that
//! come back. The fields are those of Docker's driver.

use std::io;

use crate::supervise::{
    protocol::FluentdFormat,
    record::{Record, random_hex},
};

/// Makes messages.
#[derive(Debug)]
pub(super) struct Fluentd {
    format: FluentdFormat,
    /// What the names of this run's messages begin with.
    run: String,
    count: u64,
}

impl Fluentd {
    pub(super) fn new(format: FluentdFormat) -> Self {
        let run = if format.acknowledged { random_hex(1) } else { String::new() };
        Self { format, run, count: 0 }
    }

    /// The message, and what its acknowledgement will name.
    pub(super) fn encode(&mut self, record: &Record<'_>) -> (Vec<u8>, Option<String>) {
        let name = self.format.acknowledged.then(|| {
            self.count += 1;
            format!("{}{:016x}", self.run, self.count)
        });
        (message(&self.format, record, name.as_deref()), name)
    }
}

fn message(format: &FluentdFormat, record: &Record<'_>, name: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(record.text.len() + 256);
    out.push(if name.is_some() { 0x94 } else { 0x93 }); // an array of four or three
    string(&mut out, format.tag.as_bytes());
    let at = record.origin.at.at;
    let seconds = u32::try_from(at.unix_timestamp()).unwrap_or(u32::MAX).to_be_bytes();
    if format.sub_second {
        out.extend_from_slice(&[0xd7, 0x00]); // eight bytes of an extension type, EventTime
        out.extend_from_slice(&seconds);
        out.extend_from_slice(&at.nanosecond().to_be_bytes());
    } else {
        out.push(0xce); // 32 bits
        out.extend_from_slice(&seconds);
    }
    fields(&mut out, format, record);
    if let Some(name) = name {
        out.push(0x81); // a map of one
        string(&mut out, b"chunk");
        string(&mut out, name.as_bytes());
    }
    out
}

fn fields(out: &mut Vec<u8>, format: &FluentdFormat, record: &Record<'_>) {
    let part_fields = if record.part.is_some() { 4 } else { 0 };
    let count = u16::try_from(format.fields.len() + 2 + part_fields).unwrap_or(u16::MAX);
    out.push(0xde); // a map, its length in 16 bits
    out.extend_from_slice(&count.to_be_bytes());
    let mut field = |name: &str, value: &[u8]| {
        string(out, name.as_bytes());
        string(out, value);
    };
    for (name, value) in format.fields.iter().take(usize::from(count) - 2 - part_fields) {
        field(name, value.as_bytes());
    }
    field("source", record.origin.stream.as_bytes());
    field("log", record.text);
    if let Some(part) = record.part {
        field("partial_message", b"true");
        field("partial_id", part.id.as_bytes());
        field("partial_ordinal", part.ordinal.to_string().as_bytes());
        field("partial_last", if part.last { b"true" } else { b"false" });
    }
}

/// A MessagePack string. Bytes that are not UTF-8 are handed on as they are, as Docker does.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(length @ 0..32), _) => out.push(0xa0 | length),
        (Ok(length), _) => out.extend_from_slice(&[0xd9, length]),
        (_, Ok(length)) => {
            out.push(0xda);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

/// The first acknowledgement in what a collector has sent, `{"ack": NAME}`: the name, and how many bytes it takes. `None`
/// while it is not whole.
///
/// # Errors
/// When it is something else.
pub(super) fn acknowledgement(bytes: &[u8]) -> io::Result<Option<(String, usize)>> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    if *first != 0x81 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Some((key, after_key)) = read_string(rest)? else { return Ok(None) };
    let Some((name, after_name)) = read_string(&rest[after_key..])? else { return Ok(None) };
    if key != b"ack" {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some((String::from_utf8_lossy(name).into_owned(), 1 + after_key + after_name)))
}

/// A string (or bytes) at the start, of at most 64 KiB, and how much it takes.
fn read_string(bytes: &[u8]) -> io::Result<Option<(&[u8], usize)>> {
    let (header, length) = match bytes {
        [] => return Ok(None),
        [short @ 0xa0..=0xbf, ..] => (1, usize::from(short & 0x1f)),
        [0xd9 | 0xc4, length, ..] => (2, usize::from(*length)),
        [0xda | 0xc5, high, low, ..] => (3, usize::from(u16::from_be_bytes([*high, *low]))),
        [0xd9 | 0xc4 | 0xda | 0xc5, ..] => return Ok(None),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok(bytes.get(header..header + length).map(|text| (text, header + length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::supervise::{
        clock::Moment,
        record::{Origin, Part},
    };

    fn format(sub_second: bool) -> FluentdFormat {
        FluentdFormat {
            tag: "t".to_owned(),
            fields: vec![("container_name".to_owned(), "/web".to_owned())],
            sub_second,
            acknowledged: false,
        }
    }

    fn encoded(sub_second: bool, part: Option<Part<'_>>, name: Option<&str>) -> Vec<u8> {
        let at = time::OffsetDateTime::from_unix_timestamp_nanos(1_767_323_045_060_000_000).unwrap();
        let origin = Origin::new("stdout", &Moment::of(at));
        let record = Record { text: b"hi", ends_line: true, origin: &origin, part };
        message(&format(sub_second), &record, name)
    }

    #[test]
    fn a_message_is_a_tag_a_time_and_fields() {
        let mut expected = b"\x93\xa1t\xce\x69\x57\x35\xa5\xde\x00\x03".to_vec();
        expected.extend_from_slice(b"\xaecontainer_name\xa4/web\xa6source\xa6stdout\xa3log\xa2hi");
        assert_eq!(encoded(false, None, None), expected);
        let precise = encoded(true, None, Some("abc"));
        assert_eq!(precise[..13], *b"\x94\xa1t\xd7\x00\x69\x57\x35\xa5\x03\x93\x87\x00");
        assert!(precise.ends_with(b"\x81\xa5chunk\xa3abc"));
    }

    #[test]
    fn a_part_says_which_it_is() {
        let bytes = encoded(false, Some(Part { id: "id", ordinal: 2, last: true }), None);
        let tail = b"\xafpartial_message\xa4true\xaapartial_id\xa2id\xafpartial_ordinal\xa12\xacpartial_last\xa4true";
        assert!(bytes.ends_with(tail), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(bytes[8..11], [0xde, 0, 7]);
    }

    #[test]
    fn long_strings_have_long_lengths() {
        let start = |length: usize| {
            let mut out = Vec::new();
            string(&mut out, &vec![b'x'; length]);
            out[..5].to_vec()
        };
        assert_eq!(start(31)[..2], [0xbf, b'x']);
        assert_eq!(start(32)[..3], [0xd9, 32, b'x']);
        assert_eq!(start(256)[..4], [0xda, 1, 0, b'x']);
        assert_eq!(start(65536), [0xdb, 0, 1, 0, 0]);
    }

    #[test]
    fn acknowledgements_are_read_however_they_arrive() {
        let answer = b"\x81\xa3ack\xd9\x03abc\x81";
        for cut in 0..10 {
            assert_eq!(acknowledgement(&answer[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(acknowledgement(answer).unwrap(), Some(("abc".to_owned(), 10)));
        assert!(acknowledgement(b"HTTP/1.1").is_err());
        assert!(acknowledgement(b"\x81\xa3nak\xa1x").is_err());
    }

    proptest! {
        #[test]
        fn hostile_answers_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = acknowledgement(&bytes);
        }
    }
}
