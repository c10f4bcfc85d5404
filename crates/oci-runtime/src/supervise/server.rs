//! The event loop: which descriptor is ready, and what is read from where to where.
//!
//! What a request does is in [`requests`](super::requests), what a process's end does in
//! [`ending`](super::ending).

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::event::epoll::EventFlags;

use super::{
    clock::{self, Moment},
    collector::Collector,
    connection::{Connection, Input, Role},
    driver::Driver,
    log_file::LogFile,
    newcomers::Newcomer,
    process::{Chunk, Kind, Supervised},
    protocol::{ExitRecord, Failure, FailureKind, Reply, Request, SupervisorConfig},
    reactor::{Reactor, Token},
    record::Record,
    setup::{self, Inherited, Prepared, SuperviseError},
};

/// The key of the container's first process.
pub(super) const INIT: u64 = 0;
/// How much is read at a time: what a pipe holds.
const READ: usize = 64 << 10;
/// How much is made into log records before the batch's size is looked at.
const LOG_PIECE: usize = 4 << 10;
/// How much is read at a time for a collector, which may have to wait: a record costs some twenty times its least text.
const READ_FOR_COLLECTOR: usize = 8 << 10;
/// More connections at a time are refused.
const MAX_CONNECTIONS: usize = 256;
/// A connection must have sent a whole request within this time, and let go within it after its end.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// How soon after a request its code and memory are given back: a client's next request, and the end of a
/// program that does little, come within this time and find the code still mapped.
pub(super) const SLIM_AFTER_REQUEST: Duration = Duration::from_millis(5);
/// And how soon after anything else, as output, which may go on for long: mapping the code for it again takes about 50 µs.
const SLIM_AFTER_EVENTS: Duration = Duration::from_millis(100);
/// How often conditions that depend on time are looked at, while there are any.
const TICK: Duration = Duration::from_millis(100);

/// One container's supervisor.
pub(super) struct Server {
    pub(super) reactor: Reactor,
    pub(super) config: SupervisorConfig,
    pub(super) driver: Box<dyn Driver>,
    signals: OwnedFd,
    pub(super) listener: Option<UnixListener>,
    listener_watched: Option<EventFlags>,
    /// When accepting failed; it is tried again a tick later.
    accept_failed: Option<Instant>,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) processes: BTreeMap<u64, Supervised>,
    pub(super) newcomers: BTreeMap<u64, Newcomer>,
    next_key: u64,
    pub(super) log: Option<LogFile>,
    pub(super) collector: Option<Collector>,
    /// Whether followers are to be told.
    log_grew: bool,
    /// How added processes ended, the newest last: key, id, record.
    pub(super) finished: VecDeque<(u64, String, ExitRecord)>,
    pub(super) started: bool,
    pub(super) paused: bool,
    /// Why the program could not be started, if that was so.
    pub(super) start_failure: Option<Failure>,
    /// Whether memory ran out, once that has been asked for good: the container is deleted then.
    pub(super) oom_killed: Option<bool>,
    /// When the exit record was written.
    pub(super) ended_at: Option<Instant>,
    buffer: Vec<u8>,
    /// When to give back code and memory that were used and that an idle supervisor does not need.
    slim_at: Option<Instant>,
    /// Where clients' backlogs go.
    pub(super) directory: PathBuf,
    /// Bound host ports, which are free again when the container has ended.
    pub(super) held: Vec<OwnedFd>,
}

impl Server {
    /// Takes over what was prepared, and tells the engine on its first connection.
    pub(super) fn new(
        config: SupervisorConfig,
        prepared: Prepared,
        inherited: Inherited,
    ) -> Result<Self, SuperviseError> {
        let directory = config.exit_record.parent().unwrap_or(Path::new("/")).to_owned();
        let reactor = Reactor::new().map_err(SuperviseError::Events)?;
        let mut server = Self {
            reactor,
            config,
            driver: prepared.driver,
            signals: prepared.signals,
            listener: Some(prepared.listener),
            listener_watched: None,
            accept_failed: None,
            connections: BTreeMap::new(),
            processes: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            next_key: INIT + 1,
            log: prepared.log,
            collector: prepared.collector,
            log_grew: false,
            finished: VecDeque::new(),
            started: false,
            paused: false,
            start_failure: None,
            oom_killed: None,
            ended_at: None,
            buffer: vec![0; READ],
            slim_at: None,
            directory,
            held: inherited.held,
        };
        server.begin(prepared.init, inherited.control).map_err(SuperviseError::Events)?;
        Ok(server)
    }

