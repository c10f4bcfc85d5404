//! The one epoll of a supervisor, with a typed token for each descriptor.
//!
//! Tokens carry keys that are never reused, so an event that was fetched before its descriptor was
//! closed can only miss, never hit another.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
};

/// Events fetched by one call.
const BATCH: usize = 32;

/// Which descriptor an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// The signalfd.
    Signals,
    /// The listening socket.
    Listener,
    /// A connection.
    Connection(u64),
    /// A process's standard output, or its terminal.
    Stdout(u64),
    /// A process's standard error.
    Stderr(u64),
    /// A process's standard input, while it is full.
    Stdin(u64),
    /// A process that has not yet executed its program.
    Newcomer(u64),
    /// The connection to a collector of logs.
    Collector,
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Self::Signals => 0,
            Self::Listener => 1,
            Self::Connection(key) => key << 3 | 2,
            Self::Stdout(key) => key << 3 | 3,
            Self::Stderr(key) => key << 3 | 4,
            Self::Stdin(key) => key << 3 | 5,
            Self::Newcomer(key) => key << 3 | 6,
            Self::Collector => 7,
        }
    }

    fn unpack(packed: u64) -> Self {
        let key = packed >> 3;
        match packed & 7 {
            0 => Self::Signals,
            1 => Self::Listener,
            2 => Self::Connection(key),
            3 => Self::Stdout(key),
            4 => Self::Stderr(key),
            5 => Self::Stdin(key),
            6 => Self::Newcomer(key),
            _ => Self::Collector,
        }
    }
}

/// The epoll instance.
#[derive(Debug)]
pub(super) struct Reactor {
    epoll: OwnedFd,
}

impl Reactor {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Begins to watch, level-triggered. Errors and hang-ups are reported whatever `events` says.
    pub(super) fn watch(&self, fd: impl AsFd, token: Token, events: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(token.pack()), events)?)
    }

    /// Brings what is watched (`now`) to what should be (`wanted`).
    pub(super) fn rewatch(
        &self,
        fd: impl AsFd,
        token: Token,
        now: &mut Option<EventFlags>,
        wanted: Option<EventFlags>,
    ) -> io::Result<()> {
        if *now == wanted {
            return Ok(());
        }
        let data = EventData::new_u64(token.pack());
        match (*now, wanted) {
            (None, Some(events)) => epoll::add(&self.epoll, fd, data, events)?,
            (Some(_), Some(events)) => epoll::modify(&self.epoll, fd, data, events)?,
            (_, None) => epoll::delete(&self.epoll, fd)?,
        }
        *now = wanted;
        Ok(())
    }

    /// Ends watching. To be called before closing: a process between clone and exec may share the
    /// open file, and epoll watches that and not the descriptor.
    pub(super) fn forget(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.epoll, fd); // only fails when it is not watched
    }

    /// Waits for events; none when `timeout` passes (`None`: never).
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<(Token, EventFlags)>> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let mut events: Vec<Event> = Vec::with_capacity(BATCH);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(events.iter().map(|event| (Token::unpack(event.data.u64()), event.flags)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        let keys = [0, 1, 7, 1 << 40];
        let kinds = [Token::Connection, Token::Stdout, Token::Stderr, Token::Stdin, Token::Newcomer];
        for token in kinds.iter().flat_map(|kind| keys.map(kind)).chain([
            Token::Signals,
            Token::Listener,
            Token::Collector,
        ]) {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
