//! What goes wrong between this client and a registry. Each error is one line and says what was asked, of
//! whom, and what came back; none has a password, a token or the query of an address in it.

use std::{io, time::Duration};

use minke_model::Digest;

use crate::{
    SettingsError,
    refusal::Refusal,
    retry::{Hope, of_status},
};

/// A request that did not succeed. Whatever could be tried again was tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such repository, manifest or blob.
    #[error("{0}")]
    NotFound(Box<Refusal>),
    /// The user may not do this.
    #[error("{0}")]
    Denied(Box<Refusal>),
    /// The registry wants other credentials, or any.
    #[error("{0}")]
    Unauthorized(Box<Refusal>),
    /// The user, or this host's address, has asked too often. Worth a try after a while.
    #[error("{0}")]
    TooManyRequests(Box<Refusal>),
    /// Any other refusal.
    #[error("{0}")]
    Other(Box<Refusal>),
    /// There was no answer, or it broke off. Worth a try once the network is well.
    #[error("{request}")]
    Transport {
        /// `GET https://registry.example/v2/a/manifests/b`
        request: String,
        /// Why.
        #[source]
        source: TransportError,
    },
    /// The answer is none that the distribution API knows.
    #[error("the answer to {request} is not understood: {reason}")]
    Answer {
        /// `GET https://registry.example/v2/a/manifests/b`
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else came than what was asked for.
    #[error("{request} brought {actual} instead of {wanted}")]
    Digest {
        /// `GET https://registry.example/v2/a/manifests/b`
        request: String,
        /// What was asked for, or announced.
        wanted: Digest,
        /// What came.
        actual: Digest,
    },
    /// More or fewer bytes came than the content has.
    #[error("{request} brought {actual} bytes instead of {wanted}")]
    Length {
        /// `GET https://registry.example/v2/a/blobs/sha256:…`
        request: String,
        /// How many there should be.
        wanted: u64,
        /// How many came, or were announced.
        actual: u64,
    },
    /// More came than is taken.
    #[error("{request} brings more than {limit} bytes")]
    TooLong {
        /// `GET https://registry.example/v2/a/manifests/b`
        request: String,
        /// How many are taken.
        limit: u64,
    },
    /// The registry sends to where nobody may be sent.
    #[error("{request} is not followed to where it leads: {reason}")]
    Redirect {
        /// `GET https://registry.example/v2/a/blobs/sha256:…`
        request: String,
        /// Why not.
        reason: String,
    },
    /// The content that should be pushed can't be read.
    #[error("read {digest} to push it")]
    Source {
        /// The content.
        digest: Digest,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An argument is none of what it should be.
    #[error("{what} {text:?} is not what a registry can be asked for")]
    Argument {
        /// `the tag`, `the search term`, …
        what: &'static str,
        /// As it was given.
        text: String,
    },
    /// The configuration of this host can't be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Why there was no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There is no host of this name.
    #[error("no such host: {0}")]
    NoSuchHost(String),
    /// The name servers could not be asked.
    #[error("{0}")]
    Lookup(String),
    /// Nobody listens there.
    #[error("connect: {0}")]
    Refused(String),
    /// The way there is blocked.
    #[error("connect: {0}")]
    Connect(String),
    /// No connection was made in time.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The other side does not speak TLS.
    #[error("the other side does not speak TLS ({0})")]
    NoTls(String),
    /// The other side is not trusted, or does not trust this one.
    #[error("TLS: {0}")]
    Tls(String),
    /// The other side sent nothing, or took nothing.
    #[error("nothing moved for {0:?}")]
    Stalled(Duration),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Cut(String),
}

impl Error {
    /// Whether the registry says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }

    /// What the registry said, where it refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::NotFound(refusal)
            | Self::Denied(refusal)
            | Self::Unauthorized(refusal)
            | Self::TooManyRequests(refusal)
            | Self::Other(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether the next try may succeed.
    pub(crate) fn hope(&self) -> Hope {
        match self {
            Self::Transport { source, .. } => source.hope(),
            // A proxy in between may have cut it short.
            Self::Length { wanted, actual, .. } if actual < wanted => Hope::After(None),
            other => match other.refusal() {
                Some(refusal) => of_status(refusal.status, refusal.retry_after),
                None => Hope::None,
            },
        }
    }

    pub(crate) fn answer(request: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Answer { request: request.into(), reason: reason.into() }
    }
}

impl TransportError {
    fn hope(&self) -> Hope {
        match self {
            Self::NoSuchHost(_) | Self::NoTls(_) | Self::Tls(_) => Hope::None,
            Self::Lookup(_)
            | Self::Refused(_)
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Stalled(_)
            | Self::Cut(_) => Hope::After(None),
        }
    }

    /// Whether a registry that need not speak TLS may be listening without it. One that waits for the end of
    /// a request's first line never answers a handshake.
    pub(crate) fn may_be_plain(&self) -> bool {
        matches!(self, Self::NoTls(_) | Self::Refused(_) | Self::Connect(_) | Self::ConnectTimeout(_))
    }
}
