//! A command in a running container whose output is read whole: hooks, and `sync+exec` of a watch.

use minke_docker_client::{Client, stdcopy};
use serde::Deserialize;
use serde_json::json;

use super::error::RunError;
use crate::{model::Hook, plan::environment};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its code.
    pub code: i64,
    /// What it wrote, both streams in the order in which it came.
    pub output: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Ended {
    exit_code: Option<i64>,
}

/// Runs a hook to its end.
///
/// # Errors
/// The engine's own, or when the connection breaks.
pub async fn run_in(client: &Client, container: &str, hook: &Hook) -> Result<Ran, RunError> {
    let request = json!({
        "AttachStdout": true, "AttachStderr": true, "Cmd": hook.command.clone().unwrap_or_default(), "User": hook.user,
        "Privileged": hook.privileged, "WorkingDir": hook.working_dir, "Env": environment(&hook.environment),
    });
    let created: Created = client.post(&format!("/containers/{container}/exec"), &[], Some(&request)).await?;
    let path = format!("/exec/{}", created.id);
    let start = json!({"Detach": false, "Tty": false});
    let connection = client.hijack(&format!("{path}/start"), &[], Some(&start)).await?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let copied = stdcopy::demultiplex(connection.io, &mut out, &mut err).await;
    copied.map_err(|error| RunError::Told {
        what: "read a hook's output".to_owned(),
        message: error.to_string(),
    })?;
    out.append(&mut err);
    let ended: Ended = client.get(&format!("{path}/json"), &[]).await?;
    Ok(Ran { code: ended.exit_code.unwrap_or(0), output: String::from_utf8_lossy(&out).into_owned() })
}
