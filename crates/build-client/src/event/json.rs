//! Events as lines of JSON, in the shape of `docker buildx build --progress=rawjson`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::BuildEvent;

impl BuildEvent {
    /// One object with one list: `vertexes`, `statuses`, `logs` or `warnings`. What is empty is left out.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Vertex(vertex) => json!({ "vertexes": [compact(json!({
                "digest": vertex.digest,
                "inputs": vertex.inputs,
                "name": vertex.name,
                "started": moment(vertex.started),
                "completed": moment(vertex.completed),
                "cached": vertex.cached,
                "error": vertex.error,
            }))] }),
            Self::Status(status) => json!({ "statuses": [compact(json!({
                "id": status.id,
                "vertex": status.vertex,
                "name": status.name,
                "current": status.current,
                "total": status.total,
                "timestamp": moment(status.time),
                "started": moment(status.started),
                "completed": moment(status.completed),
            }))] }),
            Self::Log(log) => json!({ "logs": [compact(json!({
                "vertex": log.vertex,
                "stream": log.stream as u8,
                "data": BASE64_STANDARD.encode(&log.data),
                "timestamp": moment(log.time),
            }))] }),
            Self::Warning(warning) => {
                let range = |(first, last): &(u32, u32)| json!({ "start": { "line": first }, "end": { "line": last } });
                let detail = warning.detail.iter().map(|line| BASE64_STANDARD.encode(line));
                let source = warning.source.as_ref();
                json!({ "warnings": [compact(json!({
                    "vertex": warning.vertex,
                    "level": warning.level,
                    "short": BASE64_STANDARD.encode(&warning.short),
                    "detail": detail.collect::<Vec<_>>(),
                    "url": warning.url,
                    "sourceInfo": source.map(|source| json!({ "filename": source.name })),
                    "range": warning.lines.iter().map(range).collect::<Vec<_>>(),
                }))] })
            }
        }
    }
}

fn moment(time: Option<OffsetDateTime>) -> Option<String> {
    time?.format(&Rfc3339).ok()
}

fn compact(object: Value) -> Value {
    let Value::Object(fields) = object else { return object };
    let is_something = |value: &Value| {
        !value.is_null() && *value != json!("") && *value != json!([]) && *value != json!(false)
    };
    fields.into_iter().filter(|(_, value)| is_something(value)).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Log, LogStream, Vertex};

    #[test]
    fn an_event_is_a_list_of_one() {
        let vertex = Vertex { digest: "a".into(), cached: true, ..Vertex::default() };
        assert_eq!(
            BuildEvent::Vertex(vertex).to_json(),
            json!({ "vertexes": [{ "digest": "a", "cached": true }] })
        );
        let log = Log { vertex: "a".into(), stream: LogStream::Stderr, data: "x".into(), time: None };
        assert_eq!(
            BuildEvent::Log(log).to_json(),
            json!({ "logs": [{ "vertex": "a", "stream": 2, "data": "eA==" }] })
        );
    }
}