    fn begin(&mut self, init: Supervised, control: std::os::unix::net::UnixStream) -> io::Result<()> {
        self.reactor.watch(&self.signals, Token::Signals, EventFlags::IN)?;
        self.watch_process(INIT, init)?;
        let mut control = Connection::new(control, &self.directory);
        control.served = true; // the engine may keep it as long as it likes
        control.reply(&Reply::Created { pid: self.driver.pid(), start_time: self.driver.start_time() });
        let key = self.new_key();
        self.connections.insert(key, control);
        self.slim_after(SLIM_AFTER_REQUEST);
        self.settle();
        Ok(())
    }

    /// Serves until the container has ended and everybody has been told.
    pub(super) fn serve(mut self) -> Result<(), SuperviseError> {
        while !self.may_leave() {
            let events = self.reactor.wait(self.timeout()).map_err(SuperviseError::Events)?;
            if self.slim_at.is_some_and(|at| at <= Instant::now()) {
                self.slim();
            }
            // Whatever it was, it used code that is not needed from now on; it may be what comes long after a request.
            if !events.is_empty() {
                self.slim_after(SLIM_AFTER_EVENTS);
            }
            for (token, flags) in events {
                self.dispatch(token, flags);
            }
            self.settle();
        }
        for connection in std::mem::take(&mut self.connections).into_values() {
            connection.close();
        }
        Ok(())
    }

    /// How long to wait for events.
    fn timeout(&self) -> Option<Duration> {
        let slim = self.slim_at.map(|at| at.saturating_duration_since(Instant::now()));
        let tick = self.needs_ticks().then_some(TICK);
        let collector = self.collector.as_ref().and_then(Collector::deadline);
        let collector = collector.map(|at| at.saturating_duration_since(Instant::now()));
        slim.into_iter().chain(tick).chain(collector).min()
    }

    /// Gives back what was used and is not needed while nothing happens.
    fn slim(&mut self) {
        minke_kernel::own_code::unmap_unused();
        if let Some(log) = &mut self.log {
            log.release();
        }
        self.slim_at = None;
    }

    /// Has code and memory given back that long from now, or sooner if that was asked before.
    pub(super) fn slim_after(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.slim_at = Some(self.slim_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn dispatch(&mut self, token: Token, flags: EventFlags) {
        match token {
            Token::Signals => {
                setup::discard_signals(&self.signals);
                self.reap();
            }
            Token::Listener => self.accept(),
            Token::Connection(key) => self.connection_ready(key, flags),
            Token::Stdout(key) => self.output_ready(key, Kind::Stdout),
            Token::Stderr(key) => self.output_ready(key, Kind::Stderr),
            Token::Newcomer(key) => self.newcomer_ready(key),
            Token::Collector => {
                if let Some(collector) = &mut self.collector {
                    collector.ready(flags, &self.reactor);
                }
            }
            Token::Stdin(key) => {
                if let Some(process) = self.processes.get_mut(&key) {
                    process.stdin.flush();
                }
            }
        }
    }

    /// What follows from all events of one wakeup together.
    pub(super) fn settle(&mut self) {
        self.flush_log();
        self.advance_endings();
        if let Some(collector) = &mut self.collector {
            collector.pump(&self.reactor);
        }
        self.sweep_connections();
        self.update_watches();
    }

    /// Looks after a process's streams from now on.
    pub(super) fn watch_process(&mut self, key: u64, mut process: Supervised) -> io::Result<()> {
        watch_output(&self.reactor, key, &mut process, false)?;
        self.processes.insert(key, process);
        Ok(())
    }

    pub(super) fn new_key(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        key
    }

    /// Accepts whoever has connected.
    pub(super) fn accept(&mut self) {
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Ok((socket, _)) if socket.set_nonblocking(true).is_ok() => {
                    let mut connection = Connection::new(socket, &self.directory);
                    if self.connections.len() >= MAX_CONNECTIONS {
                        connection.reply(&refusal(FailureKind::Internal, "too many connections"));
                        connection.close();
                        continue;
                    }
                    let key = self.new_key();
                    self.connections.insert(key, connection);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    // Out of descriptors, most likely.
                    self.accept_failed = Some(Instant::now());
                    return;
                }
            }
        }
    }

