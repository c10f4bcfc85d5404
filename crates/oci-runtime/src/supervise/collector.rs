//! A collector of logs that listens somewhere else (syslog, Fluentd), and the records on their way to it.
//!
//! While it is away they are kept, up to a limit; then either the container's output is not read any more, or records are
//! dropped and, once there is room again, a note says how many. Whatever a broken connection had not taken whole is
//! sent again from its beginning, so a collector may see a record twice but never a part of one as if it were whole.
//!
//! ```text
//!        begin            done               gone, stuck, refused
//!  down ───────▶ calling ──────▶ up ───────────────────────────────▶ down (a pause, that grows)
//! ```
//! Nothing here blocks but [`Collector::open`], which runs before there is a container.

mod fluentd;
mod queue;
mod syslog;
mod transport;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use rustix::event::epoll::EventFlags;

use self::{
    fluentd::Fluentd,
    queue::Queue,
    syslog::Syslog,
    transport::{Sent, Socket},
};
use super::{
    clock::Moment,
    protocol::{CollectorConfig, Overflow, RecordFormat},
    reactor::{Reactor, Token},
    record::{Origin, Record},
};

/// How long a connection may take to be made.
const CALL_PATIENCE: Duration = Duration::from_secs(5);
/// How long acknowledgements may be owed without one coming.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// How much more than the limit is kept once the container has ended and what it wrote last is read in any case.
const LAST_WORDS: u64 = 4 << 20;

/// Who gets every record, and what it has not taken yet.
#[derive(Debug)]
pub(super) struct Collector {
    config: CollectorConfig,
    encoder: Encoder,
    queue: Queue,
    link: Link,
    /// Attempts in a row that brought nothing.
    failures: u32,
    watched: Option<EventFlags>,
}

#[derive(Debug)]
enum Link {
    Down { again: Instant },
    Calling { socket: Socket, address: usize, since: Instant },
    Up(Connection),
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    since: Instant,
    /// When it last took or said something, or had nothing to.
    moved: Instant,
    /// Whether it took nothing the last time.
    full: bool,
    /// What came of an answer.
    answer: Vec<u8>,
}

/// What makes bytes of a record.
#[derive(Debug)]
enum Encoder {
    Syslog(Syslog),
    Fluentd(Fluentd),
}

impl Encoder {
    fn new(format: &RecordFormat) -> Self {
        match format {
            RecordFormat::Syslog(format) => Self::Syslog(Syslog::new(format.clone())),
            RecordFormat::Fluentd(format) => Self::Fluentd(Fluentd::new(format.clone())),
        }
    }

    /// The record's bytes, and the name by which the collector will acknowledge it.
    fn encode(&mut self, record: &Record<'_>) -> (Vec<u8>, Option<String>) {
        match self {
            Self::Syslog(syslog) => (syslog.encode(record), None),
            Self::Fluentd(fluentd) => fluentd.encode(record),
        }
    }
}

impl Collector {
    /// Reaches the collector, unless that may come later.
    ///
    /// # Errors
    /// Why it can't be reached.
    pub(super) fn open(config: CollectorConfig) -> io::Result<Self> {
        let now = Instant::now();
        let link = match config.lazy {
            true => Link::Down { again: now },
            false => Link::Up(Connection::new(transport::connect(&config.addresses, CALL_PATIENCE)?)),
        };
        Ok(Self {
            encoder: Encoder::new(&config.format),
            queue: Queue::default(),
            link,
            failures: 0,
            watched: None,
            config,
        })
    }

    /// Takes a record in, to be sent by [`Collector::pump`]. `last_words`: of a process that has ended.
    pub(super) fn take(&mut self, record: &Record<'_>, last_words: bool) {
        let room = match self.config.overflow {
            Overflow::Drop => self.config.buffer,
            // Whoever asks before reading more passes the limit by what is read at once.
            Overflow::Block if !last_words => u64::MAX,
            Overflow::Block => self.config.buffer.saturating_add(LAST_WORDS),
        };
        let (bytes, name) = self.encoder.encode(record);
        self.queue.push(bytes, name, room);
    }

