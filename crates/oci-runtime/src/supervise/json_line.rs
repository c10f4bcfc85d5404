//! One record of a log in the form of Docker's json-file driver, byte for byte.
//!
//! `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.6789Z"}` and a newline. Escaping is what
//! Go's encoder does: `<`, `>`, `&`, U+2028 and U+2029 are escaped too, and each byte that is not
//! UTF-8 becomes U+FFFD. Hand-written since it runs over all output of every container: plain text is
//! found sixteen bytes at a time and copied as a block.

/// What follows the text of every record of one stream at one time; made once for each read.
#[derive(Debug, Clone)]
pub(super) struct RecordTail(Vec<u8>);

impl RecordTail {
    /// `time` in RFC 3339.
    pub(super) fn new(stream: &str, time: &str) -> Self {
        Self(format!(r#"","stream":"{stream}","time":"{time}"}}{}"#, '\n').into_bytes())
    }
}

/// Appends the record of `text`, with a newline added to the text when it ends a line.
pub(super) fn append_record(out: &mut Vec<u8>, text: &[u8], ends_line: bool, tail: &RecordTail) {
    out.extend_from_slice(br#"{"log":""#);
    append_escaped(out, text);
    if ends_line {
        out.extend_from_slice(br"\n");
    }
    out.extend_from_slice(&tail.0);
}

/// Appends `text` as the inside of a JSON string.
fn append_escaped(out: &mut Vec<u8>, text: &[u8]) {
    // The standard library's check of a whole text is several times faster than finding its chunks.
    if let Ok(valid) = std::str::from_utf8(text) {
        return append_valid(out, valid.as_bytes());
    }
    for chunk in text.utf8_chunks() {
        append_valid(out, chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(br"\ufffd");
        }
    }
}

fn append_valid(out: &mut Vec<u8>, mut text: &[u8]) {
    loop {
        let plain = plain_prefix(text);
        out.extend_from_slice(&text[..plain]);
        text = &text[plain..];
        let Some(first) = text.first() else { return };
        let used = append_special(out, *first, text);
        text = &text[used..];
    }
}

/// How many leading bytes go into the record unchanged.
fn plain_prefix(text: &[u8]) -> usize {
    let blocks = text.chunks_exact(16);
    let mut length = 0;
    for block in blocks {
        // No early exit within a block, so that the compiler makes vector instructions of it.
        if block.iter().fold(false, |special, byte| special | is_special(*byte)) {
            break;
        }
        length += 16;
    }
    length + text[length..].iter().take_while(|byte| !is_special(**byte)).count()
}

/// Whether a byte of valid UTF-8 needs a closer look: 0xE2 leads U+2028 and U+2029, among many others.
fn is_special(byte: u8) -> bool {
    (byte < 0x20)
        | (byte == b'"')
        | (byte == b'\\')
        | (byte == b'<')
        | (byte == b'>')
        | (byte == b'&')
        | (byte == 0xe2)
}

/// Appends the character at the start of `text`, and says how many bytes it has there.
fn append_special(out: &mut Vec<u8>, first: u8, text: &[u8]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match first {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', first]),
        b'\n' => out.extend_from_slice(br"\n"),
        b'\r' => out.extend_from_slice(br"\r"),
        0xe2 => return append_three_bytes(out, text),
        _ => {
            out.extend_from_slice(br"\u00");
            out.extend_from_slice(&[HEX[usize::from(first >> 4)], HEX[usize::from(first & 0xf)]]);
        }
    }
    1
}

fn append_three_bytes(out: &mut Vec<u8>, text: &[u8]) -> usize {
    let character = &text[..text.len().min(3)];
    match character {
        [0xe2, 0x80, 0xa8] => out.extend_from_slice(br"\u2028"),
        [0xe2, 0x80, 0xa9] => out.extend_from_slice(br"\u2029"),
        other => out.extend_from_slice(other),
    }
    character.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(text: &[u8], ends_line: bool) -> String {
        let mut out = Vec::new();
        append_record(&mut out, text, ends_line, &RecordTail::new("stdout", "2026-01-02T03:04:05.6Z"));
        String::from_utf8(out).unwrap()
    }

    /// The reference: Go's rule that each byte outside UTF-8 becomes one U+FFFD.
    fn go_string(text: &[u8]) -> String {
        let chunk = |chunk: std::str::Utf8Chunk<'_>| {
            format!("{}{}", chunk.valid(), "\u{fffd}".repeat(chunk.invalid().len()))
        };
        text.utf8_chunks().map(chunk).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_become_one_line_of_json_that_reads_back(text in any::<Vec<u8>>(), ends_line: bool) {
            let line = record(&text, ends_line);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let expected = go_string(&text) + if ends_line { "\n" } else { "" };
            prop_assert_eq!(value["log"].as_str(), Some(expected.as_str()));
        }

        #[test]
        fn text_with_many_specials_reads_back(text in "[a-z<>&\"\\\\\u{2028}\u{20ac}\u{e9}\t\r]{0,80}") {
            let value: serde_json::Value = serde_json::from_str(&record(text.as_bytes(), false)).unwrap();
            prop_assert_eq!(value["log"].as_str(), Some(text.as_str()));
        }
    }

    #[test]
    fn a_record_has_the_form_that_docker_writes() {
        assert_eq!(
            record(b"hello", true),
            "{\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.6Z\"}\n"
        );
    }

    #[test]
    fn escapes_are_those_of_go() {
        let log = |text: &[u8]| record(text, false).split("\",\"stream\"").next().unwrap()[8..].to_owned();
        assert_eq!(
            log(b"a\"b\\c\td\re<f>g&h\x7f\x1b"),
            "a\\\"b\\\\c\\u0009d\\re\\u003cf\\u003eg\\u0026h\x7f\\u001b"
        );
        assert_eq!(log("\u{2028}\u{2029}\u{2030}".as_bytes()), "\\u2028\\u2029\u{2030}");
        assert_eq!(log(b"a\xe4\xb8z\xff"), "a\\ufffd\\ufffdz\\ufffd");
    }
}
