//! Sessions: connections on which the client is the server. It offers its folders, secrets, agents and credentials, and takes
//! what is written to its disk.
//!
//! A client that builds opens one with `POST /session`, tells its id and what it offers in headers, and names the id in its
//! other calls. The session ends with its connection.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::HeaderMap;
use minke_build::Arrivals;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::grpc::{Call, Channel, Code, Status};

pub(crate) mod content;
pub(crate) mod files;
pub(crate) mod keys;
pub(crate) mod output;
pub(crate) mod upload;

const ID: &str = "x-docker-expose-session-uuid";
const SHARED_KEY: &str = "x-docker-expose-session-sharedkey";
const METHOD: &str = "x-docker-expose-session-grpc-method";

/// The most sessions at once.
const SESSIONS: usize = 1000;

/// One client's session. The default is that of a client that opened none: it offers nothing.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// What stays the same from build to build of the same folder on the same host; may be empty.
    pub(crate) shared_key: String,
    /// `/moby.filesync.v1.FileSync/DiffCopy` …, in lower case.
    methods: HashSet<String>,
    channel: Option<Channel>,
}

/// What a client says of its session before it begins.
#[derive(Debug, PartialEq)]
pub(crate) struct Offer {
    id: String,
    shared_key: String,
    methods: HashSet<String>,
}

impl Offer {
    /// From the headers of `POST /session`.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, String> {
        let text =
            |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let id = text(ID).filter(|id| !id.is_empty() && id.len() <= 128);
        let methods = headers.get_all(METHOD).iter();
        Ok(Self {
            id: id.ok_or_else(|| format!("a session needs an id: send the header {ID}"))?,
            shared_key: text(SHARED_KEY).unwrap_or_default(),
            methods: methods.map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase()).collect(),
        })
    }
}

impl Session {
    /// Begins a call of a method that the client may offer.
    ///
    /// # Errors
    /// `Unimplemented` when it doesn't.
    pub(crate) fn call(&self, path: &str, headers: HeaderMap) -> Result<Call, Status> {
        self.offering(path)?.call(path, headers)
    }

    /// The same for a message and its answer.
    ///
    /// # Errors
    /// As [`Session::call`], and how it ended.
    pub(crate) async fn ask<T: prost::Message + Default>(
        &self,
        path: &str,
        request: &impl prost::Message,
    ) -> Result<T, Status> {
        self.offering(path)?.unary(path, request).await
    }

    fn offering(&self, path: &str) -> Result<&Channel, Status> {
        let none = || Status::unimplemented("no active sessions: open one with POST /session");
        let channel = self.channel.as_ref().ok_or_else(none)?;
        match self.methods.contains(&path.to_lowercase()) {
            true => Ok(channel),
            false => Err(Status::unimplemented(format!("method {path} not supported by the client"))),
        }
    }
}

/// All sessions by their ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions {
    open: Arc<Mutex<HashMap<String, Arc<Session>>>>,
    arrived: Arc<Arrivals>,
}

impl Sessions {
    /// Whether a session can begin.
    ///
    /// # Errors
    /// Why it can't.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        let offer = Offer::read(headers)?;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match () {
            () if open.contains_key(&offer.id) => Err(format!("session {} already exists", offer.id)),
            () if open.len() >= SESSIONS => Err(format!("there are {SESSIONS} sessions already")),
            () => Ok(()),
        }
    }

    /// Keeps a session until its connection ends.
    pub(crate) async fn run(
        &self,
        headers: &HeaderMap,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        let Ok(Offer { id, shared_key, methods }) = Offer::read(headers) else { return };
        let (channel, connection) = match Channel::open(io).await {
            Ok(opened) => opened,
            Err(error) => return tracing::debug!(%error, id, "a session did not begin"),
        };
        let session = Arc::new(Session { shared_key, methods, channel: Some(channel) });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), session);
        let _open = Open { sessions: self, id: &id };
        self.arrived.tell();
        if let Err(error) = connection.await {
            tracing::debug!(%error, id, "a session ended");
        }
    }

    /// A session by its id, which may arrive a little later. Without an id there is none: a build whose files come otherwise
    /// needs none.
    ///
    /// # Errors
    /// `NotFound` when it doesn't.
    pub(crate) async fn get(&self, id: &str) -> Result<Arc<Session>, Status> {
        if id.is_empty() {
            return Ok(Arc::default());
        }
        let open = || self.open.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let found = self.arrived.when(open).await;
        found.ok_or_else(|| Status::new(Code::NotFound, format!("no active session for {id}")))
    }
}

/// Takes a session off the list.
struct Open<'a> {
    sessions: &'a Sessions,
    id: &'a str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.sessions.open.lock().unwrap_or_else(PoisonError::into_inner).remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_says_who_and_what() {
        let mut headers = HeaderMap::new();
        assert!(Offer::read(&headers).is_err());
        headers.insert(ID, "abc".parse().unwrap());
        headers.append(METHOD, "/a.B/C".parse().unwrap());
        headers.append(METHOD, "/d.E/F".parse().unwrap());
        let offer = Offer::read(&headers).unwrap();
        assert_eq!((&*offer.id, offer.methods.len()), ("abc", 2));
        assert!(offer.methods.contains("/a.b/c"));
    }
}
