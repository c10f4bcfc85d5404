//! The stages of a build with the keys of their steps, and the vertices that tell of them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use minke_dockerfile::{
    evaluate::Evaluated,
    plan::{Origin, Plan, PlannedStage, StageId},
};
use minke_model::{Digest, Platform};

use crate::{
    BuildError, Progress, Step, Vertex,
    build::{Build, Stage, StageBase, image_key, named_key},
    cache::Key,
    images::BaseImage,
    progress::Node,
};

/// Makes stages, and numbers their steps over all platforms.
pub(super) struct Stages {
    progress: Arc<dyn Progress>,
    number: usize,
    total: usize,
    is_multi_platform: bool,
    nodes: HashMap<Digest, Node>,
}

impl Stages {
    pub(super) fn new(progress: &Arc<dyn Progress>, total: usize, is_multi_platform: bool) -> Self {
        Self { progress: Arc::clone(progress), number: 0, total, is_multi_platform, nodes: HashMap::new() }
    }

    /// A stage, all before it being made.
    pub(super) async fn stage(
        &mut self,
        build: &Build,
        plan: &Plan,
        id: StageId,
        evaluated: Evaluated,
    ) -> Result<Stage, BuildError> {
        let planned = plan.stage(id);
        let (base, mut definition) = base(build, planned);
        let platform = platform(build, planned, &base);
        let title = evaluated.from.clone().unwrap_or_else(|| planned.code.clone());
        let from = self.vertex(title, planned.code.clone(), Vec::new(), definition);
        let mut last = from.digest();
        let (mut nodes, mut definitions) = (Vec::new(), Vec::new());
        for step in &evaluated.steps {
            definition = match definition {
                Some(before) => build.definition(before, step).await?,
                None => None,
            };
            let node = self.vertex(step.title.clone(), step.code.clone(), vec![last], definition);
            last = node.digest();
            definitions.push(definition);
            nodes.push(node);
        }
        let name = planned.name.clone();
        Ok(Stage { name, base, platform, evaluated, definitions, end: definition, from: Some(from), nodes })
    }

    /// The vertex of a step. What is done once for several platforms has one.
    fn vertex(
        &mut self,
        name: String,
        text: String,
        inputs: Vec<Digest>,
        definition: Option<Digest>,
    ) -> Node {
        self.number += 1;
        let number = self.number.to_string();
        let key = Key::new("vertex").and(&name);
        let digest = match definition.filter(|_| self.is_multi_platform) {
            Some(definition) => key.and(definition.hex()).digest(),
            None => key.and(number).digest(),
        };
        let step = Some(Step { number: self.number, total: self.total, text, image: None });
        let error = String::new();
        let vertex =
            Vertex { digest, inputs, name, started: None, completed: None, cached: false, error, step };
        match self.nodes.entry(digest) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => place.insert(Node::of(&self.progress, vertex)).clone(),
        }
    }
}

/// What a stage is built on, and the definition of that.
fn base(build: &Build, planned: &PlannedStage) -> (StageBase, Option<Digest>) {
    match &planned.base {
        Origin::Image(image) => {
            let key = image_key(image);
            let digest = build.images.get(&key).map(BaseImage::key);
            (StageBase::Image(key), digest)
        }
        Origin::Stage(stage) => {
            let before = build.stages.get(stage).and_then(|stage| stage.end);
            (StageBase::Stage(*stage), before)
        }
        Origin::Named(named) if build.images.contains_key(&named_key(named)) => {
            (StageBase::Image(named_key(named)), build.images.get(&named_key(named)).map(BaseImage::key))
        }
        // Its files are what the stage's first step copies.
        Origin::Named(_) | Origin::Context | Origin::Scratch => {
            (StageBase::Nothing, Some(Key::new("scratch").digest()))
        }
    }
}

/// What the programs of a stage are for: as its image says, or else as was asked.
fn platform(build: &Build, planned: &PlannedStage, base: &StageBase) -> Platform {
    let said = match base {
        StageBase::Stage(stage) => build.stages.get(stage).map(|stage| stage.platform.clone()),
        StageBase::Image(name) => build.images.get(name).and_then(BaseImage::platform),
        StageBase::Nothing => None,
    };
    said.or_else(|| planned.platform.clone()).unwrap_or_else(|| build.platform.clone())
}
