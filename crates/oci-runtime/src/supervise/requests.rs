//! What each request of the protocol does.

use std::io;

use minke_model::runtime_spec::Process;
use rustix::process::Signal;

use super::{
    connection::{Awaited, Role},
    driver::{Added, console_size, failure},
    newcomers::Addition,
    process::{self, Ends, Supervised},
    protocol::{Failure, FailureKind, Reply, Request, Streams, Target},
    server::{INIT, SLIM_AFTER_REQUEST, Server, refusal},
};
use crate::container::Stdio;

/// What becomes of the connection that a request came on.
pub(super) enum Answer {
    /// A reply, and the next request may come.
    Reply(Reply),
    /// The reply comes when something has happened.
    Later(Awaited),
    /// A reply, and the connection turns into a process's raw stream.
    Stream { reply: Reply, process: u64, streams: Streams },
    /// A reply, and the connection tells when the log grows.
    Follow,
}

impl From<Result<(), Failure>> for Answer {
    fn from(result: Result<(), Failure>) -> Self {
        Self::Reply(match result {
            Ok(()) => Reply::Done,
            Err(failure) => Reply::Error(failure),
        })
    }
}

impl Server {
    /// Carries out one request and answers it on its connection.
    pub(super) fn answer(&mut self, key: u64, request: Request) {
        self.slim_after(SLIM_AFTER_REQUEST);
        let answer = self.carry_out(key, request);
        self.give(key, answer);
    }

    /// Gives an answer on a connection.
    pub(super) fn give(&mut self, key: u64, answer: Result<Answer, Failure>) {
        let answer = answer.unwrap_or_else(|failure| Answer::Reply(Reply::Error(failure)));
        let follow_ends = self.ended_at.is_some();
        let Some(connection) = self.connections.get_mut(&key) else { return };
        match answer {
            Answer::Reply(reply) => connection.reply(&reply),
            Answer::Later(awaited) => connection.role = Role::Waiting(awaited),
            Answer::Follow => {
                connection.reply(&Reply::Done);
                connection.role = Role::LogFollower;
                if follow_ends {
                    connection.end();
                }
            }
            Answer::Stream { reply, process, streams } => {
                connection.reply(&reply);
                connection.role = Role::Attached { process, streams };
                let early_input = connection.reader.take_rest();
                if streams.stdin
                    && let Some(process) = self.processes.get_mut(&process)
                {
                    process.stdin.write(&early_input);
                }
            }
        }
    }

    fn carry_out(&mut self, key: u64, request: Request) -> Result<Answer, Failure> {
        if self.ended_at.is_some() && !matches!(request, Request::Wait(_) | Request::FollowLog) {
            return Err(not_running("the container has ended"));
        }
        Ok(match request {
            Request::Status => Answer::Reply(self.status()),
            Request::Start => self.start()?,
            Request::Attach(streams) => self.attach(streams),
            Request::Exec { id, process, streams, detach } => {
                self.exec(key, id, &process, streams, detach)?
            }
            Request::Resize { target, width, height } => self.resize(&target, width, height).into(),
            Request::Signal { target, signal } => self.signal(&target, signal).into(),
            Request::Pause => self.pause().into(),
            Request::Resume => self.resume().into(),
            Request::Update(resources) => self.driver.update(&resources).into(),
            Request::ReleaseHeld => {
                self.held.clear();
                Answer::Reply(Reply::Done)
            }
            Request::Wait(target) => self.wait(target)?,
            Request::FollowLog => self.follow_log()?,
        })
    }

    fn status(&self) -> Reply {
        Reply::Status {
            pid: self.driver.pid(),
            start_time: self.driver.start_time(),
            started: self.started,
            paused: self.paused,
            exit_record: Some(self.config.exit_record.clone()),
        }
    }

    fn start(&mut self) -> Result<Answer, Failure> {
        if self.started || self.start_failure.is_some() {
            return Err(invalid("the container has been started already"));
        }
        self.init_running()?;
        match self.driver.start() {
            Ok(()) => {
                self.started = true;
                Ok(Answer::Reply(Reply::Started { pid: self.driver.pid() }))
            }
            Err(failure) => {
                self.fail_start(failure.clone());
                Ok(Answer::Later(Awaited::FailedStart(failure)))
            }
        }
    }

