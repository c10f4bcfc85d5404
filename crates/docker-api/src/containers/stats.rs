//! `/containers/{name}/stats`: one sample, or one a second, each with the sample before it so that clients
//! can take differences.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use minke_engine::Engine;
use serde_json::Value;

use crate::call::Call;
use crate::error::ApiError;
use crate::respond::{self, Outcome};
use crate::shape::Filled;
use crate::shapes;

/// How often Docker samples.
const INTERVAL: Duration = Duration::from_secs(1);

/// `GET /containers/{name}/stats`
pub(crate) async fn stats(call: Call) -> Outcome {
    let first = sample(call.engine(), &call.name).await?;
    if call.query.flag_or("stream", true) {
        return Ok(stream_from(call, first));
    }
    if call.query.flag("one-shot") {
        return shaped(&first);
    }
    tokio::time::sleep(INTERVAL).await;
    shaped(&after(&first, sample(call.engine(), &call.name).await?))
}

fn shaped(sample: &Value) -> Outcome {
    respond::json(StatusCode::OK, &Filled::new(&shapes::CONTAINER_STATS, sample))
}

fn stream_from(call: Call, first: Value) -> respond::Response {
    let later = stream::unfold(
        (call.context.engine.clone(), call.name.clone(), first.clone()),
        |(engine, name, before)| async move {
            tokio::time::sleep(INTERVAL).await;
            // The container has gone, and with it the stream's reason.
            let now = after(&before, sample(&engine, &name).await.ok()?);
            Some((now.clone(), (engine, name, now)))
        },
    );
    let samples = stream::once(async { first }).chain(later);
    let lines = samples.map(|sample| respond::json_line(&Filled::new(&shapes::CONTAINER_STATS, &sample)));
    let lines = lines.map(|line| match line {
        Ok(line) => Ok(line.into()),
        Err(error) => Err(std::io::Error::other(error.message)),
    });
    respond::stream("application/json", call.until_stop(lines.boxed()))
}

async fn sample(engine: &Engine, name: &str) -> Result<Value, ApiError> {
    respond::to_value(&engine.stats(name).await?)
}

/// A sample that knows the one before it.
fn after(before: &Value, mut now: Value) -> Value {
    for (old, new) in [("read", "preread"), ("cpu_stats", "precpu_stats")] {
        if let (Some(value), Value::Object(fields)) = (before.get(old), &mut now) {
            fields.insert(new.to_owned(), value.clone());
        }
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sample_carries_the_one_before_it() {
        let before = json!({"read": "a", "cpu_stats": {"x": 1}});
        let now = after(&before, json!({"read": "b", "cpu_stats": {"x": 2}}));
        assert_eq!(
            now,
            json!({"read": "b", "preread": "a", "cpu_stats": {"x": 2}, "precpu_stats": {"x": 1}})
        );
    }
}
