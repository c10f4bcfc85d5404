//! Sending a folder to a client: `--output type=local`.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use bytes::Bytes;
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use tokio::sync::mpsc;

use super::SyncError;
use super::entry::announced;
use crate::grpc::{Call, Code, Status, frame};
use crate::pb::fsutil::{Kind, Packet};

/// Packets that may wait for the connection.
const WAITING: usize = 32;
/// The bytes of one packet.
const CHUNK: usize = 64 * 1024;
/// The deepest folder.
const DEPTH: usize = 256;

/// Sends what is in `folder` to the caller's other side; `progress` is told the bytes so far.
///
/// # Errors
/// When the folder can't be read, and what the client says.
pub(crate) async fn send(mut call: Call, folder: &Path, progress: impl Fn(u64)) -> Result<(), Status> {
    let path = folder.to_owned();
    let (outgoing, mut frames) = mpsc::channel::<Bytes>(WAITING);
    let (wishes, asked) = mpsc::unbounded_channel();
    let mut work = tokio::task::spawn_blocking(move || read(&path, &outgoing, asked));
    let sender = call.sender().ok_or_else(|| Status::gone("sending files"))?;
    let forward = async move {
        let mut sent = 0;
        while let Some(frame) = frames.recv().await {
            sent += frame.len() as u64;
            progress(sent);
            if sender.send(frame).await.is_err() {
                break;
            }
        }
        // The client's end comes only after ours.
        drop(sender);
    };
    tokio::pin!(forward);
    let mut wishes = Some(wishes);
    let mut sending = true;
    loop {
        tokio::select! {
            () = &mut forward, if sending => sending = false,
            packet = call.next::<Packet>() => match packet? {
                Some(packet) => match packet.kind() {
                    Kind::Request => {
                        if let Some(wishes) = &wishes { let _ = wishes.send(packet.id); }
                    }
                    Kind::Error => {
                        return Err(Status::unknown(format!("error from receiver: {}", String::from_utf8_lossy(&packet.data))));
                    }
                    // All is there: the thread says so as well and ends.
                    Kind::End => wishes = None,
                    Kind::Stat | Kind::Data => {}
                },
                None => break,
            },
            done = &mut work => {
                let sent = done.map_err(|error| Status::new(Code::Internal, format!("sending files broke: {error}")))?;
                sent.map_err(|error| Status::new(Code::Internal, error.to_string()))?;
                if sending { forward.as_mut().await; }
                call.close();
                while call.next::<Packet>().await?.is_some() {}
                break;
            }
        }
    }
    Ok(())
}

/// What a file to be sent is found by.
struct Walk<'a> {
    root: OwnedFd,
    outgoing: &'a mpsc::Sender<Bytes>,
    files: HashMap<u32, String>,
    next_id: u32,
}

/// The thread's part: announces all, then sends what is asked for.
fn read(
    folder: &Path,
    outgoing: &mpsc::Sender<Bytes>,
    mut asked: mpsc::UnboundedReceiver<u32>,
) -> Result<(), SyncError> {
    let name = folder.to_string_lossy();
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = fs::open(folder, flags, Mode::empty()).map_err(|error| SyncError::io("open", &name, error))?;
    let mut walk = Walk { root, outgoing, files: HashMap::new(), next_id: 0 };
    walk.folder("", 0)?;
    walk.say(&Packet::stat(None));
    while let Some(id) = asked.blocking_recv() {
        let path = walk.files.remove(&id).ok_or(SyncError::Unasked(id))?;
        walk.content(id, &path)?;
    }
    walk.say(&Packet::end());
    Ok(())
}

impl Walk<'_> {
    fn say(&self, packet: &Packet) {
        // Nobody to hear it: the wishes end as well.
        let _ = self.outgoing.blocking_send(frame(packet));
    }

    fn folder(&mut self, path: &str, depth: usize) -> Result<(), SyncError> {
        if depth > DEPTH {
            return Err(SyncError::TooMuch { what: "folders in each other", most: DEPTH as u64 });
        }
        let fd = self.open(path, OFlags::DIRECTORY)?;
        let mut names = names(&fd).map_err(|error| SyncError::io("list", path, error))?;
        names.sort_unstable();
        for name in names {
            // A name that is no text can't be sent.
            let Ok(name) = name.into_string() else { continue };
            let inner = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let stat = fs::statat(&fd, &*name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| SyncError::io("look at", &inner, error))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            let target = match kind {
                FileType::Symlink => {
                    let target = fs::readlinkat(&fd, &*name, Vec::new())
                        .map_err(|error| SyncError::io("read", &inner, error))?;
                    target.to_string_lossy().into_owned()
                }
                _ => String::new(),
            };
            let Some(stat) = announced(&inner, &stat, target) else { continue };
            self.say(&Packet::stat(Some(stat)));
            if kind == FileType::RegularFile {
                self.files.insert(self.next_id, inner.clone());
            }
            self.next_id += 1;
            if kind == FileType::Directory {
                self.folder(&inner, depth + 1)?;
            }
        }
        Ok(())
    }

    fn content(&self, id: u32, path: &str) -> Result<(), SyncError> {
        let mut file = std::fs::File::from(self.open(path, OFlags::empty())?);
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = file.read(&mut buffer).map_err(|error| SyncError::io("read", path, error))?;
            self.say(&Packet::data(id, Bytes::copy_from_slice(&buffer[..count])));
            if count == 0 {
                return Ok(());
            }
        }
    }

    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, SyncError> {
        let path = if path.is_empty() { "." } else { path };
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
            .map_err(|error| SyncError::io("open", path, error))
    }
}

fn names(folder: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}
