//! Which steps need not be carried out: their results are here, or at somebody's whose cache the build may use.

use std::{collections::BTreeSet, sync::PoisonError};

use minke_dockerfile::{evaluate::Action, plan::StageId};
use minke_image::BuiltLayer;
use minke_model::Digest;

use super::{Build, Stage, StageBase};
use crate::{cache::Cached, exchange, images::BaseImage};

impl Build {
    /// The last step whose result is to be had, by the keys that need nothing to be built. One that others have is brought here.
    pub(super) async fn latest_cached(&self, id: StageId, stage: &Stage) -> Option<(usize, Cached)> {
        if self.needs_uncached(stage) {
            return None;
        }
        for (index, definition) in defined(stage) {
            let found = match self.cache.by_definition(&definition) {
                Some(cached) => Some(cached),
                None => self.bring_defined(stage, index, definition).await,
            };
            if let Some(cached) = found {
                self.came_to(id, index, cached.key);
                return Some((index, cached));
            }
        }
        None
    }

    async fn bring_defined(&self, stage: &Stage, index: usize, definition: Digest) -> Option<Cached> {
        let key = self.imports.content(&definition)?;
        let _turn = self.cache.turn(&key).lock_owned().await;
        if let Some(cached) = self.cache.by_content(&key) {
            self.cache.lead(definition, key);
            return Some(cached);
        }
        self.bring(stage, index, key).await
    }

    /// Brings the result of a content key here, if somebody has it. The caller has its turn.
    pub(super) async fn bring(&self, stage: &Stage, index: usize, key: Digest) -> Option<Cached> {
        if !self.imports.has(&key) {
            return None;
        }
        let wanted = exchange::Wanted {
            key,
            definition: stage.definitions[index],
            base: self.base_layers(stage),
            title: &stage.evaluated.steps[index].title,
            node: &stage.nodes[index],
        };
        self.imports.bring(self, &wanted).await
    }

    /// Where the last step whose result seems to be had is.
    fn latest_known(&self, stage: &Stage) -> Option<usize> {
        let is_known = |definition: &Digest| self.content_of(definition).is_some();
        let mut steps = defined(stage).filter(|_| !self.needs_uncached(stage));
        steps.find(|(_, definition)| is_known(definition)).map(|(index, _)| index)
    }

    /// The content key that a definition leads to, here or elsewhere.
    pub(crate) fn content_of(&self, definition: &Digest) -> Option<Digest> {
        let elsewhere = || self.imports.content(definition).filter(|key| self.imports.has(key));
        self.cache.content(definition).or_else(elsewhere)
    }

    /// Remembers what a step came to.
    pub(super) fn came_to(&self, id: StageId, index: usize, key: Digest) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert((id, index), key);
    }

    /// What a step came to, if it was looked at.
    pub(crate) fn key_of(&self, id: StageId, index: usize) -> Option<Digest> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(&(id, index)).copied()
    }

    /// The layers of the image that a stage begins with, below all stages.
    pub(crate) fn base_layers(&self, stage: &Stage) -> &[BuiltLayer] {
        self.base_image(stage).map_or(&[], |image| &image.layers)
    }

    /// The image that a stage begins with, below all stages.
    pub(crate) fn base_image(&self, stage: &Stage) -> Option<&BaseImage> {
        match &self.with_bases(stage).last()?.base {
            StageBase::Image(name) => self.images.get(name),
            StageBase::Stage(_) | StageBase::Nothing => None,
        }
    }

    /// Whether a stage's steps are carried out whatever is known of them: that is asked for, or for the stage that it begins with,
    /// whose steps' keys say nothing of what they come to now.
    pub(crate) fn is_uncached(&self, stage: &Stage) -> bool {
        let named = |stage: &Stage, filter: &String| {
            stage.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(filter))
        };
        let is_named = |stage: &Stage| self.request.no_cache_filter.iter().any(|filter| named(stage, filter));
        self.request.no_cache
            || (!self.request.no_cache_filter.is_empty() && self.with_bases(stage).any(is_named))
    }

    /// A stage, the one that it begins with, and so on.
    fn with_bases<'a>(&'a self, stage: &'a Stage) -> impl Iterator<Item = &'a Stage> {
        std::iter::successors(Some(stage), |stage| match stage.base {
            StageBase::Stage(base) => self.stages.get(&base),
            _ => None,
        })
    }

    /// Whether a stage, or one that it needs, is uncached. Then only what those come to tells what is known of it.
    fn needs_uncached(&self, stage: &Stage) -> bool {
        if self.request.no_cache_filter.is_empty() {
            return self.request.no_cache;
        }
        let mut seen = BTreeSet::new();
        let mut waiting = vec![stage];
        while let Some(stage) = waiting.pop() {
            if self.is_uncached(stage) {
                return true;
            }
            let mut needed = stage.reads(0);
            if let StageBase::Stage(base) = stage.base {
                needed.insert(base);
            }
            let new = needed.into_iter().filter(|id| seen.insert(*id));
            waiting.extend(new.filter_map(|id| self.stages.get(&id)));
        }
        false
    }

    /// Tells that steps before `first`, and the stages that only they need, need not be carried out.
    pub(super) fn say_cached(&self, id: StageId, first: usize) {
        let Some(stage) = self.stages.get(&id) else { return };
        let mut first = first;
        for stage in self.with_bases(stage) {
            if let Some(from) = &stage.from {
                from.done(first > 0, stage.definitions.first().copied().flatten());
            }
            for (node, definition) in stage.nodes.iter().zip(&stage.definitions).take(first) {
                node.done(true, *definition);
            }
            if first == 0 {
                return;
            }
            first = usize::MAX;
        }
    }

    /// Tells of stages that nothing will have to be carried out in.
    pub(crate) fn say_unreached(&self, target: StageId) {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![target];
        while let Some(id) = waiting.pop() {
            let Some(stage) = self.stages.get(&id).filter(|_| reached.insert(id)) else { continue };
            let first = self.latest_known(stage).map_or(0, |index| index + 1);
            waiting.extend(stage.reads(first));
            if let (0, StageBase::Stage(base)) = (first, &stage.base) {
                waiting.push(*base);
            }
        }
        for id in self.stages.keys().filter(|id| !reached.contains(id)) {
            self.say_cached(*id, usize::MAX);
        }
    }
}

/// Steps that leave layers and whose definitions are known, the last first.
fn defined(stage: &Stage) -> impl Iterator<Item = (usize, Digest)> {
    let steps = stage.evaluated.steps.iter().zip(&stage.definitions).enumerate().rev();
    let layers = steps.filter(|(_, (step, _))| step.action != Action::Nothing);
    layers.filter_map(|(index, (_, definition))| Some((index, (*definition)?)))
}
