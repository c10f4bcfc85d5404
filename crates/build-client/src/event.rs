//! What happens in a build, as its display is told: BuildKit's vocabulary, whichever way the build takes.

mod json;
mod trace;
pub(crate) mod wire;

use bytes::Bytes;
use time::OffsetDateTime;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum BuildEvent {
    /// A vertex, complete as it is now; a later one of the same digest replaces it.
    Vertex(Vertex),
    /// How far something within a vertex is; a later one of the same vertex and id replaces it.
    Status(Status),
    /// Output of a step.
    Log(Log),
    /// What a lint found.
    Warning(Warning),
}

/// A node of the graph: a step of the Dockerfile, or something that the builder does itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vertex {
    /// What names it within the build.
    pub digest: String,
    /// `[build 2/4] RUN make`.
    pub name: String,
    /// The digests of the vertices that it needs.
    pub inputs: Vec<String>,
    /// Whether its result was there.
    pub cached: bool,
    /// When it began; `None` while it waits.
    pub started: Option<OffsetDateTime>,
    /// When it ended.
    pub completed: Option<OffsetDateTime>,
    /// Why it failed; empty when it didn't.
    pub error: String,
}

/// How far something within a vertex is: a transfer, a layer that is extracted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The digest of the vertex.
    pub vertex: String,
    /// What names it within its vertex, and what is shown: `transferring context:`.
    pub id: String,
    /// What is going on: `transferring`, `extracting`; may be empty.
    pub name: String,
    /// Bytes so far.
    pub current: u64,
    /// Of how many; 0 when unknown.
    pub total: u64,
    /// When this was so.
    pub time: Option<OffsetDateTime>,
    /// When it began.
    pub started: Option<OffsetDateTime>,
    /// When it ended.
    pub completed: Option<OffsetDateTime>,
}

/// Output of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The digest of the vertex.
    pub vertex: String,
    /// Which of its streams.
    pub stream: LogStream,
    /// The bytes, not always whole lines, and as hostile as the program that wrote them.
    pub data: Bytes,
    /// When.
    pub time: Option<OffsetDateTime>,
}

/// Which of a process's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
}

/// What a lint found, or what an engine wants noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warning {
    /// The digest of the vertex.
    pub vertex: String,
    /// Severity, 1 for all lints.
    pub level: i64,
    /// The rule and what it found in one line.
    pub short: String,
    /// More lines.
    pub detail: Vec<String>,
    /// Where to read about the rule; may be empty.
    pub url: String,
    /// The file that it is about.
    pub source: Option<Source>,
    /// The lines that it is about, first and last, from 1.
    pub lines: Vec<(u32, u32)>,
}

/// A file that a warning is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// Its name, as the build knows it.
    pub name: String,
    /// All of it; empty when the engine doesn't send it.
    pub text: Bytes,
}
