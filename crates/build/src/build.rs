//! One build under way: its stages, what they read, and how their steps are carried out.
//!
//! ```text
//!   target stage ─▶ the last step whose result is cached ─▶ the steps after it, one on the other
//!                                                            └─ stages that those read, at the same time
//! ```
//! All of it is one tree of futures: when the build's is dropped, everything under way is.

mod copy;
mod definition;
mod run;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, try_join, try_join_all},
};
use minke_dockerfile::{
    evaluate::{Action, CopySource, Evaluated, MountKind, Step},
    plan::{Origin, StageId},
};
use minke_engine::{Engine, Workspace, layers_root};
use minke_image::{BuiltLayer, HeldLayers};
use minke_kernel::path::Root;
use minke_model::{Digest, image_config::ImageConfig};
use tokio::sync::{OnceCell, Semaphore};

use crate::{
    BuildError, BuildRequest, Client, Context, NamedContext, RemoteContext, Tree, Wanted,
    cache::{Cache, Cached, failed, now},
    caches::CacheMounts,
    exclude::Ignored,
    images::BaseImage,
    progress::Node,
    remote::Downloads,
};

/// Everything that the steps of one build share.
pub(crate) struct Build {
    pub(crate) engine: Engine,
    pub(crate) cache: Arc<Cache>,
    pub(crate) mounts: Arc<CacheMounts>,
    pub(crate) client: Client,
    pub(crate) request: BuildRequest,
    /// The configuration of the target's image, but for its layers and times.
    pub(crate) config: ImageConfig,
    pub(crate) stages: BTreeMap<StageId, Stage>,
    pub(crate) images: HashMap<String, BaseImage>,
    /// `.dockerignore`.
    pub(crate) ignored: Ignored,
    pub(crate) files: Fetched,
    pub(crate) downloads: Downloads,
    /// Programs that run at the same time.
    pub(crate) programs: Semaphore,
    pub(crate) results: Mutex<HashMap<StageId, Result_>>,
}

/// What a stage comes to, once for all who need it.
pub(crate) type Result_ = Shared<BoxFuture<'static, Result<State, Arc<BuildError>>>>;

/// A stage that the target needs.
pub(crate) struct Stage {
    pub(crate) name: Option<String>,
    pub(crate) base: StageBase,
    pub(crate) evaluated: Evaluated,
    /// After each step.
    pub(crate) definitions: Vec<Digest>,
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
    /// The files of a named context.
    Files(String),
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
    pub(crate) named: Mutex<HashMap<String, Arc<OnceCell<Tree>>>>,
}

/// Files that a step reads.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) root: Arc<Root>,
    /// The layers' directories, topmost first; none for a context.
    pub(crate) lower: Option<Vec<PathBuf>>,
    /// Whether `.dockerignore` holds for them.
    pub(crate) is_context: bool,
    _tree: Option<Tree>,
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

/// Where an action reads from.
pub(crate) fn origins(action: &Action) -> Vec<&Origin> {
    match action {
        Action::Copy(copy) => {
            let paths = copy.sources.iter().filter_map(|source| match source {
                CopySource::Path(path) => Some(&path.from),
                _ => None,
            });
            paths.collect()
        }
        Action::Run(run) => {
            let mounts = run.mounts.iter().filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, .. } | MountKind::Cache { from, .. } => Some(from),
                _ => None,
            });
            mounts.collect()
        }
        Action::Nothing | Action::MakeDirectory(_) => Vec::new(),
    }
}

impl Build {
    /// What a stage comes to.
    pub(crate) fn result(self: &Arc<Self>, stage: StageId) -> Result_ {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let result = results.entry(stage).or_insert_with(|| {
            let build = Arc::clone(self);
            async move { build.stage(stage).await.map_err(Arc::new) }.boxed().shared()
        });
        result.clone()
    }

