//! Repositories: `ADD <url> /dest`, and contexts that are URLs of one.
//!
//! ```text
//!  URL ─▶ ls-remote: which commit ─▶ is its checkout cached? ─▶ a Tree
//!                                       └─ no ─▶ shallow fetch, checkout, submodules ─▶ a layer in the cache
//! ```
//! The host's `git` does it, as in Docker's daemon (`docs/decisions/0042-the-hosts-git.md`). A checkout is kept as a layer that no
//! image has, so that the cache's lists, its limit and its pruning hold for it.

mod checkout;
mod keys;
mod names;
mod program;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use minke_dockerfile::evaluate::GitSource;
use minke_engine::Engine;
use minke_kernel::path::Root;
use minke_model::Digest;
use rustix::fs::OFlags;
use tokio::sync::OnceCell;

use crate::{
    BuildError, Builder, Client, LogStream, Tree,
    build::Build,
    cache::{Cache, Cached, Key, failed, now},
    copy::handle_path,
    progress::Node,
};
use names::Advertised;
pub(crate) use names::redacted;
use program::{Git, GitError};

/// The commit that a source means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Its name, all digits of it.
    pub(crate) id: String,
    /// The full name of the branch or tag that led to it.
    reference: Option<String>,
}

/// Which commits the sources of one build mean: all its steps see the same. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Commits(Arc<Mutex<HashMap<String, Arc<OnceCell<Commit>>>>>);

/// Fetches repositories for one client, with its keys.
#[derive(Clone)]
pub(crate) struct Repositories {
    pub(crate) engine: Engine,
    pub(crate) cache: Arc<Cache>,
    pub(crate) client: Client,
    pub(crate) commits: Commits,
}

impl Repositories {
    /// For a client outside of a build.
    pub(crate) fn new(builder: &Builder, client: &Client) -> Self {
        Self {
            engine: builder.engine().clone(),
            cache: Arc::clone(builder.cache()),
            client: Client { context: None, ..client.clone() },
            commits: Commits::default(),
        }
    }
}

impl Build {
    /// What repositories are fetched with in this build.
    pub(crate) fn repositories(&self) -> Repositories {
        Repositories {
            engine: self.engine.clone(),
            cache: Arc::clone(&self.cache),
            client: Client { context: None, ..self.client.clone() },
            commits: self.downloads.commits.clone(),
        }
    }
}

impl Repositories {
    /// The commit of a source, asked for once.
    pub(crate) async fn commit(&self, source: &GitSource) -> Result<Commit, BuildError> {
        let cell = {
            let mut known = self.commits.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(format!("{source:?}")).or_default())
        };
        cell.get_or_try_init(|| self.ask(source)).await.cloned()
    }

    /// Asks the repository which commit the source means, unless the source says that itself.
    async fn ask(&self, source: &GitSource) -> Result<Commit, BuildError> {
        names::check(source).map_err(|error| refused(source, &error))?;
        if let Some(id) = names::given(source) {
            let commit = Commit { id, reference: None };
            return verified(source, commit, None);
        }
        let git = Git::prepare(self, source).await?;
        let patterns = names::patterns(&source.reference);
        let mut words = vec!["ls-remote", "origin"];
        words.extend(patterns.iter().map(String::as_str));
        let listed = git.run(&words).await.map_err(|error| told(source, &error))?;
        let found = names::choose(&String::from_utf8_lossy(&listed), &source.reference);
        let Some(Advertised { commit, tag, reference }) = found else {
            let what = if source.reference.is_empty() { "HEAD" } else { &source.reference };
            return Err(refused(source, &format!("repository does not contain ref {what}")));
        };
        let reference = Some(reference).filter(|name| name.starts_with("refs/"));
        verified(source, Commit { id: commit, reference }, tag.as_deref())
    }

    /// The files of a commit: those of the source's folder.
    pub(crate) async fn tree(
        &self,
        source: &GitSource,
        commit: &Commit,
        node: &Node,
    ) -> Result<Tree, BuildError> {
        let key = checkout_key(source, commit);
        let cached = match self.cache.by_content(&key) {
            Some(cached) => cached,
            None => {
                let _turn = self.cache.turn(&key).lock_owned().await;
                match self.cache.by_content(&key) {
                    Some(cached) => cached,
                    None => self.fetch(source, commit, key, node).await?,
                }
            }
        };
        let name = commit.reference.as_deref().unwrap_or("HEAD");
        node.log(LogStream::Stdout, format!("{}\t{name}\n", commit.id).as_bytes());
        self.folder(source, cached)
    }

    async fn fetch(
        &self,
        source: &GitSource,
        commit: &Commit,
        key: Digest,
        node: &Node,
    ) -> Result<Cached, BuildError> {
        node.start();
        let git = Git::prepare(self, source).await?;
        checkout::check_out(&git, source, commit).await?;
        let workspace = git.finish();
        let cache = Arc::clone(&self.cache);
        let title = format!("{} {}", redacted(&source.remote), commit.id);
        let committed = tokio::task::spawn_blocking(move || {
            cache.commit(key, None, &workspace.upper(), &[], &[now()], &title)
        });
        committed.await.map_err(|error| failed(&error))?
    }

    /// The source's folder of a checkout. Links on the way to it stay in the checkout.
    fn folder(&self, source: &GitSource, cached: Cached) -> Result<Tree, BuildError> {
        let dirs = self.engine.image_store().layer_dirs(&cached.layers).map_err(|error| failed(&error))?;
        let top = dirs.first().ok_or_else(|| BuildError::Failed("a checkout has no layer".to_owned()))?;
        if source.directory.is_empty() {
            return Ok(Tree::new(top.clone(), cached));
        }
        let found = Root::open(top)
            .and_then(|root| {
                root.open_at(&Path::new("/").join(&source.directory), OFlags::PATH | OFlags::DIRECTORY)
            })
            .and_then(|handle| std::fs::read_link(handle_path(&handle)));
        let path = found.map_err(|error| refused(source, &format!("{:?}: {error}", source.directory)))?;
        Ok(Tree::new(path, cached))
    }
}

/// What a checkout is cached by.
fn checkout_key(source: &GitSource, commit: &Commit) -> Digest {
    let mut key = Key::new("checkout").and(&source.remote).and(&commit.id);
    key = key.and([u8::from(source.submodules), u8::from(source.commit_time)]);
    if source.keep_git_dir {
        key = key.and("keep").and(commit.reference.as_deref().unwrap_or_default());
    }
    key.digest()
}

/// The commit must be the one that the source names by its beginning; an annotated tag's own name will do.
fn verified(source: &GitSource, commit: Commit, tag: Option<&str>) -> Result<Commit, BuildError> {
    let Some(wanted) = &source.checksum else { return Ok(commit) };
    let begins = |name: &str| name.starts_with(wanted.to_ascii_lowercase().as_str());
    if begins(&commit.id) || tag.is_some_and(begins) {
        return Ok(commit);
    }
    let (reference, id) = (&source.reference, &commit.id);
    Err(refused(source, &format!("expected checksum to match {wanted}, but {reference:?} is {id}")))
}

/// A failure of `git`, with its causes.
fn told(source: &GitSource, error: &GitError) -> BuildError {
    match (error, failed(error)) {
        (GitError::Failed(_), BuildError::Failed(text)) => refused(source, &text),
        (_, error) => error,
    }
}

fn refused(source: &GitSource, error: &dyn std::fmt::Display) -> BuildError {
    BuildError::Invalid(format!("git repository {}: {error}", redacted(&source.remote)))
}
