//! What goes wrong in answering a request, and the one place where that becomes a status and the
//! specification's JSON.
//!
//! OCI distribution specification 1.1, "Error Codes".

use std::io;

use hyper::{HeaderMap, StatusCode, header};
use serde::Serialize;

use crate::{Digest, store::StoreError};

/// A request that can't be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("nothing is served here")]
    NoRoute,
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("the repository name does not match the grammar of the specification")]
    NameInvalid,
    #[error("the tag does not match the grammar of the specification")]
    TagInvalid,
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("no repository of this name")]
    NameUnknown,
    #[error("the repository has no blob {0}")]
    BlobUnknown(Digest),
    #[error("the repository has no manifest {0}")]
    ManifestUnknown(String),
    #[error("the manifest is invalid: {0}")]
    ManifestInvalid(String),
    #[error("the manifest is longer than {0} bytes")]
    ManifestTooLong(usize),
    #[error("the repository lacks what the manifest names")]
    ManifestBlobUnknown(Vec<Digest>),
    #[error("{0}")]
    DigestInvalid(String),
    #[error("the content is {actual}, not {wanted}")]
    DigestMismatch { wanted: Digest, actual: Digest },
    #[error("no upload of this name is under way")]
    UploadUnknown,
    #[error("another request is writing to this upload")]
    UploadBusy,
    #[error("the chunk does not start at byte {offset}, where the upload ends")]
    UploadRange { location: String, offset: u64 },
    #[error("the body has not the length that was announced")]
    SizeInvalid,
    #[error("the blob is longer than {0} bytes")]
    BlobTooLong(u64),
    #[error("the range lies outside of the blob's {0} bytes")]
    RangeUnsatisfiable(u64),
    #[error("too many uploads are under way; try again later")]
    TooManyUploads,
    #[error("authentication is required")]
    Unauthorized,
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the body ended early")]
    Body(#[source] hyper::Error),
    #[error("the registry that is cached here did not answer")]
    Upstream(#[source] crate::UpstreamError),
    #[error("the registry's disk is full")]
    DiskFull,
    #[error("the registry could not read or write what it keeps")]
    Store(#[source] StoreError),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error.is_full() {
            true => Self::DiskFull,
            false => Self::Store(error),
        }
    }
}

impl From<crate::UpstreamError> for ApiError {
    fn from(error: crate::UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

/// The body of every refusal.
#[derive(Serialize)]
struct Errors<'a> {
    errors: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<serde_json::Value>,
}

/// Whether the disk has no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl ApiError {
    /// The status and the specification's code. Codes end with what clients can do something about: a fault
    /// of the server's own has no code there, and is `UNKNOWN` as in Docker's registry.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "UNSUPPORTED"),
            Self::Unsupported(_) => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
            Self::NameInvalid => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
            Self::TagInvalid => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "UNSUPPORTED"),
            Self::NameUnknown => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            Self::BlobUnknown(_) => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
            Self::ManifestUnknown(_) => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            Self::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID"),
            Self::ManifestTooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            Self::ManifestBlobUnknown(_) => (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
            Self::DigestInvalid(_) | Self::DigestMismatch { .. } => {
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID")
            }
            Self::UploadUnknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            Self::UploadBusy => (StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID"),
            Self::UploadRange { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
            Self::SizeInvalid => (StatusCode::BAD_REQUEST, "SIZE_INVALID"),
            Self::BlobTooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            Self::RangeUnsatisfiable(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID"),
            Self::TooManyUploads => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            Self::Upstream(_) => (StatusCode::BAD_GATEWAY, "UNKNOWN"),
            Self::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN"),
            Self::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        }
    }

    /// What else the code's users are told.
    fn detail(&self) -> Option<serde_json::Value> {
        match self {
            Self::ManifestBlobUnknown(missing) => Some(serde_json::json!({ "digests": missing })),
            Self::BlobUnknown(digest) => Some(serde_json::json!({ "digest": digest })),
            Self::DigestMismatch { wanted, actual } => {
                Some(serde_json::json!({ "digest": wanted, "content": actual }))
            }
            _ => None,
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: header::HeaderName, text: String| {
            if let Ok(value) = text.parse() {
                headers.insert(name, value);
            }
        };
        match self {
            Self::Unauthorized => {
                set(header::WWW_AUTHENTICATE, "Basic realm=\"minke registry\", charset=\"UTF-8\"".to_owned());
            }
            Self::TooManyUploads => set(header::RETRY_AFTER, "30".to_owned()),
            Self::RangeUnsatisfiable(size) => set(header::CONTENT_RANGE, format!("bytes */{size}")),
            Self::UploadRange { location, offset } => {
                set(header::LOCATION, location.clone());
                set(header::RANGE, upload_range(*offset));
            }
            // The rest of a body that nobody wants would be read as the next request.
            Self::TooSlow | Self::BlobTooLong(_) | Self::ManifestTooLong(_) | Self::DiskFull => {
                set(header::CONNECTION, "close".to_owned());
            }
            _ => {}
        }
        headers
    }

    /// The answer's status, headers and body. Only a fault of the server's own is logged, with its causes.
    pub(crate) fn answer(&self) -> (StatusCode, HeaderMap, String) {
        let (status, code) = self.kind();
        if status.is_server_error() {
            tracing::error!(error = self as &dyn std::error::Error, "answering with {status}");
        }
        let message = self.to_string();
        let errors = Errors { errors: vec![Entry { code, message: &message, detail: self.detail() }] };
        let body = serde_json::to_string(&errors).unwrap_or_else(|_| String::from("{\"errors\":[]}"));
        (status, self.headers(), body)
    }
}

/// The `Range` of an upload that has `offset` bytes. Nothing at all is `0-0` too: the grammar has no other
/// word for it.
pub(crate) fn upload_range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}
