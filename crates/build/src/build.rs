//! One build under way: its stages, what they read, and how their steps are carried out.
//!
//! ```text
//!   target stage ─▶ the last step whose result is cached ─▶ the steps after it, one on the other
//!                                                            └─ stages that those read, at the same time
//! ```
//! All of it is one tree of futures: when the build's is dropped, everything under way is.

mod cached;
mod copy;
mod definition;
mod origin;
mod run;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, try_join, try_join_all},
};
use minke_dockerfile::{
    ast::Source,
    evaluate::{Action, Evaluated, Step},
    plan::{Origin, StageId},
};
use minke_engine::Engine;
use minke_image::{BuiltLayer, HeldLayers};
use minke_model::{Digest, Platform, image_config::ImageConfig};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::AbortHandle,
};

use crate::{
    BuildError, BuildRequest, Client, Tree, Wanted,
    cache::{Cache, Cached, failed},
    caches::{CacheMounts, Fresh},
    exchange::Imports,
    exclude::Ignored,
    images::BaseImage,
    progress::Node,
    remote::Downloads,
};
pub(crate) use origin::{Files, origins};
use work::{Claim, Work};

/// Everything that the steps of a build for one platform share; what is in an `Arc` is shared with those for others.
pub(crate) struct Build {
    pub(crate) engine: Engine,
    pub(crate) cache: Arc<Cache>,
    pub(crate) mounts: Arc<CacheMounts>,
    /// Those of stages without cache.
    pub(crate) fresh: Arc<Fresh>,
    pub(crate) client: Client,
    pub(crate) request: Arc<BuildRequest>,
    /// What it is for.
    pub(crate) platform: Platform,
    /// The configuration of the target's image, but for its layers and times.
    pub(crate) config: ImageConfig,
    pub(crate) stages: BTreeMap<StageId, Stage>,
    pub(crate) images: Arc<HashMap<String, BaseImage>>,
    /// `.dockerignore`.
    pub(crate) ignored: Ignored,
    pub(crate) files: Arc<Fetched>,
    pub(crate) downloads: Arc<Downloads>,
    /// Programs that run at the same time.
    pub(crate) programs: Arc<Semaphore>,
    /// Caches of others.
    pub(crate) imports: Arc<Imports>,
    /// What the request has made so far.
    pub(crate) made: Arc<Made>,
    /// The Dockerfile.
    pub(crate) source: Source,
    /// What stages come to, and what ends their work.
    pub(crate) results: Mutex<HashMap<StageId, (Result_, AbortHandle)>>,
    /// What steps came to, by their places in their stages.
    pub(crate) keys: Mutex<HashMap<(StageId, usize), Digest>>,
}

/// Content keys of results that one request has made.
#[derive(Debug, Default)]
pub(crate) struct Made(Mutex<HashSet<Digest>>);

impl Made {
    fn add(&self, key: Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }

    fn contains(&self, key: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

/// What a stage comes to, once for all who need it.
pub(crate) type Result_ = Shared<BoxFuture<'static, Result<State, Arc<BuildError>>>>;

/// A stage that the target needs.
pub(crate) struct Stage {
    pub(crate) name: Option<String>,
    pub(crate) base: StageBase,
    pub(crate) evaluated: Evaluated,
    /// What its programs are for.
    pub(crate) platform: Platform,
    /// After each step; `None` where it can't be known before it has run.
    pub(crate) definitions: Vec<Option<Digest>>,
    /// After the last step; `None` when it can't be known before that has run.
    pub(crate) end: Option<Digest>,
    pub(crate) from: Option<Node>,
    pub(crate) nodes: Vec<Node>,
}

/// What it is built on.
pub(crate) enum StageBase {
    Nothing,
    Image(String),
    Stage(StageId),
}

/// What a stage has come to after some step.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The content key.
    pub(crate) key: Digest,
    pub(crate) layers: Vec<BuiltLayer>,
    /// When those above the base image were made.
    pub(crate) times: Vec<String>,
    /// Keeps the layers there.
    pub(crate) _held: Option<Arc<HeldLayers>>,
}

/// Files of contexts that were fetched.
pub(crate) struct Fetched {
    pub(crate) wanted: Wanted,
    pub(crate) main: OnceCell<Tree>,
    /// Those of named contexts.
    pub(crate) named: HashMap<String, Named>,
}

/// The files of a named context.
pub(crate) struct Named {
    /// What is wanted of it.
    pub(crate) paths: Vec<String>,
    /// The files, and which of them its `.dockerignore` leaves out.
    pub(crate) fetched: OnceCell<(Tree, Ignored)>,
}

impl Stage {
    /// The stages that the steps from `first` on read.
    fn reads(&self, first: usize) -> BTreeSet<StageId> {
        let steps = self.evaluated.steps.iter().skip(first);
        steps
            .flat_map(|step| origins(&step.action))
            .filter_map(|origin| match origin {
                Origin::Stage(stage) => Some(*stage),
                _ => None,
            })
            .collect()
    }
}

impl Build {
    /// What a stage comes to. Each has a task of its own: a stage that waits for another would call it, and that the next.
    pub(crate) fn result(self: &Arc<Self>, stage: StageId) -> Result_ {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let (result, _) = results.entry(stage).or_insert_with(|| {
            let build = Arc::clone(self);
            let task = tokio::spawn(async move { build.stage(stage).await.map_err(Arc::new) });
            let handle = task.abort_handle();
            let result = task.map(|joined| match joined {
                Ok(result) => result,
                Err(error) if error.is_cancelled() => Err(Arc::new(BuildError::Cancelled)),
                Err(error) => Err(Arc::new(failed(&error))),
            });
            (result.boxed().shared(), handle)
        });
        result.clone()
    }