    fn connection_ready(&mut self, key: u64, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            connection.hang_up();
        }
        if flags.contains(EventFlags::OUT) {
            connection.flush();
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read_connection(key);
        }
    }

    /// Reads once, and uses what came as the connection's role says.
    fn read_connection(&mut self, key: u64) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        if !wants_input(connection, &self.processes) {
            return;
        }
        match connection.read(&mut self.buffer) {
            Input::NotYet => {}
            Input::Bytes(_) if connection.is_ending() => {}
            Input::Bytes(count) => match connection.role {
                Role::Requests => {
                    connection.reader.feed(&self.buffer[..count]);
                    self.serve_requests(key);
                }
                Role::Attached { process, streams, .. } if streams.stdin => {
                    if let Some(process) = self.processes.get_mut(&process) {
                        process.stdin.write(&self.buffer[..count]);
                    }
                }
                Role::Attached { .. } | Role::LogFollower | Role::Waiting(_) => {}
            },
            Input::End => {
                if let Role::Attached { process, streams, .. } = connection.role
                    && streams.stdin
                {
                    self.end_input(process);
                }
            }
        }
    }

    /// A client has ended the standard input that it sends.
    fn end_input(&mut self, key: u64) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        // A terminal has no end of input; and a container's may be meant for the next client too.
        if !process.has_terminal() && (key != INIT || self.config.stdin_once) {
            process.stdin.close();
        }
    }

    /// Answers the requests that have come whole on this connection.
    pub(super) fn serve_requests(&mut self, key: u64) {
        while let Some(connection) = self.connections.get_mut(&key)
            && matches!(connection.role, Role::Requests)
            && !connection.is_ending()
        {
            match connection.reader.next_message::<Request>() {
                Ok(Some(request)) => {
                    connection.served = true;
                    self.answer(key, request);
                }
                Ok(None) => return,
                Err(error) => {
                    let reason = super::driver::chain(&error);
                    connection.reply(&refusal(FailureKind::Invalid, &format!("bad request: {reason}")));
                    connection.end();
                }
            }
        }
    }

    /// Reads once from a process's output and hands it to the log and to everybody attached.
    fn output_ready(&mut self, key: u64, kind: Kind) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let (raw, last_words) = (process.has_terminal(), process.ended.is_some());
        let Some(output) = process.output(kind) else { return };
        let most = if self.collector.is_some() { READ_FOR_COLLECTOR } else { READ };
        let count = match output.read(&mut self.buffer[..most]) {
            Chunk::Bytes(count) => count,
            Chunk::NotYet => return,
            Chunk::End => return self.end_output(key, kind),
        };
        let bytes = &self.buffer[..count];
        if let Some(splitter) = &mut output.splitter {
            let now = Moment::now();
            for piece in bytes.chunks(LOG_PIECE) {
                splitter.feed(piece, &now, &mut |record| {
                    keep(&mut self.log, &mut self.collector, record, last_words);
                });
                if let Some(log) = self.log.as_mut().filter(|log| log.is_full()) {
                    self.log_grew |= log.flush(&now.text);
                }
            }
        }
        for connection in self.connections.values_mut() {
            if wants_output(&connection.role, key, kind) {
                connection.send_output(raw, kind, bytes);
            }
        }
    }

    /// An output has come to its end, or is given up.
    pub(super) fn end_output(&mut self, key: u64, kind: Kind) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let Some(mut output) = process.output(kind).take() else { return };
        self.reactor.forget(&output.end);
        if let Some(splitter) = &mut output.splitter {
            let now = Moment::now();
            splitter.finish(&now, &mut |record| keep(&mut self.log, &mut self.collector, record, true));
        }
    }

    pub(super) fn flush_log(&mut self) {
        let Some(log) = &mut self.log else { return };
        if !log.is_empty() {
            self.log_grew |= log.flush(&clock::now());
        }
        if !std::mem::take(&mut self.log_grew) {
            return;
        }
        for connection in self.connections.values_mut() {
            if matches!(connection.role, Role::LogFollower) {
                connection.send_tick();
            }
        }
    }

    fn sweep_connections(&mut self) {
        let reactor = &self.reactor;
        self.connections.retain(|_, connection| {
            let over = connection.is_over()
                || connection.is_idle(CLIENT_PATIENCE)
                || connection.is_lingering(CLIENT_PATIENCE);
            if over && connection.watched.is_some() {
                reactor.forget(&connection.socket);
            }
            !over
        });
    }

    /// Brings what epoll watches to what is wanted now.
    fn update_watches(&mut self) {
        let held_up = self.collector.as_ref().is_some_and(Collector::holds_up);
        for (key, process) in &mut self.processes {
            let _ = watch_output(&self.reactor, *key, process, held_up);
            if let Some(stdin) = process.stdin.blocked_on() {
                let token = Token::Stdin(*key);
                let _ = self.reactor.rewatch(stdin, token, &mut process.stdin_watched, Some(EventFlags::OUT));
            } else if process.stdin_watched.take().is_some() {
                process.stdin.unwatch(&self.reactor);
            }
        }
        for (key, connection) in &mut self.connections {
            let wanted = connection.wanted_events(wants_input(connection, &self.processes));
            let mut watched = connection.watched;
            let token = Token::Connection(*key);
            let _ = self.reactor.rewatch(&connection.socket, token, &mut watched, wanted);
            connection.watched = watched;
        }
        self.accept_failed = self.accept_failed.filter(|failed| failed.elapsed() < TICK);
        if let Some(listener) = &self.listener {
            let wanted = if self.accept_failed.is_none() { Some(EventFlags::IN) } else { None };
            let _ = self.reactor.rewatch(listener, Token::Listener, &mut self.listener_watched, wanted);
        }
    }

    /// Whether something depends on time passing.
    fn needs_ticks(&self) -> bool {
        let delivering = self.connections.values().any(|connection| !connection.is_delivered());
        self.ended_at.is_some()
            || self.accept_failed.is_some()
            || self.processes.values().any(|process| process.ended.is_some() && process.record.is_none())
            || self.connections.values().any(|connection| {
                !connection.served || connection.is_ending() || (delivering && connection.is_waiting())
            })
    }
}

