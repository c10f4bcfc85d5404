//! A process's standard input: bytes of attached clients on their way into its pipe or terminal.
//!
//! Back-pressure: while bytes wait because the process does not read, clients are not read either.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use super::reactor::Reactor;

/// The writing end, if there is one (still).
#[derive(Debug)]
pub(super) struct Stdin {
    end: Option<File>,
    waiting: Vec<u8>,
    closing: bool,
}

impl Stdin {
    /// Of a process that reads nothing from clients: their bytes are discarded.
    pub(super) fn none() -> Self {
        Self { end: None, waiting: Vec::new(), closing: false }
    }

    /// `end` must be non-blocking.
    pub(super) fn new(end: OwnedFd) -> Self {
        Self { end: Some(end.into()), waiting: Vec::new(), closing: false }
    }

    /// Whether clients may be read: nothing waits.
    pub(super) fn wants_more(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The descriptor to watch for room, while bytes wait.
    pub(super) fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        if self.waiting.is_empty() { None } else { self.end.as_ref().map(File::as_fd) }
    }

    /// Ends watching the descriptor.
    pub(super) fn unwatch(&self, reactor: &Reactor) {
        if let Some(end) = &self.end {
            reactor.forget(end);
        }
    }

    /// Writes what fits at once and keeps the rest. To be called when [`Stdin::wants_more`].
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.end.is_none() || self.closing {
            return;
        }
        let written = self.write_some(bytes);
        if self.end.is_some() {
            self.waiting.extend_from_slice(&bytes[written..]);
        }
    }

    /// Goes on with what waits; to be called when the descriptor has room.
    pub(super) fn flush(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let written = self.write_some(&waiting);
        if self.end.is_some() {
            self.waiting.extend_from_slice(&waiting[written..]);
        }
        self.close_if_done();
    }

    /// Ends the input once all that waits has been written.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.close_if_done();
    }

    /// Writes until the pipe is full; a process that closed its end gets no more.
    fn write_some(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(end) = &mut self.end
            && written < bytes.len()
        {
            match end.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.end = None,
            }
        }
        written
    }

    fn close_if_done(&mut self) {
        if self.closing && self.waiting.is_empty() {
            self.end = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn the_end_comes_after_all_bytes_that_waited() {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut stdin = Stdin::new(write);
        let bytes = vec![b'x'; 200_000];
        stdin.write(&bytes);
        assert!(!stdin.wants_more());
        stdin.close();
        let (mut read, mut seen) = (File::from(read), 0);
        let mut buffer = [0; 65536];
        while let Ok(count @ 1..) = read.read(&mut buffer) {
            seen += count;
            stdin.flush();
        }
        assert_eq!(seen, bytes.len());
        assert!(stdin.wants_more() && stdin.blocked_on().is_none());
        assert_eq!(read.read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_closed_reader_turns_input_into_nothing() {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        let mut stdin = Stdin::new(write);
        drop(read);
        stdin.write(b"x");
        assert!(stdin.wants_more());
    }
}
