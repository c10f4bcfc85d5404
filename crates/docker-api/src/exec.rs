//! `/containers/{name}/exec` and `/exec`: further processes in a running container.

use bollard_stubs::models::ExecConfig;
use hyper::StatusCode;
use minke_engine::{Engine, ExecStart};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use crate::call::Call;
use crate::containers::life::terminal_size;
use crate::error::ApiError;
use crate::hijack::{self, Session, Takeover};
use crate::respond::{self, Outcome};
use crate::shapes;

/// `POST /containers/{name}/exec`
pub(crate) async fn create(mut call: Call) -> Outcome {
    #[derive(Serialize)]
    struct Created {
        #[serde(rename = "Id")]
        id: String,
    }
    let config: ExecConfig = call.json().await?;
    if config.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(ApiError::invalid("No exec command specified"));
    }
    let id = call.engine().exec_create(&call.name, config).await?;
    respond::json(StatusCode::CREATED, &Created { id })
}

/// The body of an exec's start.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct StartBody {
    detach: Option<bool>,
    tty: Option<bool>,
    /// Rows and columns.
    console_size: Option<(u16, u16)>,
}

/// `POST /exec/{name}/start`
///
/// As in Docker the connection is taken over first and the process started then, so that a process which
/// can't be started says so where its output would have come. It also gives clients time to read the answer's
/// head: those that read it with a buffer (docker-py) lose what arrives together with it.
pub(crate) async fn start(mut call: Call) -> Outcome {
    let body: StartBody = call.optional_json().await?.unwrap_or_default();
    let (detach, tty) = (body.detach.unwrap_or(false), body.tty.unwrap_or(false));
    let options = ExecStart { detach, tty, console_size: body.console_size };
    let engine = call.engine().clone();
    let streams = !detach && !matches!(call.takeover, Takeover::None);
    if streams && may_start(&engine, &call.name).await? {
        let name = call.name.clone();
        return Ok(hijack::start(call, start_on_connection(engine, name, options)));
    }
    match engine.exec_start(&call.name, options).await? {
        None => Ok(respond::empty(StatusCode::OK)),
        Some(session) => Ok(hijack::start(call, Session::attached(session))),
    }
}

/// Whether the start can only fail for reasons that Docker tells on the connection; the others are told by
/// trying.
async fn may_start(engine: &Engine, exec: &str) -> Result<bool, ApiError> {
    let exec = engine.exec_inspect(exec).await?;
    let container = engine.inspect(&exec.container_id.unwrap_or_default(), false).await?;
    let state = container.state.unwrap_or_default();
    Ok(state.running == Some(true) && state.paused != Some(true) && state.restarting != Some(true))
}

fn start_on_connection(engine: Engine, exec: String, options: ExecStart) -> Session {
    Session::new(options.tty, move |mut io| {
        Box::pin(async move {
            match engine.exec_start(&exec, options).await {
                Ok(Some(session)) => session.run(io).await,
                Ok(None) => Ok(()),
                Err(error) => io.write_all(&hijack::message(!options.tty, &error.to_string())).await,
            }
        })
    })
}

/// `GET /exec/{name}/json`
pub(crate) async fn inspect(call: Call) -> Outcome {
    let exec = call.engine().exec_inspect(&call.name).await?;
    respond::shaped(StatusCode::OK, &shapes::EXEC_INSPECT, &exec)
}

/// `POST /exec/{name}/resize`
pub(crate) async fn resize(call: Call) -> Outcome {
    let (width, height) = terminal_size(&call.query)?;
    call.engine().exec_resize(&call.name, width, height).await?;
    Ok(respond::empty(StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_may_say_little_or_null() {
        let body: StartBody = serde_json::from_str(r#"{"Tty":true,"ConsoleSize":null}"#).unwrap();
        assert_eq!((body.detach, body.tty, body.console_size), (None, Some(true), None));
        let body: StartBody = serde_json::from_str(r#"{"ConsoleSize":[24,80]}"#).unwrap();
        assert_eq!(body.console_size, Some((24, 80)));
    }
}
