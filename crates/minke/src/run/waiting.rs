//! Waiting for a container's end.

use minke_docker_client::{Body, Client, HeaderMap, Method, StreamResponse};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use crate::{
    failure::{Failure, USAGE},
    format::text::or_default,
    output,
};

/// A wait that the engine has taken note of.
#[derive(Debug)]
pub(crate) struct Waiting {
    response: StreamResponse,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Outcome {
    status_code: i64,
    #[serde(deserialize_with = "or_default")]
    error: WaitError,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WaitError {
    message: String,
}

impl Waiting {
    /// Registers a wait: `next-exit`, `removed` or `not-running`. When this returns, no exit is missed.
    ///
    /// # Errors
    /// When there is no such container.
    pub(crate) async fn register(client: &Client, container: &str, condition: &str) -> Result<Self, Failure> {
        let path = format!("/containers/{container}/wait");
        let query = [("condition", condition.to_owned())];
        let response = client.stream(Method::POST, &path, &query, Body::Empty, HeaderMap::new()).await?;
        Ok(Self { response })
    }

    /// The exit code; where the engine can't tell, 125 after saying why.
    pub(crate) async fn exit_code(self) -> i32 {
        match self.outcome().await {
            Ok(outcome) if outcome.error.message.is_empty() => {
                i32::try_from(outcome.status_code).unwrap_or(USAGE)
            }
            Ok(outcome) => {
                output::note(&format!("Error waiting for container: {}", outcome.error.message));
                USAGE
            }
            Err(problem) => {
                output::note(&format!("Error waiting for container: {problem}"));
                USAGE
            }
        }
    }

    /// Waits until the engine has answered, whatever it says.
    pub(crate) async fn settled(self) {
        if let Err(problem) = self.outcome().await {
            tracing::debug!(problem, "the engine did not say how the container ended");
        }
    }

    async fn outcome(mut self) -> Result<Outcome, String> {
        let mut text = Vec::new();
        self.response.body.read_to_end(&mut text).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&text)
            .map_err(|error| format!("the engine's answer is not understood: {error}"))
    }
}
