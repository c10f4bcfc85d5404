//! The one error of netlink: which request failed, with the kernel's code and its own words.

use std::{fmt, io};

/// A request that failed.
#[derive(Debug)]
pub struct Error {
    request: String,
    explanation: Option<String>,
    source: io::Error,
}

impl Error {
    pub(crate) fn new(request: impl Into<String>, source: io::Error) -> Self {
        Self { request: request.into(), explanation: None, source }
    }

    pub(crate) fn refused(request: &str, errno: i32, explanation: Option<String>) -> Self {
        Self { request: request.to_owned(), explanation, source: io::Error::from_raw_os_error(errno) }
    }

    /// The error of a step that found nothing where something had to be (ENODEV).
    pub fn missing(request: &str) -> Self {
        Self::refused(request, libc::ENODEV, None)
    }

    /// What the kernel sent can't be understood.
    pub(crate) fn malformed(request: &str, why: impl fmt::Display) -> Self {
        Self::new(request, io::Error::new(io::ErrorKind::InvalidData, format!("unreadable answer: {why}")))
    }

    /// The kernel's error number, if the kernel refused.
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// The thing to make is there already (EEXIST).
    pub fn is_already_there(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }

    /// The kernel has no such thing: a family, a kind of link (EOPNOTSUPP, EAFNOSUPPORT, EPROTONOSUPPORT).
    pub fn is_unsupported(&self) -> bool {
        matches!(self.errno(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT))
    }

    /// The thing to change or remove is not there (ENOENT, ENODEV, ESRCH).
    pub fn is_not_there(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOENT | libc::ENODEV | libc::ESRCH))
    }

    /// Nothing leads to the address that was asked for (ENETUNREACH, EHOSTUNREACH, EACCES).
    pub(crate) fn is_no_route(&self) -> bool {
        matches!(self.errno(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request)?;
        match &self.explanation {
            Some(explanation) => write!(f, " (kernel: {explanation})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
