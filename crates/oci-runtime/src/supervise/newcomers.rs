//! Processes on their way into the container, and what becomes of them once they have arrived.
//!
//! Between clone and execve such a process is at the mercy of the container: what runs there can stop it, or freeze or
//! starve the cgroup that it has entered. So the supervisor serves on, and the client that asked has its answer when
//! there is one.

use std::{io, os::fd::AsFd};

use rustix::event::{PollFd, PollFlags, Timespec, epoll::EventFlags, poll};

use super::{
    connection::{Awaited, Role},
    driver::{Executed, exec_failure},
    process::{Ends, Supervised},
    protocol::{Failure, Reply, Streams, Target},
    reactor::Token,
    requests::{Answer, internal},
    server::{SLIM_AFTER_REQUEST, Server},
};
use crate::container::{ExecError, Joining};

/// A process that has not yet executed its program.
#[derive(Debug)]
pub(super) struct Newcomer {
    joining: Joining,
    addition: Addition,
}

/// What a client wants of an added process.
#[derive(Debug)]
pub(super) struct Addition {
    pub(super) name: Target,
    /// The supervisor's ends of its pipes, if it has no terminal.
    pub(super) ends: Ends,
    pub(super) streams: Streams,
    pub(super) detach: bool,
    /// The size of its terminal, in columns and rows.
    pub(super) console: Option<(u16, u16)>,
    /// Whom to answer.
    pub(super) connection: u64,
}

impl Addition {
    /// The streams that a client gets.
    pub(super) fn wanted(streams: Streams, detach: bool) -> Streams {
        if detach { Streams::default() } else { streams }
    }
}

impl Server {
    /// Has the client answered when the process has executed its program.
    pub(super) fn await_newcomer(&mut self, joining: Joining, addition: Addition) -> Result<Answer, Failure> {
        let key = self.new_key();
        if let Err(error) = self.reactor.watch(&joining, Token::Newcomer(key), EventFlags::IN) {
            joining.kill();
            return Err(internal("watch the new process", &error));
        }
        self.newcomers.insert(key, Newcomer { joining, addition });
        Ok(Answer::Later(Awaited::Newcomer))
    }

    /// Whether a process of this name is on its way.
    pub(super) fn awaits(&self, name: &Target) -> bool {
        self.newcomers.values().any(|newcomer| newcomer.addition.name == *name)
    }

    /// A newcomer has something to say.
    pub(super) fn newcomer_ready(&mut self, key: u64) {
        if let Some(newcomer) = self.newcomers.get_mut(&key)
            && let Some(result) = newcomer.joining.advance()
        {
            self.end_newcomer(key, result);
        }
    }

    /// A child has ended: if it was a newcomer, its last words come before its end.
    pub(super) fn hear_out(&mut self, pid: i32) {
        let found = self.newcomers.iter_mut().find(|(_, newcomer)| newcomer.joining.pid() == pid);
        let Some((key, newcomer)) = found else { return };
        let key = *key;
        newcomer.joining.note_reaped();
        // Not by waiting for the end of file: a debugger in the container may have copied the descriptor.
        while self.newcomers.get(&key).is_some_and(|newcomer| is_readable(&newcomer.joining)) {
            self.newcomer_ready(key);
        }
        self.end_newcomer(key, Ok(()));
    }

    /// The container is removed, and with it those who would have joined.
    pub(super) fn turn_newcomers_away(&self) {
        self.newcomers.values().for_each(|newcomer| newcomer.joining.kill());
    }

    fn end_newcomer(&mut self, key: u64, result: Result<(), ExecError>) {
        let Some(Newcomer { joining, addition }) = self.newcomers.remove(&key) else { return };
        self.reactor.forget(&joining);
        let client = addition.connection;
        let answer = match result {
            Ok(()) => {
                let pid = joining.pid();
                self.add(addition, Executed { pid, pty_master: joining.into_terminal() })
            }
            Err(error) => {
                joining.kill();
                Err(exec_failure(&error))
            }
        };
        self.slim_after(SLIM_AFTER_REQUEST);
        if let Some(connection) = self.connections.get_mut(&client) {
            connection.role = Role::Requests;
            self.give(client, answer);
            self.serve_requests(client);
        }
    }

    /// Looks after an added process from now on.
    pub(super) fn add(&mut self, addition: Addition, executed: Executed) -> Result<Answer, Failure> {
        let Addition { name, ends, streams, detach, console, connection: _ } = addition;
        let Executed { pid, pty_master } = executed;
        let added = match pty_master {
            None => Supervised::with_pipes(name, pid, ends),
            Some(master) => {
                Supervised::with_terminal(name, pid, master, Addition::wanted(streams, detach).stdin)
                    .map_err(|error| internal("set up the new process's terminal", &error))?
            }
        };
        if let Some((width, height)) = console {
            // The size is a convenience; a process that has ended already has no terminal to set.
            let _ = added.resize(width, height);
        }
        let process = self.new_key();
        self.watch_process(process, added).map_err(|error| internal("watch the new process", &error))?;
        let reply = Reply::Started { pid };
        Ok(if detach { Answer::Reply(reply) } else { Answer::Stream { reply, process, streams } })
    }
}

fn is_readable(fd: impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready: io::Result<usize> =
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).map_err(io::Error::from);
    ready.is_ok_and(|count| count > 0)
}
