//! From a request to its answer: version, route, handler, and the headers that every answer carries.

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue, SERVER};
use hyper::{HeaderMap, Method, StatusCode};

use crate::body::RequestBody;
use crate::call::{Call, Context};
use crate::connection::Answer;
use crate::error::ApiError;
use crate::hijack::Takeover;
use crate::query::Query;
use crate::respond::{Outcome, Response};
use crate::version::ApiVersion;
use crate::{path, respond, routes, version};

/// A request before its route is known.
pub(crate) struct Incoming {
    pub(crate) method: Method,
    /// Path and query, as they came.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    pub(crate) takeover: Takeover,
}

impl Answer for Arc<Context> {
    fn answer(&self, request: Incoming) -> impl Future<Output = Response> + Send {
        answer(self, request)
    }
}

async fn answer(context: &Arc<Context>, request: Incoming) -> Response {
    let line = format!("{} {}", request.method, request.target);
    let mut response = match handle(context, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(request = line, status = error.status.as_u16(), "{}", error.message);
            respond::error(&error)
        }
    };
    add_headers(context, response.headers_mut());
    response
}

async fn handle(context: &Arc<Context>, request: Incoming) -> Outcome {
    let (raw_path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let decoded = path::decode(raw_path);
    let (version, path) = version::split(&decoded)?;
    if request.method == Method::OPTIONS {
        return Ok(respond::empty(StatusCode::OK));
    }
    let (route, name) = routes::find(&request.method, path, version).ok_or_else(ApiError::no_such_page)?;
    let call = Call {
        context: context.clone(),
        version,
        name: name.to_owned(),
        query: Query::parse(query),
        headers: request.headers,
        body: request.body,
        takeover: request.takeover,
    };
    let work = route.run(call);
    if request.method == Method::GET || request.method == Method::HEAD {
        return work.await;
    }
    // A client that goes away in the middle must not leave half a container behind: what changes something is
    // finished.
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(request = request.target, %error, "handler broke");
        Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the engine failed while it answered; see its log",
        ))
    })
}

/// What Docker's clients look for on every answer.
fn add_headers(context: &Context, headers: &mut HeaderMap) {
    const NEWEST: &str = "1.51";
    debug_assert_eq!(NEWEST, ApiVersion::NEWEST.to_string());
    headers.insert(HeaderName::from_static("api-version"), HeaderValue::from_static(NEWEST));
    headers.insert(HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false"));
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
    if let Ok(server) = HeaderValue::from_str(&context.server) {
        headers.insert(SERVER, server);
    }
}
