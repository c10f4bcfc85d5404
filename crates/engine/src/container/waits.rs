//! Waiting for a container's end or removal. All of an attached client's output is on its way before a wait
//! is answered.

use std::sync::Arc;

use bollard_stubs::models::{ContainerWaitExitError, ContainerWaitResponse};
use tokio::sync::{oneshot, watch};

use super::Container;
use crate::{WaitCondition, engine::Busy};

/// How long a wait is held back for attached clients that are slow in taking their output.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// How a container ended, as a wait tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    pub(super) code: i64,
    pub(super) error: Option<String>,
}

impl Outcome {
    /// How its last run ended.
    pub(super) fn of(container: &Container) -> Self {
        let run = container.run();
        Self { code: run.exit_code, error: Some(run.error).filter(|error| !error.is_empty()) }
    }
}

/// A registered wait.
pub struct Waiter {
    answer: oneshot::Receiver<Outcome>,
    container: Arc<Container>,
    _busy: Busy,
}

/// A wait on its way to the actor.
pub(super) struct WaitRequest {
    pub(super) condition: WaitCondition,
    pub(super) answer: oneshot::Sender<Outcome>,
}

/// The waits of one container.
#[derive(Default)]
pub(super) struct Waits(Vec<WaitRequest>);

impl Waiter {
    /// Waits for it.
    pub async fn outcome(self) -> ContainerWaitResponse {
        // The actor only goes together with its container, which then has ended.
        let outcome = self.answer.await.unwrap_or_else(|_| Outcome::of(&self.container));
        ContainerWaitResponse {
            status_code: outcome.code,
            error: outcome.error.map(|message| ContainerWaitExitError { message: Some(message) }),
        }
    }
}

impl WaitRequest {
    pub(super) fn new(condition: WaitCondition, container: Arc<Container>, busy: Busy) -> (Self, Waiter) {
        let (sender, answer) = oneshot::channel();
        (Self { condition, answer: sender }, Waiter { answer, container, _busy: busy })
    }
}

impl Waits {
    /// Registers a wait, or answers it if it is true already.
    pub(super) fn add(&mut self, request: WaitRequest, alive: bool, last: Outcome) {
        if request.condition == WaitCondition::NotRunning && !alive {
            let _ = request.answer.send(last);
            return;
        }
        // Clients that left meanwhile are forgotten.
        self.0.retain(|other| !other.answer.is_closed());
        self.0.push(request);
    }

    /// Answers those that wait for the end, once the `sessions` attached now are served.
    pub(super) fn ended(&mut self, outcome: &Outcome, sessions: watch::Receiver<usize>) {
        let (ready, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|wait| wait.condition != WaitCondition::Removed);
        self.0 = rest;
        answer(ready, outcome.clone(), sessions);
    }

    /// Answers all.
    pub(super) fn removed(&mut self, outcome: &Outcome, sessions: watch::Receiver<usize>) {
        answer(std::mem::take(&mut self.0), outcome.clone(), sessions);
    }
}

fn answer(waits: Vec<WaitRequest>, outcome: Outcome, mut sessions: watch::Receiver<usize>) {
    if waits.is_empty() {
        return;
    }
    let send = move |outcome: Outcome| {
        for wait in waits {
            let _ = wait.answer.send(outcome.clone());
        }
    };
    if *sessions.borrow() == 0 {
        return send(outcome);
    }
    tokio::spawn(async move {
        let _ = tokio::time::timeout(DRAIN, sessions.wait_for(|count| *count == 0)).await;
        send(outcome);
    });
}
