//! From a request to a build that can begin: the Dockerfile read, its stages planned and evaluated, their base images here, and
//! the key of every step known.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Arc, Mutex},
};

use minke_dockerfile::{
    Diagnostic,
    ast::Dockerfile,
    evaluate::{Action, Base, CopySource, Evaluated, MountKind},
    ignore,
    lint::Linter,
    plan::{ImageOrigin, Options, Origin, Plan, StageId},
};
use minke_model::{Digest, Platform, Reference};
use tokio::sync::{OnceCell, Semaphore};

use crate::{
    BuildError, BuildRequest, CacheEndpoint, Client, ContextError, Event, NamedContext, Step, Vertex, Wanted,
    Warning,
    build::{Build, Fetched, Stage, StageBase, image_key, origins},
    builder::Builder,
    cache::Key,
    exclude::Ignored,
    images::{self, BaseImage},
    progress::Node,
};

/// Most bytes of a Dockerfile.
const LONGEST_DOCKERFILE: u64 = 8 << 20;
/// Most bytes of a `.dockerignore`.
const LONGEST_IGNORE: u64 = 8 << 20;
/// More base images of base images' triggers than any honest build has.
const MOST_ROUNDS: usize = 64;

/// A build that can begin, and the stage that it is for.
pub(crate) struct Prepared {
    pub(crate) build: Arc<Build>,
    pub(crate) target: StageId,
}

/// The words of a diagnostic: its excerpt with the file's lines.
pub(crate) fn told(diagnostic: &Diagnostic) -> BuildError {
    BuildError::Invalid(diagnostic.render())
}

/// Reads the Dockerfile.
pub(crate) async fn dockerfile(request: &BuildRequest, client: &Client) -> Result<Dockerfile, BuildError> {
    let name = dockerfile_name(request);
    let bytes = match &request.dockerfile_text {
        Some(text) => text.clone().into_bytes(),
        None => {
            let context = client.context.as_ref();
            let context = context
                .ok_or_else(|| ContextError::invalid("the build has neither context nor Dockerfile"))?;
            let node = Node::new(
                &client.progress,
                Key::new("load dockerfile").and(name).digest(),
                format!("[internal] load build definition from {name}"),
            );
            node.start();
            let read = context.read_file(name, LONGEST_DOCKERFILE).await;
            let read = read.map_err(BuildError::from).and_then(|bytes| {
                bytes.ok_or_else(|| {
                    BuildError::Invalid(format!(
                        "failed to read dockerfile: open {name}: no such file or directory"
                    ))
                })
            });
            node.end(read.as_ref().err());
            read?
        }
    };
    minke_dockerfile::parse(name, &bytes).map_err(|diagnostic| told(&diagnostic))
}

fn dockerfile_name(request: &BuildRequest) -> &str {
    if request.dockerfile.is_empty() { "Dockerfile" } else { &request.dockerfile }
}

/// The patterns of `<Dockerfile>.dockerignore`, or else `.dockerignore`.
async fn ignored(request: &BuildRequest, client: &Client) -> Result<Vec<String>, BuildError> {
    let Some(context) = &client.context else { return Ok(Vec::new()) };
    let own = format!("{}.dockerignore", dockerfile_name(request));
    for name in [own.as_str(), ".dockerignore"] {
        if let Some(bytes) = context.read_file(name, LONGEST_IGNORE).await? {
            return ignore::read(&bytes).map_err(|error| BuildError::Invalid(format!("{name}: {error}")));
        }
    }
    Ok(Vec::new())
}

/// The options of the language's plan.
pub(crate) fn options(request: &BuildRequest) -> Result<Options, BuildError> {
    let platform = match request.platforms.as_slice() {
        [] => None,
        [one] => {
            let parsed = one.parse::<Platform>();
            Some(parsed.map_err(|error| BuildError::Invalid(format!("--platform {one}: {error}")))?)
        }
        _ => {
            return Err(BuildError::Invalid(
                "building for several platforms at once can't be honoured by this builder: build for each"
                    .to_owned(),
            ));
        }
    };
    let value = |context: &NamedContext, name: &str| match context {
        NamedContext::Files(_) => format!("local:{name}"),
        NamedContext::Image(reference) => format!("docker-image://{reference}"),
        NamedContext::Url(url) => url.clone(),
    };
    let contexts = request.named_contexts.iter().map(|(name, context)| (name.clone(), value(context, name)));
    let mut arguments: BTreeMap<String, String> =
        request.args.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    if let Some(epoch) = request.source_date_epoch {
        arguments.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert_with(|| epoch.to_string());
    }
    Ok(Options {
        target: Some(request.target.clone()).filter(|target| !target.is_empty()),
        arguments,
        build_platform: Platform::host(),
        target_platform: platform,
        is_multi_platform: false,
        contexts: contexts.collect(),
        all_stages: request.check_only && request.target.is_empty(),
    })
}

