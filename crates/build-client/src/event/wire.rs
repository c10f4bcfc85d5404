//! Events as the engine's status tells them.

use minke_buildkit_wire::pb::control::{StatusResponse, VertexLog, VertexStatus, VertexWarning};
use minke_buildkit_wire::pb::rpc::Timestamp;
use minke_buildkit_wire::pb::{control, source};
use time::OffsetDateTime;

use super::{BuildEvent, Log, LogStream, Source, Status, Vertex, Warning};

/// What a batch tells, vertices first: the rest is about them.
pub(crate) fn events(batch: StatusResponse) -> Vec<BuildEvent> {
    let StatusResponse { vertexes, statuses, logs, warnings } = batch;
    let vertices = vertexes.into_iter().map(|told| BuildEvent::Vertex(vertex(told)));
    let statuses = statuses.into_iter().map(|told| BuildEvent::Status(status(told)));
    let logs = logs.into_iter().map(|told| BuildEvent::Log(log(told)));
    let warnings = warnings.into_iter().map(|told| BuildEvent::Warning(warning(told)));
    vertices.chain(statuses).chain(logs).chain(warnings).collect()
}

fn moment(told: Option<Timestamp>) -> Option<OffsetDateTime> {
    let Timestamp { seconds, nanos } = told?;
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
}

fn vertex(told: control::Vertex) -> Vertex {
    Vertex {
        digest: told.digest,
        name: told.name,
        inputs: told.inputs,
        cached: told.cached,
        started: moment(told.started),
        completed: moment(told.completed),
        error: told.error,
    }
}

fn status(told: VertexStatus) -> Status {
    let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
    Status {
        vertex: told.vertex,
        id: told.id,
        name: told.name,
        current: bytes(told.current),
        total: bytes(told.total),
        time: moment(told.timestamp),
        started: moment(told.started),
        completed: moment(told.completed),
    }
}

fn log(told: VertexLog) -> Log {
    let stream = if told.stream == 2 { LogStream::Stderr } else { LogStream::Stdout };
    Log { vertex: told.vertex, stream, data: told.msg, time: moment(told.timestamp) }
}

fn warning(told: VertexWarning) -> Warning {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Warning {
        vertex: told.vertex,
        level: told.level,
        short: text(&told.short),
        detail: told.detail.iter().map(|line| text(line)).collect(),
        url: told.url,
        source: told.info.map(|info| Source { name: info.filename, text: info.data }),
        lines: told.ranges.iter().filter_map(lines).collect(),
    }
}

fn lines(range: &source::Range) -> Option<(u32, u32)> {
    let line = |position: Option<source::Position>| u32::try_from(position?.line).ok();
    let first = line(range.start)?;
    Some((first, line(range.end).unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_told_in_order_and_odd_numbers_are_no_reason_to_fail() {
        let batch = StatusResponse {
            logs: vec![VertexLog { stream: 2, msg: "x".into(), ..VertexLog::default() }],
            statuses: vec![VertexStatus { current: -1, total: 7, ..VertexStatus::default() }],
            vertexes: vec![control::Vertex {
                started: Some(Timestamp { seconds: i64::MAX, nanos: -1 }),
                completed: Some(Timestamp { seconds: 1, nanos: 5 }),
                ..control::Vertex::default()
            }],
            warnings: vec![VertexWarning {
                ranges: vec![source::Range::lines(3, 4), source::Range::default()],
                ..VertexWarning::default()
            }],
        };
        let told = events(batch);
        let [
            BuildEvent::Vertex(vertex),
            BuildEvent::Status(status),
            BuildEvent::Log(log),
            BuildEvent::Warning(warning),
        ] = &told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!((vertex.started, vertex.completed.unwrap().unix_timestamp()), (None, 1));
        assert_eq!((status.current, status.total), (0, 7));
        assert_eq!(log.stream, LogStream::Stderr);
        assert_eq!(warning.lines, [(3, 4)]);
    }
}
