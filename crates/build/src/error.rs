//! Why a build failed.

use minke_dockerfile::Diagnostic;

use crate::ContextError;

/// Why a build failed. Nothing of it is left but cached steps that were finished.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The request or the Dockerfile is wrong; the text says where.
    #[error("{0}")]
    Invalid(String),
    /// The Dockerfile can't be built, whatever it is built from; the text has its lines in it.
    #[error("{}", .0.render())]
    Dockerfile(Box<Diagnostic>),
    /// Something else, at an instruction.
    #[error("{error}")]
    At {
        /// What.
        error: Box<BuildError>,
        /// The instruction's lines in the Dockerfile, from 1.
        lines: (u32, u32),
    },
    /// A step's program failed.
    #[error("{message}")]
    Step {
        /// `process "/bin/sh -c make" did not complete successfully: exit code: 2`.
        message: String,
        /// The program with its arguments.
        command: String,
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
    /// This host: its disk, its store.
    #[error("{0}")]
    Failed(String),
    /// Another step of the same build failed, which is told by its own.
    #[error("{0}")]
    Shared(std::sync::Arc<BuildError>),
    /// The client has left or asked for an end.
    #[error("the build was cancelled")]
    Cancelled,
}

impl BuildError {
    /// The same, with the instruction's lines where it has none yet.
    pub(crate) fn at(self, first: u32, last: u32) -> Self {
        match self {
            Self::Step { message, command, code, lines } => {
                Self::Step { message, command, code, lines: lines.or(Some((first, last))) }
            }
            Self::Dockerfile(_) | Self::At { .. } | Self::Shared(_) | Self::Cancelled => self,
            error => Self::At { error: Box::new(error), lines: (first, last) },
        }
    }

    /// The lines of the Dockerfile that it is about, if it is about some.
    pub fn lines(&self) -> Vec<(u32, u32)> {
        match self {
            Self::Dockerfile(diagnostic) => {
                diagnostic.lines.iter().map(|lines| (lines.first, lines.last)).collect()
            }
            Self::At { lines, .. } | Self::Step { lines: Some(lines), .. } => vec![*lines],
            Self::Shared(error) => error.lines(),
            _ => Vec::new(),
        }
    }

    /// The error itself, where it was another's.
    pub fn root(&self) -> &Self {
        match self {
            Self::Shared(error) => error.root(),
            Self::At { error, .. } => error.root(),
            error => error,
        }
    }
}
