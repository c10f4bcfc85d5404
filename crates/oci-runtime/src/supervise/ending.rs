//! How processes and the container end: reaping, draining the last output, the exit record, answers to
//! those who wait, and when the supervisor may leave.
//!
//! The order is the promise: output complete and in the log → container removed → exit record renamed
//! into place → socket removed → streams ended and waits answered → gone.

use std::time::Duration;

use rustix::process::{WaitOptions, WaitStatus};

use super::{
    clock,
    collector::Collector,
    connection::{Awaited, Connection, Role},
    process::{Kind, Supervised},
    protocol::{ExitRecord, Failure, FailureKind, Reply, Target},
    requests::never_ended,
    server::{INIT, Server},
    setup,
    stdin::Stdin,
};

/// When the first process has ended and others still hold its output open, they are killed after this time.
const KILL_AFTER: Duration = Duration::from_millis(500);
/// And after this time, what they might still write is given up.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);
/// How long a client that takes nothing of its output may hold up those who wait for the exit.
const WAIT_PATIENCE: Duration = Duration::from_secs(1);
/// How long such a client may hold up the supervisor's leaving.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a collector that is away may hold it up. Nobody waits for that: the end has been told, and the container may run
/// again under another supervisor.
const COLLECTOR_PATIENCE: Duration = Duration::from_secs(30);
/// How many ends of added processes are remembered.
const REMEMBERED: usize = 1000;

