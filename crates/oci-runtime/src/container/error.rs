//! What can go wrong, by operation.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

use crate::step::plain;

/// A failure inside the container's process, sent to the one who waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitError {
    /// Whether it is about the user's program itself.
    pub kind: InitErrorKind,
    /// What was being done, to what: `mounts[3]: mount tmpfs on /run`.
    pub step: String,
    /// Why it failed.
    pub message: String,
    /// The kernel's error number, if it was the kernel that refused.
    pub errno: Option<i32>,
}

/// What an [`InitError`] is about; callers turn the first two into the exit codes 127 and 126.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitErrorKind {
    /// The user's program doesn't exist.
    NotFound,
    /// The user's program can't be executed.
    NotExecutable,
    /// Anything else.
    Other,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.message)
    }
}

impl std::error::Error for InitError {}

/// A step in the caller's process that the kernel refused; becomes the `Io` variant of the operation's error.
#[derive(Debug)]
pub(crate) struct ActionError {
    pub(crate) action: String,
    pub(crate) source: io::Error,
}

macro_rules! from_action_error {
    ($($error:ident),*) => {$(
        impl From<ActionError> for $error {
            fn from(ActionError { action, source }: ActionError) -> Self {
                Self::Io { action, source }
            }
        }
    )*};
}
from_action_error!(CreateError, ExecError, OperationError, StartError);

/// The error with its causes, in one line, and those of the kernel without their numbers.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    minke_model::chain_of(error, |cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => plain(error),
        None => cause.to_string(),
    })
}

/// Why a container wasn't created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The id can't be used.
    #[error("container id {id:?}: {reason}")]
    Id {
        /// The id.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The id is in use.
    #[error("container with given ID already exists: {id}")]
    Exists {
        /// The id.
        id: String,
    },
    /// The configuration can't be honoured.
    #[error("{field}: {reason}")]
    Config {
        /// The field, as a path into config.json.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A step in the caller's process failed.
    #[error("{action}")]
    Io {
        /// What was being done, to what.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A step in the container's process failed.
    #[error(transparent)]
    Init(#[from] InitError),
    /// Another part refused; its message says which and why.
    #[error("{0}")]
    Part(String),
}

/// Why a container's program wasn't started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program doesn't exist.
    #[error(transparent)]
    NotFound(InitError),
    /// The program can't be executed.
    #[error(transparent)]
    NotExecutable(InitError),
    /// A step in the container's process failed.
    #[error(transparent)]
    Init(InitError),
    /// A step in the caller's process failed.
    #[error("{action}")]
    Io {
        /// What was being done, to what.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The container can't be started in its state.
    #[error("{0}")]
    State(String),
    /// A poststart hook failed: the program was executed, and was killed for it.
    #[error("{0}")]
    Poststart(String),
}

/// Why a process wasn't added to a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The program doesn't exist.
    #[error(transparent)]
    NotFound(InitError),
    /// The program can't be executed.
    #[error(transparent)]
    NotExecutable(InitError),
    /// A step in the new process failed.
    #[error(transparent)]
    Init(InitError),
    /// A step in the caller's process failed.
    #[error("{action}")]
    Io {
        /// What was being done, to what.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The container can't run it in its state, or the request itself is wrong.
    #[error("{0}")]
    State(String),
}

/// Why a signal, pause, resume or update wasn't carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The kernel refused.
    #[error("{action}")]
    Io {
        /// What was being done, to what.
        action: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The container's state doesn't allow it.
    #[error("{0}")]
    State(String),
}

/// What couldn't be removed.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct DeleteError(pub Vec<String>);
