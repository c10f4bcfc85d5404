//! Directories of the client's that hold content by digests: where `--cache-to type=local` and `--output type=oci,tar=false` write
//! to.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use minke_build::{ContentReader, ContentStores, ContextError};
use minke_engine::ByteStream;
use minke_model::Digest;
use tokio::io::AsyncReadExt;

use super::Session;
use super::keys::context_error;
use minke_buildkit_wire::grpc::{Call, Code, Status};
use minke_buildkit_wire::pb::content::{
    InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse, WriteAction, WriteContentRequest,
    WriteContentResponse,
};

const SERVICE: &str = "/containerd.services.content.v1.Content";
/// Which directory is meant.
const STORE: HeaderName = HeaderName::from_static("buildkit-attachable-store-id");
/// The most bytes of one message: clients refuse more than 4 MiB.
const CHUNK: usize = 1024 * 1024;

/// The directories of a client.
#[derive(Debug, Clone)]
pub(crate) struct Stores(pub(crate) Arc<Session>);

impl Stores {
    fn call(&self, method: &str, store: &str) -> Result<Call, Status> {
        let id = HeaderValue::from_str(store)
            .map_err(|_| Status::invalid(format!("directory {store:?} has impossible characters")))?;
        self.0.call(&format!("{SERVICE}/{method}"), HeaderMap::from_iter([(STORE, id)]))
    }

    async fn info(&self, store: &str, digest: &Digest) -> Result<Option<u64>, Status> {
        let mut call = self.call("Info", store)?;
        call.send(&InfoRequest { digest: digest.to_string() }).await?;
        call.close();
        match call.next::<InfoResponse>().await {
            Ok(found) => {
                let size = found.and_then(|found| found.info).map(|info| info.size);
                Ok(size.and_then(|size| u64::try_from(size).ok()))
            }
            Err(status) if status.code == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    async fn begin_read(&self, store: &str, digest: &Digest) -> Result<Call, Status> {
        let mut call = self.call("Read", store)?;
        let request = ReadContentRequest { digest: digest.to_string(), ..ReadContentRequest::default() };
        call.send(&request).await?;
        call.close();
        Ok(call)
    }

    async fn send(
        &self,
        store: &str,
        digest: &Digest,
        size: u64,
        mut content: ContentReader,
    ) -> Result<(), Status> {
        let mut call = self.call("Write", store)?;
        let total = i64::try_from(size).unwrap_or(i64::MAX);
        let mut request = WriteContentRequest {
            action: WriteAction::Write.into(),
            reference: format!("minke-{}", digest.hex()),
            total,
            expected: digest.to_string(),
            ..WriteContentRequest::default()
        };
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = content.read(&mut buffer).await;
            let length = read.map_err(|error| Status::unknown(format!("reading {digest}: {error}")))?;
            if length == 0 {
                break;
            }
            request.data = Bytes::copy_from_slice(&buffer[..length]);
            if !answered(&mut call, &request).await? {
                return Ok(());
            }
            request.offset += i64::try_from(length).unwrap_or(i64::MAX);
        }
        (request.action, request.data) = (WriteAction::Commit.into(), Bytes::new());
        answered(&mut call, &request).await?;
        call.close();
        Ok(())
    }
}

/// Sends a part, and waits for it to be written. `false`: the client has the whole already.
async fn answered(call: &mut Call, request: &WriteContentRequest) -> Result<bool, Status> {
    let sent = call.send(request).await;
    let answer = match sent {
        Ok(()) => call.next::<WriteContentResponse>().await.map(|answer| answer.is_some()),
        Err(status) => Err(status),
    };
    match answer {
        Err(status) if status.code == Code::AlreadyExists => Ok(false),
        answer => answer,
    }
}

fn told(store: &str, status: Status) -> ContextError {
    let folder = store.strip_prefix("local:").unwrap_or(store);
    context_error(&status.context(&format!("the client's directory {folder}")))
}

impl ContentStores for Stores {
    fn size<'a>(
        &'a self,
        store: &'a str,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<Option<u64>, ContextError>> {
        Box::pin(async move { self.info(store, digest).await.map_err(|status| told(store, status)) })
    }

    fn read(&self, store: &str, digest: &Digest) -> ByteStream {
        let (stores, store, digest) = (self.clone(), store.to_owned(), *digest);
        let pieces = stream::try_unfold(None, move |call: Option<Call>| {
            let (stores, store) = (stores.clone(), store.clone());
            async move {
                let mut call = match call {
                    Some(call) => call,
                    None => stores.begin_read(&store, &digest).await.map_err(io::Error::other)?,
                };
                let piece = call.next::<ReadContentResponse>().await.map_err(io::Error::other)?;
                Ok(piece.map(|piece| (piece.data, Some(call))))
            }
        });
        Box::pin(pieces)
    }

    fn write<'a>(
        &'a self,
        store: &'a str,
        digest: &'a Digest,
        size: u64,
        content: ContentReader,
    ) -> BoxFuture<'a, Result<(), ContextError>> {
        Box::pin(async move {
            self.send(store, digest, size, content).await.map_err(|status| told(store, status))
        })
    }
}
