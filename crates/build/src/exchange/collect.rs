//! Which layers and records a cache is made of: those of the steps of a build, carried out or found, here or elsewhere.

use std::{collections::HashMap, sync::Arc};

use minke_dockerfile::{evaluate::Action, plan::StageId};
use minke_image::{BuiltLayer, HeldLayers};
use minke_model::{Descriptor, Digest};

use super::{Place, format::Records};
use crate::build::{Build, Stage, StageBase};

/// Layers and records in the making.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) layers: Vec<CollectedLayer>,
    pub(super) records: Records,
    places: HashMap<(Option<usize>, Digest, Option<String>), usize>,
    /// Keeps layers of this engine there.
    _held: Vec<Arc<HeldLayers>>,
}

/// A layer of a cache.
pub(super) struct CollectedLayer {
    pub(super) parent: Option<usize>,
    pub(super) diff_id: Digest,
    pub(super) created: Option<String>,
    pub(super) source: Source,
}

/// Where a layer's blob is.
#[derive(Clone)]
pub(super) enum Source {
    Here(BuiltLayer),
    Elsewhere(Arc<dyn Place>, Descriptor),
}

/// A step's keys, and what is known of its layers.
struct Step {
    key: Digest,
    definition: Option<Digest>,
}

/// The steps of a build, without those that left nothing: of the stages that the result is built upon, or of all.
fn steps(build: &Build, target: StageId, all: bool) -> Vec<(&Stage, Step)> {
    let mut stages = Vec::new();
    let mut next = Some(target);
    while let Some((id, stage)) = next.and_then(|id| Some((id, build.stages.get(&id)?))) {
        stages.push((id, stage));
        next = match stage.base {
            StageBase::Stage(base) => Some(base),
            _ => None,
        };
    }
    if all {
        stages = build.stages.iter().map(|(id, stage)| (*id, stage)).collect();
    }
    let mut found = Vec::new();
    for (id, stage) in stages {
        let layers =
            stage.evaluated.steps.iter().enumerate().filter(|(_, step)| step.action != Action::Nothing);
        for (index, _) in layers {
            let definition = stage.definitions[index];
            let known = build.key_of(id, index);
            let led = || definition.and_then(|definition| build.content_of(&definition));
            found.extend(known.or_else(led).map(|key| (stage, Step { key, definition })));
        }
    }
    found
}

impl Collected {
    /// Adds the steps of a build.
    pub(super) fn add(&mut self, build: &Build, target: StageId, all: bool) {
        for (stage, step) in steps(build, target, all) {
            let base = build.base_layers(stage);
            let top = self.here(build, &step.key, base).or_else(|| self.elsewhere(build, &step.key, base));
            let Some(top) = top else { continue };
            let created = self.layers[top].created.clone();
            self.records.results.insert(step.key, (top, created));
            self.records.definitions.extend(step.definition.map(|definition| (definition, step.key)));
        }
    }

    fn here(&mut self, build: &Build, key: &Digest, base: &[BuiltLayer]) -> Option<usize> {
        let cached = build.cache.look(key)?;
        let own = cached.layers.get(base.len()..)?;
        let mut times = cached.times.iter().cloned();
        let mut top = None;
        for layer in own {
            top = Some(self.layer(top, layer.diff_id, times.next(), Source::Here(layer.clone())));
        }
        self._held.push(cached.held);
        top
    }

    /// What was not needed here, and whoever takes this cache may need.
    fn elsewhere(&mut self, build: &Build, key: &Digest, base: &[BuiltLayer]) -> Option<usize> {
        let base: Vec<Digest> = base.iter().map(|layer| layer.diff_id).collect();
        let offer = build.imports.offers(key, &base).into_iter().next()?;
        let mut top = None;
        for layer in offer.layers {
            let source = Source::Elsewhere(Arc::clone(&offer.import.place), layer.blob);
            top = Some(self.layer(top, layer.diff_id, layer.created, source));
        }
        top
    }

    fn layer(
        &mut self,
        parent: Option<usize>,
        diff_id: Digest,
        created: Option<String>,
        source: Source,
    ) -> usize {
        let next = self.layers.len();
        let place = *self.places.entry((parent, diff_id, created.clone())).or_insert(next);
        if place == next {
            self.layers.push(CollectedLayer { parent, diff_id, created, source });
        }
        place
    }
}

/// The records of an image's own steps: their layers are named by their places in the image.
pub(super) fn of_image(build: &Build, target: StageId, layers: &[BuiltLayer]) -> Records {
    let mut records = Records::default();
    for (stage, step) in steps(build, target, false) {
        let Some(found) = place_in(build, layers, build.base_layers(stage), &step.key) else { continue };
        records.results.insert(step.key, found);
        records.definitions.extend(step.definition.map(|definition| (definition, step.key)));
    }
    records
}

/// Which layer of an image a step's result is, and when that was made; wherever the result is.
fn place_in(
    build: &Build,
    layers: &[BuiltLayer],
    base: &[BuiltLayer],
    key: &Digest,
) -> Option<(usize, Option<String>)> {
    let (own, created): (Vec<Digest>, _) = match build.cache.look(key) {
        Some(cached) => {
            let own = cached.layers.get(base.len()..)?;
            (own.iter().map(|layer| layer.diff_id).collect(), cached.times.last().cloned())
        }
        None => {
            let base: Vec<Digest> = base.iter().map(|layer| layer.diff_id).collect();
            let offered = build.imports.offers(key, &base).into_iter().next()?.layers;
            let created = offered.last().and_then(|layer| layer.created.clone());
            (offered.iter().map(|layer| layer.diff_id).collect(), created)
        }
    };
    let there = layers.get(base.len()..base.len() + own.len())?;
    let is_same = there.iter().zip(&own).all(|(layer, diff_id)| layer.diff_id == *diff_id);
    (is_same && !own.is_empty()).then(|| (base.len() + own.len() - 1, created))
}
