//! A build as a tree of rows: what is known of it, from its events on. Nothing here knows a clock or a terminal.

mod rows;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use minke_build_client::{BuildEvent, Log, Status, Vertex};

/// No build has more vertices that are worth a row, nor a vertex more transfers: what an engine says is bounded.
const MOST_VERTICES: usize = 10_000;
const MOST_TRANSFERS: usize = 1_000;
/// Warnings that are kept.
const MOST_WARNINGS: usize = 1_000;
/// Lines of a step's log that are kept.
const TAIL: usize = 20;
/// A line longer than this is taken in pieces.
const LONGEST: usize = 16 << 10;

/// All that was told so far. Times are those since the build began, by the clock of the one who watches.
#[derive(Debug, Default)]
pub(super) struct Tree {
    vertices: Vec<Step>,
    places: HashMap<String, usize>,
    /// Those that have begun, in that order.
    begun: Vec<usize>,
    /// Each once, in the order that they came.
    warnings: Vec<String>,
}

/// How a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Running,
    Done,
    Failed,
}

/// A vertex.
#[derive(Debug, Default)]
struct Step {
    name: String,
    began: Option<Duration>,
    /// How long it took, once it is done.
    took: Option<Duration>,
    cached: bool,
    error: String,
    transfers: Vec<Transfer>,
    tail: VecDeque<String>,
    rest: Vec<u8>,
}

/// Something within a vertex.
#[derive(Debug, Default)]
struct Transfer {
    id: String,
    current: u64,
    total: u64,
    began: Duration,
    done: bool,
}

impl Step {
    fn is_running(&self) -> bool {
        self.began.is_some() && self.took.is_none()
    }

    fn line(&mut self, bytes: &[u8]) {
        self.tail.push_back(String::from_utf8_lossy(bytes).into_owned());
        if self.tail.len() > TAIL {
            self.tail.pop_front();
        }
    }
}

impl Tree {
    /// Takes what happened.
    pub(super) fn event(&mut self, event: &BuildEvent, now: Duration) {
        match event {
            BuildEvent::Vertex(vertex) => self.vertex(vertex, now),
            BuildEvent::Status(status) => self.status(status, now),
            BuildEvent::Log(log) => self.log(log),
            BuildEvent::Warning(warning) => self.warning(&warning.short),
        }
    }

    /// A lint tells the same of a line once for each step that it becomes.
    fn warning(&mut self, text: &str) {
        if self.warnings.len() < MOST_WARNINGS && !self.warnings.iter().any(|known| known == text) {
            self.warnings.push(text.to_owned());
        }
    }

    /// What is to be said below the tree, in whole lines.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    /// The vertex of that digest; none where there are too many.
    fn step(&mut self, digest: &str) -> Option<usize> {
        if let Some(at) = self.places.get(digest) {
            return Some(*at);
        }
        let at = self.vertices.len();
        if at == MOST_VERTICES {
            return None;
        }
        self.vertices.push(Step::default());
        self.places.insert(digest.to_owned(), at);
        Some(at)
    }

    fn vertex(&mut self, told: &Vertex, now: Duration) {
        let Some(at) = self.step(&told.digest) else { return };
        let step = &mut self.vertices[at];
        told.name.clone_into(&mut step.name);
        told.error.clone_into(&mut step.error);
        step.cached = told.cached;
        if told.started.is_none() && told.completed.is_none() {
            return;
        }
        if step.began.is_none() {
            step.began = Some(now);
            self.begun.push(at);
        }
        let took = match (told.started, told.completed) {
            // The engine's own clock, where it tells both.
            (Some(started), Some(completed)) => Duration::try_from(completed - started).ok(),
            (None, Some(_)) => step.began.map(|began| now.saturating_sub(began)),
            (_, None) => None,
        };
        step.took = took.or(told.completed.map(|_| Duration::ZERO));
    }

    fn status(&mut self, told: &Status, now: Duration) {
        let Some(at) = self.step(&told.vertex) else { return };
        let transfers = &mut self.vertices[at].transfers;
        let known = transfers.iter().position(|transfer| transfer.id == told.id);
        let at = match known {
            Some(at) => at,
            None if transfers.len() == MOST_TRANSFERS => return,
            None => {
                transfers.push(Transfer { id: told.id.clone(), began: now, ..Transfer::default() });
                transfers.len() - 1
            }
        };
        let transfer = &mut transfers[at];
        (transfer.current, transfer.total) = (told.current, told.total);
        transfer.done = told.completed.is_some();
    }

    fn log(&mut self, told: &Log) {
        let Some(at) = self.step(&told.vertex) else { return };
        let step = &mut self.vertices[at];
        for part in told.data.split_inclusive(|byte| *byte == b'\n') {
            step.rest.extend_from_slice(part);
            if part.ends_with(b"\n") || step.rest.len() > LONGEST {
                let line = std::mem::take(&mut step.rest);
                step.line(line.strip_suffix(b"\n").unwrap_or(&line));
            }
        }
    }

    /// The steps that failed, with the end of what they said.
    pub(super) fn failed(&self) -> impl Iterator<Item = (&str, &VecDeque<String>)> {
        let failed = self.vertices.iter().filter(|step| !step.error.is_empty() && !step.tail.is_empty());
        failed.map(|step| (step.name.as_str(), &step.tail))
    }
}
