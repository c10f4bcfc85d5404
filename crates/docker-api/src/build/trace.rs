//! A build's events as they are, one JSON object a line: what `minke build` draws its tree from.

use minke_build::{BuildError, BuildResult, Event};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

fn text(time: Option<OffsetDateTime>) -> Option<String> {
    time.and_then(|time| time.format(&Rfc3339).ok())
}

/// One event.
pub(super) fn event(event: &Event) -> Value {
    match event {
        Event::Vertex(vertex) => json!({ "vertex": {
            "digest": vertex.digest,
            "inputs": vertex.inputs,
            "name": vertex.name,
            "started": text(vertex.started),
            "completed": text(vertex.completed),
            "cached": vertex.cached,
            "error": vertex.error,
        } }),
        Event::Log { vertex, stream, bytes, time } => json!({ "log": {
            "vertex": vertex,
            "stream": *stream as u8,
            "data": String::from_utf8_lossy(bytes),
            "time": text(Some(*time)),
        } }),
        Event::Status(status) => json!({ "status": {
            "vertex": status.vertex,
            "id": status.id,
            "name": status.name,
            "current": status.current,
            "total": status.total,
            "completed": text(status.completed),
        } }),
        Event::Warning(warning) => json!({ "warning": {
            "short": warning.short,
            "detail": warning.detail,
            "url": warning.url,
            "file": warning.file,
            "lines": warning.lines,
        } }),
    }
}

/// The end.
pub(super) fn end(result: &Result<BuildResult, BuildError>) -> Value {
    match result {
        Ok(result) => json!({ "result": {
            "image": result.image,
            "manifest": result.manifest,
            "names": result.names,
            "response": result.exporter_response,
        } }),
        Err(error) => {
            let lines = error.lines().into_iter().next();
            let (code, lines) = match error.root() {
                BuildError::Step { code, .. } => (Some(*code), lines),
                // Its words have the lines in them.
                BuildError::Dockerfile(_) => (None, None),
                _ => (None, lines),
            };
            json!({ "failure": { "message": error.to_string(), "code": code, "lines": lines } })
        }
    }
}
