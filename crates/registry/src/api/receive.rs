//! From a request's body to an upload's file: gathered on this side while the last pieces are hashed and
//! written on a blocking thread.

use std::mem;

use bytes::Bytes;
use hyper::body::Incoming;
use tokio::{sync::OwnedMutexGuard, task::JoinHandle};

use super::{Service, joined};
use crate::{
    error::ApiError,
    patience::Paced,
    store::{StoreError, uploads::Upload},
};

/// Bytes and pieces that are written at a time: a client that sends single bytes should not cost a thread
/// each.
const BATCH: usize = 1 << 20;
const PIECES: usize = 256;

type Writing = JoinHandle<(OwnedMutexGuard<Upload>, Result<(), StoreError>)>;

/// The upload is either here or with the thread that writes to it. When the request is dropped, that thread
/// ends by itself and lets go of it.
struct Writer {
    upload: Option<OwnedMutexGuard<Upload>>,
    writing: Option<Writing>,
    batch: Vec<Bytes>,
    bytes: usize,
}

impl Writer {
    async fn add(&mut self, piece: Bytes) -> Result<(), StoreError> {
        self.bytes += piece.len();
        self.batch.push(piece);
        match self.bytes >= BATCH || self.batch.len() >= PIECES {
            true => self.write().await,
            false => Ok(()),
        }
    }

    /// Waits for what is being written, and begins to write what has come since.
    async fn write(&mut self) -> Result<(), StoreError> {
        self.wait().await?;
        let (Some(mut upload), false) = (self.upload.take(), self.batch.is_empty()) else { return Ok(()) };
        let batch = mem::take(&mut self.batch);
        self.bytes = 0;
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let result = upload.append(&batch);
            (upload, result)
        }));
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), StoreError> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let (upload, result) = joined(writing.await);
        self.upload = Some(upload);
        result
    }

    async fn finish(mut self) -> (Option<OwnedMutexGuard<Upload>>, Result<(), StoreError>) {
        let mut result = self.wait().await;
        if result.is_ok() && !self.batch.is_empty() {
            result = self.write().await;
            if result.is_ok() {
                result = self.wait().await;
            }
        }
        (self.upload, result)
    }
}

impl Service {
    /// Adds a body to an upload. `announced` is how long the client said it is.
    ///
    /// What arrived before a connection broke stays, so that a client can go on. What does not fit what was
    /// announced is taken back. A full disk ends the upload: its bytes are in the way.
    pub(super) async fn receive(
        &self,
        upload: OwnedMutexGuard<Upload>,
        body: Option<Incoming>,
        announced: Option<u64>,
    ) -> Result<OwnedMutexGuard<Upload>, ApiError> {
        let Some(body) = body else { return Ok(upload) };
        let start = upload.length();
        let mut writer = Writer { upload: Some(upload), writing: None, batch: Vec::new(), bytes: 0 };
        let read = self.read_into(&mut writer, body, start, announced).await;
        let (upload, written) = writer.finish().await;
        let Some(mut upload) = upload else { return Err(ApiError::UploadUnknown) };
        let result = read.and_then(|()| written.map_err(ApiError::from));
        let result = match result {
            Ok(()) => return Ok(upload),
            Err(ApiError::DiskFull) => {
                self.store.uploads.discard(&mut upload);
                ApiError::DiskFull
            }
            Err(error @ (ApiError::SizeInvalid | ApiError::BlobTooLong(_))) => {
                upload.truncate(start)?;
                error
            }
            Err(error) => error,
        };
        Err(result)
    }

    async fn read_into(
        &self,
        writer: &mut Writer,
        body: Incoming,
        start: u64,
        announced: Option<u64>,
    ) -> Result<(), ApiError> {
        let mut body = Paced::new(body, &self.limits);
        let mut length = 0;
        while let Some(piece) = body.next().await? {
            length += piece.len() as u64;
            if start.saturating_add(length) > self.limits.blob {
                return Err(ApiError::BlobTooLong(self.limits.blob));
            }
            if announced.is_some_and(|announced| length > announced) {
                return Err(ApiError::SizeInvalid);
            }
            writer.add(piece).await?;
        }
        match announced {
            Some(announced) if announced != length => Err(ApiError::SizeInvalid),
            _ => Ok(()),
        }
    }
}
