//! From a request to a build that can begin: the Dockerfile read, its stages planned and evaluated, their base images here, and
//! the key of every step known. A build for several platforms is several, which share what is the same for all.

mod evaluate;
mod stages;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use futures_util::future::join;
use minke_dockerfile::{
    Diagnostic,
    ast::{Dockerfile, Kind},
    evaluate::{Action, CopySource, Evaluated, MountKind, PROXIES, PathSource},
    expand::Expander,
    lint::{CheckConfig, Linter},
    outline::Outline,
    plan::{Options, Origin, Plan, StageId},
};
use minke_model::Platform;
use tokio::sync::{OnceCell, Semaphore};

use crate::{
    BuildError, BuildRequest, Client, Context, ContextError, Event, NamedContext, Wanted, Warning,
    build::{Build, Fetched, Named, origins},
    builder::Builder,
    cache::Key,
    caches::Fresh,
    exchange::{self, ExportTo},
    exclude::{self, IGNORE_FILE, Ignored},
    images::BaseImage,
    progress::Node,
};
use evaluate::evaluate;
use stages::Stages;

/// Most bytes of a Dockerfile.
const LONGEST_DOCKERFILE: u64 = 8 << 20;
/// The argument that says which time nothing in the image is later than.
const EPOCH: &str = "SOURCE_DATE_EPOCH";
/// The most platforms of one build.
const MOST_PLATFORMS: usize = 32;

/// A build that can begin: for each platform one, with the stage that it is for.
pub(crate) struct Prepared {
    pub(crate) builds: Vec<(Arc<Build>, StageId)>,
    /// Where the caches go.
    pub(crate) exports: Vec<ExportTo>,
    pub(crate) unused_args: Vec<String>,
}

/// What is known for one platform once its stages are evaluated.
struct Planned {
    platform: Platform,
    plan: Plan,
    evaluated: BTreeMap<StageId, Evaluated>,
}

/// A mistake in the Dockerfile.
pub(crate) fn told(diagnostic: &Diagnostic) -> BuildError {
    BuildError::Dockerfile(Box::new(diagnostic.clone()))
}

/// Reads the Dockerfile.
pub(crate) async fn dockerfile(request: &BuildRequest, client: &Client) -> Result<Dockerfile, BuildError> {
    let name = dockerfile_name(request);
    let bytes = match &request.dockerfile_text {
        Some(text) => text.clone(),
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
            let read = read_dockerfile(context.as_ref(), name).await;
            node.end(read.as_ref().err());
            read?
        }
    };
    let (file, mistake) = minke_dockerfile::parse_partly(name, &bytes);
    let Some(mistake) = mistake else { return Ok(file) };
    // What the lints find before it is told all the same.
    if let Ok(config) = check_config(request)
        && let Ok(mut linter) = Linter::new(&file, config)
    {
        linter.read(&file);
        say_warnings(client, &linter, &file);
    }
    Err(told(&mistake))
}

/// The file of this name in a context, or `dockerfile` where `Dockerfile` is missing.
///
/// # Errors
/// When there is none, or it can't be read.
pub async fn read_dockerfile(context: &dyn Context, name: &str) -> Result<Vec<u8>, BuildError> {
    for name in [Some(name.to_owned()), lower_case_dockerfile(name)].into_iter().flatten() {
        if let Some(bytes) = context.read_file(&name, LONGEST_DOCKERFILE).await? {
            return Ok(bytes);
        }
    }
    Err(BuildError::Invalid(format!("failed to read dockerfile: open {name}: no such file or directory")))
}

/// What is tried where a file named `Dockerfile` is missing.
pub fn lower_case_dockerfile(name: &str) -> Option<String> {
    name.strip_suffix("Dockerfile")
        .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        .map(|folder| format!("{folder}dockerfile"))
}

fn dockerfile_name(request: &BuildRequest) -> &str {
    if request.dockerfile.is_empty() { "Dockerfile" } else { &request.dockerfile }
}

