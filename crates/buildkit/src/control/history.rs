//! The builds that were, for `docker buildx history` and for clients that look theirs up.
//!
//! Kept in memory, the last [`KEPT`] and those that are pinned; of what they told, the newest [`TOLD`] bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use minke_build::ToldProvenance;
use minke_model::Digest;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Sender};

use crate::builds::Build;
use crate::frontend::outputs;
use crate::grpc::{Code, Status};
use crate::pb::history::{
    BuildHistoryEvent, BuildHistoryRecord, BuildHistoryRequest, BuildResultInfo, Descriptor, EventKind,
    UpdateBuildHistoryRequest,
};
use crate::progress::Feed;

/// How many builds are remembered.
const KEPT: usize = 50;
/// How many bytes of what builds told are remembered.
const TOLD: usize = 8 << 20;
/// How many if they are the last build's alone.
const TOLD_BY_ONE: usize = 4 * TOLD;
/// Attributes longer than this aren't.
const ATTRIBUTE: usize = 4096;
/// The most bytes of one thing that a record leads to.
const CONTENT: usize = 1 << 20;
/// And of all.
const CONTENTS: usize = 8 << 20;

/// The type of an error with all its details, as BuildKit writes it.
const STATUS: &str = "application/vnd.googeapis.google.rpc.status+proto";
/// The type of provenance.
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What says which form it has.
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// The builds of an engine.
#[derive(Clone)]
pub(crate) struct History {
    records: Arc<Mutex<VecDeque<Kept>>>,
    events: Sender<BuildHistoryEvent>,
}

impl Default for History {
    fn default() -> Self {
        Self { records: Arc::default(), events: broadcast::channel(64).0 }
    }
}

/// A build that is remembered.
struct Kept {
    record: BuildHistoryRecord,
    /// What it told, unless others have told more since.
    feed: Option<Feed>,
    /// What the record leads to, by its digest.
    contents: Vec<(String, Bytes)>,
}

/// A build that will be remembered.
pub(crate) struct Record {
    history: History,
    reference: String,
    feed: Feed,
    ended: bool,
}

impl History {
    fn records(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a build told, as far as that is remembered.
    pub(crate) fn told(&self, reference: &str) -> Option<Feed> {
        let records = self.records();
        records.iter().find(|kept| kept.record.reference == reference)?.feed.clone()
    }

    /// What a record leads to.
    pub(crate) fn content(&self, digest: &str) -> Option<Bytes> {
        let records = self.records();
        let mut all = records.iter().flat_map(|kept| &kept.contents);
        all.find(|(known, _)| known == digest).map(|(_, content)| content.clone())
    }

    /// Begins to remember a build, unless its client said that it is none of interest.
    pub(crate) fn begin(&self, build: &Build) -> Record {
        let request = &build.request;
        let record = BuildHistoryRecord {
            reference: request.reference.clone(),
            frontend: request.frontend.clone(),
            frontend_attrs: short(&request.frontend_attrs),
            exporters: outputs::exporters(request),
            created_at: Some(SystemTime::now().into()),
            generation: 1,
            ..BuildHistoryRecord::default()
        };
        let mut records = self.records();
        if !request.internal {
            records.push_back(Kept {
                record: record.clone(),
                feed: Some(build.feed.clone()),
                contents: Vec::new(),
            });
            while records.len() > KEPT {
                let Some(oldest) = records
                    .iter()
                    .position(|Kept { record, .. }| !record.pinned && record.completed_at.is_some())
                else {
                    break;
                };
                records.remove(oldest);
            }
        }
        drop(records);
        if !request.internal {
            self.tell(EventKind::Started, record);
        }
        Record {
            history: self.clone(),
            reference: request.reference.clone(),
            feed: build.feed.clone(),
            ended: false,
        }
    }

    fn tell(&self, kind: EventKind, record: BuildHistoryRecord) {
        // Nobody may be listening.
        let _ = self.events.send(BuildHistoryEvent { kind: kind as i32, record: Some(record) });
    }

    /// `UpdateBuildHistory`: pins, or forgets.
    ///
    /// # Errors
    /// When there is no such build.
    pub(crate) fn update(&self, request: &UpdateBuildHistoryRequest) -> Result<(), Status> {
        let mut records = self.records();
        let found = records.iter().position(|kept| kept.record.reference == request.reference);
        let missing = || Status::new(Code::NotFound, format!("no record of the build {}", request.reference));
        let position = found.ok_or_else(missing)?;
        if request.finalize {
            return Ok(());
        }
        let Some(Kept { record, .. }) = records.get_mut(position) else { return Err(missing()) };
        record.pinned = request.pinned;
        record.generation += 1;
        if !request.delete {
            return Ok(());
        }
        let kept = records.remove(position);
        drop(records);
        if let Some(Kept { record, .. }) = kept {
            self.tell(EventKind::Deleted, record);
        }
        Ok(())
    }
}

impl Record {
    /// The build ended, and this is how its result came about.
    pub(crate) fn end(
        mut self,
        outcome: &Result<BTreeMap<String, String>, Status>,
        provenance: &[ToldProvenance],
    ) {
        self.set(outcome.as_ref(), provenance);
    }

