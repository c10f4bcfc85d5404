//! News from the engine: which containers run, and what each uses.
//!
//! One task listens to events and lists what runs after each burst of them; it keeps a task for each container, which
//! reads the engine's stream of samples. All end when nobody takes their news any more.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{Stream, StreamExt};
use minke_docker_client::{Body, Client, Error, HeaderMap, Method, json_lines};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    failure::Failure,
    format::{
        containers::Container,
        stats::{Numbers, Sample},
    },
};

/// Events come in bursts: the list is asked for when they pause so long.
const BURST: Duration = Duration::from_millis(50);

/// How often it is listed without any, since statuses tell times.
const REFRESH: Duration = Duration::from_secs(5);

/// What has become known.
#[derive(Debug)]
pub(super) enum News {
    /// All containers that run now.
    Running(Vec<Listed>),
    /// What one uses.
    Sample { id: String, numbers: Numbers },
    /// The engine is gone.
    Lost(Failure),
}

/// A container in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    /// Docker's words: `Up 5 minutes (healthy)`.
    pub(super) status: String,
}

type Sender = mpsc::UnboundedSender<News>;

/// Begins to watch; the first list is among the news already.
///
/// # Errors
/// When the engine can't be asked.
pub(super) async fn start(client: &Client) -> Result<mpsc::UnboundedReceiver<News>, Failure> {
    let (news, receiver) = mpsc::unbounded_channel();
    // Before the list, so that nothing is missed in between.
    let events = events(client).await?;
    let mut watcher = Watcher { client: client.clone(), news, samplers: BTreeMap::new() };
    watcher.list().await?;
    tokio::spawn(watcher.watch(events));
    Ok(receiver)
}

async fn events(
    client: &Client,
) -> Result<impl Stream<Item = Result<Value, Error>> + Send + Unpin + use<>, Error> {
    let filters = json!({"type": ["container"], "event": [
        "start", "die", "pause", "unpause", "rename", "destroy", "health_status",
    ]});
    let query = [("filters", filters.to_string())];
    let response = client.stream(Method::GET, "/events", &query, Body::Empty, HeaderMap::new()).await?;
    Ok(json_lines(response.body))
}

/// The task that knows which containers run.
struct Watcher {
    client: Client,
    news: Sender,
    samplers: BTreeMap<String, AbortHandle>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.samplers.values().for_each(AbortHandle::abort);
    }
}

impl Watcher {
    async fn watch(mut self, mut events: impl Stream<Item = Result<Value, Error>> + Unpin) {
        while !self.news.is_closed() {
            let outcome = match tokio::time::timeout(REFRESH, events.next()).await {
                Ok(None) => Err(Failure::new("the engine has ended")),
                Ok(Some(Err(error))) => Err(error.into()),
                Ok(Some(Ok(_))) => {
                    while let Ok(Some(Ok(_))) = tokio::time::timeout(BURST, events.next()).await {}
                    self.list().await
                }
                Err(_) => self.list().await,
            };
            if let Err(failure) = outcome {
                // Whoever looked has left.
                let _ = self.news.send(News::Lost(failure));
                return;
            }
        }
    }

    /// Lists what runs, and sees to it that each of them is sampled and nothing else.
    async fn list(&mut self) -> Result<(), Failure> {
        let containers: Vec<Container> = self.client.get("/containers/json", &[]).await?;
        let listed: Vec<Listed> = containers.iter().map(listed).collect();
        self.samplers.retain(|id, sampler| {
            let runs = listed.iter().any(|container| container.id == *id);
            if !runs {
                sampler.abort();
            }
            // One whose stream has ended, since the container was started again, gets another.
            runs && !sampler.is_finished()
        });
        for Listed { id, .. } in &listed {
            if !self.samplers.contains_key(id) {
                let sampler = tokio::spawn(sample(self.client.clone(), id.clone(), self.news.clone()));
                self.samplers.insert(id.clone(), sampler.abort_handle());
            }
        }
        let _ = self.news.send(News::Running(listed));
        Ok(())
    }
}

fn listed(container: &Container) -> Listed {
    Listed {
        id: container.id.clone(),
        name: container.names(false),
        image: container.image(false),
        status: container.status.clone(),
    }
}

/// Tells every sample of one container; ends with it.
async fn sample(client: Client, id: String, news: Sender) {
    let (path, query) = (format!("/containers/{id}/stats"), [("stream", "1".to_owned())]);
    let opened = client.stream(Method::GET, &path, &query, Body::Empty, HeaderMap::new()).await;
    // One that has ended by now is not in the next list.
    let Ok(response) = opened else { return };
    let mut samples = json_lines::<Sample>(response.body);
    while let Some(Ok(sample)) = samples.next().await {
        if news.send(News::Sample { id: id.clone(), numbers: sample.numbers() }).is_err() {
            return;
        }
    }
}
