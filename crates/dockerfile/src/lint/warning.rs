//! One warning.

use super::Rule;
use crate::{
    ast::{Lines, Source},
    diagnostic::excerpt,
};

/// Something that works and still shouldn't be written so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Against which rule.
    pub rule: Rule,
    /// What exactly.
    pub message: String,
    /// Where.
    pub lines: Lines,
}

impl Warning {
    /// As `docker build --check` shows it.
    pub fn render(&self, source: &Source) -> String {
        let url = self.rule.url();
        let url = if url.is_empty() { url } else { format!(" - {url}") };
        format!("\nWARNING: {}{url}\n{}\n{}", self.rule.name(), self.message, excerpt(source, &[self.lines]))
    }

    /// In one line, as a build's progress shows it.
    pub fn summary(&self) -> String {
        format!("{}: {} (line {})", self.rule.name(), self.message, self.lines.first)
    }
}
