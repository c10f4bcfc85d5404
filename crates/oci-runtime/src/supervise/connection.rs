//! One connection of an engine: what it is for, what it has sent, and what it has not taken yet.

use std::{
    io::{self, Read},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use rustix::event::epoll::EventFlags;

use super::{
    backlog::Backlog,
    frame::{self, FrameReader},
    process::Kind,
    protocol::{Failure, FailureKind, Reply, Streams, Target},
};

/// What a connection is for, at this time.
#[derive(Debug)]
pub(super) enum Role {
    /// Requests come and are answered at once.
    Requests,
    /// A request is waiting for its answer; further ones are not read.
    Waiting(Awaited),
    /// The raw stream of a process.
    Attached {
        /// Which process.
        process: u64,
        /// Which of its streams.
        streams: Streams,
    },
    /// One byte whenever the log has grown.
    LogFollower,
}

/// What an answer waits for.
#[derive(Debug, Clone)]
pub(super) enum Awaited {
    /// A process's end.
    Exit(Target),
    /// A process that was asked for to execute its program.
    Newcomer,
    /// The container's removal after its program could not be started.
    FailedStart(Failure),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: UnixStream,
    pub(super) role: Role,
    pub(super) reader: FrameReader,
    pub(super) watched: Option<EventFlags>,
    backlog: Backlog,
    opened: Instant,
    /// When the client last took something, or had nothing to take.
    moved: Instant,
    /// Whether a whole request has come; until then the connection may not stay long.
    pub(super) served: bool,
    /// Whether the client can still send.
    input_open: bool,
    /// Whether the client can still receive.
    output_open: bool,
    /// Whether nothing follows what the backlog holds.
    ending: bool,
    /// Whether the client has closed both directions.
    hung_up: bool,
}

/// What reading a connection gave.
pub(super) enum Input {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    NotYet,
    /// Nothing ever again.
    End,
}

impl Connection {
    /// `socket` must be non-blocking; `directory` is for what the client does not take.
    pub(super) fn new(socket: UnixStream, directory: &Path) -> Self {
        Self {
            socket,
            role: Role::Requests,
            reader: FrameReader::default(),
            watched: None,
            backlog: Backlog::new(directory),
            opened: Instant::now(),
            moved: Instant::now(),
            served: false,
            input_open: true,
            output_open: true,
            ending: false,
            hung_up: false,
        }
    }

    /// Reads once; what comes is for the caller to use.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Input {
        match self.socket.read(buffer) {
            Ok(count @ 1..) => return Input::Bytes(count),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Input::NotYet;
            }
            Ok(_) | Err(_) => {}
        }
        self.input_open = false;
        Input::End
    }

    /// Queues a reply.
    pub(super) fn reply(&mut self, reply: &Reply) {
        let frame = frame::encode(reply).or_else(|error| {
            let message = format!("the answer does not fit: {error}");
            frame::encode(&Reply::Error(Failure { kind: FailureKind::Internal, message }))
        });
        self.send(&frame.unwrap_or_default(), &[]);
    }

    /// Queues output of the process that this is attached to.
    pub(super) fn send_output(&mut self, raw: bool, kind: Kind, bytes: &[u8]) {
        if raw {
            return self.send(&[], bytes);
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        let [a, b, c, d] = length;
        self.send(&[kind as u8, 0, 0, 0, a, b, c, d], bytes);
    }

    /// Tells a follower that the log has grown, unless it has yet to hear of an earlier time.
    pub(super) fn send_tick(&mut self) {
        if self.backlog.is_empty() {
            // A full socket means that enough ticks wait; a closed one is found by its hang-up.
            let _ = io::Write::write(&mut &self.socket, b"\n");
        }
    }

    fn send(&mut self, header: &[u8], payload: &[u8]) {
        if !self.output_open || self.ending {
            return;
        }
        if self.backlog.is_empty() {
            self.moved = Instant::now();
        }
        if self.backlog.send(&self.socket, header, payload).is_err() {
            self.stop_output();
        }
    }

    /// Sends what waits, as much as the client takes.
    pub(super) fn flush(&mut self) {
        match self.backlog.flush(&self.socket) {
            Ok(0) => {}
            Ok(_) => self.moved = Instant::now(),
            Err(_) => self.stop_output(),
        }
        self.end_if_done();
    }

    /// Nothing more will be sent: the client sees the end after what waits.
    pub(super) fn end(&mut self) {
        self.ending = true;
        self.end_if_done();
    }

    fn end_if_done(&mut self) {
        if self.output_open && self.backlog.is_empty() && (self.ending || self.backlog.is_cut()) {
            // Not closed yet: unread input would turn the client's end of file into an error.
            let _ = self.socket.shutdown(Shutdown::Write);
            self.output_open = false;
        }
    }

    /// The client has closed both directions; what it sent before may still be read.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = true;
        self.stop_output();
    }

    fn stop_output(&mut self) {
        self.output_open = false;
        self.backlog.clear();
    }

    /// Whether nothing but the end will be sent.
    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    /// Whether an answer is still owed.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.role, Role::Waiting(_))
    }

    /// Whether this is attached to that process.
    pub(super) fn is_attached_to(&self, key: u64) -> bool {
        matches!(self.role, Role::Attached { process, .. } if process == key)
    }

    /// Whether everything was delivered, or can't be.
    pub(super) fn is_delivered(&self) -> bool {
        !self.output_open || self.backlog.is_empty()
    }

    /// Whether the client has taken nothing for so long although there is something.
    pub(super) fn is_stuck(&self, patience: Duration) -> bool {
        !self.is_delivered() && self.moved.elapsed() >= patience
    }

    /// Whether the connection has been there for so long without one whole request.
    pub(super) fn is_idle(&self, patience: Duration) -> bool {
        !self.served && self.opened.elapsed() >= patience
    }

    /// Whether the client has been told the end so long ago and still holds on.
    pub(super) fn is_lingering(&self, patience: Duration) -> bool {
        self.ending && !self.output_open && self.moved.elapsed() >= patience
    }

    /// Whether nothing more can happen on it.
    pub(super) fn is_over(&self) -> bool {
        match self.role {
            Role::Requests => !self.input_open && self.is_delivered(),
            Role::Waiting(_) => self.hung_up,
            Role::Attached { .. } | Role::LogFollower => !self.input_open && !self.output_open,
        }
    }

    /// What to watch it for. `input_wanted`: whether there is room for what the client sends. `None` when
    /// the client has hung up, which epoll would report again and again.
    pub(super) fn wanted_events(&self, input_wanted: bool) -> Option<EventFlags> {
        let mut events = EventFlags::empty();
        if self.input_open && input_wanted && !matches!(self.role, Role::Waiting(_)) {
            events |= EventFlags::IN;
        }
        if self.output_open && !self.backlog.is_empty() {
            events |= EventFlags::OUT;
        }
        if events.is_empty() && self.hung_up { None } else { Some(events) }
    }

    /// Closes it so that the client reads an end of file rather than an error.
    pub(super) fn close(mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut discarded = [0; 4096];
        while let Input::Bytes(_) = self.read(&mut discarded) {}
    }
}
