//! Splits one stream of output into log records: a record per line, and several for a long line.
//!
//! Pure. A line of 16 KiB and more is written in partial records of 16 KiB without the newline, as Docker does,
//! so that memory stays bounded; all parts of a line carry the time of the first. Unlike Docker, a
//! part never ends inside a UTF-8 character.

use super::json_line::{RecordTail, append_record};

/// The most bytes of text in one record.
pub(super) const MAX_TEXT: usize = 16 << 10;

/// One stream's unfinished line.
#[derive(Debug)]
pub(super) struct LineSplitter {
    stream: &'static str,
    /// The begin of a line whose end has not come.
    pending: Vec<u8>,
    /// The time of the line's first part, once a part has been written.
    first_part: Option<RecordTail>,
}

impl LineSplitter {
    /// For the stream of this name: `stdout` or `stderr`.
    pub(super) fn new(stream: &'static str) -> Self {
        Self { stream, pending: Vec::new(), first_part: None }
    }

    /// Appends the records of all lines that `chunk` completes; it was read at `time` (RFC 3339).
    pub(super) fn feed(&mut self, mut chunk: &[u8], time: &str, out: &mut Vec<u8>) {
        let tail = RecordTail::new(self.stream, time);
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            self.line(&chunk[..end], &tail, out);
            chunk = &chunk[end + 1..];
        }
        self.keep(chunk, &tail, out);
    }

    /// Appends the record of a last line without a newline.
    pub(super) fn finish(&mut self, time: &str, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            let tail = RecordTail::new(self.stream, time);
            append_record(out, &self.pending, false, self.first_part.as_ref().unwrap_or(&tail));
        }
        self.pending = Vec::new();
        self.first_part = None;
    }

    /// The rest of a line, up to its newline.
    fn line(&mut self, end: &[u8], tail: &RecordTail, out: &mut Vec<u8>) {
        if self.pending.is_empty() && end.len() < MAX_TEXT {
            append_record(out, end, true, self.first_part.as_ref().unwrap_or(tail));
        } else {
            self.keep(end, tail, out);
            append_record(out, &self.pending, true, self.first_part.as_ref().unwrap_or(tail));
            self.pending.clear();
        }
        self.first_part = None;
    }

    /// Keeps what may be continued, and appends the parts that are full.
    fn keep(&mut self, mut piece: &[u8], tail: &RecordTail, out: &mut Vec<u8>) {
        while self.pending.len() + piece.len() >= MAX_TEXT {
            let (now, later) = piece.split_at(MAX_TEXT - self.pending.len());
            self.pending.extend_from_slice(now);
            piece = later;
            let cut = character_boundary(&self.pending);
            let time = self.first_part.get_or_insert_with(|| tail.clone());
            append_record(out, &self.pending[..cut], false, time);
            self.pending.drain(..cut);
        }
        self.pending.extend_from_slice(piece);
    }
}

/// Where to cut `text` so that a character that its end has begun stays whole.
fn character_boundary(text: &[u8]) -> usize {
    for back in 1..=text.len().min(3) {
        let at = text.len() - back;
        let needs = match text[at] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => return text.len(),
        };
        return if needs > back { at } else { text.len() };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let (mut splitter, mut out) = (LineSplitter::new("stdout"), Vec::new());
        for (second, chunk) in chunks.iter().enumerate() {
            splitter.feed(chunk, &second.to_string(), &mut out);
        }
        splitter.finish("end", &mut out);
        let line = |line: &[u8]| {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap();
            let field = |name: &str| value[name].as_str().unwrap().to_owned();
            (field("log"), field("time"))
        };
        out.split_inclusive(|byte| *byte == b'\n').map(line).collect()
    }

    fn pair(log: &str, time: &str) -> (String, String) {
        (log.to_owned(), time.to_owned())
    }

    #[test]
    fn lines_are_joined_over_reads_and_carry_the_time_they_ended() {
        let seen = records(&[b"a\nb", b"c\n\n", b"d"]);
        let expected = [pair("a\n", "0"), pair("bc\n", "1"), pair("\n", "1"), pair("d", "end")];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_long_line_becomes_parts_of_16_kib_with_the_time_of_the_first() {
        let long = "x".repeat(MAX_TEXT);
        let seen = records(&[long.as_bytes(), b"yz\nnext\n"]);
        assert_eq!(seen, [pair(&long, "0"), pair("yz\n", "0"), pair("next\n", "1")]);
        let exact = records(&[format!("{long}\n").as_bytes()]);
        assert_eq!(exact, [pair(&long, "0"), pair("\n", "0")]);
    }

    #[test]
    fn a_part_never_ends_inside_a_character() {
        let text = format!("{}\u{9cb8}\n", "x".repeat(MAX_TEXT - 1));
        let seen = records(&[text.as_bytes()]);
        assert_eq!(seen.iter().map(|(log, _)| log.as_str()).collect::<String>(), text);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_whatever_the_reads(
            pieces in prop::collection::vec("[a\u{e9}\u{9cb8}\n]{0,3}", 0..40),
            filler in 0_usize..40_000,
            cut in 1_usize..20_000,
        ) {
            let text = pieces.join(&"z".repeat(filler / pieces.len().max(1)));
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            let joined: String = records(&chunks).into_iter().map(|(log, _)| log).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