    /// Whether the container has to wait until records have been taken.
    pub(super) fn holds_up(&self) -> bool {
        self.config.overflow == Overflow::Block && self.queue.bytes() >= self.config.buffer
    }

    /// Whether everything was taken.
    pub(super) fn is_settled(&self) -> bool {
        self.queue.is_empty()
    }

    /// When [`Collector::pump`] has to be called although nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.link {
            Link::Down { again } => (!self.queue.is_empty()).then_some(*again),
            Link::Calling { since, .. } => Some(*since + CALL_PATIENCE),
            Link::Up(connection) => self.patience(connection).map(|patience| connection.moved + patience),
        }
    }

    /// How long a connection may stand still now.
    fn patience(&self, connection: &Connection) -> Option<Duration> {
        let writing = self.config.write_timeout_ms.filter(|_| connection.full).map(Duration::from_millis);
        let answering = self.queue.owes_answers().then_some(ANSWER_PATIENCE);
        writing.into_iter().chain(answering).min()
    }

    /// The descriptor is ready.
    pub(super) fn ready(&mut self, flags: EventFlags, reactor: &Reactor) {
        let gone = EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP;
        match &mut self.link {
            Link::Down { .. } => {}
            Link::Calling { socket, .. } => {
                if let Some(result) = socket.outcome() {
                    self.called(result, reactor);
                }
            }
            Link::Up(connection) => {
                connection.full &= !flags.contains(EventFlags::OUT);
                let heard = connection.hear(&mut self.queue);
                if heard.is_err() || flags.intersects(gone) {
                    self.fail(reactor);
                } else if heard.is_ok_and(|answers| answers > 0) {
                    self.failures = 0;
                }
            }
        }
    }

    /// Sends what can be sent, calls where it is time, and watches for what comes next.
    pub(super) fn pump(&mut self, reactor: &Reactor) {
        let now = Instant::now();
        let late = self.deadline().is_some_and(|deadline| deadline <= now);
        match &self.link {
            Link::Down { .. } if late => self.call(0, reactor),
            Link::Calling { address, .. } if late => {
                let next = address + 1;
                self.call_next(next, reactor);
            }
            Link::Up(_) if late => self.fail(reactor),
            Link::Up(connection) if self.is_outdated(connection, now) => {
                self.hang_up(reactor);
                self.call(0, reactor);
            }
            _ => {}
        }
        self.send(reactor);
        self.watch(reactor);
    }

    fn is_outdated(&self, connection: &Connection, now: Instant) -> bool {
        let age = self.config.reconnect_ms.map(Duration::from_millis);
        age.is_some_and(|age| now - connection.since >= age) && self.queue.is_between_records()
    }

    fn send(&mut self, reactor: &Reactor) {
        let Link::Up(connection) = &mut self.link else { return };
        if connection.full || !self.queue.has_unsent() {
            return;
        }
        match connection.send(&mut self.queue) {
            Ok(0) => {}
            Ok(_) if self.queue.owes_answers() => {}
            Ok(_) => self.failures = 0,
            Err(_) => return self.fail(reactor),
        }
        if self.queue.is_empty()
            && let Some(dropped) = self.queue.take_dropped()
        {
            self.note(dropped);
        }
    }

    /// Tells the collector what it has missed.
    fn note(&mut self, dropped: u64) {
        let text = format!("minke: {dropped} records were dropped, since the collector did not take them");
        let origin = Origin::new("stderr", &Moment::now());
        self.take(&Record { text: text.as_bytes(), ends_line: true, origin: &origin, part: None }, false);
    }

    /// Begins to reach the address with this number, or the next that there is.
    fn call(&mut self, mut address: usize, reactor: &Reactor) {
        while let Some(wanted) = self.config.addresses.get(address) {
            match Socket::begin(wanted) {
                Ok((socket, true)) => {
                    self.link = Link::Up(Connection::new(socket));
                    return;
                }
                Ok((socket, false)) => {
                    self.link = Link::Calling { socket, address, since: Instant::now() };
                    return;
                }
                Err(_) => address += 1,
            }
        }
        self.fail(reactor);
    }

    fn call_next(&mut self, address: usize, reactor: &Reactor) {
        self.forget(reactor);
        self.call(address, reactor);
    }

    /// An attempt has come to its end.
    fn called(&mut self, result: io::Result<()>, reactor: &Reactor) {
        let down = Link::Down { again: Instant::now() };
        let Link::Calling { socket, address, since } = std::mem::replace(&mut self.link, down) else {
            return;
        };
        if result.is_ok() {
            self.link = Link::Up(Connection::new(socket));
        } else {
            self.link = Link::Calling { socket, address, since };
            self.call_next(address + 1, reactor);
        }
    }

    /// The connection, or the attempt to make one, has failed.
    fn fail(&mut self, reactor: &Reactor) {
        let first = Duration::from_millis(self.config.retry.first_ms);
        // One that was good for a while is called again at once.
        let was_good = matches!(&self.link, Link::Up(connection) if connection.since.elapsed() > first);
        self.hang_up(reactor);
        let pause = if was_good { Duration::ZERO } else { self.pause() };
        self.failures = if was_good { 0 } else { self.failures.saturating_add(1) };
        if self.config.retry.most.is_some_and(|most| self.failures > most) {
            self.queue.give_up();
            self.failures = 0;
        }
        self.link = Link::Down { again: Instant::now() + pause };
    }

    /// How long to wait after so many failures.
    fn pause(&self) -> Duration {
        let longest = self.config.retry.longest_ms;
        let grown = (0..self.failures).try_fold(self.config.retry.first_ms, |pause, _| {
            (pause < longest).then(|| pause.saturating_add(pause / 2).saturating_add(1))
        });
        Duration::from_millis(grown.unwrap_or(longest).min(longest))
    }

    fn hang_up(&mut self, reactor: &Reactor) {
        self.forget(reactor);
        self.queue.start_over();
        self.link = Link::Down { again: Instant::now() };
    }

    fn forget(&mut self, reactor: &Reactor) {
        if self.watched.take().is_some()
            && let Some(fd) = self.link.fd()
        {
            reactor.forget(fd);
        }
    }

    fn watch(&mut self, reactor: &Reactor) {
        let wanted = match &self.link {
            Link::Down { .. } => return,
            Link::Calling { .. } => EventFlags::OUT,
            Link::Up(connection) if connection.full => EventFlags::IN | EventFlags::RDHUP | EventFlags::OUT,
            Link::Up(_) => EventFlags::IN | EventFlags::RDHUP,
        };
        if let Some(fd) = self.link.fd() {
            // Out of memory, at worst: the connection then stands still until something else happens.
            let _ = reactor.rewatch(fd, Token::Collector, &mut self.watched, Some(wanted));
        }
    }
}