    /// Forgets all results, and ends what is under way for them.
    pub(crate) fn end(&self) {
        let results = std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner));
        results.values().for_each(|(_, handle)| handle.abort());
    }

    async fn needed(self: &Arc<Self>, stage: StageId) -> Result<State, BuildError> {
        self.result(stage).await.map_err(BuildError::Shared)
    }

    async fn stage(self: &Arc<Self>, id: StageId) -> Result<State, BuildError> {
        let stage = self.known(id)?;
        let steps = &stage.evaluated.steps;
        let (first, state) = match self.latest_cached(id, stage).await {
            Some((index, cached)) => (index + 1, State::from(cached)),
            None => (0, self.base(stage).await?),
        };
        self.say_cached(id, first);
        let reads = stage.reads(first).into_iter().map(|read| self.result(read));
        let others = async { try_join_all(reads).await.map(drop).map_err(BuildError::Shared) };
        let own = async {
            let mut state = state;
            for (index, step) in steps.iter().enumerate().skip(first) {
                state = self.step(stage, index, step, state).await?;
                self.came_to(id, index, state.key);
            }
            Ok(state)
        };
        let (state, ()) = try_join(own, others).await?;
        Ok(state)
    }

    fn known(&self, id: StageId) -> Result<&Stage, BuildError> {
        self.stages.get(&id).ok_or_else(|| BuildError::Failed(format!("stage {id} was not planned")))
    }

    async fn base(self: &Arc<Self>, stage: &Stage) -> Result<State, BuildError> {
        match &stage.base {
            StageBase::Stage(id) => self.needed(*id).boxed().await,
            StageBase::Nothing => Ok(State::nothing()),
            StageBase::Image(name) => {
                let image = self.images.get(name).ok_or_else(|| lost(name))?;
                let layers = image.layers.clone();
                Ok(State { key: image.key(), layers, times: Vec::new(), _held: None })
            }
        }
    }

    async fn step(
        self: &Arc<Self>,
        stage: &Stage,
        index: usize,
        step: &Step,
        state: State,
    ) -> Result<State, BuildError> {
        let node = &stage.nodes[index];
        let work = Work { build: Arc::clone(self), stage, index, step, node };
        let result = match &step.action {
            Action::Nothing => {
                node.done(false, stage.definitions[index]);
                return Ok(state);
            }
            Action::Run(run) => work.run(run, state).await,
            Action::Copy(copy) => work.copy(copy, state).await,
            Action::MakeDirectory(directory) => work.make_directory(directory, state).await,
        };
        match result {
            Ok((cached, state)) => {
                node.done(cached, Some(state.key));
                Ok(state)
            }
            Err(error) => {
                let error = error.at(step.lines.first, step.lines.last);
                node.end(Some(&error));
                Err(error)
            }
        }
    }
}

/// The key of an image among a build's.
pub(crate) fn image_key(image: &minke_dockerfile::plan::ImageOrigin) -> String {
    format!("{} {:?}", image.written, image.platform)
}

/// The key of a named context's image among a build's.
pub(crate) fn named_key(named: &minke_dockerfile::plan::NamedContext) -> String {
    format!("context {} {:?}", named.name, named.platform)
}

fn lost(name: &str) -> BuildError {
    BuildError::Failed(format!("{name} was not resolved"))
}

impl State {
    pub(crate) fn nothing() -> Self {
        let key = crate::cache::Key::new("scratch").digest();
        Self { key, layers: Vec::new(), times: Vec::new(), _held: None }
    }
}

impl From<Cached> for State {
    fn from(cached: Cached) -> Self {
        Self { key: cached.key, layers: cached.layers, times: cached.times, _held: Some(cached.held) }
    }
}

/// RFC 3339 of seconds since 1970.
pub(crate) fn time_text(seconds: i64) -> Option<String> {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.format(&time::format_description::well_known::Rfc3339).ok()
}