    /// Forgets all results, with what is under way for them.
    pub(crate) fn end(&self) {
        let results = std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner));
        drop(results);
    }

    async fn needed(self: &Arc<Self>, stage: StageId) -> Result<State, BuildError> {
        self.result(stage).await.map_err(BuildError::Shared)
    }

    async fn stage(self: &Arc<Self>, id: StageId) -> Result<State, BuildError> {
        let stage = self.known(id)?;
        let steps = &stage.evaluated.steps;
        let (first, state) = match self.latest_cached(stage) {
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
            }
            Ok(state)
        };
        let (state, ()) = try_join(own, others).await?;
        Ok(state)
    }

    fn known(&self, id: StageId) -> Result<&Stage, BuildError> {
        self.stages.get(&id).ok_or_else(|| BuildError::Failed(format!("stage {id} was not planned")))
    }

    /// The last step whose result is there, by the keys that need nothing to be built.
    fn latest_cached(&self, stage: &Stage) -> Option<(usize, Cached)> {
        if self.is_uncached(stage) {
            return None;
        }
        let steps = stage.evaluated.steps.iter().enumerate().rev();
        let layers = steps.filter(|(_, step)| step.action != Action::Nothing);
        layers
            .map(|(index, _)| index)
            .find_map(|index| Some((index, self.cache.by_definition(stage.definitions.get(index)?)?)))
    }

    pub(crate) fn is_uncached(&self, stage: &Stage) -> bool {
        let named =
            |filter: &String| stage.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(filter));
        self.request.no_cache || self.request.no_cache_filter.iter().any(named)
    }

    /// Tells that steps before `first`, and the stages that only they need, need not be carried out.
    fn say_cached(&self, id: StageId, first: usize) {
        let Some(stage) = self.stages.get(&id) else { return };
        if let Some(from) = &stage.from {
            from.done(first > 0, stage.definitions.first().copied());
        }
        for (node, definition) in stage.nodes.iter().zip(&stage.definitions).take(first) {
            node.done(true, Some(*definition));
        }
        if first > 0
            && let StageBase::Stage(base) = stage.base
        {
            self.say_cached(base, usize::MAX);
        }
    }

    /// Tells of stages that nothing will have to be carried out in.
    pub(crate) fn say_unreached(&self, target: StageId) {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![target];
        while let Some(id) = waiting.pop() {
            let Some(stage) = self.stages.get(&id).filter(|_| reached.insert(id)) else { continue };
            let first = self.latest_cached(stage).map_or(0, |(index, _)| index + 1);
            waiting.extend(stage.reads(first));
            if let (0, StageBase::Stage(base)) = (first, &stage.base) {
                waiting.push(*base);
            }
        }
        for id in self.stages.keys().filter(|id| !reached.contains(id)) {
            self.say_cached(*id, usize::MAX);
        }
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
            StageBase::Files(name) => Err(BuildError::Invalid(format!(
                "build context {name:?} has files and no image: it can be copied and mounted from, not built on"
            ))),
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
                node.done(false, Some(stage.definitions[index]));
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

    /// The files of an origin.
    pub(crate) async fn files(self: &Arc<Self>, origin: &Origin) -> Result<Files, BuildError> {
        match origin {
            Origin::Context => self.context_files().await,
            Origin::Stage(stage) => {
                let state = self.needed(*stage).boxed().await?;
                self.layer_files(&state.layers)
            }
            Origin::Image(image) => {
                let name = image_key(image);
                let image = self.images.get(&name).ok_or_else(|| lost(&name))?;
                self.layer_files(&image.layers)
            }
            Origin::Named(named) => match self.request.named_contexts.get(&named.name) {
                Some(NamedContext::Files(context)) => self.named(&named.name, context.as_ref()).await,
                Some(NamedContext::Url(url)) => {
                    let context = RemoteContext::of(self.repositories(), url, None)?;
                    self.named(&named.name, &context).await
                }
                Some(_) => {
                    let image = self.images.get(&named.name).ok_or_else(|| lost(&named.name))?;
                    self.layer_files(&image.layers)
                }
                None => Err(lost(&named.name)),
            },
            Origin::Scratch => self.layer_files(&[]),
        }
    }

    /// The main context's files.
    async fn context_files(&self) -> Result<Files, BuildError> {
        let context = self.client.context.as_ref();
        let context = context
            .ok_or_else(|| BuildError::Invalid("the build has no context to copy files from".to_owned()))?;
        let tree = self.files.main.get_or_try_init(|| context.fetch(self.files.wanted.clone())).await?;
        Files::of_tree(tree, true)
    }

    async fn named(&self, name: &str, context: &dyn Context) -> Result<Files, BuildError> {
        let cell = {
            let mut named = self.files.named.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(named.entry(name.to_owned()).or_default())
        };
        let tree = cell.get_or_try_init(|| context.fetch(Wanted::default())).await?;
        Files::of_tree(tree, false)
    }

    fn layer_files(&self, layers: &[BuiltLayer]) -> Result<Files, BuildError> {
        let lower = self.lower(layers)?;
        let root = match lower.is_empty() {
            true => Root::open(&self.engine.build_directory("empty")?),
            false => layers_root(&lower),
        };
        let root = root.map_err(|error| BuildError::Failed(format!("look at a stage's files: {error}")))?;
        Ok(Files { root: Arc::new(root), lower: Some(lower), is_context: false, _tree: None })
    }

    /// The directories of layers, topmost first.
    pub(crate) fn lower(&self, layers: &[BuiltLayer]) -> Result<Vec<PathBuf>, BuildError> {
        self.engine.image_store().layer_dirs(layers).map_err(|error| failed(&error))
    }
}

