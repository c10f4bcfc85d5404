//! What can go wrong in a call of the engine: a kind that a face maps to a status, and one line for the user.

use std::{fmt, path::PathBuf};

/// The kinds that callers tell apart, named as Docker's error definitions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request asks for something invalid (400).
    InvalidParameter,
    /// The object does not exist (404).
    NotFound,
    /// The object's state forbids it (409).
    Conflict,
    /// It existed and is gone (410).
    Gone,
    /// Nothing to change (304).
    NotModified,
    /// A registry wants other credentials (401).
    Unauthorized,
    /// A registry wants fewer calls (429).
    TooManyRequests,
    /// Not allowed (403).
    Forbidden,
    /// This engine can't do that (501).
    NotImplemented,
    /// Not now; trying again may help (503).
    Unavailable,
    /// Everything else (500).
    Internal,
}

/// A failed call: one line for the user with the chain of causes in it once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of this kind with this line.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What kind it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameter, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotImplemented, message)
    }

    /// An internal error: what was being done, then the cause and its causes.
    pub(crate) fn internal(action: impl fmt::Display, cause: &(dyn std::error::Error + 'static)) -> Self {
        Self::caused(ErrorKind::Internal, action, cause)
    }

    /// An error of `kind`: what was being done, then the cause and its causes.
    pub(crate) fn caused(
        kind: ErrorKind,
        action: impl fmt::Display,
        cause: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self::new(kind, format!("{action}: {}", chain(cause)))
    }

    /// No container of this name.
    pub(crate) fn no_such_container(name: &str) -> Self {
        Self::not_found(format!("No such container: {name}"))
    }
}

/// An error and its causes on one line, each once, without the kernel's numbers.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let line = minke_model::chain_of(error, |cause| plain(cause.to_string()));
    plain(line)
}

/// Without the number that Rust's standard library puts behind an error of the kernel: the words say it.
fn plain(mut text: String) -> String {
    if let Some(at) = text.rfind(" (os error ").filter(|_| text.ends_with(')')) {
        text.truncate(at);
    }
    text
}

/// Why an engine could not open its folders.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another engine uses the same root.
    #[error("another engine already uses {root}; give this one its own --root")]
    InUse {
        /// The root.
        root: PathBuf,
    },
    /// A name that can't be part of an interface's, a table's and a cgroup's name.
    #[error("invalid name prefix {prefix:?}: want 1 to 10 lower-case letters, digits or '-', a letter first")]
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// A state directory in which no socket can be made.
    #[error("the path {state} is too long for --state: sockets need it to have at most {longest} bytes")]
    StatePath {
        /// The state directory.
        state: PathBuf,
        /// How long it may be.
        longest: usize,
    },
    /// A folder or file.
    #[error("{action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The embedded database.
    #[error("open the database {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The image store, the networks or another part.
    #[error("open {part}")]
    Part {
        /// Which part.
        part: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);
    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn the_chain_of_causes_is_told_once_on_one_line() {
        assert_eq!(Error::internal("start web", &Outer(Inner)).to_string(), "start web: outer: inner");
        let missing = std::io::Error::from_raw_os_error(2);
        assert_eq!(Error::internal("open x", &missing).to_string(), "open x: No such file or directory");
    }
}
