//! Folders over the wire, as fsutil sends them: a list of all entries, and the content of those that the receiver asks for.
//!
//! ```text
//!  sender    STAT 0   STAT 1   STAT 2   STAT (none: that was all)     DATA 1  DATA 1  DATA 1 (empty: its end)          FIN
//!  receiver                REQUEST 1                                                                          FIN
//! ```
//!
//! The receiver keeps what it got in a folder of [`slots`] for the next time, and asks only for what differs from it in size,
//! mode or time. Everything that comes is hostile: see [`receiver`].

pub(crate) mod entry;
pub(crate) mod order;
pub(crate) mod receive;
pub(crate) mod receiver;
pub(crate) mod send;
pub(crate) mod slots;

/// Why a folder can't be received or sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    /// What came is wrong.
    #[error("{path:?}: {reason}")]
    Entry { path: String, reason: &'static str },
    /// What came is more than is taken.
    #[error("{what}: more than {most}")]
    TooMuch { what: &'static str, most: u64 },
    /// What came fits nowhere.
    #[error("a packet for file {0}, which was not asked for")]
    Unasked(u32),
    /// The sender gave up.
    #[error("error from sender: {0}")]
    Sender(String),
    /// This host.
    #[error("{action} {path:?}: {source}")]
    Io { action: &'static str, path: String, source: std::io::Error },
}

impl SyncError {
    pub(crate) fn io(action: &'static str, path: &str, source: impl Into<std::io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// Whether the client's words are wrong, not this host.
    pub(crate) fn is_callers_fault(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}
