//! Naming the step that failed, in one word at the place where it happens.

use std::io;

use crate::container::{ActionError, InitError, InitErrorKind};

/// Turns a kernel's refusal into an error that names what was being done, to what.
pub(crate) trait Step<T> {
    /// For steps in the container's process.
    fn step(self, name: impl FnOnce() -> String) -> Result<T, InitError>;
    /// For steps in the caller's process.
    fn action(self, name: impl FnOnce() -> String) -> Result<T, ActionError>;
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, name: impl FnOnce() -> String) -> Result<T, InitError> {
        self.map_err(|error| InitError {
            kind: InitErrorKind::Other,
            step: name(),
            message: plain(&error),
            errno: error.raw_os_error(),
        })
    }

    fn action(self, name: impl FnOnce() -> String) -> Result<T, ActionError> {
        self.map_err(|source| ActionError { action: name(), source })
    }
}

/// The error's text without Rust's ` (os error 2)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        // The C library starts with a capital letter; in the middle of a line that is wrong.
        Some(first) if error.raw_os_error().is_some() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// An error of the container's process that isn't the kernel's.
pub(crate) fn failed(step: impl Into<String>, message: impl Into<String>) -> InitError {
    InitError { kind: InitErrorKind::Other, step: step.into(), message: message.into(), errno: None }
}
