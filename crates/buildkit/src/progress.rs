//! What a build tells while it goes on, kept from its beginning for whoever asks for its status, however late.
//!
//! The builder tells a [`Feed`] as its [`Progress`]; loading the client's files and writing to its disk are told by whoever
//! does it ([`Feed::step`]). Limits: [`LOG_LIMIT`] bytes of a step's output, [`ITEMS`] items in all.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use minke_build::{Event, Progress};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::grpc::Status;
use crate::pb::control::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use crate::pb::source::{Range, SourceInfo};

/// The most bytes of one step's output that are kept, as in BuildKit.
const LOG_LIMIT: usize = 2 * 1024 * 1024;
/// The most items that are kept.
const ITEMS: usize = 500_000;
/// The most bytes of output in one message, and items.
const BATCH: (usize, usize) = (256 * 1024, 1000);
/// How often a transfer tells how far it is.
const PACE: std::time::Duration = std::time::Duration::from_millis(100);

/// Begins the name of the step in which the Dockerfile is read.
pub(crate) const DEFINITION: &str = "[internal] load build definition";

enum Item {
    Vertex(Vertex),
    Status(VertexStatus),
    Log(VertexLog),
    Warning(VertexWarning),
}

/// What a build has told.
#[derive(Clone, Default)]
pub(crate) struct Feed(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    items: Vec<Item>,
    finished: bool,
    /// Bytes of output by vertex.
    logs: HashMap<String, usize>,
    /// The vertices as they are now.
    vertices: BTreeMap<String, Vertex>,
    warnings: Vec<VertexWarning>,
    steps: u64,
    source: Option<SourceInfo>,
    /// Whether warnings are the answer itself and not told beside it.
    collects: bool,
}

/// How many steps there are, and how many of them are done, and were there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) total: i32,
    pub(crate) completed: i32,
    pub(crate) cached: i32,
    pub(crate) warnings: i32,
}

impl Feed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: Item) {
        let mut state = self.state();
        match &item {
            Item::Vertex(vertex) => {
                state.vertices.insert(vertex.digest.clone(), vertex.clone());
            }
            Item::Warning(warning) => {
                state.warnings.push(warning.clone());
                if state.collects {
                    return;
                }
            }
            Item::Status(_) | Item::Log(_) => {}
        }
        // What ends something is always told.
        let matters = matches!(&item, Item::Vertex(_))
            || matches!(&item, Item::Status(status) if status.completed.is_some());
        if state.items.len() < ITEMS || matters {
            state.items.push(item);
        }
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Says which file the build is made of, for warnings and errors.
    pub(crate) fn set_source(&self, filename: &str, data: Bytes) {
        let info = SourceInfo { filename: filename.to_owned(), data, language: "Dockerfile".to_owned() };
        self.state().source = Some(info);
    }

    /// From now on warnings are collected and not told.
    pub(crate) fn collect_warnings(&self) {
        self.state().collects = true;
    }

    pub(crate) fn source(&self) -> Option<SourceInfo> {
        self.state().source.clone()
    }

    /// The vertex that failed.
    pub(crate) fn failed(&self) -> Option<String> {
        self.state()
            .vertices
            .values()
            .find(|vertex| !vertex.error.is_empty())
            .map(|vertex| vertex.digest.clone())
    }

    pub(crate) fn warnings(&self) -> Vec<VertexWarning> {
        self.state().warnings.clone()
    }

