//! From a request to a build that can begin: the Dockerfile read, its stages planned and evaluated, their base images here, and
//! the key of every step known. A build for several platforms is several, which share what is the same for all.

mod evaluate;
mod stages;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use futures_util::future::join;
use minke_dockerfile::{
    Diagnostic,
    ast::Dockerfile,
    evaluate::{Action, CopySource, Evaluated, MountKind},
    ignore,
    lint::Linter,
    plan::{Options, Origin, Plan, StageId},
};
use minke_model::Platform;
use tokio::sync::{OnceCell, Semaphore};

use crate::{
    BuildError, BuildRequest, Client, ContextError, Event, NamedContext, Wanted, Warning,
    build::{Build, Fetched, origins},
    builder::Builder,
    cache::Key,
    exchange::{self, ExportTo},
    exclude::Ignored,
    images::BaseImage,
    progress::Node,
};
use evaluate::evaluate;
use stages::Stages;

/// Most bytes of a Dockerfile.
const LONGEST_DOCKERFILE: u64 = 8 << 20;
/// Most bytes of a `.dockerignore`.
const LONGEST_IGNORE: u64 = 8 << 20;
/// The most platforms of one build.
const MOST_PLATFORMS: usize = 32;

/// A build that can begin: for each platform one, with the stage that it is for.
pub(crate) struct Prepared {
    pub(crate) builds: Vec<(Arc<Build>, StageId)>,
    /// Where the caches go.
    pub(crate) exports: Vec<ExportTo>,
}

