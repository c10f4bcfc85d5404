//! Events as minke's classic `POST /build` tells them with `trace=1`: one JSON object a line.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{BuildEvent, Log, LogStream, Source, Status, Vertex, Warning};

impl BuildEvent {
    /// A line of the trace; `None` for lines that are no events.
    pub fn of_trace(line: &Value) -> Option<Self> {
        // A classic builder's `status` is a text.
        let told = |name: &str| line.get(name).filter(|told| told.is_object()).map(Told);
        if let Some(told) = told("vertex") {
            return Some(Self::Vertex(Vertex {
                digest: told.text("digest"),
                name: told.text("name"),
                inputs: told.texts("inputs"),
                cached: told.0["cached"] == true,
                started: told.moment("started"),
                completed: told.moment("completed"),
                error: told.text("error"),
            }));
        }
        if let Some(told) = told("status") {
            return Some(Self::Status(Status {
                vertex: told.text("vertex"),
                id: told.text("id"),
                name: told.text("name"),
                current: told.number("current"),
                total: told.number("total"),
                time: told.moment("time"),
                started: told.moment("started"),
                completed: told.moment("completed"),
            }));
        }
        if let Some(told) = told("log") {
            let stream = if told.number("stream") == 2 { LogStream::Stderr } else { LogStream::Stdout };
            let data = told.text("data").into();
            return Some(Self::Log(Log {
                vertex: told.text("vertex"),
                stream,
                data,
                time: told.moment("time"),
            }));
        }
        told("warning").map(|told| Self::Warning(warning(&told)))
    }
}

fn warning(told: &Told<'_>) -> Warning {
    let name = told.text("file");
    let lines = told.0["lines"].as_array().into_iter().flatten();
    let line = |value: &Value| u32::try_from(value.as_u64()?).ok();
    Warning {
        short: told.text("short"),
        detail: told.texts("detail"),
        url: told.text("url"),
        source: (!name.is_empty()).then(|| Source { name, ..Source::default() }),
        lines: lines.filter_map(|pair| Some((line(&pair[0])?, line(&pair[1])?))).collect(),
        level: 1,
        ..Warning::default()
    }
}

/// An object of which nothing is certain.
struct Told<'a>(&'a Value);

impl Told<'_> {
    fn text(&self, name: &str) -> String {
        self.0[name].as_str().unwrap_or_default().to_owned()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let all = self.0[name].as_array().into_iter().flatten();
        all.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or(0)
    }

    fn moment(&self, name: &str) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(self.0[name].as_str()?, &Rfc3339).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_of_the_trace_are_events_and_others_are_not() {
        let line = json!({ "vertex": { "digest": "a", "name": "RUN x", "started": "2026-01-01T00:00:00Z", "cached": true } });
        let Some(BuildEvent::Vertex(vertex)) = BuildEvent::of_trace(&line) else { panic!("{line}") };
        assert_eq!((&*vertex.name, vertex.cached, vertex.completed), ("RUN x", true, None));
        assert!(vertex.started.is_some());
        let line = json!({ "log": { "vertex": "a", "data": "one", "stream": 2 } });
        assert!(matches!(BuildEvent::of_trace(&line), Some(BuildEvent::Log(log)) if log.data == "one"));
        let line = json!({ "warning": { "file": "Dockerfile", "lines": [[1, 2], 3] } });
        assert!(
            matches!(BuildEvent::of_trace(&line), Some(BuildEvent::Warning(warning)) if warning.lines == [(1, 2)])
        );
        assert_eq!(BuildEvent::of_trace(&json!({ "stream": "Step 1" })), None);
    }
}
