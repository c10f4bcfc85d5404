//! An archive as the files to build from: sent once, as it comes.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use minke_buildkit_wire::grpc::{Call, Code, Reply, Request, Status};
use minke_buildkit_wire::pb::session::BytesMessage;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::header;

/// The bytes of one message.
const CHUNK: usize = 64 * 1024;

type Archive = Box<dyn AsyncRead + Send + Unpin>;

/// An archive that can be taken once.
#[derive(Default)]
pub(super) struct Upload {
    id: String,
    archive: Mutex<Option<Archive>>,
}

impl Upload {
    pub(super) fn new(id: String, archive: Archive) -> Self {
        Self { id, archive: Mutex::new(Some(archive)) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.id.is_empty()
    }

    pub(super) fn pull(&self, request: Request) -> Result<Reply, Status> {
        let is_it = header(&request, "urlpath").trim_start_matches('/') == self.id;
        let archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| is_it);
        let archive = archive.ok_or_else(|| Status::new(Code::NotFound, "there is no such upload"))?;
        Ok(request.converse(|call| send(call, archive)))
    }
}

async fn send(mut call: Call, mut archive: Archive) -> Result<(), Status> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = archive.read(&mut buffer).await;
        let count = count.map_err(|error| Status::unknown(format!("reading the archive: {error}")))?;
        if count == 0 {
            return Ok(());
        }
        call.send(&BytesMessage { data: Bytes::copy_from_slice(&buffer[..count]) }).await?;
    }
}
