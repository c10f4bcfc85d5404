//! Why an archive was not unpacked or made.

use std::path::PathBuf;

use rustix::io::Errno;

/// Why an archive was not unpacked. Entry names are printed quoted and escaped: they are hostile.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream itself ended or failed.
    #[error("read the archive")]
    Read(#[source] std::io::Error),
    /// The stream is not a tar, or a damaged one.
    #[error("damaged archive at byte {offset}: {problem}")]
    Damaged {
        /// Where the header in question begins.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// An entry asks for something that is not allowed.
    #[error("entry {entry:?}: {problem}")]
    Refused {
        /// The entry's name, as the archive has it.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A limit was reached.
    #[error("entry {entry:?}: more than {limit} {unit} in one archive")]
    TooMuch {
        /// The entry at which it was.
        entry: String,
        /// The limit.
        limit: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// The file system refused an operation.
    #[error("entry {entry:?}: {action}")]
    Write {
        /// The entry's name.
        entry: String,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The directory to unpack into could not be opened.
    #[error("open directory {path}")]
    Root {
        /// The directory, within the root.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl UnpackError {
    /// Whether the archive asks for what cannot be, rather than the disk refusing what can.
    pub fn is_archives_fault(&self) -> bool {
        match self {
            // An attribute, a device number or a name that no kernel has, or one too many of them.
            Self::Write { source, .. } => matches!(
                Errno::from_io_error(source),
                Some(Errno::INVAL | Errno::NAMETOOLONG | Errno::RANGE | Errno::TOOBIG | Errno::MLINK)
            ),
            Self::Root { .. } => false,
            Self::Read(_) | Self::Damaged { .. } | Self::Refused { .. } | Self::TooMuch { .. } => true,
        }
    }
}

/// Why an archive was not made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file could not be read.
    #[error("{action} {path}")]
    Read {
        /// What was tried.
        action: &'static str,
        /// The file, within the root.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be expressed in the archive.
    #[error("{path}: {problem}")]
    Unsupported {
        /// The file, within the root.
        path: PathBuf,
        /// Why not.
        problem: &'static str,
    },
    /// The receiver of the archive refused it.
    #[error("write the archive")]
    Write(#[source] std::io::Error),
}
