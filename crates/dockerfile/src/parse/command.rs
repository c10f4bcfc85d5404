//! An instruction's line to its name, its flags and the rest.

use super::{lines::RawInstruction, words::is_space};
use crate::ast::{Heredoc, Lines};

/// An instruction, taken apart.
#[derive(Debug)]
pub(super) struct Command {
    /// Its name as written.
    pub(super) keyword: String,
    /// The words that begin with `--` before anything else, without quotes and escapes.
    pub(super) flags: Vec<String>,
    /// What follows them.
    pub(super) rest: String,
    /// The whole line.
    pub(super) code: String,
    /// Where it stands.
    pub(super) lines: Lines,
    /// The comments directly above.
    pub(super) comments: Vec<String>,
    /// What follows it.
    pub(super) heredocs: Vec<Heredoc>,
    /// The escape character of the file.
    pub(super) escape: char,
}

impl Command {
    pub(super) fn new(raw: RawInstruction, escape: char) -> Self {
        let code = raw.text.trim();
        let (keyword, rest) = match code.find(is_space) {
            Some(end) => (&code[..end], code[end..].trim_start_matches(is_space)),
            None => (code, ""),
        };
        let (flags, rest) = flags(rest, escape);
        Self {
            keyword: keyword.to_owned(),
            flags,
            rest: rest.trim().to_owned(),
            code: code.to_owned(),
            lines: raw.lines,
            comments: raw.comments,
            heredocs: Vec::new(),
            escape,
        }
    }

    /// The instruction behind `ONBUILD`.
    pub(super) fn triggered(&self) -> Self {
        let raw = RawInstruction {
            text: self.rest.clone(),
            lines: self.lines,
            comments: Vec::new(),
            has_empty_line: false,
        };
        Self { heredocs: self.heredocs.clone(), ..Self::new(raw, self.escape) }
    }

    /// Its name in capitals.
    pub(super) fn name(&self) -> String {
        self.keyword.to_ascii_uppercase()
    }
}

/// The flags at the beginning of a line, and what follows. `--` alone ends them.
fn flags(line: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (word, after) = flag(rest, escape);
        rest = after;
        if word == "--" {
            return (flags, rest);
        }
        flags.push(word);
    }
}

/// One word, without its quotes and escapes, and what follows.
fn flag(line: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = line.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            _ if quote.is_none() && c.is_whitespace() => return (word, &line[at..]),
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            _ if c == escape => word.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, "")
}
