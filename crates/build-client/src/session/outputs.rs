//! Where outputs go on this host: below a folder, into a file, to standard output. The engine names an output by its number;
//! it says nothing about where that is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use minke_buildkit_wire::files::{Beside, receive};
use minke_buildkit_wire::grpc::{Call, Code, Reply, Request, Status};
use minke_buildkit_wire::pb::session::BytesMessage;
use tokio::sync::mpsc;

use super::header;
use crate::options::Destination;

/// Which output it is; engines of one output leave it out.
const NUMBER: &str = "buildkit-attachable-exporter-id";
/// Messages that may wait for the disk.
const WAITING: usize = 16;

/// The outputs that come here, by their places among all.
#[derive(Default)]
pub(super) struct Outputs(BTreeMap<usize, Destination>);

impl Outputs {
    pub(super) fn new(destinations: impl IntoIterator<Item = Destination>) -> Self {
        let numbered = destinations.into_iter().enumerate();
        let is_sent =
            |destination: &Destination| !matches!(destination, Destination::Engine | Destination::Layout(_));
        Self(numbered.filter(|(_, destination)| is_sent(destination)).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn receive(&self, request: Request) -> Result<Reply, Status> {
        let destination = match header(&request, NUMBER) {
            "" if self.0.len() == 1 => self.0.values().next(),
            number => number.parse().ok().and_then(|number: usize| self.0.get(&number)),
        };
        let missing = || Status::new(Code::NotFound, "nobody asked for this output");
        let destination = destination.ok_or_else(missing)?.clone();
        Ok(request.converse(|call| async move {
            match destination {
                Destination::Folder(path) => folder(call, path).await,
                Destination::File(path) => stream(call, Target::File(path)).await,
                Destination::Stdout => stream(call, Target::Stdout).await,
                Destination::Engine | Destination::Layout(_) => Err(missing()),
            }
        }))
    }
}

async fn folder(call: Call, path: PathBuf) -> Result<(), Status> {
    std::fs::create_dir_all(&path)
        .map_err(|error| Status::unknown(format!("making {}: {error}", path.display())))?;
    receive(call, path, Beside::Stays, (), |_| ()).await
}

/// What takes a stream of bytes.
enum Target {
    File(PathBuf),
    Stdout,
}

/// Bytes go to a thread that may block, and their end says whether they are all there.
async fn stream(mut call: Call, target: Target) -> Result<(), Status> {
    let (chunks, incoming) = mpsc::channel::<Bytes>(WAITING);
    let work = tokio::task::spawn_blocking(move || target.write(incoming));
    let mut ended = Ok(());
    loop {
        match call.next::<BytesMessage>().await {
            Ok(Some(message)) if message.data.is_empty() => {}
            Ok(Some(message)) => {
                if chunks.send(message.data).await.is_err() {
                    break;
                }
            }
            Ok(None) => {
                // An empty chunk is the end; without it, the channel's end is that of a broken connection.
                let _ = chunks.send(Bytes::new()).await;
                break;
            }
            Err(status) => {
                ended = Err(status);
                break;
            }
        }
    }
    drop(chunks);
    let written = work.await.map_err(|error| Status::unknown(format!("writing broke: {error}")))?;
    ended.and(written.map_err(|error| Status::unknown(error.to_string())))
}

impl Target {
    fn write(self, incoming: mpsc::Receiver<Bytes>) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned()?;
                copy(incoming, &mut File::from(stdout)).map(drop)
            }
            Self::File(path) => into_file(&path, incoming).map_err(|error| {
                io::Error::new(error.kind(), format!("writing {}: {error}", path.display()))
            }),
        }
    }
}

/// A file is there whole or not at all; what is no file (a pipe, a device) is written to as it is.
fn into_file(path: &Path, incoming: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let is_special = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if is_special {
        return copy(incoming, &mut File::options().write(true).open(path)?).map(drop);
    }
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written =
        File::options().write(true).create_new(true).open(&beside).and_then(|mut file| {
            match copy(incoming, &mut file)? {
                true => std::fs::rename(&beside, path),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        });
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Whether the bytes came to their end.
fn copy(mut incoming: mpsc::Receiver<Bytes>, to: &mut impl Write) -> io::Result<bool> {
    while let Some(chunk) = incoming.blocking_recv() {
        if chunk.is_empty() {
            return Ok(true);
        }
        to.write_all(&chunk)?;
    }
    Ok(false)
}
