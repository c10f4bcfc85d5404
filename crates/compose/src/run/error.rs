//! What can go wrong while a project is brought where it should be.

use std::path::PathBuf;

use minke_docker_client::{ApiVersion, Error as ClientError};

use super::program::ProgramError;

/// A step that failed. What was done before it stays, and the next `up` or `down` goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The engine refused, or is not there.
    #[error(transparent)]
    Engine(#[from] ClientError),
    /// The same, where the engine's words don't say what it was about.
    #[error("{what}")]
    Doing {
        /// What was being done with what.
        what: String,
        /// Why it failed.
        #[source]
        source: ClientError,
    },
    /// An error in the stream of a pull, a push or a build.
    #[error("{what}: {message}")]
    Told {
        /// What was being done with what.
        what: String,
        /// The engine's words.
        message: String,
    },
    /// A container asks for what the engine's API does not have yet.
    #[error(
        "service {service:?}: {attribute} needs an engine of API version {first} or later, and this one has {version}: \
         remove the attribute, or use a newer engine"
    )]
    TooOld {
        /// The service.
        service: String,
        /// What it asks for.
        attribute: &'static str,
        /// The first version that has it.
        first: ApiVersion,
        /// The engine's.
        version: ApiVersion,
    },
    /// A container's health check fails.
    #[error("dependency failed to start: container {name} is unhealthy")]
    Unhealthy {
        /// The container.
        name: String,
    },
    /// A container has ended that should run.
    #[error("dependency failed to start: container {name} exited ({code})")]
    Exited {
        /// The container.
        name: String,
        /// Its code.
        code: i64,
    },
    /// A container is waited for that can't become healthy.
    #[error("dependency failed to start: container {name} has no healthcheck configured")]
    NoHealthcheck {
        /// The container.
        name: String,
    },
    /// A service should have ended well and did not.
    #[error("service {service:?} didn't complete successfully: exit {code}")]
    NotCompleted {
        /// The service.
        service: String,
        /// Its code.
        code: i64,
    },
    /// A pattern of a service's `develop.watch`, or of its `.dockerignore`, is none.
    #[error("service {service:?}: what is watched")]
    Patterns {
        /// The service.
        service: String,
        /// What is wrong.
        #[source]
        source: minke_dockerfile::ignore::PatternError,
    },
    /// A hook's command failed.
    #[error("the {kind} hook of {container} exited with code {code}")]
    Hook {
        /// `post_start` or `pre_stop`
        kind: &'static str,
        /// The container.
        container: String,
        /// The command's code.
        code: i64,
    },
    /// The program that provides a service failed.
    #[error("the provider of service {service}")]
    Provider {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// Language models can't be had.
    #[error("models")]
    Models {
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// A container that comes before a service failed.
    #[error("pre_start[{at}] of service {service} exited with code {code} (its container {name} is kept)")]
    Before {
        /// The service.
        service: String,
        /// Which of them, from 0.
        at: usize,
        /// Its code.
        code: i64,
        /// Its container.
        name: String,
    },
    /// A file of the project can't be read.
    #[error("{what}: {path}")]
    File {
        /// What it is for.
        what: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something that the project asks for and that can't be done, with what to do instead.
    #[error("{0}")]
    Unsupported(String),
    /// Another step failed first.
    #[error("stopped, since another step failed")]
    Cancelled,
}

impl RunError {
    /// For `map_err`: the engine's error with what was being done.
    pub(crate) fn doing(what: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let what = what.into();
        move |source| Self::Doing { what, source }
    }
}