/// The patterns of `<Dockerfile>.dockerignore`, or else `.dockerignore`.
async fn ignored(request: &BuildRequest, client: &Client) -> Result<Vec<String>, BuildError> {
    let Some(context) = &client.context else { return Ok(Vec::new()) };
    let own = format!("{}.dockerignore", dockerfile_name(request));
    exclude::ignored(context.as_ref(), &[&own, IGNORE_FILE]).await
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

/// The time that the Dockerfile itself says before its first stage: `ARG SOURCE_DATE_EPOCH=1704067200`.
fn own_epoch(file: &Dockerfile, request: &BuildRequest) -> Result<Option<i64>, BuildError> {
    let expander = Expander::new(file.directives.escape);
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for argument in file.arguments.iter().flat_map(|global| &global.arguments) {
        let given = request.args.get(&argument.name).cloned().flatten();
        // What can't be expanded the plan tells of.
        let default = argument.default.as_ref().and_then(|default| expander.expand(default, &values).ok());
        let value = given.or_else(|| default.map(|default| default.text));
        values.extend(value.map(|value| (argument.name.clone(), value)));
    }
    match values.get(EPOCH).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| BuildError::Invalid(format!("invalid {EPOCH}: {text}: want seconds since 1970"))),
    }
}

/// Arguments that no `ARG` declares, and that mean nothing without one.
fn unused_args(file: &Dockerfile, request: &BuildRequest) -> Vec<String> {
    let global = file.arguments.iter().flat_map(|global| &global.arguments);
    let kinds = file.stages.iter().flat_map(|stage| &stage.instructions).map(|instruction| &instruction.kind);
    let own = kinds.filter_map(|kind| match kind {
        Kind::Arg(arguments) => Some(arguments),
        _ => None,
    });
    let declared: BTreeSet<&str> =
        global.chain(own.flatten()).map(|argument| argument.name.as_str()).collect();
    let means_something = |name: &str| {
        let upper = name.to_ascii_uppercase();
        declared.contains(name)
            || PROXIES.contains(&upper.as_str())
            || name == EPOCH
            || name.starts_with("BUILDKIT_")
    };
    request.args.keys().filter(|name| !means_something(name)).cloned().collect()
}

/// What the target of a request takes.
///
/// # Errors
/// [`BuildError`] where the file can't be built for what is asked.
pub fn outline<'a>(request: &BuildRequest, file: &'a Dockerfile) -> Result<Outline<'a>, BuildError> {
    let platform = platforms(request)?.into_iter().next().flatten();
    let options = options(request, platform, false);
    minke_dockerfile::outline::outline(file, &options).map_err(|diagnostic| told(&diagnostic))
}

