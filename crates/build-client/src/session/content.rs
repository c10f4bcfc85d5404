//! Folders that hold content by its digests: caches of `type=local`, images of `tar=false`. The engine reads them, and
//! writes to those in which something was to be kept.
//!
//! It is containerd's content service (`containerd.services.content.v1`), as far as BuildKit and minke call it. Nothing is ever
//! deleted, and a blob that is there is sent by nobody again.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use bytes::Bytes;
use minke_buildkit_wire::grpc::{Call, Code, Reply, Request, Status};
use minke_buildkit_wire::pb::content::{
    Info, InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse, WriteAction,
    WriteContentRequest, WriteContentResponse,
};
use minke_model::{Digest, chain};
use tokio::runtime::Handle;

use super::header;
use crate::layout::{Layout, LayoutError, Unfinished};

#[cfg(test)]
mod tests;

pub(super) const INFO: &str = "/containerd.services.content.v1.Content/Info";
pub(super) const READ: &str = "/containerd.services.content.v1.Content/Read";
pub(super) const WRITE: &str = "/containerd.services.content.v1.Content/Write";

/// Which folder is meant.
const STORE: &str = "buildkit-attachable-store-id";
/// The bytes of one message: engines refuse more than 4 MiB.
const CHUNK: usize = 1024 * 1024;

/// The folders of a build by the names that the engine knows.
#[derive(Debug, Default)]
pub(super) struct Stores(BTreeMap<String, Store>);

#[derive(Debug, Clone)]
struct Store {
    layout: Layout,
    is_writable: bool,
}

impl Stores {
    /// A folder; one that is read and written has one name for both.
    pub(super) fn put(&mut self, name: String, layout: Layout, is_writable: bool) {
        let store = self.0.entry(name).or_insert(Store { layout, is_writable });
        store.is_writable |= is_writable;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, request: &Request) -> Result<&Store, Status> {
        let name = header(request, STORE);
        self.0.get(name).ok_or_else(|| Status::new(Code::NotFound, format!("unknown store {name:?}")))
    }

    pub(super) async fn info(&self, mut request: Request) -> Result<Reply, Status> {
        let store = self.find(&request)?.clone();
        let asked: InfoRequest = request.messages.only().await?;
        let digest = digest(&asked.digest)?;
        let (_, length) = store.layout.open(&digest).map_err(told)?.ok_or_else(|| missing(&digest))?;
        let info = Info { digest: digest.to_string(), size: signed(length) };
        Ok(Reply::one(&InfoResponse { info: Some(info) }))
    }

    pub(super) async fn read(&self, mut request: Request) -> Result<Reply, Status> {
        let store = self.find(&request)?.clone();
        let asked: ReadContentRequest = request.messages.only().await?;
        Ok(request.converse(|call| blocking(move || read(call, &store.layout, &asked))))
    }

    pub(super) fn write(&self, request: Request) -> Result<Reply, Status> {
        let store = self.find(&request)?.clone();
        if !store.is_writable {
            let text = format!("nothing was to be written to {}", store.layout.path().display());
            return Err(Status::new(Code::PermissionDenied, text));
        }
        Ok(request.converse(|call| blocking(move || write(call, store.layout))))
    }
}

/// Files are read and written on a thread that may wait for the disk.
async fn blocking(work: impl FnOnce() -> Result<(), Status> + Send + 'static) -> Result<(), Status> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Status::new(Code::Internal, error.to_string())))
}

fn read(mut call: Call, layout: &Layout, asked: &ReadContentRequest) -> Result<(), Status> {
    let digest = digest(&asked.digest)?;
    let (mut file, length) = layout.open(&digest).map_err(told)?.ok_or_else(|| missing(&digest))?;
    let failed = |error| Status::unknown(format!("reading {digest}: {error}"));
    let mut offset = unsigned(asked.offset)?;
    let end = match unsigned(asked.size)? {
        0 => length,
        size => offset.saturating_add(size).min(length),
    };
    if offset > end {
        return Err(Status::invalid(format!("{digest} has {length} bytes and no byte {offset}")));
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    while offset < end {
        let mut data = Vec::with_capacity(CHUNK);
        file.by_ref().take((end - offset).min(CHUNK as u64)).read_to_end(&mut data).map_err(failed)?;
        if data.is_empty() {
            return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let piece = ReadContentResponse { offset: signed(offset), data: Bytes::from(data) };
        offset += piece.data.len() as u64;
        Handle::current().block_on(call.send(&piece))?;
    }
    Ok(())
}

fn write(mut call: Call, layout: Layout) -> Result<(), Status> {
    let mut writing = Writing::new(layout)?;
    while let Some(said) = Handle::current().block_on(call.next::<WriteContentRequest>())? {
        let action = said.action();
        writing.hear(said)?;
        let answer = WriteContentResponse {
            action: action.into(),
            offset: signed(writing.blob.length()),
            total: signed(writing.total),
            digest: String::new(),
        };
        if action == WriteAction::Commit {
            let digest = writing.finish()?.to_string();
            return Handle::current().block_on(call.send(&WriteContentResponse { digest, ..answer }));
        }
        Handle::current().block_on(call.send(&answer))?;
    }
    Ok(())
}

/// A blob that is written. Each message may say what it will be.
struct Writing {
    layout: Layout,
    blob: Unfinished,
    expected: Option<Digest>,
    total: u64,
}

impl Writing {
    fn new(layout: Layout) -> Result<Self, Status> {
        let blob = layout.begin().map_err(told)?;
        Ok(Self { layout, blob, expected: None, total: 0 })
    }

    fn hear(&mut self, said: WriteContentRequest) -> Result<(), Status> {
        if said.total > 0 {
            self.total = unsigned(said.total)?;
        }
        if !said.expected.is_empty() {
            self.expected = Some(digest(&said.expected)?);
            self.check_missing()?;
        }
        if said.action() == WriteAction::Stat {
            return Ok(());
        }
        let failed = |error| Status::unknown(format!("writing to {}: {error}", self.layout.path().display()));
        match unsigned(said.offset)? {
            // Whoever begins anew says so by where he writes.
            0 if self.blob.length() > 0 => self.blob.clear().map_err(failed)?,
            offset if offset == self.blob.length() => {}
            offset => {
                let length = self.blob.length();
                return Err(Status::invalid(format!(
                    "there are {length} bytes, and the next came as {offset}"
                )));
            }
        }
        self.blob.write(&said.data).map_err(failed)
    }

    /// Nobody has to send what is here. What has another length is no blob but the rest of an accident.
    fn check_missing(&self) -> Result<(), Status> {
        let Some(expected) = self.expected else { return Ok(()) };
        match self.layout.open(&expected).map_err(told)? {
            Some((_, length)) if self.total == 0 || self.total == length => {
                Err(Status::new(Code::AlreadyExists, format!("content {expected} already exists")))
            }
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Digest, Status> {
        let length = self.blob.length();
        if self.total != 0 && self.total != length {
            let text = format!("there are {length} bytes, and {} were announced", self.total);
            return Err(Status::invalid(text));
        }
        self.layout.keep(self.blob, self.expected).map_err(told)
    }
}

fn digest(text: &str) -> Result<Digest, Status> {
    text.parse().map_err(|error: minke_model::DigestError| Status::invalid(error.to_string()))
}

fn missing(digest: &Digest) -> Status {
    Status::new(Code::NotFound, format!("content {digest} not found"))
}

fn told(error: LayoutError) -> Status {
    Status::unknown(chain(&error))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(count: i64) -> Result<u64, Status> {
    u64::try_from(count).map_err(|_| Status::invalid(format!("{count} is no number of bytes")))
}