impl Files {
    fn of_tree(tree: &Tree, is_context: bool) -> Result<Self, BuildError> {
        let root = Root::open(tree.path())
            .map_err(|error| BuildError::Failed(format!("open {}: {error}", tree.path().display())))?;
        Ok(Self { root: Arc::new(root), lower: None, is_context, _tree: Some(tree.clone()) })
    }
}

/// The key of an image among a build's.
pub(crate) fn image_key(image: &minke_dockerfile::plan::ImageOrigin) -> String {
    format!("{} {:?}", image.written, image.platform)
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

/// Whether a step has to be carried out.
enum Claim {
    /// It was, here or by another build meanwhile.
    Done(State),
    /// Nobody else does as long as this is held.
    Ours(tokio::sync::OwnedMutexGuard<()>),
}

/// A step that is carried out.
struct Work<'a> {
    build: Arc<Build>,
    stage: &'a Stage,
    index: usize,
    step: &'a Step,
    node: &'a Node,
}

impl Work<'_> {
    fn definition(&self) -> Digest {
        self.stage.definitions[self.index]
    }

    /// The result of a content key, if it is there and wanted.
    fn find(&self, key: &Digest) -> Option<State> {
        if self.build.is_uncached(self.stage) {
            return None;
        }
        let cached = self.build.cache.by_content(key)?;
        self.build.cache.lead(self.definition(), cached.key);
        Some(cached.into())
    }

    /// Waits for whoever is doing the same.
    async fn claim(&self, key: &Digest) -> Claim {
        if let Some(found) = self.find(key) {
            return Claim::Done(found);
        }
        let turn = self.build.cache.turn(key).lock_owned().await;
        self.find(key).map_or(Claim::Ours(turn), Claim::Done)
    }

    fn workspace(&self) -> Result<Arc<Workspace>, BuildError> {
        Ok(Arc::new(self.build.engine.build_workspace()?))
    }

    /// Makes what the workspace has changed the step's result.
    async fn commit(
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
        Ok(committed.await.map_err(|error| failed(&error))??.into())
    }
}

fn clamp(upper: &Path, epoch: i64) -> Result<(), BuildError> {
    let clamped =
        std::fs::File::open(upper).and_then(|directory| crate::copy::clamp_times(&directory.into(), epoch));
    clamped.map_err(|error| BuildError::Failed(format!("set the times of what the step wrote: {error}")))
}

/// RFC 3339 of seconds since 1970.
pub(crate) fn time_text(seconds: i64) -> Option<String> {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.format(&time::format_description::well_known::Rfc3339).ok()
}
