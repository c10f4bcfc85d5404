//! `/events`: what happens, one JSON value a line, from the past first if asked for, until the client goes.

use futures_util::StreamExt;
use minke_engine::EventsOptions;
use serde_json::Value;

use crate::call::Call;
use crate::legacy;
use crate::respond::{self, Outcome};

/// `GET /events`
pub(crate) async fn events(call: Call) -> Outcome {
    let options = EventsOptions {
        since: call.query.time("since")?,
        until: call.query.time("until")?,
        filters: call.query.filters()?,
    };
    let events = call.engine().events(options)?;
    let values = events.map(|event| {
        let mut value = serde_json::to_value(event).unwrap_or(Value::Null);
        legacy::event(&mut value);
        value
    });
    Ok(respond::json_stream(call.until_stop(values)))
}
