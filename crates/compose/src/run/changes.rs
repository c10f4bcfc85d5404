//! The engine's events about a project's containers, so that a wait asks again only when something has changed.

use futures_util::StreamExt;
use minke_docker_client::{Body, Client, Error, HeaderMap, Method, json_lines};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::broadcast, task::JoinHandle};

use crate::plan::labels;

/// So many events may come while a wait asks; one that missed some asks again anyway.
const BACKLOG: usize = 1024;

/// The stream of events, shared by all waits.
#[derive(Debug)]
pub(crate) struct Changes {
    sender: broadcast::Sender<String>,
    task: JoinHandle<()>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Actor", default)]
    actor: Actor,
}

#[derive(Default, Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
}

impl Changes {
    /// Subscribes; when this returns, no event is missed.
    pub(crate) async fn of(client: &Client, project: &str) -> Result<Self, Error> {
        let filters = json!({"type": ["container"], "label": [format!("{}={project}", labels::PROJECT)]});
        let query = [("filters", filters.to_string())];
        let response = client.stream(Method::GET, "/events", &query, Body::Empty, HeaderMap::new()).await?;
        let (sender, _) = broadcast::channel(BACKLOG);
        let hand_on = sender.clone();
        let task = tokio::spawn(async move {
            let mut events = json_lines::<Event>(response.body);
            while let Some(Ok(event)) = events.next().await {
                // Nobody may be waiting just now.
                let _ = hand_on.send(event.actor.id);
            }
        });
        Ok(Self { sender, task })
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription(self.sender.subscribe())
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The events from now on.
pub(crate) struct Subscription(broadcast::Receiver<String>);

impl Subscription {
    /// Waits until something may have happened to the container.
    pub(crate) async fn of_container(&mut self, id: &str) {
        use broadcast::error::RecvError;
        loop {
            match self.0.recv().await {
                Ok(changed) if changed != id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                // The engine is gone, or ended the stream: whoever waits asks by the clock.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
