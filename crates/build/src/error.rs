//! Why a build failed.

use crate::ContextError;

/// Why a build failed. Nothing of it is left but cached steps that were finished.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The request or the Dockerfile is wrong; the text says where.
    #[error("{0}")]
    Invalid(String),
    /// A step's program failed.
    #[error("{message}")]
    Step {
        /// `process "/bin/sh -c make" did not complete successfully: exit code: 2`.
        message: String,
        /// Its exit status.
        code: i64,
        /// The instruction's lines in the Dockerfile, from 1.
        lines: Option<(u32, u32)>,
    },
    /// The client's files, secrets or agents.
    #[error("{0}")]
    Client(#[from] ContextError),
    /// An image or the store.
    #[error("{0}")]
    Engine(#[from] minke_engine::Error),
    /// The client has left or asked for an end.
    #[error("the build was cancelled")]
    Cancelled,
}
