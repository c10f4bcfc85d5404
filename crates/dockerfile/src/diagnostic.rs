//! What a user is told about a mistake: the file, the lines with their text, what was expected.
//!
//! The excerpt is BuildKit's, since that is what people know from a failed build and what they paste into a search.

use std::fmt::Write as _;

use crate::ast::{Lines, Source};

/// A mistake in a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Diagnostic {
    /// What is wrong, in the words of BuildKit where it has some, with the nearest known word where one is near.
    pub message: String,
    /// What to do, where the message doesn't say it.
    pub help: Option<String>,
    /// The file.
    pub source_file: Source,
    /// Where; nowhere when the whole file is meant.
    pub lines: Vec<Lines>,
}

impl Diagnostic {
    /// A mistake in these lines.
    pub fn new(source: &Source, lines: Lines, message: String) -> Self {
        Self { message: one_line(&message), help: None, source_file: source.clone(), lines: vec![lines] }
    }

    /// A mistake of the whole file.
    pub fn of_file(source: &Source, message: String) -> Self {
        Self { message: one_line(&message), help: None, source_file: source.clone(), lines: Vec::new() }
    }

    /// With advice.
    #[must_use]
    pub fn with_help(self, help: String) -> Self {
        Self { help: Some(help), ..self }
    }

    /// The excerpt, the message and the advice, each line ended.
    pub fn render(&self) -> String {
        let mut out = excerpt(&self.source_file, &self.lines);
        for line in std::iter::once(&self.message).chain(&self.help) {
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

/// A message as one line that ends and moves no cursor, whatever of a file it quotes.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 2000;
    let mut line = String::with_capacity(text.len());
    for c in text.chars().take(LONGEST) {
        match c {
            '\u{2028}' | '\u{2029}' => line.extend(c.escape_unicode()),
            _ if c.is_control() => line.extend(c.escape_default()),
            _ => line.push(c),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

/// The lines with a few around them, marked, and the place above. Empty when there are no such lines.
///
/// ```text
/// Dockerfile:3
/// --------------------
///    1 |     FROM alpine
///    2 |
///    3 | >>> RUM make
/// --------------------
/// ```
pub fn excerpt(source: &Source, marked: &[Lines]) -> String {
    let lines: Vec<&str> = source.text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let total = lines.len() as u32;
    let first = marked.iter().map(|lines| lines.first).min().unwrap_or(0);
    let last = marked.iter().map(|lines| lines.last.max(lines.first)).max().unwrap_or(0).min(total);
    if first < 1 || first > total {
        return String::new();
    }
    let (from, to) = with_surroundings(first, last, total);
    let mut out = format!("{}:{first}\n--------------------\n", source.name);
    for (number, text) in (from..=to).zip(&lines[from as usize - 1..]) {
        let is_marked =
            marked.iter().any(|lines| lines.first <= number && number <= lines.last.max(lines.first));
        let mark = if is_marked { ">>>" } else { "   " };
        // Writing to a string can't fail.
        let _ = writeln!(out, " {number:3} | {mark} {}", printable(text));
    }
    out.push_str("--------------------\n");
    out
}

/// About as many lines before as after, more around a single line.
fn with_surroundings(mut first: u32, mut last: u32, total: u32) -> (u32, u32) {
    let wanted = if first == last { 4 } else { 2 };
    let mut added = 0;
    while added < wanted {
        if first > 1 {
            first -= 1;
            added += 1;
        }
        if last < total {
            last += 1;
            added += 1;
        }
        added += 1;
    }
    (first, last)
}

/// The line without what would move a terminal's cursor, and not longer than anyone reads.
fn printable(line: &str) -> String {
    const LONGEST: usize = 500;
    let mut text: String = line
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect();
    if line.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
