//! `/containers/{name}/…`: starting, stopping and waiting.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hyper::StatusCode;
use minke_engine::WaitCondition;

use crate::call::Call;
use crate::error::ApiError;
use crate::query::Query;
use crate::respond::{self, Outcome};

/// `POST /containers/{name}/start`
pub(crate) async fn start(call: Call) -> Outcome {
    if call.query.non_empty("checkpoint").is_some() {
        return Err(ApiError::not_implemented("minke cannot start a container from a checkpoint"));
    }
    // Old clients send a host configuration here, which Docker ignores since API 1.24.
    Ok(respond::changed(call.engine().start(&call.name).await?))
}

/// `POST /containers/{name}/stop`
pub(crate) async fn stop(call: Call) -> Outcome {
    let (signal, timeout) = signal_and_timeout(&call.query)?;
    Ok(respond::changed(call.engine().stop(&call.name, signal, timeout).await?))
}

/// `POST /containers/{name}/restart`
pub(crate) async fn restart(call: Call) -> Outcome {
    let (signal, timeout) = signal_and_timeout(&call.query)?;
    call.engine().restart(&call.name, signal, timeout).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

fn signal_and_timeout(query: &Query) -> Result<(Option<&str>, Option<i64>), ApiError> {
    Ok((query.non_empty("signal"), query.number("t")?))
}

/// `POST /containers/{name}/kill`
pub(crate) async fn kill(call: Call) -> Outcome {
    let signal = call.query.non_empty("signal").unwrap_or("SIGKILL");
    call.engine().kill(&call.name, signal).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// `POST /containers/{name}/pause`
pub(crate) async fn pause(call: Call) -> Outcome {
    call.engine().pause(&call.name).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// `POST /containers/{name}/unpause`
pub(crate) async fn unpause(call: Call) -> Outcome {
    call.engine().unpause(&call.name).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// `POST /containers/{name}/wait`: the answer's head goes out as soon as the wait is registered, which is
/// what the docker CLI waits for before it starts the container; the outcome follows as the body.
pub(crate) async fn wait(call: Call) -> Outcome {
    let condition = condition(call.query.get("condition").unwrap_or_default())?;
    let waiter = call.engine().wait(&call.name, condition).await?;
    let outcome = stream::once(async move {
        match respond::json_line(&waiter.outcome().await) {
            Ok(line) => Ok(Bytes::from(line)),
            Err(error) => Err(std::io::Error::other(error.message)),
        }
    });
    Ok(respond::stream("application/json", call.until_stop(outcome.boxed())))
}

fn condition(text: &str) -> Result<WaitCondition, ApiError> {
    match text {
        "" | "not-running" => Ok(WaitCondition::NotRunning),
        "next-exit" => Ok(WaitCondition::NextExit),
        "removed" => Ok(WaitCondition::Removed),
        other => Err(ApiError::invalid(format!("invalid condition: {other:?}"))),
    }
}

/// `POST /containers/{name}/resize`
pub(crate) async fn resize(call: Call) -> Outcome {
    let (width, height) = terminal_size(&call.query)?;
    call.engine().resize(&call.name, width, height).await?;
    Ok(respond::empty(StatusCode::OK))
}

/// The `w` and `h` of a resize; also for exec.
pub(crate) fn terminal_size(query: &Query) -> Result<(u16, u16), ApiError> {
    let side = |name: &str, what: &str| {
        let text = query.get(name).unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let why = if is_number { "value out of range" } else { "invalid syntax" };
        text.parse::<u16>().map_err(|_| ApiError::invalid(format!("invalid resize {what} {text:?}: {why}")))
    };
    Ok((side("w", "width")?, side("h", "height")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_dockers() {
        assert_eq!(condition("").unwrap(), WaitCondition::NotRunning);
        assert_eq!(condition("next-exit").unwrap(), WaitCondition::NextExit);
        assert_eq!(condition("removed").unwrap(), WaitCondition::Removed);
        assert_eq!(condition("foo").unwrap_err().message, "invalid condition: \"foo\"");
    }

    #[test]
    fn a_terminals_size_is_two_small_numbers() {
        assert_eq!(terminal_size(&Query::parse("h=24&w=80")).unwrap(), (80, 24));
        for (query, told) in [
            ("h=x&w=80", "invalid resize height \"x\": invalid syntax"),
            ("h=24", "invalid resize width \"\": invalid syntax"),
            ("h=24&w=-1", "invalid resize width \"-1\": value out of range"),
            ("h=24&w=70000", "invalid resize width \"70000\": value out of range"),
        ] {
            assert_eq!(terminal_size(&Query::parse(query)).unwrap_err().message, told);
        }
    }

    #[test]
    fn a_stop_takes_a_signal_and_any_number_of_seconds() {
        assert_eq!(signal_and_timeout(&Query::parse("t=-1&signal=HUP")).unwrap(), (Some("HUP"), Some(-1)));
        assert!(signal_and_timeout(&Query::parse("t=soon")).is_err());
    }
}