impl Link {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Down { .. } => None,
            Self::Calling { socket, .. } | Self::Up(Connection { socket, .. }) => Some(socket.as_fd()),
        }
    }
}

impl Connection {
    fn new(socket: Socket) -> Self {
        let now = Instant::now();
        Self { socket, since: now, moved: now, full: false, answer: Vec::new() }
    }

    /// Sends until the collector takes no more or nothing is left; gives how many bytes that were.
    fn send(&mut self, queue: &mut Queue) -> io::Result<usize> {
        let mut total = 0;
        self.moved = Instant::now();
        while queue.has_unsent() {
            match self.socket.send(&queue.unsent())? {
                Sent::Bytes(count) => {
                    queue.sent(count);
                    total += count;
                }
                Sent::Record => {
                    total += 1;
                    queue.record_sent();
                }
                Sent::TooLong => queue.drop_first(),
                Sent::Nothing => {
                    self.full = true;
                    break;
                }
            }
        }
        Ok(total)
    }

    /// Reads what the collector says: acknowledgements, or what is of no interest. Gives how many were understood.
    fn hear(&mut self, queue: &mut Queue) -> io::Result<usize> {
        let mut answers = 0;
        while self.socket.receive(&mut self.answer)? {
            self.moved = Instant::now();
            if !queue.owes_answers() {
                self.answer.clear();
            }
            while let Some((name, used)) = fluentd::acknowledgement(&self.answer)? {
                queue.acknowledged(&name);
                self.answer.drain(..used);
                answers += 1;
            }
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests;
