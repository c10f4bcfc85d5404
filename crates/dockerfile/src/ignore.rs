//! `.dockerignore`, and the patterns of `--exclude`: which files a build may see.
//!
//! The patterns are those of moby's patternmatcher, to the letter: `*`, `?`, `[…]` within a name, `**` across folders, `!` for
//! exceptions, the last match decides, and a match of a folder is one of all in it.

mod file;
mod glob;
mod matcher;
mod pattern;

pub use file::{IgnoreFileError, read};
pub use glob::Glob;
pub use matcher::{Folder, Matcher, Verdict};
pub use pattern::PatternError;

#[cfg(test)]
mod tests;
