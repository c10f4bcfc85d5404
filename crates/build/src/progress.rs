//! What is told while a build goes on: BuildKit's vocabulary (`StatusResponse`), with what the classic stream needs besides.

use std::sync::{Arc, Mutex, PoisonError};

use minke_model::Digest;
use time::OffsetDateTime;

use crate::BuildError;

/// Is told what happens, in order. Must not block: who is slow buffers or drops.
pub trait Progress: Send + Sync {
    /// Something has happened.
    fn event(&self, event: Event);
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A vertex, complete as it is now; a later one of the same digest replaces it.
    Vertex(Vertex),
    /// Output of a step.
    Log {
        /// Whose.
        vertex: Digest,
        /// Which stream.
        stream: LogStream,
        /// The bytes, not always whole lines.
        bytes: Vec<u8>,
        /// When.
        time: OffsetDateTime,
    },
    /// How far something within a vertex is: a transfer, an export.
    Status(Status),
    /// A lint.
    Warning(Warning),
}

/// Which of a process's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// What names it within the build.
    pub digest: Digest,
    /// The vertices that it needs.
    pub inputs: Vec<Digest>,
    /// `[build 2/4] RUN make`.
    pub name: String,
    /// When it began.
    pub started: Option<OffsetDateTime>,
    /// When it ended.
    pub completed: Option<OffsetDateTime>,
    /// Whether its result was there.
    pub cached: bool,
    /// Why it failed.
    pub error: String,
    /// The instruction it stands for; `None` for the builder's own (loading the context, exporting).
    pub step: Option<Step>,
}

/// An instruction of the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its place among the instructions of all stages that are built, from 1.
    pub number: usize,
    /// How many those are.
    pub total: usize,
    /// The instruction as the classic builder shows it: `RUN make`.
    pub text: String,
    /// The image that it made, once it is complete: the digest of the configuration so far.
    pub image: Option<Digest>,
}

/// How far something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What names it within its vertex.
    pub id: String,
    /// Whose it is.
    pub vertex: Digest,
    /// What is going on: `transferring`, `extracting`; may be empty.
    pub name: String,
    /// Bytes so far.
    pub current: u64,
    /// Of how many; 0 when unknown.
    pub total: u64,
    /// When this was so.
    pub time: OffsetDateTime,
    /// When it began.
    pub started: Option<OffsetDateTime>,
    /// When it ended.
    pub completed: Option<OffsetDateTime>,
}

/// What a lint found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Whose it is.
    pub vertex: Digest,
    /// Severity, 1 for all lints.
    pub level: u8,
    /// The rule and what it found in one line.
    pub short: String,
    /// More lines.
    pub detail: Vec<String>,
    /// Where to read about the rule.
    pub url: String,
    /// The file.
    pub file: String,
    /// The lines that it is about, first and last, from 1.
    pub lines: Vec<(u32, u32)>,
}

/// A vertex that is being worked on: tells its progress whenever it changes.
#[derive(Clone)]
pub(crate) struct Node {
    progress: Arc<dyn Progress>,
    vertex: Arc<Mutex<Vertex>>,
}

impl Node {
    /// One of the builder's own.
    pub(crate) fn new(progress: &Arc<dyn Progress>, digest: Digest, name: String) -> Self {
        Self::of(
            progress,
            Vertex {
                digest,
                inputs: Vec::new(),
                name,
                started: None,
                completed: None,
                cached: false,
                error: String::new(),
                step: None,
            },
        )
    }

    pub(crate) fn of(progress: &Arc<dyn Progress>, vertex: Vertex) -> Self {
        progress.event(Event::Vertex(vertex.clone()));
        Self { progress: Arc::clone(progress), vertex: Arc::new(Mutex::new(vertex)) }
    }

    pub(crate) fn digest(&self) -> Digest {
        self.vertex.lock().unwrap_or_else(PoisonError::into_inner).digest
    }

    fn change(&self, change: impl FnOnce(&mut Vertex)) {
        let mut vertex = self.vertex.lock().unwrap_or_else(PoisonError::into_inner);
        let before = vertex.clone();
        change(&mut vertex);
        if *vertex != before {
            self.progress.event(Event::Vertex(vertex.clone()));
        }
    }

    pub(crate) fn start(&self) {
        self.change(|vertex| {
            vertex.started.get_or_insert_with(OffsetDateTime::now_utc);
        });
    }

    /// It is done; `image` is the name of what it made.
    pub(crate) fn done(&self, cached: bool, image: Option<Digest>) {
        self.change(|vertex| {
            if vertex.completed.is_some() {
                return;
            }
            let now = OffsetDateTime::now_utc();
            vertex.started.get_or_insert(now);
            vertex.completed = Some(now);
            vertex.cached = cached;
            if let Some(step) = &mut vertex.step {
                step.image = image;
            }
        });
    }

    pub(crate) fn end(&self, error: Option<&BuildError>) {
        match error {
            None => self.done(false, None),
            Some(error) => self.change(|vertex| {
                vertex.started.get_or_insert_with(OffsetDateTime::now_utc);
                vertex.completed = Some(OffsetDateTime::now_utc());
                vertex.error = error.to_string();
            }),
        }
    }

    pub(crate) fn log(&self, stream: LogStream, bytes: &[u8]) {
        let time = OffsetDateTime::now_utc();
        self.progress.event(Event::Log { vertex: self.digest(), stream, bytes: bytes.to_vec(), time });
    }
}

/// How often a transfer tells how far it is.
const PACE: std::time::Duration = std::time::Duration::from_millis(100);

/// How far something within a vertex is. Clones are the same.
#[derive(Clone)]
pub(crate) struct Transfer {
    node: Node,
    state: Arc<Mutex<(Status, std::time::Instant)>>,
}

impl Node {
    /// Begins to tell how far something in it is.
    pub(crate) fn transfer(&self, id: &str, name: &str, total: u64) -> Transfer {
        let now = OffsetDateTime::now_utc();
        let status = Status {
            id: id.to_owned(),
            vertex: self.digest(),
            name: name.to_owned(),
            current: 0,
            total,
            time: now,
            started: Some(now),
            completed: None,
        };
        self.progress.event(Event::Status(status.clone()));
        Transfer { node: self.clone(), state: Arc::new(Mutex::new((status, std::time::Instant::now()))) }
    }
}

impl Node {
    /// Tells of something in it that is done.
    pub(crate) fn told(&self, what: &str) {
        self.transfer(what, "", 0).done();
    }
}

impl Transfer {
    /// It is at so many bytes.
    pub(crate) fn at(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.current = bytes;
        if state.1.elapsed() >= PACE {
            state.1 = std::time::Instant::now();
            state.0.time = OffsetDateTime::now_utc();
            self.node.progress.event(Event::Status(state.0.clone()));
        }
    }

    /// It is complete.
    pub(crate) fn done(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = OffsetDateTime::now_utc();
        state.0.current = state.0.total;
        (state.0.time, state.0.completed) = (now, Some(now));
        self.node.progress.event(Event::Status(state.0.clone()));
    }
}
