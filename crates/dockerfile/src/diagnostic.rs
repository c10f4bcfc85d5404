//! What a user is told about a mistake: the file, the lines with their text, what was expected.

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
