//! What a client has not taken yet: a bounded piece in memory, the rest in an unlinked file.
//!
//! A client that does not read must never stop the container, and memory must stay flat, so what
//! passes [`MEMORY`] goes to a file without a name, is read back in order, and its consumed part is given
//! back to the file system as it goes. Nothing is lost; when even the disk is full, the backlog is
//! cut at a whole chunk and the connection ends after it, since a gap in a stream would be a lie.

use std::{
    fs::File,
    io::{self, IoSlice, Write},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FallocateFlags, Mode, OFlags};

/// The most bytes of one client's backlog that are kept in memory.
pub(super) const MEMORY: usize = 256 << 10;
/// How much is read back from the file at a time.
const REFILL: usize = 64 << 10;
/// The consumed part of the file is freed in steps of this many bytes.
const PUNCH: u64 = 4 << 20;

/// Bytes on their way to one client, in order.
#[derive(Debug)]
pub(super) struct Backlog {
    memory: Vec<u8>,
    /// How much of `memory` has been sent.
    sent: usize,
    spill: Option<Spill>,
    directory: PathBuf,
    cut: bool,
}

impl Backlog {
    /// An empty one; a file, if one is needed, will be in `directory`.
    pub(super) fn new(directory: &Path) -> Self {
        Self { memory: Vec::new(), sent: 0, spill: None, directory: directory.to_owned(), cut: false }
    }

    /// Whether everything was sent.
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.memory.len() && self.spill.is_none()
    }

    /// Whether bytes had to be left out: nothing after them may be sent.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Drops all that was kept.
    pub(super) fn clear(&mut self) {
        (self.memory, self.sent, self.spill) = (Vec::new(), 0, None);
    }

    /// Sends `header` and `payload` at once if the client takes them, and keeps what it does not take.
    ///
    /// # Errors
    /// Those of write(2) on the client's socket but for `WouldBlock`: the client is gone.
    pub(super) fn send(&mut self, mut client: impl Write, header: &[u8], payload: &[u8]) -> io::Result<()> {
        if self.cut {
            return Ok(());
        }
        let mut taken = 0;
        if self.is_empty() {
            taken =
                would_block_is_zero(client.write_vectored(&[IoSlice::new(header), IoSlice::new(payload)]))?;
        }
        let header_taken = taken.min(header.len());
        self.keep(&header[header_taken..], &payload[taken - header_taken..]);
        Ok(())
    }

    /// Sends from what was kept, as much as the client takes; gives how much that was.
    ///
    /// # Errors
    /// As for [`Backlog::send`], and those of reading the file back.
    pub(super) fn flush(&mut self, mut client: impl Write) -> io::Result<usize> {
        let mut total = 0;
        loop {
            self.refill()?;
            if self.is_empty() {
                return Ok(total);
            }
            let taken = would_block_is_zero(client.write(&self.memory[self.sent..]))?;
            if taken == 0 {
                return Ok(total);
            }
            total += taken;
            self.sent += taken;
        }
    }

    fn keep(&mut self, header: &[u8], payload: &[u8]) {
        let length = header.len() + payload.len();
        if length == 0 {
            return;
        }
        if self.spill.is_none() && self.memory.len() - self.sent + length <= MEMORY {
            self.memory.drain(..self.sent);
            self.sent = 0;
            self.memory.extend_from_slice(header);
            self.memory.extend_from_slice(payload);
        } else if self.keep_in_file(header, payload).is_err() {
            self.cut = true;
        }
    }

    fn keep_in_file(&mut self, header: &[u8], payload: &[u8]) -> io::Result<()> {
        if self.spill.is_none() {
            self.spill = Some(Spill::create(&self.directory)?);
        }
        self.spill.as_mut().map_or(Ok(()), |spill| spill.append(header, payload))
    }

    /// Makes room in memory and, once all of it was sent, reads the next piece of the file.
    fn refill(&mut self) -> io::Result<()> {
        if self.sent < self.memory.len() {
            return Ok(());
        }
        self.sent = 0;
        match &mut self.spill {
            None => self.memory = Vec::new(),
            Some(spill) => {
                if spill.take(&mut self.memory)? {
                    self.spill = None;
                }
            }
        }
        Ok(())
    }
}

/// The part of a backlog that is on disk.
#[derive(Debug)]
struct Spill {
    file: File,
    read: u64,
    written: u64,
    freed: u64,
}

impl Spill {
    fn create(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file,
            // Not every file system has O_TMPFILE; open(2) names both answers.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
                Self::create_and_unlink(directory)?
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { file: file.into(), read: 0, written: 0, freed: 0 })
    }

    fn create_and_unlink(directory: &Path) -> io::Result<OwnedFd> {
        let path = directory.join(format!(".backlog-{}", std::process::id()));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR)?;
        std::fs::remove_file(path)?;
        Ok(file)
    }

    /// Appends both or, on an error, nothing.
    fn append(&mut self, header: &[u8], payload: &[u8]) -> io::Result<()> {
        self.file.write_all_at(header, self.written)?;
        self.file.write_all_at(payload, self.written + header.len() as u64)?;
        self.written += (header.len() + payload.len()) as u64;
        Ok(())
    }

    /// Replaces `memory` by the next piece, and says whether it was the last.
    fn take(&mut self, memory: &mut Vec<u8>) -> io::Result<bool> {
        let left = usize::try_from(self.written - self.read).unwrap_or(usize::MAX);
        memory.resize(left.min(REFILL), 0);
        self.file.read_exact_at(memory, self.read)?;
        self.read += memory.len() as u64;
        if self.read - self.freed >= PUNCH {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Only a saving: a file system without holes keeps the bytes until the file is closed.
            let _ = rustix::fs::fallocate(&self.file, flags, self.freed, self.read - self.freed);
            self.freed = self.read;
        }
        Ok(self.read == self.written)
    }
}

fn would_block_is_zero(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client that takes so many bytes before it blocks.
    struct Taker {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for &mut Taker {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn bytes_arrive_complete_and_in_order(
            steps in prop::collection::vec((0_usize..100_000, 0_usize..150_000), 1..40),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut backlog = Backlog::new(dir.path());
            let mut client = Taker { room: 0, taken: Vec::new() };
            let mut sent = Vec::new();
            for (number, (length, room)) in steps.into_iter().enumerate() {
                let payload = vec![u8::try_from(number % 251).unwrap(); length];
                backlog.send(&mut client, b"head", &payload).unwrap();
                sent.extend_from_slice(b"head");
                sent.extend_from_slice(&payload);
                client.room += room;
                backlog.flush(&mut client).unwrap();
                prop_assert!(backlog.memory.len() <= MEMORY);
            }
            client.room = usize::MAX;
            backlog.flush(&mut client).unwrap();
            prop_assert!(backlog.is_empty());
            prop_assert!(client.taken == sent);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn without_room_on_disk_it_is_cut_at_a_whole_chunk() {
        let mut backlog = Backlog::new(Path::new("/proc/no-such-directory"));
        let mut client = Taker { room: 0, taken: Vec::new() };
        for _ in 0..10 {
            backlog.send(&mut client, b"head", &[7; 60_000]).unwrap();
        }
        assert!(backlog.is_cut());
        client.room = usize::MAX;
        backlog.flush(&mut client).unwrap();
        assert_eq!(client.taken.len() % 60_004, 0);
        assert!(backlog.is_empty());
    }
}