/// What is known for one platform once its stages are evaluated.
struct Planned {
    platform: Platform,
    plan: Plan,
    evaluated: BTreeMap<StageId, Evaluated>,
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

/// The platforms that are asked for, each once; one that nobody named is the host's.
fn platforms(request: &BuildRequest) -> Result<Vec<Option<Platform>>, BuildError> {
    let mut platforms: Vec<Option<Platform>> = Vec::new();
    for text in &request.platforms {
        let parsed = text.parse::<Platform>();
        let parsed = parsed.map_err(|error| BuildError::Invalid(format!("--platform {text}: {error}")))?;
        if !platforms.contains(&Some(parsed.clone())) {
            platforms.push(Some(parsed));
        }
    }
    match platforms.len() {
        0 => Ok(vec![None]),
        count if count > MOST_PLATFORMS => {
            Err(BuildError::Invalid(format!("--platform: {count} are more than {MOST_PLATFORMS}")))
        }
        _ => Ok(platforms),
    }
}

/// The options of the language's plan.
fn options(request: &BuildRequest, platform: Option<Platform>, is_multi_platform: bool) -> Options {
    let value = |context: &NamedContext, name: &str| match context {
        NamedContext::Files(_) => format!("local:{name}"),
        NamedContext::Image(reference) => format!("docker-image://{reference}"),
        NamedContext::Url(url) => url.clone(),
        NamedContext::Build(_) => format!("input:{name}"),
    };
    let contexts = request.named_contexts.iter().map(|(name, context)| (name.clone(), value(context, name)));
    let mut arguments: BTreeMap<String, String> =
        request.args.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    if let Some(epoch) = request.source_date_epoch {
        arguments.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert_with(|| epoch.to_string());
    }
    Options {
        target: Some(request.target.clone()).filter(|target| !target.is_empty()),
        arguments,
        build_platform: Platform::host(),
        target_platform: platform,
        is_multi_platform,
        contexts: contexts.collect(),
        all_stages: request.check_only && request.target.is_empty(),
    }
}

/// Plans, resolves base images, evaluates, and computes every step's definition.
pub(crate) async fn prepare(
    builder: &Builder,
    request: BuildRequest,
    client: Client,
) -> Result<Prepared, BuildError> {
    let exports = exchange::check_exports(&request)?;
    let file = dockerfile(&request, &client).await?;
    let imports = exchange::imports(builder.engine(), &client, &request);
    let (patterns, imports) = join(ignored(&request, &client), imports).await;
    let patterns = patterns?;
    let mut images = HashMap::new();
    let planned = plan(builder, &request, &client, &file, &mut images).await?;
    let evaluated = || planned.iter().flat_map(|one| one.evaluated.values());
    let wanted = Wanted { paths: wanted_paths(evaluated()), exclude: patterns.clone() };
    let files = Arc::new(Fetched { wanted, main: OnceCell::new(), named: Mutex::default() });
    load_context(&client, &files, evaluated()).await?;
    let programs = std::thread::available_parallelism().map_or(4, |cpus| cpus.get() * 2).max(4);
    let (request, images, imports) = (Arc::new(request), Arc::new(images), Arc::new(imports));
    let (downloads, programs, made) = (Arc::default(), Arc::new(Semaphore::new(programs)), Arc::default());
    let total = evaluated().map(|stage| stage.steps.len() + 1).sum();
    let mut stages = Stages::new(&client.progress, total, planned.len() > 1);
    let mut builds = Vec::with_capacity(planned.len());
    for Planned { platform, plan, evaluated } in planned {
        let target = evaluated.get(&plan.target());
        let target = target.ok_or_else(|| BuildError::Failed("the target was not evaluated".to_owned()))?;
        let mut build = Build {
            engine: builder.engine().clone(),
            cache: Arc::clone(builder.cache()),
            mounts: Arc::clone(builder.mounts()),
            client: client.clone(),
            config: plan.finished(target, &request.labels),
            request: Arc::clone(&request),
            platform,
            stages: BTreeMap::new(),
            images: Arc::clone(&images),
            ignored: Ignored::new(&patterns)?,
            files: Arc::clone(&files),
            downloads: Arc::clone(&downloads),
            programs: Arc::clone(&programs),
            imports: Arc::clone(&imports),
            made: Arc::clone(&made),
            results: Mutex::default(),
            keys: Mutex::default(),
        };
        for id in sorted(&plan.needed()) {
            let Some(evaluated) = evaluated.get(&id) else { continue };
            let stage = stages.stage(&build, &plan, id, evaluated.clone()).await?;
            build.stages.insert(id, stage);
        }
        builds.push((Arc::new(build), plan.target()));
    }
    Ok(Prepared { builds, exports })
}

/// Plans and evaluates for each platform. What lints find is told once.
async fn plan(
    builder: &Builder,
    request: &BuildRequest,
    client: &Client,
    file: &Dockerfile,
    images: &mut HashMap<String, BaseImage>,
) -> Result<Vec<Planned>, BuildError> {
    let platforms = platforms(request)?;
    let is_multi_platform = platforms.len() > 1;
    let mut planned = Vec::with_capacity(platforms.len());
    for platform in platforms {
        let mut linter = Linter::new(file, None).map_err(|diagnostic| told(&diagnostic))?;
        let options = options(request, platform, is_multi_platform);
        let platform = options.platform().clone();
        let mut plan = Plan::new(file, &options, &mut linter).map_err(|diagnostic| told(&diagnostic))?;
        let evaluated = evaluate(builder, request, client, &mut plan, &mut linter, images).await?;
        if planned.is_empty() {
            say_warnings(client, &linter, file);
        }
        linter.verdict().map_err(|diagnostic| told(&diagnostic))?;
        planned.push(Planned { platform, plan, evaluated });
    }
    Ok(planned)
}

/// A stage's number is its place in the Dockerfile, and it needs only those before it.
fn sorted(needed: &[StageId]) -> Vec<StageId> {
    let mut ids = needed.to_vec();
    ids.sort_unstable();
    ids
}

/// What is needed of the context: the paths of all copies, and of all mounts.
fn wanted_paths<'a>(stages: impl Iterator<Item = &'a Evaluated>) -> Vec<String> {
    let mut paths = Vec::new();
    for step in stages.flat_map(|stage| &stage.steps) {
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
async fn load_context(
    client: &Client,
    files: &Fetched,
    stages: impl Iterator<Item = &Evaluated>,
) -> Result<(), BuildError> {
    let reads = stages
        .flat_map(|stage| &stage.steps)
        .any(|step| origins(&step.action).into_iter().any(|origin| *origin == Origin::Context));
    let Some(context) = client.context.as_ref().filter(|_| reads) else { return Ok(()) };
    let node = Node::new(
        &client.progress,
        Key::new("load context").digest(),
        "[internal] load build context".to_owned(),
    );
    node.start();
    let fetched = files.main.get_or_try_init(|| context.fetch(files.wanted.clone())).await;
    let fetched = fetched.map(drop).map_err(BuildError::from);
    node.end(fetched.as_ref().err());
    fetched
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
