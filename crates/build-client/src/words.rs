//! What users write in flags and Compose files, as options: `--output`, `--cache-to`, `--secret`, `--ssh`, `--build-context`.

mod agent;
mod cache;
mod fields;
mod output;
mod question;
mod secret;

use std::path::PathBuf;

pub use agent::agent;
pub use cache::cache_entry;
pub use fields::{Fields, fields};
pub use output::{annotated, output, pushed};
pub use question::{Question, question};
pub use secret::secret;

use crate::options::NamedContext;

/// A text that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {reason}")]
pub struct WordError {
    /// Which flag or attribute it is of.
    pub what: &'static str,
    /// The text.
    pub text: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl WordError {
    fn new(what: &'static str, text: &str, reason: impl Into<String>) -> Self {
        Self { what, text: text.to_owned(), reason: reason.into() }
    }
}

/// `NAME=FOLDER`, `NAME=docker-image://…`, `NAME=https://…`.
///
/// # Errors
/// Without a name or a value.
pub fn named_context(text: &str) -> Result<(String, NamedContext), WordError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((context_name(name), source(value)))
        }
        _ => Err(WordError::new("build-context", text, "expected NAME=VALUE")),
    }
}

/// Where a named context's files are.
pub fn source(value: &str) -> NamedContext {
    if is_remote(value) || value.contains("://") || value.starts_with("target:") {
        return NamedContext::Elsewhere(value.to_owned());
    }
    NamedContext::Folder(PathBuf::from(value))
}

/// Names of images are the same with and without what goes without saying.
fn context_name(name: &str) -> String {
    let name = name.strip_prefix("docker.io/library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name).to_owned()
}

/// Whether a context is fetched by the engine.
pub fn is_remote(context: &str) -> bool {
    let starts = ["http://", "https://", "git://", "git@", "ssh://", "github.com/"];
    starts.iter().any(|start| context.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_folders_or_elsewhere() {
        let folder = |path: &str| NamedContext::Folder(path.into());
        let elsewhere = |text: &str| NamedContext::Elsewhere(text.into());
        assert_eq!(named_context("a=../b").unwrap(), ("a".into(), folder("../b")));
        assert_eq!(
            named_context("alpine:latest=docker-image://x").unwrap(),
            ("alpine".into(), elsewhere("docker-image://x"))
        );
        assert_eq!(source("https://x/y.git#main"), elsewhere("https://x/y.git#main"));
        assert_eq!(source("oci-layout:///x"), elsewhere("oci-layout:///x"));
        assert!(named_context("a").is_err() && named_context("=b").is_err());
        assert!(is_remote("git@x:y.git") && !is_remote("./git"));
    }
}
