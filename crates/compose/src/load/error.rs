//! What a user made wrong: what, where, and what to do.

use std::{fmt, io, path::PathBuf};

use crate::tree::{Position, parse::SyntaxError, path::Path};

/// How many characters of a line an error shows.
const LONGEST_LINE: usize = 160;
/// How many characters of a message, which may quote names and values of a file.
const LONGEST_MESSAGE: usize = 2_000;

/// Why a project can't be loaded. Loading again helps only once a file or a variable has changed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No file was named and none of the usual names is there.
    #[error(
        "no configuration file provided: not found (looked for {} in {} and the folders above it)",
        crate::load::FILE_NAMES.join(", "),
        .0.display()
    )]
    NoFile(PathBuf),
    /// Something in a file is wrong.
    #[error("{0}")]
    Invalid(Box<Invalid>),
    /// Something about all of it is wrong.
    #[error("{}", plain(.0))]
    Project(String),
}

/// A mistake in a file. Its text is `FILE:LINE:COLUMN: ATTRIBUTE: what` and the line itself below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// The attribute's path, such as `services.web.ports[0]`; empty where it is about the document.
    pub attribute: String,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub hint: Option<String>,
    /// The line.
    pub excerpt: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.attribute.is_empty() {
            write!(f, "{}: ", self.attribute)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, ": {hint}")?;
        }
        if !self.excerpt.is_empty() {
            let number = self.line.to_string();
            let indent = " ".repeat(self.column.saturating_sub(1) as usize);
            write!(f, "\n  {number} | {}\n  {} | {indent}^", self.excerpt, " ".repeat(number.len()))?;
        }
        Ok(())
    }
}

/// A mistake, before the file's name and text are at hand.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(at: Position, path: &Path, message: impl Into<String>) -> Self {
        Self { at, path: path.to_string(), message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Self { at: error.at, path: String::new(), message: error.message, hint: None }
    }
}

/// The files that were read, so that an error can show the line it is about.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<(String, String)>);

impl Files {
    /// Keeps a file; the number is what positions in it have.
    pub(crate) fn add(&mut self, name: &str, text: &str) -> u32 {
        self.0.push((name.to_owned(), text.to_owned()));
        u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX)
    }

    /// The error that a user sees.
    pub(crate) fn error(&self, fault: Fault) -> LoadError {
        let file = self.0.get(fault.at.file as usize).filter(|_| fault.at.line > 0);
        let Some((name, text)) = file else {
            let prefix = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
            let hint = fault.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            return LoadError::Project(format!("{prefix}{}{hint}", fault.message));
        };
        let line = text.lines().nth(fault.at.line as usize - 1).unwrap_or_default();
        LoadError::Invalid(Box::new(Invalid {
            file: name.clone(),
            line: fault.at.line,
            column: fault.at.column,
            attribute: plain(&fault.path),
            message: plain(&fault.message),
            hint: fault.hint.as_deref().map(plain),
            excerpt: shown(line, fault.at.column),
        }))
    }
}

/// A text from a file in one line that moves no cursor and has an end.
fn plain(text: &str) -> String {
    let moves = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let mut line = String::new();
    for c in text.chars().take(LONGEST_MESSAGE) {
        if moves(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    if text.chars().nth(LONGEST_MESSAGE).is_some() {
        line.push('…');
    }
    line
}

/// A line as an error shows it; nothing where the column would lie outside.
fn shown(line: &str, column: u32) -> String {
    if column as usize > LONGEST_LINE {
        return String::new();
    }
    let printable = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    line.trim_end().chars().take(LONGEST_LINE).map(printable).collect()
}

/// The name nearest to a wrong one, as a question.
pub(crate) fn did_you_mean<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    if wrong.chars().count() > 64 {
        return None;
    }
    let tolerated = (wrong.chars().count() / 3).clamp(1, 3);
    let nearest = names.map(|name| (distance(wrong, name), name)).min()?;
    (nearest.0 <= tolerated).then(|| format!("did you mean {:?}?", nearest.1))
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut line = vec![row];
        for column in 1..=to.len() {
            let changed = usize::from(from[row - 1] != to[column - 1]);
            let mut least = (above[column] + 1).min(line[column - 1] + 1).min(above[column - 1] + changed);
            let is_swap =
                row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1];
            if is_swap {
                least = least.min(before[column - 2] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut above, line);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_proposed_where_it_is_near() {
        let names = ["image", "init", "environment", "entrypoint"];
        let asked = |wrong| did_you_mean(wrong, names.into_iter());
        assert_eq!(asked("imgae").as_deref(), Some("did you mean \"image\"?"));
        assert_eq!(asked("enviroment").as_deref(), Some("did you mean \"environment\"?"));
        assert_eq!(asked("zzz"), None);
        assert_eq!(asked(&"e".repeat(1000)), None);
    }

    #[test]
    fn an_error_shows_the_line_and_points_into_it() {
        let mut files = Files::default();
        let file = files.add("compose.yaml", "a:\n\n  ü b: 1\n");
        let at = Position { file, line: 3, column: 5 };
        let error = files.error(Fault::new(at, &Path::of(&["a", "b"]), "wrong"));
        assert_eq!(error.to_string(), "compose.yaml:3:5: a.b: wrong\n  3 |   ü b: 1\n    |     ^");
    }
}
