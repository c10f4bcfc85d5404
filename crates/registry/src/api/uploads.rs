//! `/v2/<name>/blobs/uploads/` (end-4, end-5, end-6, end-11, end-13, end-14).

use std::{sync::Arc, time::Duration};

use hyper::{Response, StatusCode, body::Body as _, header};
use tokio::{sync::OwnedMutexGuard, time::timeout};

use super::{
    Call, Service, digest_in_path, joined,
    respond::{self, Body},
};
use crate::{
    Algorithm, Digest, RepositoryName,
    error::{ApiError, upload_range},
    range,
    store::{Store, uploads::Upload},
};

/// How long a request waits for another one to let go of its upload: a client whose connection broke may be
/// back before the server has noticed.
const HANDOVER: Duration = Duration::from_secs(5);

impl Service {
    pub(super) async fn begin_upload(
        &self,
        call: &mut Call,
        name: RepositoryName,
    ) -> Result<Response<Body>, ApiError> {
        if let Some(mount) = call.query.get("mount") {
            let digest = digest_in_path(mount)?;
            if self.mount(call, &name, &digest).await? {
                return Ok(created(&name, &digest));
            }
        }
        let algorithm = match call.query.get("digest-algorithm") {
            None => Algorithm::Sha256,
            Some(text) => Algorithm::named(text).ok_or_else(|| {
                ApiError::DigestInvalid("digests are made with sha256 or sha512 here".to_owned())
            })?,
        };
        let digest = call.query.get("digest").map(digest_in_path).transpose()?;
        let repository = name.clone();
        let of = digest.as_ref().map_or(algorithm, Digest::algorithm);
        let upload = self
            .blocking(move |store| {
                store.touch(&repository);
                store.uploads.begin(&repository, of)
            })
            .await?;
        let upload = upload.ok_or(ApiError::TooManyUploads)?;
        // A client that gives the digest and no content wants to send it with PUT.
        match digest {
            Some(digest) if sends_content(call) || digest == Digest::of(digest.algorithm(), b"") => {
                // Its client was not told where it is and can't go on with it, whatever happens.
                let _unfinished = Unfinished { store: self.store.clone(), name, id: upload.id().to_owned() };
                self.receive_all(call, upload, digest).await
            }
            _ => Ok(accepted(StatusCode::ACCEPTED, &upload)),
        }
    }

    async fn mount(&self, call: &Call, name: &RepositoryName, digest: &Digest) -> Result<bool, ApiError> {
        let from = match call.query.get("from") {
            None => None,
            Some(from) => match from.parse::<RepositoryName>() {
                Ok(from) => Some(from),
                // Nothing can be there; the client sends the blob.
                Err(_) => return Ok(false),
            },
        };
        let (name, digest) = (name.clone(), digest.clone());
        self.blocking(move |store| store.mount(&name, from.as_ref(), &digest)).await
    }

    pub(super) async fn upload_status(
        &self,
        name: RepositoryName,
        id: &str,
    ) -> Result<Response<Body>, ApiError> {
        let upload = self.upload(&name, id).await?;
        Ok(accepted(StatusCode::NO_CONTENT, &upload))
    }

    pub(super) async fn add_to_upload(
        &self,
        call: &mut Call,
        name: RepositoryName,
        id: &str,
    ) -> Result<Response<Body>, ApiError> {
        let upload = self.upload(&name, id).await?;
        let announced = announced(call, &upload)?;
        let upload = self.receive(upload, call.body.take(), announced).await?;
        Ok(accepted(StatusCode::ACCEPTED, &upload))
    }

    pub(super) async fn finish_upload(
        &self,
        call: &mut Call,
        name: RepositoryName,
        id: &str,
    ) -> Result<Response<Body>, ApiError> {
        let digest = call.query.get("digest");
        let digest = digest.ok_or_else(|| ApiError::DigestInvalid("the query has no digest".to_owned()))?;
        let digest = digest_in_path(digest)?;
        let upload = self.upload(&name, id).await?;
        self.receive_all(call, upload, digest).await
    }

    pub(super) async fn cancel_upload(
        &self,
        name: RepositoryName,
        id: &str,
    ) -> Result<Response<Body>, ApiError> {
        let mut upload = self.upload(&name, id).await?;
        self.blocking(move |store| {
            store.uploads.discard(&mut upload);
            Ok(())
        })
        .await?;
        Ok(respond::empty(StatusCode::NO_CONTENT, &[]))
    }

    /// Takes the last of an upload and makes a blob of it.
    async fn receive_all(
        &self,
        call: &mut Call,
        upload: OwnedMutexGuard<Upload>,
        digest: Digest,
    ) -> Result<Response<Body>, ApiError> {
        let announced = announced(call, &upload)?;
        let mut upload = self.receive(upload, call.body.take(), announced).await?;
        let (store, wanted) = (self.store.clone(), digest.clone());
        let name = upload.repository().clone();
        let finished = tokio::task::spawn_blocking(move || store.finish(&mut upload, &wanted));
        match joined(finished.await)? {
            Ok(()) => Ok(created(&name, &digest)),
            Err(actual) => Err(ApiError::DigestMismatch { wanted: digest, actual }),
        }
    }

    /// The upload, for this request alone.
    async fn upload(&self, name: &RepositoryName, id: &str) -> Result<OwnedMutexGuard<Upload>, ApiError> {
        let upload = self.store.uploads.find(name, id).ok_or(ApiError::UploadUnknown)?;
        let upload = timeout(HANDOVER, upload.lock_owned()).await.map_err(|_| ApiError::UploadBusy)?;
        match upload.is_gone() {
            true => Err(ApiError::UploadUnknown),
            false => Ok(upload),
        }
    }
}

/// An upload that ends with its request, also when that is dropped because its client has gone.
struct Unfinished {
    store: Arc<Store>,
    name: RepositoryName,
    id: String,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.store.uploads.abandon(&self.name, &self.id);
    }
}

/// The length that a chunk has by its `Content-Range`, which must begin where the upload ends.
fn announced(call: &Call, upload: &Upload) -> Result<Option<u64>, ApiError> {
    let Some(header) = call.headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let chunk = header.to_str().ok().and_then(range::chunk);
    let (first, length) =
        chunk.ok_or(ApiError::BadRequest("want Content-Range: <first byte>-<last byte>"))?;
    if first != upload.length() {
        return Err(ApiError::UploadRange { location: location(upload), offset: upload.length() });
    }
    let exact = call.body.as_ref().and_then(|body| body.size_hint().exact());
    match exact {
        Some(exact) if exact != length => Err(ApiError::SizeInvalid),
        _ => Ok(Some(length)),
    }
}

fn sends_content(call: &Call) -> bool {
    call.body.as_ref().is_some_and(|body| !body.is_end_stream())
}

fn location(upload: &Upload) -> String {
    format!("/v2/{}/blobs/uploads/{}", upload.repository(), upload.id())
}

fn accepted(status: StatusCode, upload: &Upload) -> Response<Body> {
    let (location, range) = (location(upload), upload_range(upload.length()));
    respond::empty(status, &[("location", &location), ("range", &range), ("docker-upload-uuid", upload.id())])
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let location = format!("/v2/{name}/blobs/{digest}");
    respond::empty(
        StatusCode::CREATED,
        &[("location", &location), ("docker-content-digest", &digest.to_string())],
    )
}