/// Plans, resolves base images, evaluates, and computes every step's definition.
pub(crate) async fn prepare(
    builder: &Builder,
    request: BuildRequest,
    client: Client,
) -> Result<Prepared, BuildError> {
    let file = dockerfile(&request, &client).await?;
    check_caches(&request, &client, &file)?;
    let patterns = ignored(&request, &client).await?;
    let mut linter = Linter::new(&file, None).map_err(|diagnostic| told(&diagnostic))?;
    let mut plan =
        Plan::new(&file, &options(&request)?, &mut linter).map_err(|diagnostic| told(&diagnostic))?;
    let mut images = HashMap::new();
    let evaluated = evaluate(builder, &request, &client, &mut plan, &mut linter, &mut images).await?;
    say_warnings(&client, &linter, &file);
    linter.verdict().map_err(|diagnostic| told(&diagnostic))?;
    let ignored = Ignored::new(&patterns)?;
    let wanted = Wanted { paths: wanted_paths(&evaluated), exclude: patterns };
    let needed = plan.needed();
    let target = evaluated.get(&plan.target());
    let target = target.ok_or_else(|| BuildError::Failed("the target was not evaluated".to_owned()))?;
    let config = plan.finished(target, &request.labels);
    let mut build = Build {
        engine: builder.engine().clone(),
        cache: Arc::clone(builder.cache()),
        mounts: Arc::clone(builder.mounts()),
        client,
        config,
        request,
        stages: BTreeMap::new(),
        images,
        ignored,
        files: Fetched { wanted, main: OnceCell::new(), named: Mutex::default() },
        downloads: Default::default(),
        programs: Semaphore::new(
            std::thread::available_parallelism().map_or(4, |cpus| cpus.get() * 2).max(4),
        ),
        results: Mutex::default(),
    };
    load_context(&build, &evaluated).await?;
    let total: usize = evaluated.values().map(|stage| stage.steps.len() + 1).sum();
    let mut number = 0;
    for id in sorted(&needed) {
        let Some(evaluated) = evaluated.get(&id) else { continue };
        let stage = stage(&build, &plan, id, evaluated.clone(), &mut number, total).await?;
        build.stages.insert(id, stage);
    }
    Ok(Prepared { target: plan.target(), build: Arc::new(build) })
}

/// A stage's number is its place in the Dockerfile, and it needs only those before it.
fn sorted(needed: &[StageId]) -> Vec<StageId> {
    let mut ids = needed.to_vec();
    ids.sort_unstable();
    ids
}

async fn evaluate(
    builder: &Builder,
    request: &BuildRequest,
    client: &Client,
    plan: &mut Plan,
    linter: &mut Linter,
    images: &mut HashMap<String, BaseImage>,
) -> Result<BTreeMap<StageId, Evaluated>, BuildError> {
    let mut triggered = std::collections::BTreeSet::new();
    // Triggers of a base image may need stages that were not needed before.
    for _ in 0..MOST_ROUNDS {
        let needed = sorted(&plan.needed());
        resolve(builder, request, client, plan, &needed, images).await?;
        let mut is_settled = true;
        for id in &needed {
            let Some(image) = base_image(plan.stage(*id).base.clone(), images) else { continue };
            if triggered.insert(*id) && !image.config().config.on_build.is_empty() {
                plan.on_build(*id, &image.config().config.on_build)
                    .map_err(|diagnostic| told(&diagnostic))?;
                is_settled = false;
            }
        }
        if is_settled {
            break;
        }
    }
    let mut evaluated: BTreeMap<StageId, Evaluated> = BTreeMap::new();
    for id in sorted(&plan.needed()) {
        let origin = plan.stage(id).base.clone();
        let image = base_image(origin.clone(), images);
        let base = match (&origin, &image) {
            (Origin::Stage(stage), _) => match evaluated.get(stage) {
                Some(stage) => Base::Stage(stage),
                None => return Err(BuildError::Failed(format!("stage {stage} was not evaluated"))),
            },
            (_, Some(image)) => Base::Image { config: image.config(), title: &image.title },
            _ => Base::Scratch,
        };
        let stage = plan.evaluate(id, base, linter).map_err(|diagnostic| told(&diagnostic))?;
        evaluated.insert(id, stage);
    }
    // What steps copy and mount from may be images, too.
    for stage in evaluated.values() {
        for origin in stage.steps.iter().flat_map(|step| origins(&step.action)) {
            image(builder, request, client, origin, images).await?;
        }
    }
    Ok(evaluated)
}

