//! From bytes to [`Dockerfile`]: lines, then words and flags, then instructions.
//!
//! ```text
//!  bytes ─▶ text (UTF-8, no BOM) ─▶ lines::Reader ─▶ command::Command ─▶ instruction::read ─▶ stages
//!                    directives ◀──────┘   continuations, comments, here-documents
//! ```
//!
//! Nothing of an instruction is looked up or expanded here.

mod command;
mod directives;
mod duration;
mod files;
mod flags;
mod from;
mod health;
mod heredoc;
mod instruction;
mod lines;
mod pairs;
mod run;
mod words;

pub(crate) use directives::check_in_comments;

/// The word that ends the here-document that a text announces, if it does nothing else.
pub(crate) fn heredoc_name(text: &str) -> Option<String> {
    heredoc::heredoc(text).map(|found| found.name)
}

use std::sync::Arc;

use crate::{
    ast::{Dockerfile, GlobalArguments, Instruction, Kind, Lines, Source, Stage},
    diagnostic::Diagnostic,
    limits::{LARGEST_FILE, MOST_INSTRUCTIONS},
    quote::quoted,
};
use command::Command;
use instruction::Parsed;

/// What is wrong with an instruction; whoever knows its lines makes a [`Diagnostic`] of it.
#[derive(Debug, PartialEq, Eq)]
enum Mistake {
    /// Its line can't be taken apart.
    Line(String),
    /// It asks for something that it can't have.
    Instruction(String),
}

impl From<String> for Mistake {
    fn from(message: String) -> Self {
        Self::Instruction(message)
    }
}

impl Mistake {
    /// In the words of BuildKit, which names the line only in mistakes of the second kind.
    fn at(self, source: &Source, lines: Lines) -> Diagnostic {
        let message = match self {
            Self::Line(message) => message,
            Self::Instruction(message) => {
                format!("dockerfile parse error on line {}: {message}", lines.first)
            }
        };
        Diagnostic::new(source, lines, message)
    }
}

/// Reads a Dockerfile. `name` is what messages call it.
///
/// # Errors
/// The first mistake.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Dockerfile, Diagnostic> {
    match parse_partly(name, bytes) {
        (file, None) => Ok(file),
        (_, Some(mistake)) => Err(mistake),
    }
}

/// Reads a Dockerfile as far as it can be read: what is before the first mistake, and that. Without a mistake there is at
/// least one stage.
pub fn parse_partly(name: &str, bytes: &[u8]) -> (Dockerfile, Option<Diagnostic>) {
    let (source, unreadable) = read_text(name, bytes);
    let mut file = Dockerfile {
        directives: directives::read(&source.text),
        source,
        arguments: Vec::new(),
        stages: Vec::new(),
        empty_continuations: Vec::new(),
    };
    let mistake = unreadable.or_else(|| fill(&mut file).err());
    (file, mistake)
}

/// Reads one instruction that has no file: an `ONBUILD` trigger of an image. Its lines are those of the `FROM`.
///
/// # Errors
/// That it isn't one, as a mistake of the `FROM`.
pub(crate) fn parse_trigger(text: &str, source: &Source, from: Lines) -> Result<Instruction, Diagnostic> {
    let (file, mistake) = parse_partly("ONBUILD", format!("FROM scratch\n{text}").as_bytes());
    let at_from = |message: String| Diagnostic::new(source, from, message);
    if let Some(mistake) = mistake {
        return Err(at_from(format!("ONBUILD trigger {}: {}", quoted(&short(text)), mistake.message)));
    }
    match file.stages.into_iter().map(|stage| stage.instructions).collect::<Vec<_>>().as_mut_slice() {
        [only] if only.len() == 1 => Ok(Instruction { lines: from, ..only.remove(0) }),
        _ => Err(at_from("onbuild trigger should be a single expression".to_owned())),
    }
}

fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Whether all that isn't UTF-8 is in lines of comments.
fn is_odd_in_comments_alone(bytes: &[u8]) -> bool {
    let mut odd = bytes.split(|byte| *byte == b'\n').filter(|line| std::str::from_utf8(line).is_err());
    odd.all(|line| line.trim_ascii_start().starts_with(b"#"))
}

/// The text without a byte order mark; what is before the first byte that isn't UTF-8, and where that is, unless it is in a
/// comment.
fn read_text(name: &str, bytes: &[u8]) -> (Source, Option<Diagnostic>) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let source = |text: &str| Source { name: Arc::from(name), text: Arc::from(text) };
    if bytes.len() > LARGEST_FILE {
        let source = source("");
        let message = format!("the Dockerfile has {} bytes, more than {LARGEST_FILE}", bytes.len());
        return (source.clone(), Some(Diagnostic::of_file(&source, message)));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (source(text), None),
        Err(_) if is_odd_in_comments_alone(bytes) => (source(&String::from_utf8_lossy(bytes)), None),
        Err(error) => {
            let lossy = source(&String::from_utf8_lossy(bytes));
            let line = bytes[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            let help = "Save the file as UTF-8; UTF-16 and Latin-1 are not read.".to_owned();
            let message = "the Dockerfile is not UTF-8".to_owned();
            let mistake = Diagnostic::new(&lossy, Lines::one(line as u32), message).with_help(help);
            (lossy, Some(mistake))
        }
    }
}

/// All instructions, into global arguments and stages.
fn fill(file: &mut Dockerfile) -> Result<(), Diagnostic> {
    if file.source.text.is_empty() {
        return Err(Diagnostic::of_file(&file.source, "the Dockerfile cannot be empty".to_owned()));
    }
    let source = file.source.clone();
    let escape = directives::check(&source)?;
    let mut reader = lines::Reader::new(&source.text, escape);
    let mut count = 0;
    while let Some(raw) = reader.next_instruction() {
        let raw_lines = raw.lines;
        let wrong = |message| Diagnostic::new(&source, raw_lines, message);
        if raw.has_empty_line {
            file.empty_continuations.push(Lines::one(raw.lines.last));
        }
        count += 1;
        if count > MOST_INSTRUCTIONS {
            return Err(wrong(format!("more than {MOST_INSTRUCTIONS} instructions")));
        }
        let mut command = Command::new(raw, escape);
        heredoc::attach(&mut command, &mut reader)
            .map_err(|(lines, message)| Diagnostic::new(&source, lines, message))?;
        let lines = command.lines;
        let parsed = instruction::read(&command).map_err(|mistake| mistake.at(&source, lines))?;
        add(file, parsed).map_err(|message| Diagnostic::new(&source, lines, message))?;
    }
    match (count, file.stages.is_empty()) {
        (0, _) => Err(Diagnostic::of_file(&source, "file with no instructions".to_owned())),
        (_, true) => Err(Diagnostic::of_file(&source, "dockerfile contains no stages to build".to_owned())),
        _ => Ok(()),
    }
}

fn add(file: &mut Dockerfile, parsed: Parsed) -> Result<(), String> {
    match (parsed, file.stages.last_mut()) {
        (Parsed::Stage(stage), _) => file.stages.push(*stage),
        (Parsed::Instruction(instruction), Some(Stage { instructions, .. })) => {
            instructions.push(*instruction);
        }
        (Parsed::Instruction(instruction), None) => {
            let Instruction { kind: Kind::Arg(arguments), lines, comments, .. } = *instruction else {
                return Err("no build stage in current context".to_owned());
            };
            file.arguments.push(GlobalArguments { arguments, lines, comments });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
