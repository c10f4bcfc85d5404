//! Naming the step that failed, in one word at the place where it happens.

use std::io;

use rustix::io::Errno;

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

/// The error's text as Go programs have it: without Rust's ` (os error 2)`, and in small letters if it is the kernel's.
pub fn plain(error: &io::Error) -> String {
    if let Some(words) = error.raw_os_error().and_then(usual_words) {
        return words.to_owned();
    }
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        // The C library starts with a capital letter; in the middle of a line that is wrong.
        Some(first) if error.raw_os_error().is_some() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// What glibc and Go say, and people search for, where musl has words of its own.
fn usual_words(errno: i32) -> Option<&'static str> {
    Some(match Errno::from_raw_os_error(errno) {
        Errno::ADDRINUSE => "address already in use",
        Errno::BUSY => "device or resource busy",
        Errno::DQUOT => "disk quota exceeded",
        Errno::IO => "input/output error",
        Errno::LOOP => "too many levels of symbolic links",
        Errno::MFILE => "too many open files",
        Errno::NAMETOOLONG => "file name too long",
        Errno::NOMEM => "cannot allocate memory",
        Errno::NOTTY => "inappropriate ioctl for device",
        Errno::OPNOTSUPP => "operation not supported",
        Errno::OVERFLOW => "value too large for defined data type",
        Errno::UCLEAN => "structure needs cleaning",
        Errno::USERS => "too many users",
        Errno::XDEV => "invalid cross-device link",
        _ => return None,
    })
}

/// An error of the container's process that isn't the kernel's.
pub(crate) fn failed(step: impl Into<String>, message: impl Into<String>) -> InitError {
    InitError { kind: InitErrorKind::Other, step: step.into(), message: message.into(), errno: None }
}
