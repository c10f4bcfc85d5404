//! Splits one stream of output into log records: a record per line, and several for a long line.
//!
//! Pure. A line of 16 KiB and more is written in partial records of 16 KiB without the newline, as Docker does,
//! so that memory stays bounded; all parts of a line carry the time of the first. Unlike Docker, a
//! part never ends inside a UTF-8 character.

use super::{
    clock::Moment,
    record::{Origin, Part, Record, random_hex},
};

/// The most bytes of text in one record.
pub(super) const MAX_TEXT: usize = 16 << 10;
/// An id has so many times sixteen digits; Docker's have as many.
const ID_SIXTEENS: usize = 4;

/// One stream's unfinished line.
#[derive(Debug)]
pub(super) struct LineSplitter {
    stream: &'static str,
    /// The begin of a line whose end has not come.
    pending: Vec<u8>,
    /// The line of which a part has been written.
    begun: Option<Begun>,
}

/// A line in parts.
#[derive(Debug)]
struct Begun {
    /// The first part's.
    origin: Origin,
    id: String,
    /// How many parts have been written.
    parts: u32,
}

impl LineSplitter {
    /// For the stream of this name: `stdout` or `stderr`.
    pub(super) fn new(stream: &'static str) -> Self {
        Self { stream, pending: Vec::new(), begun: None }
    }

    /// Hands `out` the records of all lines that `chunk` completes; it was read at `time`.
    pub(super) fn feed(&mut self, mut chunk: &[u8], time: &Moment, out: &mut impl FnMut(Record<'_>)) {
        let origin = Origin::new(self.stream, time);
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            self.line(&chunk[..end], &origin, out);
            chunk = &chunk[end + 1..];
        }
        self.keep(chunk, &origin, out);
    }

    /// Hands `out` the record of a last line without a newline.
    pub(super) fn finish(&mut self, time: &Moment, out: &mut impl FnMut(Record<'_>)) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            self.part(&pending, &Origin::new(self.stream, time), out);
        }
        self.begun = None;
    }

    /// The rest of a line, up to its newline.
    fn line(&mut self, end: &[u8], origin: &Origin, out: &mut impl FnMut(Record<'_>)) {
        let fits = self.pending.is_empty() && end.len() < MAX_TEXT;
        if !fits {
            self.keep(end, origin, out);
        }
        let text = if fits { end } else { &self.pending };
        match &self.begun {
            None => out(Record { text, ends_line: true, origin, part: None }),
            Some(begun) => out(begun.record(text, true)),
        }
        self.pending.clear();
        self.begun = None;
    }

    /// Keeps what may be continued, and hands out the parts that are full.
    fn keep(&mut self, mut piece: &[u8], origin: &Origin, out: &mut impl FnMut(Record<'_>)) {
        while self.pending.len() + piece.len() >= MAX_TEXT {
            let (now, later) = piece.split_at(MAX_TEXT - self.pending.len());
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(now);
            piece = later;
            let cut = character_boundary(&pending);
            self.part(&pending[..cut], origin, out);
            pending.drain(..cut);
            self.pending = pending;
        }
        self.pending.extend_from_slice(piece);
    }

    /// A part of a line, perhaps the first.
    fn part(&mut self, text: &[u8], origin: &Origin, out: &mut impl FnMut(Record<'_>)) {
        let first = || Begun { origin: origin.clone(), id: random_hex(ID_SIXTEENS), parts: 0 };
        let begun = self.begun.get_or_insert_with(first);
        out(begun.record(text, false));
        begun.parts += 1;
    }
}

impl Begun {
    fn record<'a>(&'a self, text: &'a [u8], ends_line: bool) -> Record<'a> {
        let part = Part { id: &self.id, ordinal: self.parts + 1, last: ends_line };
        Record { text, ends_line, origin: &self.origin, part: Some(part) }
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

    /// Each record's text, with its newline, and the number of the read that it belongs to.
    fn records(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let (mut splitter, mut seen) = (LineSplitter::new("stdout"), Vec::new());
        let moment = |text: String| Moment { text, at: time::OffsetDateTime::UNIX_EPOCH };
        let mut out = |record: Record<'_>| {
            let mut text = String::from_utf8_lossy(record.text).into_owned();
            text.push_str(if record.ends_line { "\n" } else { "" });
            seen.push((text, record.origin.at.text.clone()));
        };
        for (second, chunk) in chunks.iter().enumerate() {
            splitter.feed(chunk, &moment(second.to_string()), &mut out);
        }
        splitter.finish(&moment("end".to_owned()), &mut out);
        seen
    }

    #[test]
    fn the_parts_of_a_line_are_counted_and_share_an_id() {
        let (mut splitter, mut seen) = (LineSplitter::new("stdout"), Vec::new());
        let mut out = |record: Record<'_>| {
            seen.push(record.part.map(|part| (part.id.to_owned(), part.ordinal, part.last)));
        };
        let now = Moment::now();
        splitter.feed(&[b'x'; 2 * MAX_TEXT + 1], &now, &mut out);
        splitter.feed(b"y\nshort\nno end", &now, &mut out);
        splitter.finish(&now, &mut out);
        let parts: Vec<_> =
            seen.iter().map(|part| part.as_ref().map(|(_, number, last)| (*number, *last))).collect();
        assert_eq!(parts, [Some((1, false)), Some((2, false)), Some((3, true)), None, Some((1, false))]);
        let id = |at: usize| seen[at].as_ref().unwrap().0.clone();
        assert!(id(0) == id(2) && id(0) != id(4) && id(0).len() == 64);
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