    /// A client's own warning.
    pub(crate) fn warn(&self, warning: VertexWarning) {
        self.push(Item::Warning(warning));
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state();
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let vertices = || state.vertices.values();
        Counts {
            total: count(vertices().count()),
            completed: count(vertices().filter(|vertex| vertex.completed.is_some()).count()),
            cached: count(vertices().filter(|vertex| vertex.cached).count()),
            warnings: count(state.warnings.len()),
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        let state = self.state();
        let text = state.items.iter().map(|item| match item {
            // Once more among the vertices as they are now.
            Item::Vertex(vertex) => 2 * (vertex.digest.len() + vertex.name.len() + vertex.error.len()),
            Item::Log(log) => log.vertex.len() + log.msg.len(),
            Item::Status(status) => status.vertex.len() + status.id.len() + status.name.len(),
            Item::Warning(warning) => 2 * warning.detail.iter().map(Bytes::len).sum::<usize>(),
        });
        text.sum::<usize>() + state.items.len() * size_of::<Item>()
    }

    /// Nothing more will be told.
    pub(crate) fn finish(&self) {
        self.state().finished = true;
        self.0.changed.notify_waiters();
    }

    /// All that was told, and what will be.
    pub(crate) fn follow(&self) -> impl Stream<Item = Result<StatusResponse, Status>> + Send + use<> {
        stream::unfold((self.clone(), 0), |(feed, mut next)| async move {
            loop {
                let changed = feed.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(batch) = feed.state().batch(&mut next) {
                    return batch.map(|batch| (Ok(batch), (feed.clone(), next)));
                }
                changed.await;
            }
        })
    }

    /// Joins the builder's own step of this title, if it is at it; else begins one.
    pub(crate) fn join(&self, title: &str) -> Step {
        let found = self
            .state()
            .vertices
            .values()
            .find(|vertex| vertex.name == title && vertex.completed.is_none())
            .cloned();
        match found {
            // Its end is told by the builder.
            Some(vertex) => Step { feed: self.clone(), vertex, ended: true },
            None => self.step(title),
        }
    }

    fn vertex_of(&self, name: &str) -> Option<String> {
        let state = self.state();
        state.vertices.values().find(|vertex| vertex.name == name).map(|vertex| vertex.digest.clone())
    }

    /// Begins a step of the protocol's own.
    pub(crate) fn step(&self, title: &str) -> Step {
        let number = {
            let mut state = self.state();
            state.steps += 1;
            state.steps
        };
        let hash = Sha256::digest(format!("{number} {title}"));
        let digest = hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"));
        let vertex = Vertex {
            digest,
            name: title.to_owned(),
            started: Some(SystemTime::now().into()),
            ..Vertex::default()
        };
        self.push(Item::Vertex(vertex.clone()));
        Step { feed: self.clone(), vertex, ended: false }
    }

    /// Begins to tell how far something in a step is.
    pub(crate) fn status(&self, step: &Step, action: &str, id: &str) -> Transfer {
        let now = Some(SystemTime::now().into());
        let status = VertexStatus {
            id: id.to_owned(),
            vertex: step.vertex.digest.clone(),
            name: action.to_owned(),
            timestamp: now,
            started: now,
            ..VertexStatus::default()
        };
        Transfer { feed: self.clone(), state: Mutex::new((status, Instant::now())) }
    }
}

impl State {
    /// The next items; `None` when there are none yet, `Some(None)` when there will be none.
    fn batch(&self, next: &mut usize) -> Option<Option<StatusResponse>> {
        if *next >= self.items.len() {
            return self.finished.then_some(None);
        }
        let (mut batch, mut bytes) = (StatusResponse::default(), 0);
        for item in self.items[*next..].iter().take(BATCH.1) {
            match item {
                Item::Vertex(vertex) => batch.vertexes.push(vertex.clone()),
                Item::Status(status) => batch.statuses.push(status.clone()),
                Item::Log(log) => {
                    bytes += log.msg.len();
                    batch.logs.push(log.clone());
                }
                Item::Warning(warning) => batch.warnings.push(warning.clone()),
            }
            *next += 1;
            if bytes >= BATCH.0 {
                break;
            }
        }
        Some(Some(batch))
    }

    /// As much of a step's output as is kept.
    fn clip(&mut self, vertex: &str, bytes: Vec<u8>) -> Option<Bytes> {
        let so_far = self.logs.entry(vertex.to_owned()).or_default();
        let before = *so_far;
        *so_far = so_far.saturating_add(bytes.len());
        match () {
            () if before > LOG_LIMIT => None,
            () if *so_far > LOG_LIMIT => {
                let mut kept = bytes;
                kept.truncate(LOG_LIMIT - before);
                kept.extend_from_slice(b"\n[output clipped, log limit 2MiB reached]\n");
                Some(kept.into())
            }
            () => Some(bytes.into()),
        }
    }
}

impl Progress for Feed {
    fn event(&self, event: Event) {
        match event {
            Event::Vertex(vertex) => self.push(Item::Vertex(Vertex {
                digest: vertex.digest.to_string(),
                inputs: vertex.inputs.iter().map(ToString::to_string).collect(),
                name: vertex.name,
                cached: vertex.cached,
                started: vertex.started.map(Into::into),
                completed: vertex.completed.map(Into::into),
                error: vertex.error,
            })),
            Event::Log { vertex, stream, bytes, time } => {
                let vertex = vertex.to_string();
                let Some(msg) = self.state().clip(&vertex, bytes) else { return };
                self.push(Item::Log(VertexLog {
                    vertex,
                    timestamp: Some(time.into()),
                    stream: stream as i64,
                    msg,
                }));
            }
            Event::Status(status) => self.push(Item::Status(VertexStatus {
                id: status.id,
                vertex: status.vertex.to_string(),
                name: status.name,
                current: i64::try_from(status.current).unwrap_or(i64::MAX),
                total: i64::try_from(status.total).unwrap_or(i64::MAX),
                timestamp: Some(status.time.into()),
                started: status.started.map(Into::into),
                completed: status.completed.map(Into::into),
            })),
            Event::Warning(warning) => {
                let info = self.source();
                let read = self.vertex_of(&format!("{DEFINITION} from {}", warning.file));
                self.push(Item::Warning(VertexWarning {
                    // Where the Dockerfile was read here, the builder has no step for that.
                    vertex: read.unwrap_or_else(|| warning.vertex.to_string()),
                    level: warning.level.into(),
                    short: warning.short.into(),
                    detail: warning.detail.into_iter().map(Bytes::from).collect(),
                    url: warning.url,
                    info,
                    ranges: warning.lines.into_iter().map(|(start, end)| Range::lines(start, end)).collect(),
                }));
            }
        }
    }
}

/// A step of the protocol's own. What is dropped without an end was cancelled.
pub(crate) struct Step {
    feed: Feed,
    vertex: Vertex,
    ended: bool,
}

impl Step {
    pub(crate) fn done(self) {
        self.end("");
    }

