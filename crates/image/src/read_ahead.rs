//! Reads, decompresses and hashes on one thread while another unpacks.
//!
//! Decompression and the file system's work take about the same time; side by side they take half. The chunks in
//! flight are bounded and reused, so memory stays flat whatever the layer's size.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread::{Scope, ScopedJoinHandle},
};

const CHUNK: usize = 128 << 10;
/// Chunks that wait; one more is being filled and one more is being read.
const WAITING: usize = 2;

/// The receiving end: reads what the other thread has prepared.
pub(crate) struct ReadAhead {
    chunks: Receiver<io::Result<Vec<u8>>>,
    spare: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    position: usize,
}

/// Starts a thread that reads `source` to its end; it gives `source` back when it is done. When the receiving end
/// is dropped early, the thread ends early.
pub(crate) fn read_ahead<'scope, R: Read + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    source: R,
) -> (ReadAhead, ScopedJoinHandle<'scope, R>) {
    let (send, chunks) = sync_channel(WAITING);
    let (spare, returned) = channel();
    let thread = scope.spawn(move || produce(source, &send, &returned));
    (ReadAhead { chunks, spare, chunk: Vec::new(), position: 0 }, thread)
}

fn produce<R: Read>(
    mut source: R,
    send: &SyncSender<io::Result<Vec<u8>>>,
    returned: &Receiver<Vec<u8>>,
) -> R {
    loop {
        let mut chunk = returned.try_recv().unwrap_or_default();
        let result = fill(&mut source, &mut chunk);
        let end = chunk.is_empty() || result.is_err();
        // What was read before an error still counts: the error is about the bytes after it.
        if !chunk.is_empty() && send.send(Ok(chunk)).is_err() {
            return source;
        }
        if let Err(error) = result {
            let _ = send.send(Err(error));
        }
        if end {
            return source;
        }
    }
}

/// Reads a whole chunk, or all that is left; exactly so much is ever allocated. What came before an error stays in it.
fn fill(source: &mut impl Read, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.reserve_exact(CHUNK - chunk.len());
    chunk.resize(CHUNK, 0);
    let mut filled = 0;
    let result = loop {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => break Ok(()),
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    chunk.truncate(filled);
    result
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.chunk.len() {
            let Ok(next) = self.chunks.recv() else { return Ok(0) };
            let done = std::mem::replace(&mut self.chunk, next?);
            self.position = 0;
            let _ = self.spare.send(done);
        }
        let length = buffer.len().min(self.chunk.len() - self.position);
        buffer[..length].copy_from_slice(&self.chunk[self.position..self.position + length]);
        self.position += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_arrive_in_order() {
        let source: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
        let mut read = Vec::new();
        std::thread::scope(|scope| {
            let (mut ahead, thread) = read_ahead(scope, &source[..]);
            ahead.read_to_end(&mut read).unwrap();
            assert!(thread.join().unwrap().is_empty());
        });
        assert!(read == source);
    }

    #[test]
    fn a_reader_that_leaves_early_does_not_leave_the_thread_behind() {
        std::thread::scope(|scope| {
            let (ahead, thread) = read_ahead(scope, io::repeat(1));
            drop(ahead);
            thread.join().unwrap();
        });
    }

    #[test]
    fn an_error_comes_after_the_bytes_before_it() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cut"))
            }
        }
        std::thread::scope(|scope| {
            let (mut ahead, _) = read_ahead(scope, (&b"abc"[..]).chain(Failing));
            let mut read = Vec::new();
            assert_eq!(ahead.read_to_end(&mut read).unwrap_err().to_string(), "cut");
            assert_eq!(read, b"abc");
        });
    }
}
