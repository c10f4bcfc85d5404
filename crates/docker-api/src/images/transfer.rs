//! Images as archives: load, save, import. Progress travels as Docker's "JSON messages", one a line.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use minke_engine::{Error, ImportOptions, LoadEvent, LoadStream};
use serde_json::{Value, json};

use crate::build;
use crate::call::Call;
use crate::error::ApiError;
use crate::images::registries;
use crate::platform;
use crate::query::Query;
use crate::respond::{self, Outcome, Response};

/// Progress of one layer is told at most this often; the first and the last word of a layer always are.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// `POST /images/load`
pub(crate) async fn load(call: Call) -> Outcome {
    let quiet = call.query.flag_or("quiet", true);
    let platform = match call.query.all("platform").as_slice() {
        [] => None,
        [one] => Some(platform::words(one)?).filter(|words| !words.is_empty()),
        _ => return Err(ApiError::invalid("multiple platform parameters not supported")),
    };
    let engine = call.engine().clone();
    // As with Docker, what is wrong with the archive is told in the stream, and nothing else.
    let mut events = match engine.image_load(call.body.into_reader(), platform.as_deref()).await {
        Ok(events) => events,
        Err(error) => stream::iter([Err(error)]).boxed(),
    };
    if quiet {
        // The answer begins when all is done: clients that want no progress may not read it to its end.
        let all: Vec<_> = events
            .filter(|event| future::ready(!matches!(event, Ok(LoadEvent::Progress { .. }))))
            .collect()
            .await;
        events = stream::iter(all).boxed();
    }
    Ok(progress(events, quiet))
}

fn progress(events: LoadStream, quiet: bool) -> Response {
    let mut told = Told::default();
    let messages = events.filter_map(move |event| {
        let message = match event {
            Ok(event @ LoadEvent::Progress { .. }) if quiet || !told.is_due(&event, Instant::now()) => None,
            Ok(event) => Some(message(&event)),
            Err(error) => Some(error_message(&error)),
        };
        future::ready(message)
    });
    respond::json_stream(messages)
}

/// When each layer's progress was told last.
#[derive(Default)]
struct Told(HashMap<String, Instant>);

impl Told {
    fn is_due(&mut self, event: &LoadEvent, now: Instant) -> bool {
        let LoadEvent::Progress { layer, current, total } = event else { return true };
        let last = self.0.get(layer).copied();
        let due = *total == Some(*current)
            || last.is_none_or(|last| now.saturating_duration_since(last) >= PROGRESS_INTERVAL);
        if due {
            self.0.insert(layer.clone(), now);
        }
        due
    }
}

fn message(event: &LoadEvent) -> Value {
    match event {
        LoadEvent::Progress { layer, current, total } => {
            let mut detail = json!({ "current": current });
            if let Some(total) = total {
                detail["total"] = json!(total);
            }
            json!({ "status": "Loading layer", "progressDetail": detail, "id": short(layer) })
        }
        LoadEvent::Loaded { id, names } if names.is_empty() => {
            json!({ "stream": format!("Loaded image ID: {id}\n") })
        }
        LoadEvent::Loaded { names, .. } => {
            let lines: String = names.iter().map(|name| format!("Loaded image: {name}\n")).collect();
            json!({ "stream": lines })
        }
    }
}

pub(super) fn error_message(error: &Error) -> Value {
    let text = error.to_string();
    json!({ "errorDetail": { "message": text }, "error": text })
}

/// The twelve digits by which progress names a layer.
fn short(digest: &str) -> &str {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    digits.get(..12).unwrap_or(digits)
}

/// `GET /images/get`
pub(crate) async fn save(call: Call) -> Outcome {
    let names = call.query.all("names");
    if names.is_empty() {
        return Err(ApiError::invalid("no image is named: give the query parameter \"names\" at least once"));
    }
    save_names(call, names).await
}

/// `GET /images/{name}/get`
pub(crate) async fn save_one(call: Call) -> Outcome {
    let names = vec![call.name.clone()];
    save_names(call, names).await
}

async fn save_names(call: Call, names: Vec<String>) -> Outcome {
    if call.query.all("platform").iter().filter(|text| !text.is_empty()).count() > 1 {
        return Err(ApiError::invalid("multiple platform parameters not supported"));
    }
    for name in &names {
        platform::check(&call, name, "platform").await?;
    }
    let tar = call.engine().image_save(names).await?;
    Ok(respond::stream("application/x-tar", tar))
}

/// `POST /images/create`: a pull or an import.
pub(crate) async fn create(call: Call) -> Outcome {
    if call.query.non_empty("fromImage").is_some() {
        return registries::pull(call).await;
    }
    let url = match call.query.required("fromSrc")? {
        "-" => return import(call).await,
        source if source.contains("://") => source.to_owned(),
        source => format!("http://{source}"),
    };
    let options = import_options(&call.query);
    let file = minke_build::fetch(call.engine(), &url).await.map_err(|error| build::refused(&error))?;
    let file = tokio::fs::File::from_std(file);
    imported(&call.engine().image_import(file, options).await?.to_string())
}

async fn import(call: Call) -> Outcome {
    let options = import_options(&call.query);
    let engine = call.engine().clone();
    imported(&engine.image_import(call.body.into_reader(), options).await?.to_string())
}

fn import_options(query: &Query) -> ImportOptions {
    ImportOptions {
        name: query.name("repo", "tag"),
        message: query.get("message").unwrap_or_default().to_owned(),
        changes: query.all("changes"),
        platform: query.non_empty("platform").map(str::to_owned),
    }
}

fn imported(id: &str) -> Outcome {
    let line = respond::json_line(&json!({ "status": id }))?;
    Ok(respond::stream("application/json", stream::iter([io::Result::Ok(Bytes::from(line))])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(layer: &str, current: u64) -> LoadEvent {
        LoadEvent::Progress { layer: layer.into(), current, total: Some(10) }
    }

    #[test]
    fn progress_is_told_seldom_but_never_without_its_end() {
        let (mut told, now) = (Told::default(), Instant::now());
        assert!(told.is_due(&at("a", 1), now));
        assert!(!told.is_due(&at("a", 2), now));
        assert!(told.is_due(&at("b", 1), now));
        assert!(told.is_due(&at("a", 10), now));
        assert!(told.is_due(&at("b", 3), now + PROGRESS_INTERVAL));
    }

    #[test]
    fn messages_are_those_that_the_docker_cli_prints() {
        let loaded = |names: &[&str]| LoadEvent::Loaded {
            id: "sha256:ab".into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(
            message(&loaded(&["a:1", "b:2"])),
            json!({"stream": "Loaded image: a:1\nLoaded image: b:2\n"})
        );
        assert_eq!(message(&loaded(&[])), json!({"stream": "Loaded image ID: sha256:ab\n"}));
        assert_eq!(
            message(&at("sha256:0123456789abcdef", 4)),
            json!({"status": "Loading layer", "progressDetail": {"current": 4, "total": 10}, "id": "0123456789ab"})
        );
    }
}
