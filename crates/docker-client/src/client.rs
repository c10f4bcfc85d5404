//! The client: requests whose answers are read whole, and the one that all kinds of requests go through.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::body::{Body, ByteStream, HttpBody, StreamResponse};
use crate::connection::{self, IdleSlots, Route, Sender};
use crate::hijack::HijackedIo;
use crate::{ApiVersion, Endpoint, Error, Tls, encode};

/// What this client calls itself in `User-Agent`.
pub(crate) const AGENT: &str = concat!("minke/", env!("CARGO_PKG_VERSION"));

/// One engine as seen by a client. Cheap to clone; clones share the version and the idle connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    route: Route,
    version: OnceLock<ApiVersion>,
    /// What every request carries besides its own.
    headers: HeaderMap,
    idle: IdleSlots,
}

/// Whether a request changed anything: `No` stands for status 304, e.g. the start of a running container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did.
    Yes,
    /// All was so already.
    No,
}

impl<'de> Deserialize<'de> for Changed {
    /// From `null` (an empty answer) or `false` (what is made of status 304).
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<bool>::deserialize(deserializer)? {
            Some(false) => Self::No,
            None | Some(true) => Self::Yes,
        })
    }
}

impl Client {
    /// A client that agrees on a version with the engine at its first request. Nothing is connected yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::of(Route { endpoint, tls: None }, OnceLock::new(), HeaderMap::new())
    }

    fn of(route: Route, version: OnceLock<ApiVersion>, headers: HeaderMap) -> Self {
        Self { inner: Arc::new(Inner { route, version, headers, idle: IdleSlots::default() }) }
    }

    /// The same engine, spoken to in TLS. Unix sockets have none, whatever is said here, as in Docker.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        let endpoint = self.inner.route.endpoint.clone();
        let tls = matches!(endpoint, Endpoint::Tcp { .. }).then_some(tls);
        Self::of(Route { endpoint, tls }, self.inner.version.clone(), self.inner.headers.clone())
    }

    /// The same engine, to which every request carries these headers as well (`HttpHeaders` of Docker's `config.json`), e.g.
    /// for a proxy in between that wants to know who asks.
    #[must_use]
    pub fn with_headers(self, headers: HeaderMap) -> Self {
        Self::of(self.inner.route.clone(), self.inner.version.clone(), headers)
    }

    pub(crate) fn common_headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// The same engine in a fixed version (`DOCKER_API_VERSION`, or one known from before), which saves the
    /// ping.
    #[must_use]
    pub fn with_version(self, version: ApiVersion) -> Self {
        Self::of(self.inner.route.clone(), version.into(), self.inner.headers.clone())
    }

    /// Where the engine listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.route.endpoint
    }

    pub(crate) fn route(&self) -> &Route {
        &self.inner.route
    }

    /// The version in use; `None` before the first request of a client without a fixed one.
    pub fn version(&self) -> Option<ApiVersion> {
        self.inner.version.get().copied()
    }

    /// Fixes the version unless one is fixed already.
    pub(crate) fn settle_version(&self, version: ApiVersion) {
        self.inner.version.get_or_init(|| version);
    }

    /// The version in use, agreed on with a ping where there is none yet.
    pub(crate) async fn agreed_version(&self) -> Result<ApiVersion, Error> {
        match self.version() {
            Some(version) => Ok(version),
            None => {
                let ping = self.ping().await?;
                Ok(self.version().unwrap_or(ApiVersion::agreed(ping.api_version)))
            }
        }
    }

    /// A connection to the engine on which nothing has been said yet, TLS included: for those who speak HTTP themselves.
    ///
    /// # Errors
    /// `Connect` when nobody listens, `Tls` when the certificates don't fit.
    pub async fn dial(&self) -> Result<HijackedIo, Error> {
        self.inner.route.connect().await.map(HijackedIo::new)
    }

    /// `GET`; `path` is raw text without the version, e.g. `/containers/json`.
    ///
    /// # Errors
    /// Any of [`Error`]; `Connect` is worth a retry while the engine starts.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Error> {
        self.whole(Method::GET, path, query, Body::Empty).await
    }

    /// `POST` with a JSON body. An empty answer is read as `()`, `Option` or [`Changed`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: Option<&B>,
    ) -> Result<T, Error> {
        let body = json_body(&Method::POST, path, body)?;
        self.whole(Method::POST, path, query, body).await
    }

    /// `POST` without a body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post_empty<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        self.whole(Method::POST, path, query, Body::Empty).await
    }

    /// `PUT`, e.g. of a tar into a container.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: Body,
    ) -> Result<T, Error> {
        self.whole(Method::PUT, path, query, body).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        self.whole(Method::DELETE, path, query, Body::Empty).await
    }

    /// `HEAD`: the headers alone.
    ///
    /// # Errors
    /// As [`Client::get`]; the message of an error status is only the status's name, since HEAD has no body.
    pub async fn head(&self, path: &str, query: &[(&str, String)]) -> Result<HeaderMap, Error> {
        let version = self.agreed_version().await?;
        let name = request_name(&Method::HEAD, path);
        let request =
            self.request(Some(version), Method::HEAD, path, query, Body::Empty, HeaderMap::new())?;
        let (response, sender) = self.send(request, &name).await?;
        let headers = response.headers.clone();
        self.finish(response, sender, &name).await?;
        Ok(headers)
    }

    /// Any request whose answer is read while it comes: logs, events, tars, progress.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn stream(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Body,
        headers: HeaderMap,
    ) -> Result<StreamResponse, Error> {
        let version = self.agreed_version().await?;
        let name = request_name(&method, path);
        let request = self.request(Some(version), method, path, query, body, headers)?;
        let (response, _) = self.send(request, &name).await?;
        if response.status.as_u16() >= 400 {
            return Err(status_error(response.status, &response.body.collect(&name).await?));
        }
        Ok(response)
    }

    /// A header map from names and values, for [`Client::stream`].
    ///
    /// # Errors
    /// When a name or a value has bytes that no header may have.
    pub fn headers(pairs: &[(&str, &str)]) -> Result<HeaderMap, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let malformed =
                |reason: String| Error::Malformed { request: format!("the header {name}"), reason };
            let value = HeaderValue::from_str(value).map_err(|error| malformed(error.to_string()))?;
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|error| malformed(error.to_string()))?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// Sends and reads to the end; the connection is kept.
    async fn whole<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Body,
    ) -> Result<T, Error> {
        let version = self.agreed_version().await?;
        let name = request_name(&method, path);
        let request = self.request(Some(version), method, path, query, body, HeaderMap::new())?;
        let (response, sender) = self.send(request, &name).await?;
        let status = response.status;
        let body = self.finish(response, sender, &name).await?;
        decode(status, &body).map_err(|source| Error::Decode { request: name, source })
    }

    /// Builds a request; without a `version` the path goes unversioned, as pings do.
    pub(crate) fn request(
        &self,
        version: Option<ApiVersion>,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Body,
        mut headers: HeaderMap,
    ) -> Result<Request<HttpBody>, Error> {
        let malformed = |reason: String| Error::Malformed { request: request_name(&method, path), reason };
        let target = encode::target(self.endpoint().base(), version, path, query);
        let host = HeaderValue::try_from(self.endpoint().authority());
        headers.insert(HOST, host.map_err(|error| malformed(error.to_string()))?);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in self.common_headers() {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        if let Some(content_type) = body.content_type() {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        let mut request = Request::builder()
            .method(method.clone())
            .uri(target)
            .body(body.into_http())
            .map_err(|error| malformed(error.to_string()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Sends one request and returns as soon as the answer's headers are here.
    pub(crate) async fn send(
        &self,
        request: Request<HttpBody>,
        name: &str,
    ) -> Result<(StreamResponse, Sender), Error> {
        let inner = &*self.inner;
        let (response, sender) = connection::send(&inner.route, &inner.idle, request, name).await?;
        let (parts, body) = response.into_parts();
        let body = ByteStream::new(body);
        Ok((StreamResponse { status: parts.status, headers: parts.headers, body }, sender))
    }

    /// Reads an answer to its end, keeps the connection and turns error statuses into errors.
    pub(crate) async fn finish(
        &self,
        response: StreamResponse,
        sender: Sender,
        name: &str,
    ) -> Result<Bytes, Error> {
        let body = response.body.collect(name).await?;
        self.inner.idle.put(sender).await;
        match response.status.as_u16() {
            400.. => Err(status_error(response.status, &body)),
            _ => Ok(body),
        }
    }
}

/// `GET /containers/json`, how errors name a request.
pub(crate) fn request_name(method: &Method, path: &str) -> String {
    format!("{method} {path}")
}

/// A JSON body, or none.
pub(crate) fn json_body<B: Serialize + ?Sized>(
    method: &Method,
    path: &str,
    body: Option<&B>,
) -> Result<Body, Error> {
    let Some(body) = body else { return Ok(Body::Empty) };
    Body::json(body).map_err(|source| Error::Encode { request: request_name(method, path), source })
}

/// The error in an answer: Docker's `{"message": …}`, or whatever text a proxy in between sent.
pub(crate) fn status_error(status: StatusCode, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let message = match serde_json::from_slice::<Message>(body) {
        Ok(Message { message }) => message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    let message = match message.is_empty() {
        true => status.canonical_reason().unwrap_or("unknown status").to_owned(),
        false => message,
    };
    Error::Status { code: status.as_u16(), message }
}

/// Reads an answer; an empty one is `null`, status 304 is `false` for those who want to know.
fn decode<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> serde_json::Result<T> {
    if status == StatusCode::NOT_MODIFIED {
        return serde_json::from_str("false").or_else(|_| serde_json::from_str("null"));
    }
    match body.trim_ascii() {
        // Some calls answer with a word of text (`OK`) or with an empty body, which callers read as `()`.
        b"" => serde_json::from_str("null"),
        body => serde_json::from_slice(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_is_nothing_or_a_change_and_304_is_none() {
        decode::<()>(StatusCode::NO_CONTENT, b"").unwrap();
        decode::<()>(StatusCode::NOT_MODIFIED, b"").unwrap();
        assert_eq!(decode::<Changed>(StatusCode::NO_CONTENT, b"").unwrap(), Changed::Yes);
        assert_eq!(decode::<Changed>(StatusCode::NOT_MODIFIED, b"").unwrap(), Changed::No);
        assert_eq!(decode::<Option<u8>>(StatusCode::OK, b" 7\n").unwrap(), Some(7));
    }

    #[test]
    fn an_error_has_the_engines_words_or_the_statuss_name() {
        let message = |status, body: &[u8]| status_error(status, body).to_string();
        assert_eq!(
            message(StatusCode::NOT_FOUND, br#"{"message":"No such container: x"}"#),
            "Error response from daemon: No such container: x"
        );
        assert_eq!(message(StatusCode::BAD_GATEWAY, b"  oops\n"), "Error response from daemon: oops");
        assert_eq!(message(StatusCode::CONFLICT, b""), "Error response from daemon: Conflict");
    }

    #[test]
    fn a_fixed_version_is_not_changed_by_a_ping() {
        let endpoint = Endpoint::parse("/x").unwrap();
        let client = Client::new(endpoint).with_version(ApiVersion::new(1, 40));
        client.settle_version(ApiVersion::NEWEST);
        assert_eq!(client.version(), Some(ApiVersion::new(1, 40)));
    }
}
