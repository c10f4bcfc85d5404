//! Folders over the wire, as fsutil sends them: a list of all entries, and the content of those that the receiver asks for.
//!
//! ```text
//!  sender    STAT 0   STAT 1   STAT 2   STAT (none: that was all)     DATA 1  DATA 1  DATA 1 (empty: its end)          FIN
//!  receiver                REQUEST 1                                                                          FIN
//! ```
//!
//! A receiver that has a folder from the last time asks only for what differs from it in size, mode or time. Everything that
//! comes is hostile: see `receiver`.

mod entry;
mod order;
mod receive;
pub(crate) mod receiver;
mod send;
mod walk;

pub use entry::stat_of;
pub use receive::receive;
pub use receiver::Beside;
pub use send::send;
pub use walk::{Choice, Choose, Everything, Found, open, walk};

/// Why a folder can't be received or sent.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// What came is wrong.
    #[error("{path:?}: {reason}")]
    Entry {
        /// Which entry.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What came is more than is taken.
    #[error("{what}: more than {most}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much is taken.
        most: u64,
    },
    /// What came fits nowhere.
    #[error("a packet for file {0}, which was not asked for")]
    Unasked(u32),
    /// The sender gave up.
    #[error("error from sender: {0}")]
    Sender(String),
    /// This host.
    #[error("{action} {path:?}: {source}")]
    Io {
        /// What was done.
        action: &'static str,
        /// With what.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl SyncError {
    /// An error of this host.
    pub fn io(action: &'static str, path: &str, source: impl Into<std::io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// Whether the sender's words are wrong, not this host.
    pub fn is_callers_fault(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}
