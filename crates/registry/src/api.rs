//! A request on its way from its route to its answer.

mod blobs;
mod cached;
mod lists;
mod manifests;
mod receive;
mod respond;
mod uploads;

use std::{sync::Arc, time::Duration};

use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming, header};
use tokio::time::timeout;

pub(crate) use respond::Body;

use crate::{
    Digest, Limits,
    auth::Users,
    cache::Cache,
    error::ApiError,
    patience::Paced,
    route::{Query, Route},
    store::{Store, StoreError},
};

/// What every request is answered from.
pub(crate) struct Service {
    pub(crate) store: Arc<Store>,
    pub(crate) users: Option<Users>,
    pub(crate) cache: Option<Cache>,
    pub(crate) limits: Limits,
    pub(crate) read_only: bool,
    pub(crate) deletion: bool,
    pub(crate) complete: bool,
}

/// One request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    /// Taken by whoever reads it.
    pub(crate) body: Option<Incoming>,
}

/// Bytes of an unwanted body that are read all the same: a connection that is closed before them would take
/// the answer along.
const DRAINED: usize = 8 << 20;
/// How long that may take.
const DRAINING: Duration = Duration::from_secs(2);

impl Service {
    /// Answers a request; a refusal is an answer too.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let mut call = Call {
            query: Query::of(parts.uri.query()),
            method: parts.method,
            headers: parts.headers,
            body: Some(body),
        };
        let result = self.route(parts.uri.path(), &mut call).await;
        if let Some(body) = call.body {
            self.drain(body).await;
        }
        let mut response = result.unwrap_or_else(|error| {
            let (status, headers, body) = error.answer();
            let mut response = respond::text(status, "application/json", body);
            response.headers_mut().extend(headers);
            response
        });
        let version = header::HeaderValue::from_static("registry/2.0");
        response.headers_mut().insert("docker-distribution-api-version", version);
        let nosniff = header::HeaderValue::from_static("nosniff");
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }

    async fn route(&self, path: &str, call: &mut Call) -> Result<Response<Body>, ApiError> {
        if let Some(users) = &self.users {
            users.check(&call.headers).await?;
        }
        let route = Route::of(path)?;
        self.allow(&call.method)?;
        match (route, call.method.as_str()) {
            (Route::Ping, "GET" | "HEAD") => {
                Ok(respond::text(StatusCode::OK, "application/json", "{}".to_owned()))
            }
            (Route::Catalog, "GET") => self.catalog(call).await,
            (Route::Tags(name), "GET") => self.tags(call, name).await,
            (Route::Referrers(name, digest), "GET") => self.referrers(call, name, &digest).await,
            (Route::Manifest(name, reference), "GET" | "HEAD") => {
                self.get_manifest(call, name, &reference).await
            }
            (Route::Manifest(name, reference), "PUT") => self.put_manifest(call, name, &reference).await,
            (Route::Manifest(name, reference), "DELETE") => self.delete_manifest(name, &reference).await,
            (Route::Blob(name, digest), "GET" | "HEAD") => self.get_blob(call, name, &digest).await,
            (Route::Blob(name, digest), "DELETE") => self.delete_blob(name, &digest).await,
            (Route::Uploads(name), "POST") => self.begin_upload(call, name).await,
            (Route::Upload(name, id), "GET") => self.upload_status(name, &id).await,
            (Route::Upload(name, id), "PATCH") => self.add_to_upload(call, name, &id).await,
            (Route::Upload(name, id), "PUT") => self.finish_upload(call, name, &id).await,
            (Route::Upload(name, id), "DELETE") => self.cancel_upload(name, &id).await,
            _ => Err(ApiError::Unsupported("this endpoint has no such method")),
        }
    }

    /// Refuses what this registry was told not to do.
    fn allow(&self, method: &Method) -> Result<(), ApiError> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match () {
            () if reads => Ok(()),
            () if self.read_only => Err(ApiError::Unsupported("this registry is read-only")),
            () if self.cache.is_some() => {
                Err(ApiError::Unsupported("this registry is another one's cache: push to that one"))
            }
            () => Ok(()),
        }
    }

    /// Refuses a deletion where clients may not delete.
    fn allow_deletion(&self) -> Result<(), ApiError> {
        match self.deletion {
            true => Ok(()),
            false => Err(ApiError::Unsupported("deletion is disabled in this registry")),
        }
    }

    async fn drain(&self, body: Incoming) {
        let mut body = Paced::new(body, &self.limits);
        let all = async {
            let mut length = 0;
            while let Ok(Some(bytes)) = body.next().await {
                length += bytes.len();
                if length > DRAINED {
                    break;
                }
            }
        };
        // A body that goes on is cut off with its connection.
        let _ = timeout(DRAINING, all).await;
    }

    /// Does something with the store on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let store = self.store.clone();
        Ok(joined(tokio::task::spawn_blocking(move || work(&store)).await)?)
    }
}

/// The result of a task that is never aborted.
fn joined<T>(result: Result<T, tokio::task::JoinError>) -> T {
    match result {
        Ok(value) => value,
        // It panicked, and so does whoever waits for it: hyper then closes this one connection.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The digest in a path.
fn digest_in_path(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|error: crate::DigestError| ApiError::DigestInvalid(error.to_string()))
}