/// The options of the language's plan.
fn options(request: &BuildRequest, platform: Option<Platform>, is_multi_platform: bool) -> Options {
    let value = |context: &NamedContext, name: &str| match context {
        NamedContext::Files(_) => format!("local:{name}"),
        NamedContext::Image(reference) => format!("docker-image://{reference}"),
        NamedContext::Layout { store, digest } => format!("oci-layout://{store}@{digest}"),
        NamedContext::Url(url) => url.clone(),
        NamedContext::Build(_) | NamedContext::Built(_) => format!("input:{name}"),
    };
    let contexts = request.named_contexts.iter().map(|(name, context)| (name.clone(), value(context, name)));
    let mut arguments: BTreeMap<String, String> =
        request.args.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    if let Some(epoch) = request.source_date_epoch {
        arguments.entry(EPOCH.to_owned()).or_insert_with(|| epoch.to_string());
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
    mut request: BuildRequest,
    client: Client,
) -> Result<Prepared, BuildError> {
    let exports = exchange::check_exports(&request)?;
    let file = dockerfile(&request, &client).await?;
    if request.source_date_epoch.is_none() && !request.args.contains_key(EPOCH) {
        request.source_date_epoch = own_epoch(&file, &request)?;
    }
    let unused_args = unused_args(&file, &request);
    let imports = exchange::imports(builder.engine(), &client, &request);
    let (patterns, imports) = join(ignored(&request, &client), imports).await;
    // Whose files nobody reads, may have none to leave out.
    let (patterns, unreadable) = match patterns {
        Ok(patterns) => (patterns, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let mut images = HashMap::new();
    let planned = plan(builder, &request, &client, &file, &patterns, &mut images).await?;
    let evaluated = || planned.iter().flat_map(|one| one.evaluated.values());
    let main = |origin: &Origin| *origin == Origin::Context;
    let wanted = Wanted { paths: wanted_paths(evaluated(), &main), exclude: patterns.clone() };
    let named = request.named_contexts.keys().map(|name| {
        let is_it = |origin: &Origin| matches!(origin, Origin::Named(named) if named.name == *name);
        let paths = wanted_paths(evaluated(), &is_it);
        (name.clone(), Named { paths, fetched: OnceCell::new() })
    });
    let files = Arc::new(Fetched { wanted, main: OnceCell::new(), named: named.collect() });
    if reads_context(evaluated()) {
        unreadable.map_or(Ok(()), Err)?;
        load_context(&client, &files).await?;
    }
    let programs = std::thread::available_parallelism().map_or(4, |cpus| cpus.get() * 2).max(4);
    let (request, images, imports) = (Arc::new(request), Arc::new(images), Arc::new(imports));
    let fresh = Arc::new(Fresh::new(builder.mounts()));
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
            fresh: Arc::clone(&fresh),
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
            source: file.source.clone(),
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
    Ok(Prepared { builds, exports, unused_args })
}

/// Plans and evaluates for each platform. What lints find is told once.
async fn plan(
    builder: &Builder,
    request: &BuildRequest,
    client: &Client,
    file: &Dockerfile,
    ignored: &[String],
    images: &mut HashMap<String, BaseImage>,
) -> Result<Vec<Planned>, BuildError> {
    let config = check_config(request)?;
    let platforms = platforms(request)?;
    let is_multi_platform = platforms.len() > 1;
    let mut planned = Vec::with_capacity(platforms.len());
    for platform in platforms {
        let mut linter = Linter::new(file, config.clone()).map_err(|diagnostic| told(&diagnostic))?;
        if let Some(ignored) = exclude::matcher(ignored)? {
            linter.set_ignored(ignored);
        }
        let options = options(request, platform, is_multi_platform);
        let platform = options.platform().clone();
        let plan = Plan::new(file, &options, &mut linter).map_err(|diagnostic| told(&diagnostic));
        let outcome = match plan {
            Ok(mut plan) => evaluate(builder, request, client, &mut plan, &mut linter, images)
                .await
                .map(|evaluated| (plan, evaluated)),
            Err(error) => Err(error),
        };
        if planned.is_empty() {
            say_warnings(client, &linter, file);
        }
        let (plan, evaluated) = outcome?;
        linter.verdict().map_err(|diagnostic| told(&diagnostic))?;
        planned.push(Planned { platform, plan, evaluated });
    }
    Ok(planned)
}

/// What `BUILDKIT_DOCKERFILE_CHECK` says in the place of the file's `# check=`.
fn check_config(request: &BuildRequest) -> Result<Option<CheckConfig>, BuildError> {
    let argument = request.args.get("BUILDKIT_DOCKERFILE_CHECK").and_then(Option::as_deref);
    let parsed = argument.map(str::parse).transpose();
    parsed.map_err(|error| BuildError::Invalid(format!("failed to parse check options: {error}")))
}

/// A stage's number is its place in the Dockerfile, and it needs only those before it.
fn sorted(needed: &[StageId]) -> Vec<StageId> {
    let mut ids = needed.to_vec();
    ids.sort_unstable();
    ids
}

/// What is needed of a context: the paths of all copies, and of all mounts.
fn wanted_paths<'a>(
    stages: impl Iterator<Item = &'a Evaluated>,
    is_it: &dyn Fn(&Origin) -> bool,
) -> Vec<String> {
    let mut paths = Vec::new();
    for step in stages.flat_map(|stage| &stage.steps) {
        match &step.action {
            Action::Copy(copy) => paths.extend(copy.sources.iter().filter_map(|source| match source {
                CopySource::Path(path) if is_it(&path.from) => Some(wanted_path(path)),
                _ => None,
            })),
            Action::Run(run) => paths.extend(run.mounts.iter().filter_map(|mount| match &mount.kind {
                MountKind::Bind { from, source } | MountKind::Cache { from, source, .. } if is_it(from) => {
                    Some(source.clone())
                }
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

/// What has to be there for a source: clients know no `**`, so all below it.
fn wanted_path(source: &PathSource) -> String {
    let Some(below) = &source.parents else { return source.path.clone() };
    let whole = format!("{}/{below}", source.path.trim_end_matches('/'));
    whole.split('/').take_while(|part| *part != "**").collect::<Vec<_>>().join("/")
}

/// Whether any step reads of the context.
fn reads_context<'a>(stages: impl Iterator<Item = &'a Evaluated>) -> bool {
    let mut steps = stages.flat_map(|stage| &stage.steps);
    steps.any(|step| origins(&step.action).into_iter().any(|origin| *origin == Origin::Context))
}

/// Brings the context here: its content is part of the steps' definitions.
async fn load_context(client: &Client, files: &Fetched) -> Result<(), BuildError> {
    let Some(context) = &client.context else { return Ok(()) };
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