/// Keeps a record wherever records are kept.
fn keep(log: &mut Option<LogFile>, collector: &mut Option<Collector>, record: Record<'_>, last_words: bool) {
    if let Some(log) = log {
        log.take(record);
    }
    if let Some(collector) = collector {
        collector.take(&record, last_words);
    }
}

/// Watches a process's output. What goes to a collector that holds everything up is not read, until the process has ended:
/// then it is little, and the last that is to be had.
fn watch_output(reactor: &Reactor, key: u64, process: &mut Supervised, held_up: bool) -> io::Result<()> {
    let held_up = held_up && process.ended.is_none();
    let outputs = [(&mut process.stdout, Token::Stdout(key)), (&mut process.stderr, Token::Stderr(key))];
    for (output, token) in outputs {
        let Some(output) = output else { continue };
        let wanted = if held_up && output.splitter.is_some() { None } else { Some(EventFlags::IN) };
        reactor.rewatch(&output.end, token, &mut output.watched, wanted)?;
    }
    Ok(())
}

/// Whether what the client sends can be used (or dropped) now.
fn wants_input(connection: &Connection, processes: &BTreeMap<u64, Supervised>) -> bool {
    match connection.role {
        Role::Waiting(_) => false,
        Role::Attached { process, streams, .. } if streams.stdin && !connection.is_ending() => {
            processes.get(&process).is_none_or(|process| process.stdin.wants_more())
        }
        Role::Requests | Role::Attached { .. } | Role::LogFollower => true,
    }
}

fn wants_output(role: &Role, key: u64, kind: Kind) -> bool {
    match role {
        Role::Attached { process, streams, .. } if *process == key => match kind {
            Kind::Stdout => streams.stdout,
            Kind::Stderr => streams.stderr,
        },
        _ => false,
    }
}

/// A refusal without a cause.
pub(super) fn refusal(kind: FailureKind, message: &str) -> Reply {
    Reply::Error(Failure { kind, message: message.to_owned() })
}
