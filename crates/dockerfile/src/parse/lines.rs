//! Lines of a file to the lines of instructions: continuations joined, comments and empty lines left out.

use super::directives;
use crate::ast::Lines;

/// An instruction on one line.
#[derive(Debug)]
pub(super) struct RawInstruction {
    /// The line.
    pub(super) text: String,
    /// Where it stands.
    pub(super) lines: Lines,
    /// The comments directly above.
    pub(super) comments: Vec<String>,
    /// Whether a continuation has an empty line in it.
    pub(super) has_empty_line: bool,
}

/// Reads a file line by line.
pub(super) struct Reader<'a> {
    lines: std::str::SplitInclusive<'a, char>,
    number: u32,
    escape: char,
    /// How many lines at the top are directives, which are no comments of the first instruction.
    directives: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, escape: char) -> Self {
        Self { lines: text.split_inclusive('\n'), number: 0, escape, directives: directives::count(text) }
    }

    /// The next line as it is, with its ending.
    pub(super) fn next_line(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.number += 1;
        Some(line)
    }

    /// The number of the line that was read last.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The next instruction, without the here-documents that follow it.
    pub(super) fn next_instruction(&mut self) -> Option<RawInstruction> {
        let mut comments = Vec::new();
        loop {
            let line = self.next_line()?.trim_end_matches(['\r', '\n']).trim_start();
            match line.strip_prefix('#').map(str::trim) {
                Some("") => comments.clear(),
                Some(_) if self.number <= self.directives => {}
                Some(comment) => comments.push(comment.to_owned()),
                None if line.is_empty() => comments.clear(),
                None => return Some(self.joined(line, comments)),
            }
        }
    }

    /// A line with those that continue it.
    fn joined(&mut self, first: &str, comments: Vec<String>) -> RawInstruction {
        let mut raw = RawInstruction {
            text: String::new(),
            lines: Lines::one(self.number),
            comments,
            has_empty_line: false,
        };
        let (text, mut goes_on) = self.without_continuation(first);
        raw.text.push_str(text);
        while goes_on {
            let Some(line) = self.next_line() else { break };
            let line = line.trim_end_matches(['\r', '\n']);
            match line.trim_start() {
                "" => raw.has_empty_line = true,
                comment if comment.starts_with('#') => (),
                _ => {
                    let (text, more) = self.without_continuation(line);
                    raw.text.push_str(text);
                    goes_on = more;
                }
            }
        }
        raw.lines.last = self.number;
        raw
    }

    /// The line without the escape character at its end, and whether there was one. Two are none: the first escapes the
    /// second. Spaces and tabs may follow.
    fn without_continuation<'t>(&self, line: &'t str) -> (&'t str, bool) {
        match line.trim_end_matches([' ', '\t']).strip_suffix(self.escape) {
            Some(text) if !text.ends_with(self.escape) => (text, true),
            _ => (line, false),
        }
    }
}