    fn set(&mut self, outcome: Result<&BTreeMap<String, String>, &Status>, provenance: &[ToldProvenance]) {
        self.ended = true;
        let counts = self.feed.counts();
        let mut records = self.history.records();
        let found = records.iter_mut().find(|kept| kept.record.reference == self.reference);
        let Some(Kept { record, contents, .. }) = found else { return };
        match outcome {
            Ok(response) => record.exporter_response = short(response),
            Err(status) => {
                record.error = Some(Status { details: Vec::new(), ..status.clone() }.to_message());
                let whole = Bytes::from(status.to_message().encode_to_vec());
                record.external_error = keep(contents, STATUS, whole);
            }
        }
        for told in provenance {
            let Some(content) = keep(contents, IN_TOTO, Bytes::from(told.json.clone())) else { continue };
            let annotations = BTreeMap::from([(PREDICATE_TYPE.to_owned(), told.kind.clone())]);
            let result = BuildResultInfo { attestations: vec![Descriptor { annotations, ..content }] };
            match told.platform.is_empty() {
                true => record.result = Some(result),
                false => drop(record.results.insert(told.platform.clone(), result)),
            }
        }
        record.completed_at = Some(SystemTime::now().into());
        (record.total_steps, record.completed_steps) = (counts.total, counts.completed);
        (record.cached_steps, record.warnings) = (counts.cached, counts.warnings);
        record.generation += 1;
        let record = record.clone();
        forget_the_oldest(&mut records);
        drop(records);
        self.history.tell(EventKind::Complete, record);
    }
}

/// Keeps what a record leads to, unless it is too large.
fn keep(contents: &mut Vec<(String, Bytes)>, media_type: &str, content: Bytes) -> Option<Descriptor> {
    if content.len() > CONTENT {
        return None;
    }
    let digest = Digest::from_bytes(Sha256::digest(&content).into()).to_string();
    let size = i64::try_from(content.len()).unwrap_or(i64::MAX);
    contents.push((digest.clone(), content));
    Some(Descriptor { media_type: media_type.to_owned(), digest, size, annotations: BTreeMap::new() })
}

/// Of what builds told, and of what their records lead to, keeps as much as there is room for.
fn forget_the_oldest(records: &mut VecDeque<Kept>) {
    let (mut room, mut room_of_contents) = (TOLD, CONTENTS);
    for kept in records.iter_mut().rev() {
        let size: usize = kept.contents.iter().map(|(_, content)| content.len()).sum();
        if size > room_of_contents {
            kept.contents.clear();
            (kept.record.result, kept.record.external_error) = (None, None);
            kept.record.results.clear();
        }
        room_of_contents = room_of_contents.saturating_sub(size);
        let Some(feed) = kept.feed.as_ref().filter(|_| kept.record.completed_at.is_some()) else { continue };
        let size = feed.size();
        if size > if room == TOLD { TOLD_BY_ONE } else { room } {
            kept.feed = None;
        }
        room = room.saturating_sub(size);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            self.set(Err(&Status::new(Code::Canceled, "context canceled")), &[]);
        }
    }
}

/// What time it is here: clients tell from it how long builds have been running.
pub(crate) fn now() -> HeaderMap {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let value = HeaderValue::from_str(&now).ok();
    value.map(|value| (HeaderName::from_static("buildkit-current-timestamp"), value)).into_iter().collect()
}

