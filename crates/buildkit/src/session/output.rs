//! Writing to the client's disk: `--output`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use minke_build::{ContextError, Destination, Tree};
use minke_engine::ByteStream;

use super::Session;
use super::keys::context_error;
use crate::files::{Everything, send};
use crate::grpc::{Code, Status};
use crate::pb::session::BytesMessage;
use crate::progress::Feed;

const PATH: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// Which output it is.
const NUMBER: HeaderName = HeaderName::from_static("buildkit-attachable-exporter-id");
/// The most bytes of one message: clients refuse more than 4 MiB.
const CHUNK: usize = 1024 * 1024;

/// Where one `--output` goes.
pub(crate) struct ClientDisk {
    pub(crate) session: Arc<Session>,
    /// Its place among the outputs.
    pub(crate) number: usize,
    pub(crate) feed: Feed,
}

impl ClientDisk {
    fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([(NUMBER, HeaderValue::from(self.number))])
    }

    async fn send_stream(&self, mut bytes: ByteStream) -> Result<(), Status> {
        let mut call = self.session.call(PATH, self.headers())?;
        let step = self.feed.step("exporting to client tarball");
        let status = self.feed.status(&step, "sending tarball", "sending tarball");
        let mut sent = 0;
        while let Some(chunk) = bytes.next().await {
            let mut chunk =
                chunk.map_err(|error| Status::unknown(format!("reading what is exported: {error}")))?;
            while !chunk.is_empty() {
                let data: Bytes = chunk.split_to(chunk.len().min(CHUNK));
                sent += data.len() as u64;
                call.send(&BytesMessage { data }).await?;
                status.at(sent);
            }
        }
        call.close();
        while call.next::<BytesMessage>().await?.is_some() {}
        status.done();
        step.done();
        Ok(())
    }

    async fn send_folder(&self, tree: Tree) -> Result<(), Status> {
        let call = self.session.call(PATH, self.headers())?;
        let step = self.feed.step("exporting to client directory");
        let status = self.feed.status(&step, "copying files", "copying files");
        let folder = std::fs::File::open(tree.path())
            .map_err(|error| Status::unknown(format!("opening what is exported: {error}")))?;
        send(call, folder, Everything, true, |bytes| status.at(bytes)).await?;
        status.done();
        step.done();
        Ok(())
    }
}

impl Destination for ClientDisk {
    fn directory(&self, tree: Tree) -> BoxFuture<'_, Result<(), ContextError>> {
        Box::pin(async move { self.send_folder(tree).await.map_err(|status| error(&status)) })
    }

    fn stream(&self, bytes: ByteStream) -> BoxFuture<'_, Result<(), ContextError>> {
        Box::pin(async move { self.send_stream(bytes).await.map_err(|status| error(&status)) })
    }
}

fn error(status: &Status) -> ContextError {
    match status.code {
        Code::AlreadyExists => ContextError::invalid(&status.message),
        _ => context_error(&status.clone().context("writing to the client")),
    }
}
