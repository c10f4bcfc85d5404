//! A step that is carried out: whether it has to be, where, and what becomes of it.

use std::{path::Path, sync::Arc};

use minke_dockerfile::evaluate::Step;
use minke_engine::Workspace;
use minke_model::Digest;

use super::{Build, Stage, State, time_text};
use crate::{
    BuildError,
    cache::{failed, now},
    progress::Node,
};

/// Whether a step has to be carried out.
pub(super) enum Claim {
    /// It was, here or by another build meanwhile.
    Done(State),
    /// Nobody else does as long as this is held.
    Ours(tokio::sync::OwnedMutexGuard<()>),
}

/// A step that is carried out.
pub(super) struct Work<'a> {
    pub(super) build: Arc<Build>,
    pub(super) stage: &'a Stage,
    pub(super) index: usize,
    pub(super) step: &'a Step,
    pub(super) node: &'a Node,
}

impl Work<'_> {
    fn definition(&self) -> Option<Digest> {
        self.stage.definitions[self.index]
    }

    /// The result of a content key, if it is there and wanted.
    fn find(&self, key: &Digest) -> Option<State> {
        if !self.is_wanted(key) {
            return None;
        }
        let cached = self.build.cache.by_content(key)?;
        if let Some(definition) = self.definition() {
            self.build.cache.lead(definition, cached.key);
        }
        Some(cached.into())
    }

    /// Whether a cached result may be taken: without a cache only what the same request has made, for another platform or stage.
    fn is_wanted(&self, key: &Digest) -> bool {
        !self.build.is_uncached(self.stage) || self.build.made.contains(key)
    }

    /// Waits for whoever is doing the same.
    pub(super) async fn claim(&self, key: &Digest) -> Claim {
        if let Some(found) = self.find(key) {
            return Claim::Done(found);
        }
        let turn = self.build.cache.turn(key).lock_owned().await;
        if let Some(found) = self.find(key) {
            return Claim::Done(found);
        }
        if !self.build.is_uncached(self.stage)
            && let Some(brought) = self.build.bring(self.stage, self.index, *key).await
        {
            return Claim::Done(brought.into());
        }
        Claim::Ours(turn)
    }

    pub(super) fn workspace(&self) -> Result<Arc<Workspace>, BuildError> {
        Ok(Arc::new(self.build.engine.build_workspace()?))
    }

    /// Makes what the workspace has changed the step's result.
    pub(super) async fn commit(
        &self,
        workspace: Arc<Workspace>,
        key: Digest,
        state: &State,
    ) -> Result<State, BuildError> {
        let (cache, definition, title) =
            (Arc::clone(&self.build.cache), self.definition(), self.step.title.clone());
        let epoch = self.build.request.source_date_epoch;
        let (below, mut times) = (state.layers.clone(), state.times.clone());
        times.push(epoch.and_then(time_text).unwrap_or_else(now));
        let committed = tokio::task::spawn_blocking(move || {
            let upper = workspace.upper();
            if let Some(epoch) = epoch {
                clamp(&upper, epoch)?;
            }
            cache.commit(key, definition, &upper, &below, &times, &title)
        });
        let committed = committed.await.map_err(|error| failed(&error))??;
        self.build.made.add(key);
        Ok(committed.into())
    }
}

fn clamp(upper: &Path, epoch: i64) -> Result<(), BuildError> {
    let clamped =
        std::fs::File::open(upper).and_then(|directory| crate::copy::clamp_times(&directory.into(), epoch));
    clamped.map_err(|error| BuildError::Failed(format!("set the times of what the step wrote: {error}")))
}
