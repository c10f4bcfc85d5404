//! Carries a plan out: every step as soon as those that it waits for have succeeded.
//!
//! ```text
//!   plan ──▶ steps without a predecessor ──▶ running (at most `parallel` requests) ──▶ done ──▶ their followers
//!                                                └─ failed: nothing new begins, waits are given up, requests end
//! ```
//! One task on one thread; what happens at the same time are requests.

use std::{cell::RefCell, collections::BTreeMap};

use futures_util::{StreamExt, stream::FuturesUnordered};
use minke_docker_client::Client;
use tokio::sync::{OnceCell, Semaphore, watch};

use super::{
    build::BuildFlags,
    changes::Changes,
    error::RunError,
    report::{Event, Surroundings},
};
use crate::{
    model::Project,
    plan::{
        Observed, Told,
        command::{Command, Plan, StepId},
    },
};

/// So many requests at a time where the user names no number: enough to keep an engine busy, few enough for its sockets.
const PARALLEL: usize = 64;

/// One carrying out, or several of one project.
pub struct Execution<'a> {
    /// The engine.
    pub client: &'a Client,
    /// What is wanted.
    pub project: &'a Project,
    around: &'a dyn Surroundings,
    /// Ids of containers by their names.
    ids: RefCell<BTreeMap<String, String>>,
    /// What providers told, by their services.
    pub(super) told: RefCell<BTreeMap<String, Told>>,
    changes: OnceCell<Changes>,
    requests: Semaphore,
    build: BuildFlags,
    given_up: watch::Sender<bool>,
}

impl<'a> Execution<'a> {
    /// `parallel` is `--parallel`.
    pub fn new(
        client: &'a Client,
        project: &'a Project,
        around: &'a dyn Surroundings,
        parallel: Option<usize>,
    ) -> Self {
        Self {
            client,
            project,
            around,
            ids: RefCell::default(),
            told: RefCell::default(),
            changes: OnceCell::new(),
            requests: Semaphore::new(parallel.unwrap_or(PARALLEL).max(1)),
            build: BuildFlags::default(),
            given_up: watch::Sender::new(false),
        }
    }

    /// With flags for builds.
    #[must_use]
    pub fn with_build(self, build: BuildFlags) -> Self {
        Self { build, ..self }
    }

    /// Tells which containers there are already.
    pub fn know(&self, observed: &Observed) {
        let known =
            observed.containers.iter().map(|container| (container.name().to_owned(), container.id.clone()));
        self.ids.borrow_mut().extend(known);
    }

    /// What the providers that were called told, by their services.
    pub fn told_by_providers(self) -> BTreeMap<String, Told> {
        self.told.into_inner()
    }

    /// Carries a plan out.
    ///
    /// # Errors
    /// That of the first step that failed. Steps that ran at the same time have ended; those after it have not begun.
    pub async fn execute(&self, plan: &Plan) -> Result<(), RunError> {
        let mut left: Vec<usize> = plan.steps.iter().map(|step| step.after.len()).collect();
        let followers = followers(plan);
        let mut ready: Vec<StepId> = (0..left.len()).filter(|step| left[*step] == 0).collect();
        let mut running = FuturesUnordered::new();
        let mut failure = None;
        loop {
            if failure.is_none() {
                let begun = ready.drain(..);
                running.extend(
                    begun.map(|step| async move { (step, self.one(&plan.steps[step].command).await) }),
                );
            }
            match running.next().await {
                None => break,
                Some((_, Err(error))) => {
                    // Waits end with an error of their own then, which is no news.
                    self.given_up.send_replace(true);
                    failure.get_or_insert(error);
                }
                Some((step, Ok(()))) => {
                    for follower in &followers[step] {
                        left[*follower] -= 1;
                        if left[*follower] == 0 {
                            ready.push(*follower);
                        }
                    }
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    async fn one(&self, command: &Command) -> Result<(), RunError> {
        if let Command::Wait(wait) = command {
            let mut given_up = self.given_up.subscribe();
            return tokio::select! {
                done = self.wait(wait) => done,
                // The sender lives as long as `self`.
                _ = given_up.wait_for(|given_up| *given_up) => Err(RunError::Cancelled),
            };
        }
        // The semaphore is never closed.
        let _turn = self.requests.acquire().await.ok();
        self.carry_out(command).await
    }

    pub(super) fn report(&self, event: Event) {
        self.around.report(event);
    }

    pub(super) fn build_flags(&self) -> &BuildFlags {
        &self.build
    }

    pub(super) fn around(&self) -> &dyn Surroundings {
        self.around
    }

    /// The events of the project's containers, asked for once.
    pub(super) async fn changes(&self) -> Result<&Changes, RunError> {
        Ok(self.changes.get_or_try_init(|| Changes::of(self.client, &self.project.name)).await?)
    }

    /// The id of a container, or its name where the id isn't known.
    pub(super) fn id(&self, name: &str) -> String {
        self.ids.borrow().get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    pub(super) fn learn(&self, name: &str, id: String) {
        self.ids.borrow_mut().insert(name.to_owned(), id);
    }

    pub(super) fn renamed(&self, from: &str, to: &str) {
        let mut ids = self.ids.borrow_mut();
        if let Some(id) = ids.remove(from) {
            ids.insert(to.to_owned(), id);
        }
    }
}

/// Which steps wait for each step.
fn followers(plan: &Plan) -> Vec<Vec<StepId>> {
    let mut followers = vec![Vec::new(); plan.steps.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        for before in &step.after {
            followers[*before].push(at);
        }
    }
    followers
}
