//! Sending a folder: all entries that count are announced, and the content of those that the other side asks for follows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::Read;

use bytes::Bytes;
use rustix::fs::{FileType, OFlags};
use tokio::sync::mpsc;

use super::entry::announced;
use super::walk::{Choose, open, walk};
use super::{Found, SyncError};
use crate::grpc::{Call, Code, Status, frame};
use crate::pb::fsutil::{Kind, Packet};

/// Packets that may wait for the connection.
const WAITING: usize = 32;
/// The bytes of one packet.
const CHUNK: usize = 64 * 1024;

/// Sends what is in `folder` and counts, as it is there: `own` decides whether owners are told, or all is the superuser's.
/// `progress` is told the bytes so far.
///
/// # Errors
/// When the folder can't be read, and what the other side says.
pub async fn send(
    mut call: Call,
    folder: File,
    choose: impl Choose + 'static,
    own: bool,
    progress: impl Fn(u64),
) -> Result<(), Status> {
    let (outgoing, mut frames) = mpsc::channel::<Bytes>(WAITING);
    let (wishes, asked) = mpsc::unbounded_channel();
    let sending =
        Sending { root: folder, outgoing, own, files: HashMap::new(), names: HashMap::new(), next_id: 0 };
    let mut work = minke_patience::spawn(move || sending.run(choose, asked));
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
        // The other side's end comes only after ours.
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
                if sending { forward.as_mut().await; }
                if let Err(error) = sent {
                    // It may be gone, which is why it failed.
                    let _ = call.send(&Packet::error(&error.to_string())).await;
                    return Err(Status::new(Code::Internal, error.to_string()));
                }
                return call.finish().await;
            }
        }
    }
    Ok(())
}

/// The thread's part.
struct Sending {
    root: File,
    outgoing: mpsc::Sender<Bytes>,
    own: bool,
    files: HashMap<u32, String>,
    /// The first names of files with several, by device and inode.
    names: HashMap<(u64, u64), String>,
    next_id: u32,
}

impl Sending {
    /// Announces all, then sends what is asked for.
    fn run(
        mut self,
        mut choose: impl Choose,
        mut asked: mpsc::UnboundedReceiver<u32>,
    ) -> Result<(), SyncError> {
        let root = self.root.try_clone().map_err(|error| SyncError::io("open", "", error))?;
        walk(root, &mut choose, &mut |found| {
            self.announce(found);
            Ok(())
        })?;
        self.say(&Packet::stat(None));
        while let Some(id) = asked.blocking_recv() {
            let path = self.files.remove(&id).ok_or(SyncError::Unasked(id))?;
            self.content(id, &path)?;
        }
        self.say(&Packet::end());
        Ok(())
    }

    fn say(&self, packet: &Packet) {
        // Nobody to hear it: the wishes end as well.
        let _ = self.outgoing.blocking_send(frame(packet));
    }

    fn announce(&mut self, found: Found) {
        let is_file = found.kind() == FileType::RegularFile;
        let first = self.first_name(&found);
        let Some(mut stat) = announced(&found.path, &found.stat, found.target) else { return };
        if !self.own {
            (stat.uid, stat.gid) = (0, 0);
        }
        if let Some(first) = &first {
            // Another name of a file that was announced.
            (stat.linkname, stat.size) = (first.clone(), 0);
        }
        self.say(&Packet::stat(Some(stat)));
        if is_file && first.is_none() {
            self.files.insert(self.next_id, found.path);
        }
        self.next_id += 1;
    }

    /// Under which name the file was announced before, if it was.
    fn first_name(&mut self, found: &Found) -> Option<String> {
        if found.stat.st_nlink < 2 || found.kind() != FileType::RegularFile {
            return None;
        }
        match self.names.entry((found.stat.st_dev, found.stat.st_ino)) {
            Entry::Occupied(first) => Some(first.get().clone()),
            Entry::Vacant(place) => {
                place.insert(found.path.clone());
                None
            }
        }
    }

    fn content(&self, id: u32, path: &str) -> Result<(), SyncError> {
        let mut file = File::from(open(&self.root, path, OFlags::empty())?);
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = file.read(&mut buffer).map_err(|error| SyncError::io("read", path, error))?;
            self.say(&Packet::data(id, Bytes::copy_from_slice(&buffer[..count])));
            if count == 0 {
                return Ok(());
            }
        }
    }
}
