//! Where steps read from: the context, other stages, images.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::FutureExt;
use minke_dockerfile::{
    evaluate::{Action, CopySource, MountKind},
    plan::Origin,
};
use minke_engine::layers_root;
use minke_image::BuiltLayer;
use minke_kernel::path::Root;
use minke_model::Digest;

use super::{Build, image_key, lost, named_key};
use crate::{
    BuildError, Context, NamedContext, RemoteContext, Tree, Wanted,
    cache::failed,
    exclude::{IGNORE_FILE, Ignored, ignored},
    files::{ContentHash, matches},
    walk::{Stop, Walk, apart},
};

/// Files that a step reads.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) root: Arc<Root>,
    /// The layers' directories, topmost first; none for a context.
    pub(crate) lower: Option<Vec<PathBuf>>,
    /// What its `.dockerignore` leaves out of a context.
    pub(crate) ignored: Ignored,
    _tree: Option<Tree>,
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
                Some(context) if context.is_scratch() => self.layer_files(&[]),
                Some(_) => {
                    let image = self.images.get(&named_key(named)).ok_or_else(|| lost(&named.name))?;
                    self.layer_files(&image.layers)
                }
                None => Err(lost(&named.name)),
            },
            Origin::Scratch => self.layer_files(&[]),
        }
    }

    /// The main context's files.
    pub(super) async fn context_files(&self) -> Result<Files, BuildError> {
        let context = self.client.context.as_ref();
        let context = context
            .ok_or_else(|| BuildError::Invalid("the build has no context to copy files from".to_owned()))?;
        let tree = self.files.main.get_or_try_init(|| context.fetch(self.files.wanted.clone())).await?;
        Files::of_tree(tree, self.ignored.clone())
    }

    async fn named(&self, name: &str, context: &dyn Context) -> Result<Files, BuildError> {
        let named = self.files.named.get(name).ok_or_else(|| lost(name))?;
        let fetched = named.fetched.get_or_try_init(|| async {
            let exclude = match context.heeds_ignore_file() {
                true => ignored(context, &[IGNORE_FILE]).await?,
                false => Vec::new(),
            };
            let ignored = Ignored::new(&exclude)?;
            let wanted = Wanted { paths: named.paths.clone(), exclude };
            Ok::<_, BuildError>((context.fetch(wanted).await?, ignored))
        });
        let (tree, ignored) = fetched.await?;
        Files::of_tree(tree, ignored.clone())
    }

    fn layer_files(&self, layers: &[BuiltLayer]) -> Result<Files, BuildError> {
        let lower = self.lower(layers)?;
        let root = match lower.is_empty() {
            true => Root::open(&self.engine.build_directory("empty")?),
            false => layers_root(&lower),
        };
        let root = root.map_err(|error| BuildError::Failed(format!("look at a stage's files: {error}")))?;
        Ok(Files { root: Arc::new(root), lower: Some(lower), ignored: Ignored::default(), _tree: None })
    }

    /// The directories of layers, topmost first.
    pub(crate) fn lower(&self, layers: &[BuiltLayer]) -> Result<Vec<PathBuf>, BuildError> {
        self.engine.image_store().layer_dirs(layers).map_err(|error| failed(&error))
    }
}

impl Files {
    /// A digest of what a path means in them, with all below it.
    pub(super) async fn content(&self, source: &str) -> Result<Digest, BuildError> {
        let (files, source) = (self.clone(), source.to_owned());
        let content = move |stop: &Stop| {
            let excluded = |path: &Path| files.ignored.is_excluded(path);
            let walk = Walk::new(&excluded, stop);
            let mut hash = ContentHash::new(walk, files.lower.is_some());
            for found in matches(&files.root, &source, walk)? {
                hash.add(&files.root, &found)?;
            }
            Ok(hash.finish())
        };
        apart(content).await
    }

    pub(super) fn of_tree(tree: &Tree, ignored: Ignored) -> Result<Self, BuildError> {
        let root = Root::open(tree.path())
            .map_err(|error| BuildError::Failed(format!("open {}: {error}", tree.path().display())))?;
        Ok(Self { root: Arc::new(root), lower: None, ignored, _tree: Some(tree.clone()) })
    }
}
