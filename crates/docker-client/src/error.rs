//! What can go wrong between a client and an engine, in words that a command line can print as they are.

use std::io;

use crate::Endpoint;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the endpoint; worth a retry when the engine is only starting.
    #[error("{}", connect_message(endpoint, source))]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The engine is there, and the two don't agree on certificates. Trying again doesn't help.
    #[error("can't connect to the engine at {endpoint}: {problem}")]
    Tls {
        /// Where.
        endpoint: Endpoint,
        /// What is wrong with whose certificate, and what to do.
        problem: String,
    },
    /// The engine answered with an error status. Docker's own prefix is kept, since scripts look for it.
    #[error("Error response from daemon: {message}")]
    Status {
        /// The HTTP status, 400 and above.
        code: u16,
        /// The engine's own words.
        message: String,
    },
    /// The connection broke or what came was not HTTP.
    #[error("the connection to the engine broke during {request}")]
    Http {
        /// `GET /containers/json`
        request: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// Reading or writing a hijacked connection's beginning failed.
    #[error("the connection to the engine broke during {request}")]
    Io {
        /// `POST /containers/x/attach`
        request: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A body could not be written as JSON.
    #[error("the body of {request} can't be written as JSON")]
    Encode {
        /// `POST /containers/create`
        request: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The engine's answer is not what the API says.
    #[error("the engine's answer to {request} is not understood")]
    Decode {
        /// `GET /containers/json`
        request: String,
        /// Where in the answer, and what is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The request itself can't be sent, e.g. a header with a line break in it.
    #[error("{request} can't be sent: {reason}")]
    Malformed {
        /// `GET /containers/…`
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer of a hijack is no stream.
    #[error("the engine didn't hand over the stream of {request}: {reason}")]
    Hijack {
        /// `POST /exec/x/start`
        request: String,
        /// What came instead.
        reason: String,
    },
}

impl Error {
    /// The HTTP status, where the engine answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the engine says that the thing asked for doesn't exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
}

fn connect_message(endpoint: &Endpoint, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("permission denied while trying to connect to the engine at {endpoint}")
        }
        // What was asked for makes no sense, and only the cause says why.
        io::ErrorKind::InvalidInput => format!("cannot connect to the engine at {endpoint}: {source}"),
        _ => format!("Cannot connect to the engine at {endpoint}. Is it running?"),
    }
}
