//! What a pull or a push reports on its way, in the words that Docker's clients show.

use std::pin::Pin;

use futures_util::{Stream, stream};
use minke_model::ImageId;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::Error;

/// What a pull or a push reports; an `Err` item is the last.
pub type TransferStream = Pin<Box<dyn Stream<Item = Result<TransferEvent, Error>> + Send>>;

/// One report.
#[derive(Debug, Clone, PartialEq)]
pub enum TransferEvent {
    /// Something happened to the part `id` (a layer, by twelve digits, or a tag), or to the whole.
    Status {
        /// The part.
        id: Option<String>,
        /// What happened.
        text: String,
    },
    /// A part is on its way.
    Progress {
        /// The part.
        id: String,
        /// `Downloading`, `Extracting`, `Pushing`, `Preparing`.
        action: &'static str,
        /// Bytes done.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// What programs want to know of the end: a JSON object.
    Aux(Value),
    /// The image that came, for who asked for it inside this engine.
    Image(ImageId),
}

/// Where a transfer reports to. Clones report to the same client.
#[derive(Debug, Clone)]
pub(super) struct Reports(mpsc::Sender<Result<TransferEvent, Error>>);

impl Reports {
    /// Where to report, and what the client reads.
    pub(super) fn new() -> (Self, TransferStream) {
        let (sender, receiver) = mpsc::channel(256);
        let stream = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|event| (event, receiver))
        });
        (Self(sender), Box::pin(stream))
    }

    /// Says something about the whole.
    pub(super) async fn say(&self, text: impl Into<String>) {
        self.send(TransferEvent::Status { id: None, text: text.into() }).await;
    }

    /// Says something about a part.
    pub(super) async fn about(&self, id: &str, text: &str) {
        self.send(TransferEvent::Status { id: Some(id.to_owned()), text: text.to_owned() }).await;
    }

    pub(super) async fn send(&self, event: TransferEvent) {
        // A client that went away ends the transfer where it waits for that; nothing is to be done here.
        let _ = self.0.send(Ok(event)).await;
    }

    /// Reports a step of the bar, unless the client is slow: then it misses some, and holds up nothing.
    pub(super) fn progress(&self, id: &str, action: &'static str, current: u64, total: u64) {
        let _ = self.0.try_send(Ok(TransferEvent::Progress { id: id.to_owned(), action, current, total }));
    }

    /// Ends with an error.
    pub(super) async fn fail(&self, error: Error) {
        let _ = self.0.send(Err(error)).await;
    }

    /// Completes when the client has gone.
    pub(super) async fn gone(&self) {
        self.0.closed().await;
    }
}
