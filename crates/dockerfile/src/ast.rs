//! What a Dockerfile says, as written: nothing is expanded and nothing is looked up yet.
//!
//! Dockerfile reference, syntax 1.x. Made by [`crate::parse()`]; [`crate::plan`] and [`crate::evaluate`] read it. Texts that
//! may hold variables (`$x`) say so.

mod instruction;
mod run;

use std::sync::Arc;

pub use instruction::{Add, Argument, CommandLine, Copy, Files, Heredoc, Instruction, Kind, Pair};
pub use run::{Device, MountFlag, NetworkMode, Run, SecurityMode};

/// Lines of a file: the first and the last, both included, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lines {
    /// The first.
    pub first: u32,
    /// The last, never before the first.
    pub last: u32,
}

impl Lines {
    /// One line.
    pub fn one(line: u32) -> Self {
        Self { first: line, last: line }
    }
}

/// A file's name and text, shared by whatever points into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name to show, `Dockerfile`.
    pub name: Arc<str>,
    /// Everything in it, without a byte order mark.
    pub text: Arc<str>,
}

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq)]
pub struct Dockerfile {
    /// The file.
    pub source: Source,
    /// `# syntax=…` and its like.
    pub directives: Directives,
    /// The `ARG` instructions before the first `FROM`: the global scope.
    pub arguments: Vec<GlobalArguments>,
    /// From each `FROM` to the next. Never empty.
    pub stages: Vec<Stage>,
    /// The lines whose continuation has an empty line, for a lint.
    pub empty_continuations: Vec<Lines>,
}

/// Parser directives: comments of the form `# name=value` at the very top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the frontend's image, in full with what follows a space.
    pub syntax: Option<Directive>,
    /// `# escape=`: `\` or `` ` ``.
    pub escape: char,
    /// `# check=`: `skip=…;error=…;experimental=…`.
    pub check: Option<Directive>,
}

/// The value of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// What follows `=`.
    pub value: String,
    /// Where.
    pub line: u32,
}

/// One `ARG` instruction before the first `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalArguments {
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Where.
    pub lines: Lines,
    /// The comments directly above.
    pub comments: Vec<String>,
}

/// A `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// `AS name`, in lower case.
    pub name: Option<String>,
    /// `AS name` as written.
    pub name_as_written: Option<String>,
    /// The base: an image, another stage, a named context or `scratch`. May hold variables of the global scope.
    pub base: String,
    /// `--platform`. May hold variables of the global scope.
    pub platform: Option<String>,
    /// `FROM` as written (`from`, `From`).
    pub keyword: String,
    /// `AS` as written.
    pub as_keyword: Option<String>,
    /// The whole instruction on one line.
    pub code: String,
    /// Where the `FROM` is.
    pub lines: Lines,
    /// The comments directly above.
    pub comments: Vec<String>,
    /// What a comment directly above says of the stage: `# NAME text`.
    pub description: Option<String>,
    /// What follows.
    pub instructions: Vec<Instruction>,
}
