//! What users write in flags and Compose files, as options: `--output`, `--cache-to`, `--secret`, `--ssh`, `--build-context`.

mod cache;
mod fields;
mod output;
mod question;
mod secret;

use std::env;
use std::path::PathBuf;

pub use cache::cache_entry;
pub use fields::{Fields, fields};
pub use output::{annotated, output, pushed};
pub use question::{Question, question};
pub use secret::secret;

use crate::options::{Agent, NamedContext};

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

/// `default`, `ID` or `ID=SOCKET`: the agent of `SSH_AUTH_SOCK`, or one of its own.
///
/// # Errors
/// Without an agent there.
pub fn agent(text: &str) -> Result<Agent, WordError> {
    let wrong = |reason: String| WordError::new("ssh", text, reason);
    let (id, path) = text.split_once('=').unwrap_or((text, ""));
    let id = if id.is_empty() { "default" } else { id };
    let socket = match path {
        "" => env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from),
        path => Some(PathBuf::from(path.split(',').next().unwrap_or(path))),
    };
    let socket = socket.ok_or_else(|| {
        wrong("there is no SSH agent: SSH_AUTH_SOCK is not set; start one with ssh-agent and add keys".into())
    })?;
    let metadata = std::fs::metadata(&socket).map_err(|error| wrong(error.to_string()))?;
    match std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) {
        true => Ok(Agent { id: id.to_owned(), socket }),
        false => Err(wrong(
            "it is no agent's socket; keys are lent by an agent only: add it with ssh-add and name the agent"
                .into(),
        )),
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

    #[test]
    fn what_is_no_socket_is_no_agent() {
        assert!(agent("k=/etc/passwd").unwrap_err().to_string().contains("ssh-add"));
        assert!(agent("k=/nowhere").is_err());
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let found = agent(&format!("k={}", socket.display())).unwrap();
        assert_eq!((&*found.id, found.socket), ("k", socket));
    }
}
