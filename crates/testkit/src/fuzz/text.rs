//! Changes to texts: by words and characters. The strings in JSON and in tars are changed here too.

use super::random::Random;

/// Texts that mean something to somebody who reads them.
pub(super) const TEXTS: [&str; 34] = [
    "",
    "/",
    ".",
    "..",
    "../../etc",
    "/proc",
    "/proc/self/fd/7",
    "//",
    "/a//b/./c",
    "a/../../b",
    "net/../kernel/x",
    "net.//.kernel.x",
    "kernel.shmmax",
    "-1",
    "0",
    "18446744073709551616",
    "0-3,5",
    "0-99999999999",
    "1e9",
    "=",
    "A=b",
    "rw",
    "rro",
    "rbind",
    "size=",
    "mode=99999",
    "CAP_SYS_ADMIN",
    "SCMP_ACT_NOTIFY",
    "SCMP_ARCH_X86",
    "clone",
    "\u{0}",
    "ü\u{202e}\n\r\t",
    "pid",
    "1.0.2-dev",
];

/// Separators, and what is escaped somewhere.
const MARKS: [char; 15] = ['\0', '/', '.', ':', '=', ',', '-', '\n', '"', '\\', ' ', '@', '_', '[', ']'];
/// Where one byte isn't one character, counting goes wrong.
const WIDE: [char; 3] = ['ä', '€', '𝄞'];
/// A text that repeats itself grows no further.
const LONGEST: usize = 16 << 10;

/// Changes a text in one to six places and writes it down.
pub(super) fn changed(from: &str, words: &[String], random: &mut Random) -> Vec<u8> {
    let mut text = from.to_owned();
    for _ in 0..random.changes() {
        match random.one_in(2) {
            true => change_text(&mut text, random),
            false => change_pieces(&mut text, words, random),
        }
    }
    let mut bytes = text.into_bytes();
    if random.one_in(24) {
        scratch(&mut bytes, random);
    }
    bytes
}

/// The words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    pieces(text).into_iter().map(str::to_owned)
}

/// The same without the piece of a thirty-second that is `at` places on.
pub(super) fn without(text: &str, at: usize) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    let length = chars.len().div_ceil(32);
    let start = at.checked_mul(length).filter(|start| *start < chars.len())?;
    let end = (start + length).min(chars.len());
    Some(chars[..start].iter().chain(&chars[end..]).collect())
}

/// Words, and what stands between them.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Changes a text by its words.
fn change_pieces(text: &mut String, words: &[String], random: &mut Random) {
    let mut pieces: Vec<String> = pieces(text).into_iter().map(str::to_owned).collect();
    if pieces.is_empty() || words.is_empty() {
        return text.push_str(random.pick::<&str>(&TEXTS));
    }
    let (at, other) = (random.below(pieces.len()), random.below(pieces.len()));
    match random.below(6) {
        0 => pieces[at] = random.pick(words).clone(),
        1 => pieces.insert(at, random.pick(words).clone()),
        2 => drop(pieces.remove(at)),
        3 => pieces.swap(at, other),
        4 => pieces[at] = pieces[at].to_uppercase(),
        _ => {
            let again = pieces[at.min(other)..=at.max(other)].concat();
            let most = LONGEST.saturating_sub(text.len()) / again.len();
            pieces[at].insert_str(0, &again.repeat(most.min(1 << random.below(11))));
        }
    }
    *text = pieces.concat();
}

/// Changes a few characters.
pub(super) fn change_text(text: &mut String, random: &mut Random) {
    let mut chars: Vec<char> = text.chars().collect();
    let at = match random.below(4) {
        0 => 0,
        1 => chars.len(),
        _ => random.below(chars.len() + 1),
    };
    match random.below(5) {
        0 => chars.truncate(at),
        1 => chars.insert(at, *random.pick(&WIDE)),
        2 => chars.insert(at, *random.pick(&MARKS)),
        3 => chars.extend(random.pick(&TEXTS).chars()),
        _ => chars = random.pick(&TEXTS).chars().chain(chars).collect(),
    }
    *text = chars.into_iter().collect();
}

/// Damages the bytes themselves.
pub(super) fn scratch(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {
                let end = (at + random.below(40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}
