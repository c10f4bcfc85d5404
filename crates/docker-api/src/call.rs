//! One request as its handler sees it.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use minke_build::Builder;
use minke_engine::Engine;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::activity::Activity;
use crate::body::RequestBody;
use crate::build::session::Uploads;
use crate::buildkit::BuildKit;
use crate::error::ApiError;
use crate::hijack::Takeover;
use crate::json::{self, UnknownField};
use crate::query::Query;
use crate::version::ApiVersion;

/// What all requests of a server share.
pub(crate) struct Context {
    pub(crate) engine: Engine,
    pub(crate) builder: Builder,
    /// Who speaks BuildKit's protocol, if anybody does.
    pub(crate) buildkit: Option<Arc<dyn BuildKit>>,
    pub(crate) uploads: Uploads,
    /// The `Server` header.
    pub(crate) server: String,
    pub(crate) life: Life,
}

/// What all connections of a server share, whatever is asked on them.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) activity: Arc<Activity>,
    /// Turns true when the server is told to stop: streams that would never end do then.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Life {
    /// Resolves when the server is told to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.clone();
        async move {
            // An error means that the server is gone, which is a stop as well.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }
}

/// A request whose route was found.
pub(crate) struct Call {
    pub(crate) context: Arc<Context>,
    pub(crate) version: ApiVersion,
    /// The parameter in the path, decoded; empty for routes without one.
    pub(crate) name: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: RequestBody,
    /// How the connection can be had, if this is a hijack.
    pub(crate) takeover: Takeover,
}

impl Call {
    pub(crate) fn engine(&self) -> &Engine {
        &self.context.engine
    }

    /// Ends a stream when the server stops.
    pub(crate) fn until_stop<S: Stream>(&self, stream: S) -> impl Stream<Item = S::Item> + use<S> {
        stream.take_until(Box::pin(self.context.life.stopped()))
    }

    /// Reads a JSON body that has to be there.
    ///
    /// # Errors
    /// 400 for another content type, for no body, and for JSON that doesn't fit, with the field and the
    /// position.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        self.optional_json().await?.ok_or_else(no_body)
    }

    /// Reads a JSON body that may be missing.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub(crate) async fn optional_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ApiError> {
        Ok(self.optional_json_and_unknown().await?.map(|(value, _)| value))
    }

    /// As [`Call::json`], with the fields that the type does not have.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub(crate) async fn json_and_unknown<T: DeserializeOwned>(
        &mut self,
    ) -> Result<(T, Vec<UnknownField>), ApiError> {
        self.optional_json_and_unknown().await?.ok_or_else(no_body)
    }

    async fn optional_json_and_unknown<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<(T, Vec<UnknownField>)>, ApiError> {
        let body = std::mem::replace(&mut self.body, RequestBody::Bytes(bytes::Bytes::new()));
        let body = body.read_whole().await?;
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        check_content_type(&self.headers)?;
        json::parse(&body).map(Some)
    }
}

fn no_body() -> ApiError {
    ApiError::invalid("invalid JSON: got EOF while reading request body")
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = text.split(';').next().unwrap_or_default().trim();
    match media.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "unsupported Content-Type header ({media}): must be 'application/json'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_type_is_refused_in_dockers_words() {
        let mut headers = HeaderMap::new();
        assert!(check_content_type(&headers).is_err());
        headers.insert(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        assert!(check_content_type(&headers).is_ok());
        headers.insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        assert_eq!(
            check_content_type(&headers).unwrap_err().message,
            "unsupported Content-Type header (application/x-www-form-urlencoded): must be 'application/json'"
        );
    }
}
