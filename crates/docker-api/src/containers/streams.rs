//! `/containers/{name}/logs`, `/attach` and `/export`: what flows out of containers, and into them.

use minke_engine::{AttachOptions, LogsOptions, Streams};

use crate::call::Call;
use crate::error::ApiError;
use crate::hijack::{self, Session};
use crate::query::Query;
use crate::respond::{self, Outcome};
use crate::version::ApiVersion;
use crate::websocket::{self, Handshake};

/// `GET /containers/{name}/logs`
pub(crate) async fn logs(call: Call) -> Outcome {
    let options = logs_options(&call.query)?;
    let logs = call.engine().logs(&call.name, options).await?;
    let media = hijack::media_type(call.version, logs.tty);
    Ok(respond::stream(media, call.until_stop(logs.stream)))
}

fn logs_options(query: &Query) -> Result<LogsOptions, ApiError> {
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !stdout && !stderr {
        return Err(ApiError::invalid("Bad parameters: you must choose at least one stream"));
    }
    Ok(LogsOptions {
        follow: query.flag("follow"),
        stdout,
        stderr,
        since: query.time("since")?,
        until: query.time("until")?,
        // As in Docker, whatever is no number means all, `all` included.
        tail: query.get("tail").and_then(|tail| tail.parse().ok()),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
    })
}

/// `POST /containers/{name}/attach`
pub(crate) async fn attach(call: Call) -> Outcome {
    let session = call.engine().attach(&call.name, attach_options(&call.query)).await?;
    Ok(hijack::start(call, Session::attached(session)))
}

fn attach_options(query: &Query) -> AttachOptions {
    AttachOptions {
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        streams: Streams {
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
        },
        detach_keys: query.non_empty("detachKeys").map(str::to_owned),
    }
}

/// `GET /containers/{name}/export`
pub(crate) async fn export(call: Call) -> Outcome {
    let tar = call.engine().export(&call.name).await?;
    Ok(respond::stream("application/octet-stream", tar))
}

/// `GET /containers/{name}/attach/ws`
pub(crate) async fn attach_websocket(call: Call) -> Outcome {
    let handshake = Handshake::of(&call.headers)?;
    let mut options = attach_options(&call.query);
    // Nobody could choose before (API version history, 1.42).
    if call.version < ApiVersion(1, 42) {
        options.streams = Streams { stdin: true, stdout: true, stderr: true };
    }
    let session = call.engine().attach(&call.name, options).await?;
    let framed = !session.tty();
    websocket::start(call, handshake, Session::attached(session), framed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_need_a_stream_and_take_dockers_tail() {
        let options = |text| logs_options(&Query::parse(text));
        assert!(options("follow=1").unwrap_err().message.contains("at least one stream"));
        assert_eq!(options("stdout=1&tail=all").unwrap().tail, None);
        assert_eq!(options("stdout=1&tail=-1").unwrap().tail, None);
        assert_eq!(options("stderr=1&tail=5").unwrap().tail, Some(5));
        assert!(options("stdout=1&since=x").is_err());
    }
}