    fn exec(
        &mut self,
        connection: u64,
        id: String,
        process: &Process,
        streams: Streams,
        detach: bool,
    ) -> Result<Answer, Failure> {
        self.init_running()?;
        if !self.started {
            return Err(not_running("the container has not been started"));
        }
        if self.paused {
            return Err(invalid("the container is paused: resume it first"));
        }
        let name = Target::Exec(id);
        if self.record_of(&name).is_some() || self.key_of(&name).is_some() || self.awaits(&name) {
            return Err(invalid("an added process with this id exists already"));
        }
        let (stdio, ends) = if process.terminal {
            (Stdio::Pty, Ends::default())
        } else {
            process::make_pipes(Addition::wanted(streams, detach))
                .map_err(|error| internal("make the new process's pipes", &error))?
        };
        let console = console_size(process);
        let added = self.driver.exec(process, stdio)?;
        let addition = Addition { name, ends, streams, detach, console, connection };
        match added {
            Added::Running(executed) => self.add(addition, executed),
            Added::Joining(joining) => self.await_newcomer(joining, addition),
        }
    }

    fn resize(&mut self, target: &Target, width: u16, height: u16) -> Result<(), Failure> {
        match self.living(target)?.resize(width, height) {
            None => Err(invalid("the process has no terminal")),
            Some(Err(error)) => Err(internal("set the terminal's size", &error)),
            Some(Ok(())) => Ok(()),
        }
    }

    fn signal(&mut self, target: &Target, signal: i32) -> Result<(), Failure> {
        let pid = self.living(target)?.pid;
        if *target == Target::Init {
            self.driver.signal(signal)?;
            // A frozen process can't even die; killing it is meant to end it, as with Docker.
            return if self.paused && signal == Signal::KILL.as_raw() { self.resume() } else { Ok(()) };
        }
        // It has not been reaped, by us alone, so the number still means it.
        let sent =
            minke_kernel::process::open(pid).and_then(|pidfd| minke_kernel::process::signal(pidfd, signal));
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => invalid(&format!("{signal} is not a signal's number")),
            _ => failure(FailureKind::NotRunning, format!("signal process {pid}"), &error),
        })
    }

    fn pause(&mut self) -> Result<(), Failure> {
        self.init_running()?;
        if self.paused {
            return Err(invalid("the container is paused already"));
        }
        self.driver.pause()?;
        self.paused = true;
        Ok(())
    }

    fn resume(&mut self) -> Result<(), Failure> {
        if !self.paused {
            return Err(invalid("the container is not paused"));
        }
        self.driver.resume()?;
        self.paused = false;
        Ok(())
    }

    fn wait(&mut self, target: Target) -> Result<Answer, Failure> {
        if self.key_of(&target).is_none() && self.record_of(&target).is_none() {
            return Err(not_running("there is no such process"));
        }
        Ok(Answer::Later(Awaited::Exit(target)))
    }

    fn attach(&mut self, streams: Streams) -> Answer {
        // What has been read is in the log, and nobody will be sent it any more.
        self.flush_log();
        let end = self.log.as_ref().and_then(|log| log.end().ok());
        let reply = end.map_or(Reply::Attached, Reply::AttachedBehind);
        Answer::Stream { reply, process: INIT, streams }
    }

    fn follow_log(&mut self) -> Result<Answer, Failure> {
        if self.log.is_none() {
            return Err(invalid("no log is kept of this container"));
        }
        Ok(Answer::Follow)
    }

    /// The process, unless it has ended.
    fn living(&mut self, target: &Target) -> Result<&mut Supervised, Failure> {
        let key = self.key_of(target);
        let process = key.and_then(|key| self.processes.get_mut(&key));
        process.filter(|process| process.ended.is_none()).ok_or_else(|| not_running("the process has ended"))
    }

    fn init_running(&mut self) -> Result<(), Failure> {
        self.living(&Target::Init).map(drop)
    }

    /// The key of a process that is still looked after.
    pub(super) fn key_of(&self, target: &Target) -> Option<u64> {
        self.processes.iter().find(|(_, process)| process.name == *target).map(|(key, _)| *key)
    }
}

fn invalid(message: &str) -> Failure {
    Failure { kind: FailureKind::Invalid, message: message.to_owned() }
}

fn not_running(message: &str) -> Failure {
    Failure { kind: FailureKind::NotRunning, message: message.to_owned() }
}

pub(super) fn internal(action: &str, error: &io::Error) -> Failure {
    failure(FailureKind::Internal, action, error)
}

/// What a waiting client is told when the process will never report its end.
pub(super) fn never_ended() -> Reply {
    refusal(FailureKind::NotRunning, "the container has ended and took the process with it")
}