/// `ListenBuildHistory`: what there is, and what comes.
pub(crate) fn listen(
    history: &History,
    request: BuildHistoryRequest,
) -> impl Stream<Item = Result<BuildHistoryEvent, Status>> + Send + use<> {
    let events = history.events.subscribe();
    let mut known: VecDeque<_> = history
        .records()
        .iter()
        .map(|kept| &kept.record)
        .filter(|record| wanted(record, &request))
        .map(event)
        .collect();
    if let Some(limit) = usize::try_from(request.limit).ok().filter(|limit| *limit > 0) {
        known.drain(..known.len().saturating_sub(limit));
    }
    stream::unfold((known, events, request), |(mut known, mut events, request)| async move {
        loop {
            if let Some(event) = known.pop_front() {
                return Some((Ok(event), (known, events, request)));
            }
            if request.early_exit {
                return None;
            }
            match events.recv().await {
                Ok(event) if event.record.as_ref().is_some_and(|record| wanted(record, &request)) => {
                    known.push_back(event);
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

fn wanted(record: &BuildHistoryRecord, request: &BuildHistoryRequest) -> bool {
    (request.reference.is_empty() || request.reference == record.reference)
        && (!request.active_only || record.completed_at.is_none())
}

fn event(record: &BuildHistoryRecord) -> BuildHistoryEvent {
    let kind = if record.completed_at.is_some() { EventKind::Complete } else { EventKind::Started };
    BuildHistoryEvent { kind: kind as i32, record: Some(record.clone()) }
}

fn short(attributes: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let short = attributes.iter().filter(|(_, value)| value.len() <= ATTRIBUTE);
    short.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builds::Builds;
    use crate::pb::control::SolveRequest;
    use futures_util::StreamExt;

    async fn list(history: &History) -> Vec<BuildHistoryRecord> {
        let request = BuildHistoryRequest { early_exit: true, ..BuildHistoryRequest::default() };
        listen(history, request).map(|event| event.unwrap().record.unwrap()).collect().await
    }

    fn build(history: &History, reference: &str) {
        let request = SolveRequest { reference: reference.into(), ..SolveRequest::default() };
        let running = Builds::default().begin(request, None).unwrap();
        history.begin(&running.build).end(&Ok(BTreeMap::new()), &[]);
    }

    #[tokio::test]
    async fn builds_are_remembered_pinned_and_forgotten() {
        let history = History::default();
        build(&history, "first");
        let pin = UpdateBuildHistoryRequest { reference: "first".into(), pinned: true, ..Default::default() };
        history.update(&pin).unwrap();
        for number in 0..60 {
            build(&history, &number.to_string());
        }
        let records = list(&history).await;
        assert_eq!((records.len(), &*records[0].reference), (KEPT, "first"));
        assert!(history.told("first").is_some() && history.told("0").is_none());
        history.update(&UpdateBuildHistoryRequest { delete: true, ..pin.clone() }).unwrap();
        assert!(history.update(&pin).is_err());
    }

    #[tokio::test]
    async fn of_what_builds_told_there_is_a_limited_memory() {
        let history = History::default();
        for reference in ["long ago", "large", "last"] {
            let request = SolveRequest { reference: reference.into(), ..SolveRequest::default() };
            let running = Builds::default().begin(request, None).unwrap();
            let record = history.begin(&running.build);
            let steps = if reference == "large" { TOLD / "x".len() } else { 1 };
            running.build.feed.step(&"x".repeat(steps)).done();
            record.end(&Ok(BTreeMap::new()), &[]);
        }
        let told = ["long ago", "large", "last"].map(|reference| history.told(reference).is_some());
        assert_eq!((told, list(&history).await.len()), ([false, false, true], 3));
    }

    #[tokio::test]
    async fn of_what_records_lead_to_there_is_a_limited_memory() {
        let history = History::default();
        let told = |byte| ToldProvenance { json: vec![byte; CONTENT], ..ToldProvenance::default() };
        for number in 0..20 {
            let request = SolveRequest { reference: number.to_string(), ..SolveRequest::default() };
            let running = Builds::default().begin(request, None).unwrap();
            history.begin(&running.build).end(&Ok(BTreeMap::new()), &[told(number)]);
        }
        let records = list(&history).await;
        let having = records.iter().filter_map(|record| record.result.as_ref());
        let having: Vec<_> = having.map(|result| &result.attestations[0].digest).collect();
        assert_eq!((records.len(), having.len()), (20, CONTENTS / CONTENT));
        assert!(having.into_iter().all(|digest| history.content(digest).is_some()));
    }

    #[tokio::test]
    async fn a_build_that_nobody_ended_was_cancelled() {
        let history = History::default();
        let running = Builds::default()
            .begin(SolveRequest { reference: "a".into(), ..SolveRequest::default() }, None)
            .unwrap();
        drop(history.begin(&running.build));
        assert_eq!(list(&history).await[0].error.as_ref().unwrap().code, Code::Canceled as i32);
    }
}
