//! Containers that run to their end before a service's own start (`pre_start`), with its volumes and networks.

use futures_util::StreamExt;
use minke_docker_client::{Body, HeaderMap, Method, json_lines};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{create::create_container, error::RunError, execute::Execution, logs};
use crate::plan::names;

/// So many lines of what one wrote are shown.
const SHOWN: &str = "1000";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ended {
    status_code: i64,
}

impl Execution<'_> {
    /// Runs them one after the other; the first that fails is kept, so that one can look at it, and ends it all.
    pub(super) async fn run_before(
        &self,
        service: &str,
        container: &str,
        hooks: &[(usize, Value)],
    ) -> Result<(), RunError> {
        for (at, request) in hooks {
            let name = names::before(container, *at);
            let running = self.run_one_before(service, &name, *at, request);
            self.shown(format!("Container {name}"), "Running", "Completed", running).await?;
        }
        Ok(())
    }

    async fn run_one_before(
        &self,
        service: &str,
        name: &str,
        at: usize,
        request: &Value,
    ) -> Result<(), RunError> {
        // One that failed in an earlier `up` was kept.
        self.remove_before(name).await?;
        let mut request = request.clone();
        self.resolve(&mut request);
        let query = [("name", name.to_owned())];
        let id = create_container(self.client, service, request, self.around().proxies(), &query).await?;
        let path = format!("/containers/{id}");
        // Asked for before the start: it may end at once.
        let query = [("condition", "next-exit".to_owned())];
        let waiting = self
            .client
            .stream(Method::POST, &format!("{path}/wait"), &query, Body::Empty, HeaderMap::new())
            .await?;
        self.client.post_empty::<()>(&format!("{path}/start"), &[]).await?;
        let ended = json_lines::<Ended>(waiting.body).next().await.ok_or_else(|| RunError::Told {
            what: format!("wait for {name}"),
            message: "the engine ended its answer".to_owned(),
        })??;
        self.show_log(service, &id, name).await;
        if ended.status_code != 0 {
            let (service, name) = (service.to_owned(), name.to_owned());
            return Err(RunError::Before { service, at, code: ended.status_code, name });
        }
        self.remove_before(name).await
    }

    async fn remove_before(&self, name: &str) -> Result<(), RunError> {
        let query = [("force", "1".to_owned()), ("v", "1".to_owned())];
        match self.client.delete::<Value>(&format!("/containers/{name}"), &query).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A log that can't be read (driver `none`) is not shown.
    async fn show_log(&self, service: &str, id: &str, name: &str) {
        let (sink, mut lines) = mpsc::channel(64);
        let wanted = logs::Wanted { tail: Some(SHOWN.to_owned()), ..logs::Wanted::default() };
        let copying = logs::copy(self.client, id, name, &wanted, sink);
        let showing = async {
            while let Some(line) = lines.recv().await {
                let text = format!("{}\n", String::from_utf8_lossy(&line.text));
                self.around().message(service, &json!({ "stream": text }));
            }
        };
        let _ = tokio::join!(copying, showing);
    }
}