impl Server {
    /// Reaps whatever has ended: processes looked after, and orphans that nobody else would.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            if status.exited() || status.signaled() {
                self.hear_out(pid);
            }
            let found =
                self.processes.values_mut().find(|process| process.pid == pid && process.ended.is_none());
            if let (Some(process), Some(code)) = (found, exit_code(status)) {
                process.end(code, clock::now());
            }
        }
    }

    /// The program could not be started: the container ends with the exit code that says so.
    pub(super) fn fail_start(&mut self, failure: Failure) {
        if let Some(init) = self.processes.get_mut(&INIT) {
            init.end(failed_start_code(failure.kind), clock::now());
        }
        self.start_failure = Some(failure);
        self.remove_container();
    }

    /// Takes every end as far as it can go now.
    pub(super) fn advance_endings(&mut self) {
        let keys: Vec<u64> = self.processes.keys().copied().collect();
        for key in keys {
            self.advance_ending(key);
        }
        self.answer_waiting();
    }

    fn advance_ending(&mut self, key: u64) {
        let Some(process) = self.processes.get(&key) else { return };
        let Some(ended) = &process.ended else { return };
        let (since, drained, complete) = (ended.at.elapsed(), process.is_drained(), process.record.is_some());
        if complete {
            if key != INIT && drained {
                self.processes.remove(&key);
            }
            return;
        }
        if key == INIT && !drained && since >= KILL_AFTER {
            self.remove_container();
        }
        if drained || since >= DRAIN_PATIENCE {
            match key {
                INIT => self.end_container(),
                _ => self.end_added(key),
            }
        }
    }

    /// An added process has ended and its output is complete. Children of it that still write are
    /// read on, into nothing, so that they don't block.
    fn end_added(&mut self, key: u64) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let Some(record) = record(process, false, None) else { return };
        process.record = Some(record.clone());
        process.stdin = Stdin::none();
        if let Target::Exec(id) = &process.name {
            self.finished.push_back((key, id.clone(), record));
        }
        if self.finished.len() > REMEMBERED {
            self.finished.pop_front();
        }
        self.end_streams(|connection| connection.is_attached_to(key));
    }

    /// The first process has ended and its output is complete.
    fn end_container(&mut self) {
        self.end_output(INIT, Kind::Stdout);
        self.end_output(INIT, Kind::Stderr);
        self.flush_log();
        let oom_killed = self.remove_container();
        let Some(init) = self.processes.get_mut(&INIT) else { return };
        let Some(record) = record(init, oom_killed, self.start_failure.clone()) else { return };
        init.record = Some(record.clone());
        init.stdin = Stdin::none();
        self.held.clear();
        self.write_record(&record);
        self.stop_listening();
        self.ended_at = Some(std::time::Instant::now());
        self.end_streams(|connection| {
            connection.is_attached_to(INIT) || matches!(connection.role, Role::LogFollower)
        });
    }

    /// Kills what is left, removes cgroup and state, and says whether memory had run out. Once.
    fn remove_container(&mut self) -> bool {
        if let Some(oom_killed) = self.oom_killed {
            return oom_killed;
        }
        let oom_killed = self.driver.oom_killed();
        self.oom_killed = Some(oom_killed);
        self.turn_newcomers_away();
        if let Err(failure) = self.driver.delete() {
            eprintln!("remove container {}: {failure}", self.config.id);
        }
        oom_killed
    }

    fn write_record(&self, record: &ExitRecord) {
        let path = &self.config.exit_record;
        let written = serde_json::to_vec(record)
            .map_err(std::io::Error::from)
            .and_then(|json| setup::write_by_rename(path, &json));
        if let Err(error) = written {
            // Whoever waits is told all the same.
            eprintln!("write the exit record {}: {error}", path.display());
        }
    }

    /// Removes the socket, so that a successor may use its path, and takes in who has connected before.
    fn stop_listening(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.config.socket) {
            eprintln!("remove {}: {error}", self.config.socket.display());
        }
        self.accept();
        if let Some(listener) = self.listener.take() {
            self.reactor.forget(&listener);
        }
    }

    fn end_streams(&mut self, which: impl Fn(&Connection) -> bool) {
        self.connections.values_mut().filter(|connection| which(connection)).for_each(Connection::end);
    }

    /// Answers those whose wait is over, and serves what they have asked since.
    fn answer_waiting(&mut self) {
        let waiting = self.connections.iter().filter_map(|(key, connection)| match &connection.role {
            Role::Waiting(awaited) => Some((*key, awaited.clone())),
            _ => None,
        });
        let waiting: Vec<_> = waiting.collect();
        for (key, awaited) in waiting {
            let Some(reply) = self.awaited_reply(&awaited) else { continue };
            if let Some(connection) = self.connections.get_mut(&key) {
                connection.role = Role::Requests;
                connection.reply(&reply);
                self.serve_requests(key);
            }
        }
    }

    fn awaited_reply(&self, awaited: &Awaited) -> Option<Reply> {
        match awaited {
            Awaited::Newcomer => None,
            Awaited::FailedStart(failure) => self.ended_at.map(|_| Reply::Error(failure.clone())),
            Awaited::Exit(target) => match self.record_of(target) {
                Some((key, record)) => self.is_delivered(key).then(|| Reply::Exited(record.clone())),
                None if self.is_past_draining() => Some(never_ended()),
                None => None,
            },
        }
    }

    /// How a process ended, once its output is complete.
    pub(super) fn record_of(&self, target: &Target) -> Option<(u64, &ExitRecord)> {
        match target {
            Target::Init => Some((INIT, self.processes.get(&INIT)?.record.as_ref()?)),
            Target::Exec(wanted) => {
                let (key, _, record) = self.finished.iter().rev().find(|(_, id, _)| id == wanted)?;
                Some((*key, record))
            }
        }
    }

    /// Whether everybody attached to a process has its output, or does not take it.
    fn is_delivered(&self, key: u64) -> bool {
        let mut attached = self.connections.values().filter(|connection| connection.is_attached_to(key));
        attached.all(|connection| connection.is_delivered() || connection.is_stuck(WAIT_PATIENCE))
    }

    fn is_past_draining(&self) -> bool {
        self.ended_at.is_some_and(|at| at.elapsed() >= DRAIN_PATIENCE)
    }

    fn is_collected(&self) -> bool {
        self.collector.as_ref().is_none_or(Collector::is_settled)
    }

    /// Whether the container has ended and everybody has been told, or can't be.
    pub(super) fn may_leave(&self) -> bool {
        let settled = |connection: &Connection| {
            !connection.is_waiting() && (connection.is_delivered() || connection.is_stuck(LEAVE_PATIENCE))
        };
        let ended = |process: &Supervised| process.record.is_some();
        self.ended_at.is_some_and(|at| self.is_collected() || at.elapsed() >= COLLECTOR_PATIENCE)
            && (self.processes.values().all(ended) || self.is_past_draining())
            && self.connections.values().all(settled)
    }
}

fn record(process: &Supervised, oom_killed: bool, error: Option<Failure>) -> Option<ExitRecord> {
    let ended = process.ended.as_ref()?;
    let finished_at = ended.finished_at.clone();
    Some(ExitRecord { exit_code: ended.exit_code, finished_at, oom_killed, error })
}

/// The status that a shell would show; `None` for a process that was only stopped or continued.
fn exit_code(status: WaitStatus) -> Option<i32> {
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
}

/// The exit codes of shells for programs that can't be executed; 128 is Docker's for all else.
fn failed_start_code(kind: FailureKind) -> i32 {
    match kind {
        FailureKind::NotFound => 127,
        FailureKind::NotExecutable => 126,
        FailureKind::Invalid | FailureKind::NotRunning | FailureKind::Internal => 128,
    }
}
