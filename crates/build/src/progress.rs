//! What is told while a build goes on: BuildKit's vocabulary (`StatusResponse`), with what the classic stream needs besides.

use minke_model::Digest;
use time::OffsetDateTime;

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