async fn resolve(
    builder: &Builder,
    request: &BuildRequest,
    client: &Client,
    plan: &Plan,
    needed: &[StageId],
    images: &mut HashMap<String, BaseImage>,
) -> Result<(), BuildError> {
    for id in needed {
        image(builder, request, client, &plan.stage(*id).base, images).await?;
    }
    Ok(())
}

/// Makes sure that an origin's image is here, where it is one.
async fn image(
    builder: &Builder,
    request: &BuildRequest,
    client: &Client,
    origin: &Origin,
    images: &mut HashMap<String, BaseImage>,
) -> Result<(), BuildError> {
    let (key, origin) = match origin {
        Origin::Image(image) => (image_key(image), image.clone()),
        Origin::Named(named) => match request.named_contexts.get(&named.name) {
            Some(NamedContext::Image(written)) => {
                let reference: Reference =
                    written.parse().map_err(|error| BuildError::Invalid(format!("{written}: {error}")))?;
                let image = ImageOrigin {
                    written: written.clone(),
                    reference: reference.with_default_tag(),
                    platform: named.platform.clone(),
                    is_platform_asked_for: false,
                };
                (named.name.clone(), image)
            }
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    if let Entry::Vacant(place) = images.entry(key) {
        place.insert(images::resolve(builder.engine(), client, &origin, request.pull).await?);
    }
    Ok(())
}

fn base_image(origin: Origin, images: &HashMap<String, BaseImage>) -> Option<BaseImage> {
    match origin {
        Origin::Image(image) => images.get(&image_key(&image)).cloned(),
        Origin::Named(named) => images.get(&named.name).cloned(),
        _ => None,
    }
}

/// What is needed of the context: the paths of all copies, and of all mounts.
fn wanted_paths(stages: &BTreeMap<StageId, Evaluated>) -> Vec<String> {
    let mut paths = Vec::new();
    for step in stages.values().flat_map(|stage| &stage.steps) {
        match &step.action {
            Action::Copy(copy) => paths.extend(copy.sources.iter().filter_map(|source| match source {
                CopySource::Path(path) if path.from == Origin::Context => Some(match &path.parents {
                    Some(below) => format!("{}/{below}", path.path.trim_end_matches('/')),
                    None => path.path.clone(),
                }),
                _ => None,
            })),
            Action::Run(run) => paths.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                MountKind::Bind { from: Origin::Context, source } => Some(source.clone()),
                _ => None,
            })),
            Action::Nothing | Action::MakeDirectory(_) => {}
        }
    }
    let mut paths: Vec<String> = paths
        .iter()
        .map(|path| path.trim_matches('/').to_owned())
        .map(|path| if path.is_empty() { ".".to_owned() } else { path })
        .collect();
    if paths.iter().any(|path| path == ".") {
        return Vec::new();
    }
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Brings the context here, if any step reads of it: its content is part of the steps' definitions.
async fn load_context(build: &Build, stages: &BTreeMap<StageId, Evaluated>) -> Result<(), BuildError> {
    let reads = stages
        .values()
        .flat_map(|stage| &stage.steps)
        .any(|step| origins(&step.action).into_iter().any(|origin| *origin == Origin::Context));
    let Some(context) = build.client.context.as_ref().filter(|_| reads) else { return Ok(()) };
    let node = Node::new(
        &build.client.progress,
        Key::new("load context").digest(),
        "[internal] load build context".to_owned(),
    );
    node.start();
    let fetched = build.files.main.get_or_try_init(|| context.fetch(build.files.wanted.clone())).await;
    let fetched = fetched.map(drop).map_err(BuildError::from);
    node.end(fetched.as_ref().err());
    fetched
}