    pub(crate) fn failed(self, error: &str) {
        self.end(error);
    }

    fn end(mut self, error: &str) {
        if !self.ended {
            self.ended = true;
            self.tell(error);
        }
    }

    fn tell(&mut self, error: &str) {
        self.vertex.completed = Some(SystemTime::now().into());
        error.clone_into(&mut self.vertex.error);
        self.feed.push(Item::Vertex(self.vertex.clone()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.tell("context canceled");
        }
    }
}

/// How far something in a step is.
pub(crate) struct Transfer {
    feed: Feed,
    state: Mutex<(VertexStatus, Instant)>,
}

impl Transfer {
    /// It is at so many bytes.
    pub(crate) fn at(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.current = i64::try_from(bytes).unwrap_or(i64::MAX);
        if state.1.elapsed() >= PACE {
            state.1 = Instant::now();
            state.0.timestamp = Some(SystemTime::now().into());
            self.feed.push(Item::Status(state.0.clone()));
        }
    }

    /// It is complete.
    pub(crate) fn done(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Some(SystemTime::now().into());
        state.0.timestamp = now;
        state.0.completed = now;
        self.feed.push(Item::Status(state.0.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use minke_build::LogStream;

    fn log(feed: &Feed, bytes: usize) {
        let vertex = minke_model::Digest::from_bytes([7; 32]);
        let time = time::OffsetDateTime::UNIX_EPOCH;
        feed.event(Event::Log { vertex, stream: LogStream::Stderr, bytes: vec![b'.'; bytes], time });
    }

    #[tokio::test]
    async fn whoever_comes_late_is_told_all_and_then_the_end() {
        let feed = Feed::default();
        let step = feed.step("[internal] a");
        let transfer = feed.status(&step, "transferring", "transferring context:");
        transfer.at(12);
        transfer.done();
        step.done();
        feed.finish();
        let all: Vec<_> = feed.follow().map(|batch| batch.unwrap()).collect().await;
        assert_eq!((all[0].vertexes.len(), all[0].statuses.len()), (2, 1));
        assert_eq!(all[0].statuses[0].current, 12);
        assert!(all[0].vertexes[1].completed.is_some());
        assert_eq!(feed.counts(), Counts { total: 1, completed: 1, ..Counts::default() });
    }

    #[tokio::test]
    async fn an_endless_log_is_clipped() {
        let feed = Feed::default();
        (0..40).for_each(|_| log(&feed, 100_000));
        feed.finish();
        let all: Vec<_> = feed.follow().map(|batch| batch.unwrap()).collect().await;
        let logs: Vec<_> = all.iter().flat_map(|batch| &batch.logs).collect();
        let bytes: usize = logs.iter().map(|log| log.msg.len()).sum();
        assert!((LOG_LIMIT..LOG_LIMIT + 100).contains(&bytes), "{bytes}");
        assert!(logs.last().unwrap().msg.ends_with(b"reached]\n"));
        assert!(all.len() > 5, "in several messages");
    }

    #[test]
    fn a_step_of_the_builders_is_joined_while_it_goes_on() {
        let feed = Feed::default();
        let own = feed.step("load");
        feed.join("load").done();
        assert_eq!(feed.counts(), Counts { total: 1, ..Counts::default() });
        own.done();
        feed.join("load").done();
        assert_eq!(feed.counts(), Counts { total: 2, completed: 2, ..Counts::default() });
    }

    #[test]
    fn a_step_that_nobody_ended_was_cancelled() {
        let feed = Feed::default();
        drop(feed.step("a"));
        assert!(feed.failed().is_some());
    }
}
