//! `/events`: what happens, one JSON value a line, from the past first if asked for, until the client goes.

use futures_util::StreamExt;
use minke_engine::EventsOptions;
use serde_json::Value;
use time::OffsetDateTime;

use crate::call::Call;
use crate::error::ApiError;
use crate::legacy;
use crate::query::Query;
use crate::respond::{self, Outcome};

/// `GET /events`
pub(crate) async fn events(call: Call) -> Outcome {
    let options = options(&call.query)?;
    let events = call.engine().events(options)?;
    let values = events.map(|event| {
        let mut value = serde_json::to_value(event).unwrap_or(Value::Null);
        legacy::event(&mut value);
        value
    });
    Ok(respond::json_stream(call.until_stop(values)))
}

fn options(query: &Query) -> Result<EventsOptions, ApiError> {
    let (since, until) = (time(query, "since")?, time(query, "until")?);
    if since > until && until.is_some() {
        return Err(ApiError::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            query.get("since").unwrap_or_default(),
            query.get("until").unwrap_or_default()
        )));
    }
    Ok(EventsOptions { since, until, filters: query.filters()? })
}

/// Other than for logs, 0 is a time: that of the first event.
fn time(query: &Query, name: &str) -> Result<Option<OffsetDateTime>, ApiError> {
    let zero = query.non_empty(name).map(|_| OffsetDateTime::UNIX_EPOCH);
    Ok(query.time(name)?.or(zero))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_a_time_and_the_end_comes_after_the_beginning() {
        let options = |text| options(&Query::parse(text));
        assert_eq!(options("").unwrap().since, None);
        assert_eq!(options("since=0&until=5").unwrap().since, Some(OffsetDateTime::UNIX_EPOCH));
        let refused = options("since=2&until=1").unwrap_err();
        assert_eq!(refused.message, "`since` time (2) cannot be after `until` time (1)");
        assert!(options("since=2").is_ok() && options("until=1").is_ok());
    }
}