async fn stage(
    build: &Build,
    plan: &Plan,
    id: StageId,
    evaluated: Evaluated,
    number: &mut usize,
    total: usize,
) -> Result<Stage, BuildError> {
    let planned = plan.stage(id);
    let (base, mut definition) = match &planned.base {
        Origin::Image(image) => {
            let key = image_key(image);
            let digest = build.images.get(&key).map(BaseImage::key);
            (StageBase::Image(key), digest)
        }
        Origin::Stage(stage) => {
            let before = build.stages.get(stage).and_then(|stage| stage.end);
            (StageBase::Stage(*stage), before)
        }
        Origin::Named(named) if build.images.contains_key(&named.name) => {
            (StageBase::Image(named.name.clone()), build.images.get(&named.name).map(BaseImage::key))
        }
        Origin::Named(named) => (StageBase::Files(named.name.clone()), None),
        Origin::Context | Origin::Scratch => (StageBase::Nothing, Some(Key::new("scratch").digest())),
    };
    let progress = &build.client.progress;
    let mut vertex = |name: String, text: String, inputs: Vec<Digest>| {
        *number += 1;
        let digest = Key::new("vertex").and(number.to_string()).and(&name).digest();
        let step = Some(Step { number: *number, total, text, image: None });
        let vertex = Vertex {
            digest,
            inputs,
            name,
            started: None,
            completed: None,
            cached: false,
            error: String::new(),
            step,
        };
        Node::of(progress, vertex)
    };
    let from = evaluated.from.clone().unwrap_or_else(|| planned.code.clone());
    let from = vertex(from, planned.code.clone(), Vec::new());
    let mut last = from.digest();
    let (mut nodes, mut definitions) = (Vec::new(), Vec::new());
    for step in &evaluated.steps {
        definition = match definition {
            Some(before) => build.definition(before, step).await?,
            None => None,
        };
        let node = vertex(step.title.clone(), step.code.clone(), vec![last]);
        last = node.digest();
        // A step whose definition can't be known before it runs has a key that nothing is found by.
        definitions.push(definition.unwrap_or(last));
        nodes.push(node);
    }
    let name = planned.name.clone();
    Ok(Stage { name, base, evaluated, definitions, end: definition, from: Some(from), nodes })
}

/// Caches elsewhere are not served: one that is only read from, or goes with the image, costs time where it is missing, and is
/// told of; one that somebody wants to have is an error.
fn check_caches(request: &BuildRequest, client: &Client, file: &Dockerfile) -> Result<(), BuildError> {
    let is_inline = |cache: &&CacheEndpoint| cache.kind == "inline";
    if let Some(cache) = request.cache_to.iter().find(|cache| !is_inline(cache)) {
        return Err(BuildError::Invalid(format!(
            "--cache-to type={}: this builder's cache stays with the engine: leave the option out",
            cache.kind
        )));
    }
    let unread = request.cache_from.iter().map(|cache| format!("--cache-from type={}", cache.kind));
    let inline = request.cache_to.iter().map(|_| "--cache-to type=inline".to_owned());
    for option in unread.chain(inline).filter(|_| !request.check_only) {
        client.progress.event(Event::Warning(Warning {
            vertex: Key::new("load dockerfile").and(&*file.source.name).digest(),
            level: 1,
            short: format!("{option} has no effect: the engine's own cache is used"),
            detail: Vec::new(),
            url: String::new(),
            file: file.source.name.to_string(),
            lines: Vec::new(),
        }));
    }
    Ok(())
}

/// Tells what the lints have found.
fn say_warnings(client: &Client, linter: &Linter, file: &Dockerfile) {
    let vertex = Key::new("load dockerfile").and(&*file.source.name).digest();
    for warning in linter.warnings() {
        client.progress.event(Event::Warning(Warning {
            vertex,
            level: 1,
            short: warning.summary(),
            detail: vec![warning.rule.description().to_owned()],
            url: warning.rule.url(),
            file: file.source.name.to_string(),
            lines: vec![(warning.lines.first, warning.lines.last)],
        }));
    }
}
